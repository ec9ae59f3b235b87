"""The daily report of the tills, from their transactions (bigledger-api.md, section 14)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from blsync.sandbox.books.company import Books
from blsync.sandbox.books.store import DOCUMENT
from blsync.sandbox.books.values import Record, from_cents, loads, to_cents


def daily(books: Books, day: str, place: str | None) -> Record:
    """Add up a business day, at one location or all; voided transactions are only counted.

    Gross sales are sales before discount and tax; returns are positive and net of their discount;
    net sales are gross less discounts less returns.
    """
    rows = books.store.query(
        f"select {DOCUMENT} from pos_transactions where businessDate = ?",  # noqa: S608
        day,
    )
    transactions = [loads(document) for (document,) in rows]
    if place:
        transactions = [t for t in transactions if t["locationId"] == place]
    counted = [t for t in transactions if t["status"] != "voided"]
    sums, methods, cashiers = Counter[str](), Counter[str](), Counter[str]()
    payments: Counter[str] = Counter()
    cashier_totals: Counter[str] = Counter()
    for transaction in counted:
        subtotal, discount = to_cents(transaction["subtotal"]), transaction["totalDiscount"]
        if transaction["type"] == "return":
            sums["returns"] -= subtotal
            sums["returned"] += 1
        else:
            sums["gross"] += subtotal + to_cents(discount)
            sums["discounts"] += to_cents(discount)
        for name, field in (("tax", "totalTax"), ("rounding", "rounding"), ("total", "total")):
            sums[name] += to_cents(transaction[field])
        for payment in transaction["payments"]:
            methods[payment["method"]] += 1
            payments[payment["method"]] += to_cents(payment["amount"] - payment["change"])
        cashiers[transaction["cashierId"]] += 1
        cashier_totals[transaction["cashierId"]] += to_cents(transaction["total"])
    return {
        "reportName": "POS Daily Report",
        "date": day,
        "locationId": place,
        "currency": "MYR",
        "transactionCount": len(counted),
        "returnCount": sums["returned"],
        "voidCount": len(transactions) - len(counted),
        "grossSales": from_cents(sums["gross"]),
        "discounts": from_cents(sums["discounts"]),
        "returns": from_cents(sums["returns"]),
        "netSales": from_cents(sums["gross"] - sums["discounts"] - sums["returns"]),
        "tax": from_cents(sums["tax"]),
        "rounding": from_cents(sums["rounding"]),
        "total": from_cents(sums["total"]),
        "payments": [
            {"method": name, "count": methods[name], "amount": from_cents(payments[name])}
            for name in sorted(methods)
        ],
        "byCashier": [
            {"cashierId": name, "count": cashiers[name], "total": from_cents(cashier_totals[name])}
            for name in sorted(cashiers)
        ],
        "sessions": _sessions(books, day, place),
    }


def _sessions(books: Books, day: str, place: str | None) -> list[Any]:
    rows = books.store.query(
        f"select {DOCUMENT} from pos_sessions where businessDate = ? order by createdAt",  # noqa: S608
        day,
    )
    shown = ("id", "sessionNumber", "locationId", "status", "expectedCash", "variance")
    return [
        {name: session[name] for name in shown}
        for session in (loads(document) for (document,) in rows)
        if place in (None, session["locationId"])
    ]
