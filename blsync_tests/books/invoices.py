"""Random invoices: paid in part or too much, credited, cancelled, deleted."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from books.company import CURRENCIES, DAY, ITEMS, TAX_RATES, Row, cents, latest
from books.desk import Desk
from books.entries import posted, write_void


def write_invoice(desk: Desk, key: str) -> None:
    """Write an invoice, what became of it over the nights, and at times its entry in the ledger."""
    currency = desk.rng.choice(["MYR"] * 4 + list(CURRENCIES))
    day = desk.day()
    item, lines = desk.rng.choice(ITEMS), desk.rng.choice([0, 1, 1, 1, 2, 3, 3])
    items = [invoice_line(desk, number, item) for number in range(lines)]
    parts = {
        "subtotal": sum((line["lineTotal"] or 0 for line in items), Decimal(0)),
        "totalTax": sum((line["taxAmount"] or 0 for line in items), Decimal(0)),
        "shippingCost": desk.rng.choice([None, Decimal(0), Decimal("12.34")]),
    }
    total = sum((part or 0 for part in parts.values()), Decimal(0))
    if not items and desk.chance(0.5):
        parts, total = dict.fromkeys(parts), None
    terms = desk.rng.choice([0, 7, 30, 30, 60, 90, desk.rng.randrange(400)])
    night = desk.night()
    row = desk.put(
        "invoices", night, id=key, invoiceNumber=key.upper(),
        customerId=desk.rng.choice(["c1", "c2", "c3", "c4", "c_unknown", "", None]),
        customer={"name": "As the invoice says"},
        invoiceDate=None if desk.chance(0.02) else day,
        dueDate=None if desk.chance(0.05) else edge(desk, day + terms * DAY),
        status=desk.rng.choice(["draft", *["sent"] * 8]), currency=currency,
        exchangeRate=CURRENCIES[currency], items=items or desk.rng.choice([None, []]), **parts,
        total=total, amountPaid=desk.rng.choice([None, Decimal(0)]), amountDue=total,
        createdAt=desk.instant(day), updatedAt=desk.instant(day),
    )  # fmt: skip
    for _ in range(desk.rng.choice([0, 1, 1, 2, 3]) if total is not None else 0):
        if night == len(desk.book.nights) - 1:
            break
        night = desk.night(night)
        if desk.chance(0.06):
            desk.drop("invoices", row, night)
            if desk.chance(0.5):
                break
            night = desk.night(night)
        row = change_invoice(desk, row, night)
    if row["status"] != "draft" and total is not None and desk.chance(0.6):
        write_sale(desk, row, parts)


def edge(desk: Desk, due: date) -> date:
    """Move a due date onto the edge of a bucket of today's, at times."""
    if desk.chance(0.25):
        return desk.today - desk.rng.choice([0, 1, 30, 31, 60, 61, 90, 91]) * DAY
    return due


def invoice_line(desk: Desk, number: int, item: str | None) -> Row:
    net = desk.amount() * (1 if desk.chance(0.95) else -1)
    code = desk.rng.choice(list(TAX_RATES))
    line = {
        "id": str(number),
        "itemId": item if desk.chance(0.5) else desk.rng.choice(ITEMS),
        "quantity": Decimal(desk.rng.randrange(1, 99_999)) / desk.rng.choice([100, 10_000]),
        "discountAmount": desk.rng.choice([None, Decimal("0.05"), desk.amount()]),
        "lineTotal": net,
        "taxCode": code,
        "taxRate": Decimal(TAX_RATES[code]),
        "taxAmount": cents(net * TAX_RATES[code] / 100),
    }
    if desk.chance(0.05):
        line |= dict.fromkeys(desk.rng.choice([("quantity",), ("lineTotal", "taxAmount")]))
    return line


def change_invoice(desk: Desk, row: Row, night: int) -> Row:
    """Pay an invoice in part, in full or too much, credit it, cancel it, take it back."""
    changes: Row = {"updatedAt": desk.book.nights[night] - desk.rng.randrange(1, 30) * (DAY / 48)}
    match desk.rng.randrange(12):
        case 0:
            changes["status"] = "cancelled"
        case 1:
            changes["status"] = "draft"
        case 2:
            changes["amountDue"] = cents((row["amountDue"] or row["total"]) / 2)
        case 3:
            changes |= {"amountPaid": None, "amountDue": None}
        case _:
            share = Decimal(desk.rng.choice(["0.01", "0.3", "0.5", "1", "1", "1", "1.2"]))
            paid = cents(row["total"] * share)
            changes |= {"status": "sent", "amountPaid": paid, "amountDue": row["total"] - paid}
            if desk.chance(0.2):
                changes["amountDue"] = None
            changes["lastPaymentDate"] = max(
                desk.first_day, desk.book.nights[night].date() - desk.rng.randrange(70) * DAY
            )
    return desk.put_again("invoices", row, night, **changes)


def write_sale(desk: Desk, row: Row, parts: Row) -> None:
    """Post an invoice as BigLedger does, and a payment of it."""
    day, total = row["invoiceDate"] or desk.day(), row["total"]
    lines = [("1200", total), ("4000", parts["totalTax"] - total), ("2100", -parts["totalTax"])]
    posted(desk, f"{row['id']}_sale", day, lines, desk.night(), reference=row["invoiceNumber"])
    if row["amountPaid"]:
        lines = [("1000", row["amountPaid"]), ("1200", -row["amountPaid"])]
        posted(desk, f"{row['id']}_pay", row["lastPaymentDate"], lines, desk.night(),
               **words_of_payment(row["invoiceNumber"]))  # fmt: skip


def words_of_payment(number: str) -> Row:
    """Name the invoice of a payment: nowhere, in the text, as reference, beside another."""
    place = int(number.rpartition("_")[2])
    ways = ({}, {"description": f"Receipt for {number}, with thanks."}, {"reference": number},
            {"reference": "RV-1", "description": f"For {number} and INV_{place + 1}"})  # fmt: skip
    return ways[place % len(ways)]


def write_costs(desk: Desk) -> None:
    """Post what was sold by some invoices cost: in parts, in other months, and void again."""
    for (key,), row in latest(desk.book.rows["invoices"], "invoices").items():
        for part in range(desk.rng.choice([0, 0, 1, 1, 1, 2])):
            cost = Decimal(desk.rng.randrange(1, 999_999)) / 100
            lines = [("5000", cost), ("1300", -cost)]
            is_same_day = row["invoiceDate"] and desk.chance(0.75)
            day, night = row["invoiceDate"] if is_same_day else desk.day(), desk.night()
            entry = posted(desk, f"{key}_cost_{part}", day, lines, night,
                           reference=row["invoiceNumber"])  # fmt: skip
            if desk.chance(0.1):
                write_void(desk, entry, lines, desk.night(night))
