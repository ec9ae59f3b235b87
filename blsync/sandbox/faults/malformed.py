"""Records that are not as documented: odd customers, and disguises that faults put on any."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from zlib import crc32

from blsync.sandbox.books.values import Record, encode, loads
from blsync.sandbox.faults.faults import Faults

UNDOCUMENTED: Record = {
    "loyaltyTier": "gold",
    "riskScore": Decimal("12.50"),
    "integration": {"source": "pos", "batch": {"number": 7, "isManual": False}},
    "labels": ["a", {"colour": "red"}],
}
MONEY_OF = ("customers", "invoices")
MONEY = (
    *("creditLimit", "currentBalance", "totalSales", "subtotal", "totalDiscount", "totalTax"),
    *("shippingCost", "total", "amountPaid", "amountDue"),
    *("unitPrice", "discountAmount", "lineTotal", "taxAmount"),
)
DAY = re.compile(rb'"(\d{4}-\d\d-\d\d)"')
NO_DAY = re.compile(rb'("(?:\w+Date|date|submittedAt|acceptedAt)":)null')
NUMBER = re.compile(rb":-?\d+(?:\.\d+)?(?=[,}])")
FRACTION = re.compile(rb"(:-?(?!0\.00)\d{1,6}\.\d\d)(?=[,}])")
TAILS = {"zeros": b"0" * 18, "noise": b"000000000000004", "mills": b"4"}
TEXT = re.compile(
    rb'("(?:name|notes|description|reason|reference|binLocation)":)(?:"(?:[^"\\]|\\.)*"|null)'
)
ONE_IN = 30
"""One record in so many is damaged."""
SPOILT = {"surrogate": b'"half \\ud83d"', "control": b'"a\tb"', "escape": b'"C:\\dir"'}


def odd_customers(count: int, good: Record) -> list[tuple[str, Record]]:
    """Make customers (key in the table, record) that no client can type, from a good one."""
    oddities: tuple[Record, ...] = (
        {"lastSaleDate": "2026-02-31"},
        {"creditLimit": "fifty thousand"},
        {"id": None},
        {"createdAt": "last Tuesday", "paymentTerms": "thirty"},
    )
    result = []
    for number in range(count):
        key = f"cust_odd{number:05d}"
        names = {"id": key, "customerNumber": f"ODD-{number:04d}", "email": f"{key}@example.my"}
        record = {**good, **names, **oddities[number % len(oddities)]}
        if record["id"] is None:
            del record["id"]
        result.append((key, record))
    return result


def slim(
    entity: str, documents: list[bytes], faults: Faults, secret: tuple[str, ...]
) -> list[bytes]:
    """Leave out of a list's records what only a record by itself shows; of all, what is secret."""
    named = (name.rpartition(".") for name in faults["slim"])
    left_out = {name for of_entity, _, name in named if of_entity in ("", entity)}.union(secret)
    if not left_out:
        return documents
    records = [loads(document) for document in documents]
    return [encode({n: v for n, v in record.items() if n not in left_out}) for record in records]


def disguise(entity: str, documents: list[bytes], faults: Faults) -> list[bytes]:
    """Return records' JSON as the faults in force want them, mostly just as they are."""
    documents = _undocumented(entity, documents, faults)
    if faults["odd-dates"]:
        documents = [_oddly_dated(document, faults["odd-dates"]) for document in documents]
    if faults["decimals"]:
        how = faults["decimals"]
        documents = [FRACTION.sub(rb"\g<1>" + TAILS[how], document) for document in documents]
    if faults["damage"]:
        documents = [
            _damaged(document, faults["damage"]) if _is_unlucky(document) else document
            for document in documents
        ]
    return documents


def _is_unlucky(document: bytes) -> bool:
    """Tell by its id whether a record is one of those that come damaged, whenever they come."""
    return crc32(document.partition(b",")[0]) % ONE_IN == 0


def _oddly_dated(document: bytes, how: str) -> bytes:
    if how == "midnight":
        return DAY.sub(rb'"\1T00:00:00.000Z"', document)
    nothing = b'""' if how == "empty" else b'"0000-00-00"'
    return NO_DAY.sub(rb"\1" + nothing, document)


def _damaged(document: bytes, how: str) -> bytes:
    if how == "torn":
        return document[: 2 * len(document) // 3]
    if how == "nan":
        return NUMBER.sub(b":NaN", document, count=1)
    return TEXT.sub(lambda found: found[1] + SPOILT[how], document, count=1)


def _undocumented(entity: str, documents: list[bytes], faults: Faults) -> list[bytes]:
    nulls, as_text = faults["null-fields"], faults["text-numbers"] and entity in MONEY_OF
    extra = UNDOCUMENTED if faults["extra-fields"] else {}
    if not (nulls or as_text or extra):
        return documents
    result = []
    for document in documents:
        record = loads(document)
        if as_text:
            record = _spell_money(record)
        record |= dict.fromkeys(nulls & record.keys()) | extra
        result.append(encode(record))
    return result


def _spell_money(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _spell_money(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_spell_money(inner) for inner in value]
    is_money = name in MONEY and isinstance(value, int | Decimal)
    return str(value) if is_money else value
