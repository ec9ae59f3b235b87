"""A workbook for an endpoint, to be filled in and planned: `blsync push template`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from blsync.errors import ConfigError
from blsync.files.atomic import atomic_write, storage_errors
from blsync.files.form_workbook import DAY, NUMBER, TEXT, FormColumn, ListSheet, write_form
from blsync.push.dialects import terms_of
from blsync.push.endpoint import Endpoint, Reference
from blsync.push.endpoints import endpoint_named
from blsync.push.known import LISTS, KnownList, list_of, rows_of
from blsync.push.source.grid import EXAMPLE, EXAMPLE_KEYS
from blsync.settings import Company, Settings
from blsync.text.spellings import Kind

_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_UNITS = {"paymentTerms": "days"}
_NOTE = "_note"
_EXAMPLES: Mapping[str, Any] = {
    "customer.email": "name@company.my",
    "name": "Kedai Contoh Sdn Bhd",
    "phone": "+60 3-1234 5678",
    "website": "www.company.my",
    "currency": "MYR",
    "paymentTerms": 30,
    "tags": "retail;klang",
    "terms": "30 days",
    "supplier.email": "name@supplier.my",
    "category": "Hardware",
    "unitOfMeasure": "pcs",
    "parentNumber": "6000",
    "items.accountCode": "6030",
    "items.itemCode": "ITEM-001",
    "items.description": "Work in March",
    "itemCode": "ITEM-001",
    "locationId": "loc_main",
    "invoiceNumber": "INV-0001",
    "lines.accountNumber": "6030",
    "lines.debit": Decimal("100.00"),
    "description": "Bank charges",
    "purchaseOrder": "PO-7781",
}
"""Column → what the example holds; others have one of their kind."""
_OF_KIND: Mapping[Kind, Any] = {
    Kind.DAY: date(2026, 3, 31),
    Kind.NUMBER: Decimal("150.00"),
    Kind.PERCENT: Decimal(6),
}
_EMPTY = frozenset(("lines.credit", "items.discountPercent", "items.discountAmount", "taxNumber"))
"""Columns that the example leaves empty."""


def write_template(
    settings: Settings, company: Company, endpoint: str, output: Path, *, with_data: bool = False
) -> list[str]:
    """Write a workbook to be filled in for an endpoint; return the names of its sheets.

    With data, it has lists of the company's customers, items, accounts, locations or open invoices
    from the published marts, whichever its columns name.

    Raises ConfigError for another ending than xlsx or an endpoint that is none, BuildError where
    data is asked for and nothing is published, StorageError.
    """
    kind = endpoint_named(endpoint)
    terms_of(settings, kind)
    if output.suffix.lower() != ".xlsx":
        raise ConfigError(f"--output {output.name}: a template is a workbook; name it .xlsx.")
    names = list(_columns(kind))
    lists: list[ListSheet] = []
    if with_data:
        named = [found for name in names if (found := _list_of(kind, name))]
        if kind.name == "customers":
            named.append(LISTS["customer.email"])
        known = {each.sheet: each for each in named}
        lists += [
            ListSheet(each.sheet, each.header, rows_of(settings, company.company_id, each))
            for each in known.values()
        ]
    by_sheet = {each.name: each for each in lists}
    columns = [_form_column(kind, name, by_sheet) for name in names]
    columns.append(FormColumn(_NOTE, "", False, TEXT, EXAMPLE))
    guide = ListSheet("_guide", ("column", "needed", "what it holds"), [*_guide(kind, names)])
    with storage_errors(output), atomic_write(output) as draft:
        write_form(draft, kind.name, columns, [guide, *lists])
    return [kind.name, guide.name, *by_sheet]


def _columns(endpoint: Endpoint) -> Iterator[str]:
    """Yield the columns that a person fills in: of the ways to name a record the one that people
    know, what is needed first.
    """
    prefix = f"{endpoint.lines}." if endpoint.lines else ""
    others = {
        (prefix if reference.in_lines else "") + column
        for reference in endpoint.references
        for column in reference.columns
        if column != _known_by(reference)
    }
    own = [name for name in endpoint.rules if name not in others | endpoint.open_ended]
    needed = [name for name in own if is_needed(endpoint, name)]
    lines = [name for name in own if prefix and name.startswith(prefix)]
    rest = [name for name in own if name not in needed and name not in lines]
    yield from (*(name for name in needed if name not in lines), *rest, *lines)


def _known_by(reference: Reference) -> str:
    """Return the column by which people know a record: the first that is not its id."""
    words = [column for column, identifier in reference.columns.items() if identifier != "id"]
    return (words or [*reference.columns])[0]


def is_needed(endpoint: Endpoint, name: str) -> bool:
    """Tell whether nothing is created without a column, or without another that says the same."""
    prefix = f"{endpoint.lines}." if endpoint.lines else ""
    in_words = {
        (prefix if reference.in_lines else "") + column
        for reference in endpoint.references
        if reference.field in endpoint.required
        for column in reference.columns
    }
    always = {
        "invoices": {"items.quantity"},
        "bills": {"items.quantity", "items.unitPrice"},
        "journal-entries": {"lines.accountNumber"},
    }
    return name in endpoint.required or name in in_words | always.get(endpoint.name, set())


def label(endpoint: Endpoint, name: str) -> str:
    """Return a column's header for people: its words, its unit, and * where it is needed."""
    words = " ".join(word.capitalize() for word in _WORDS.findall(name))
    unit = _UNITS.get(name) or ("%" if name.endswith("Rate") else "")
    return f"{words}{f' ({unit})' if unit else ''}{' *' if is_needed(endpoint, name) else ''}"


