"""Quantities and values of stock, at average cost an item and location.

A row's value is kept to the cent and moves only together with the inventory account; the
average cost is what follows from it. A row whose quantity is zero is worth zero.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from blsync.sandbox.books.chart import LOCATIONS
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import broken_rule
from blsync.sandbox.books.values import (
    ZERO,
    Record,
    from_cents,
    from_ten_thousandths,
    money,
    quantity,
    to_cents,
    to_ten_thousandths,
)

UNIT_COST = Decimal("0.0001")


def stock_key(item_id: str, location_id: str) -> str:
    """Name a stock row, which has no id of its own."""
    return f"{item_id}|{location_id}"


def stock_row(books: Books, item_id: str, location_id: str) -> Record | None:
    """Return the stock of an item at a location, None before its first movement."""
    return books.store.get("stock", stock_key(item_id, location_id))


def rows_of(books: Books, item_id: str) -> list[Record]:
    """Return the item's stock rows, the fullest first."""
    rows = [row for place in LOCATIONS if (row := stock_row(books, item_id, place))]
    return sorted(rows, key=lambda row: row["currentStock"], reverse=True)


def cost_of(row: Record, taken: Decimal | int) -> Decimal:
    """Value what leaves a row: its share of the row's value, all of it with the last piece."""
    if taken == row["currentStock"]:
        return Decimal(row["stockValue"])
    return money(row["stockValue"] * taken / Decimal(row["currentStock"]))


def move_stock(
    books: Books,
    item: Record,
    location_id: str,
    change: Decimal | int,
    value: Decimal,
    *,
    day: str,
    kind: str,
    reference: str | None,
    document_id: str,
) -> None:
    """Change a row's quantity and value; the caller posts the same value to the journal."""
    key = stock_key(item["id"], location_id)
    row = books.store.get("stock", key) or _new_row(books, item["id"], location_id)
    row["currentStock"] = quantity(row["currentStock"] + change)
    row["stockValue"] += value
    row["availableStock"] = max(0, quantity(row["currentStock"] - row["reservedStock"]))
    if row["currentStock"]:
        average = row["stockValue"] / Decimal(row["currentStock"])
        row["averageCost"] = average.quantize(UNIT_COST, ROUND_HALF_UP)
    books.touch("stock", key, row)
    row["lastMovement"] = {
        "date": row["updatedAt"],
        "type": kind,
        "quantity": quantity(change),
        "reference": reference,
    }
    books.store.move(
        "stock_moves",
        *(document_id, item["id"], location_id, day),
        *(to_ten_thousandths(change), to_cents(value)),
    )
    _tell_item(books, item, row)


def _new_row(books: Books, item_id: str, location_id: str) -> Record:
    books.counters["bin"] += 1
    shelf, level = divmod(books.counters["bin"], 20)
    return {
        "itemId": item_id,
        "locationId": location_id,
        "currentStock": 0,
        "availableStock": 0,
        "reservedStock": 0,
        "onOrderStock": 0,
        "averageCost": Decimal("0.0000"),
        "stockValue": ZERO,
        "lastMovement": None,
        "binLocation": f"{chr(65 + shelf % 26)}{shelf % 9 + 1}-{level + 1:02d}",
    }


def _tell_item(books: Books, item: Record, row: Record) -> None:
    """Carry a row's change into the item's own figures."""
    places = {place["locationId"]: place for place in item["locations"]}
    places[row["locationId"]] = {
        "locationId": row["locationId"],
        "stock": row["currentStock"],
        "available": row["availableStock"],
        "reserved": row["reservedStock"],
        "binLocation": row["binLocation"],
    }
    item["locations"] = list(places.values())
    totals = item["inventory"]
    totals["currentStock"] = quantity(sum(place["stock"] for place in places.values()))
    totals["availableStock"] = quantity(sum(place["available"] for place in places.values()))
    totals["reservedStock"] = quantity(sum(place["reserved"] for place in places.values()))
    books.touch("items", item["id"], item)


def tell_expected(books: Books, item_id: str, location_id: str, change: Decimal | int) -> None:
    """Change how much of an item is on order, at the location where it is expected."""
    item = books.find("items", item_id)
    if not item["inventory"]["tracked"]:
        return
    key = stock_key(item_id, location_id)
    row = books.store.get("stock", key) or _new_row(books, item_id, location_id)
    row["onOrderStock"] = quantity(row["onOrderStock"] + change)
    books.touch("stock", key, row)


def sell_stock(books: Books, item: Record, sold: Decimal | int, **document: Any) -> Decimal:
    """Take sold goods from the fullest rows and return their cost.

    Raises ApiError 422 INSUFFICIENT_STOCK, before anything has moved.
    """
    check_stock(books, item, sold)
    cost, left = ZERO, sold
    for row in rows_of(books, item["id"]):
        taken = min(left, row["currentStock"])
        if taken <= 0:
            break
        share = cost_of(row, taken)
        move_stock(books, item, row["locationId"], -taken, -share, kind="sale", **document)
        cost, left = cost + share, left - taken
    return cost


def check_stock(books: Books, item: Record, wanted: Decimal | int) -> None:
    """Raise ApiError 422 INSUFFICIENT_STOCK unless the item's locations together hold enough."""
    held = sum(row["currentStock"] for row in rows_of(books, item["id"]))
    if held < wanted:
        raise broken_rule(
            "INSUFFICIENT_STOCK",
            f"Only {held} of item {item['itemCode']} in stock, {wanted} asked for",
            itemId=item["id"],
            currentStock=held,
        )


def return_stock(books: Books, document_id: str, **document: Any) -> None:
    """Bring back what a cancelled document took, at the value it left with."""
    books.store.flush_moves()
    rows = books.store.query(
        "select item_id, location_id, sum(quantity), sum(value_cents) from stock_moves"
        " where document_id = ? group by item_id, location_id",
        document_id,
    )
    for item_id, location_id, moved, cents in rows:
        change, value = from_ten_thousandths(-moved), from_cents(-cents)
        item = books.find("items", item_id)
        move_stock(books, item, location_id, change, value, document_id=document_id, **document)