def _form_column(endpoint: Endpoint, name: str, lists: Mapping[str, ListSheet]) -> FormColumn:
    kind = endpoint.kinds.get(name)
    known = _list_of(endpoint, name)
    rows = lists[known.sheet].rows if known and known.sheet in lists else []
    choices = endpoint.choices.get(name, ())
    return FormColumn(
        label(endpoint, name),
        f"{name}: {endpoint.rule(name)}.",
        is_needed(endpoint, name),
        {Kind.DAY: DAY, Kind.NUMBER: NUMBER, Kind.PERCENT: NUMBER}.get(kind or Kind.TEXT, TEXT),
        rows[0][0] if rows else _example(endpoint, name, kind, choices),
        choices,
        known.sheet if known else None,
    )


def _list_of(endpoint: Endpoint, name: str) -> KnownList | None:
    """Return the list of what a column may hold; what names a new record is in none."""
    return None if name == endpoint.natural_key else list_of(name)


def _example(endpoint: Endpoint, name: str, kind: Kind | None, choices: tuple[str, ...]) -> Any:
    if name in _EMPTY:
        return None
    if choices:
        return choices[0]
    if name == endpoint.natural_key:
        return EXAMPLE_KEYS[name]
    if name in _EXAMPLES:
        return _EXAMPLES[name]
    return _OF_KIND.get(kind) if kind else None


def _guide(endpoint: Endpoint, names: list[str]) -> Iterator[tuple[str, str, str]]:
    for name in names:
        needed = "yes" if is_needed(endpoint, name) else ""
        yield label(endpoint, name), needed, f"{endpoint.rule(name)}"
    if endpoint.lines:
        lines = [each for each in names if each.startswith(f"{endpoint.lines}.")]
        yield (
            "lines",
            "",
            f"each line of a document is a row, one below the other, from {lines[0]} on; the other "
            "columns stand in the document's first row",
        )
    yield "_note", "", f"a row with {EXAMPLE!r} here is left out; delete it, or leave it"
    yield "numbers", "", "in the currency of the customer, the invoice or the company"
    yield "(clear)", "", "this word empties a field; an empty cell leaves it as it is"
