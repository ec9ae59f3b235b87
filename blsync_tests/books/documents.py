"""Random documents of the other half: purchasing, orders, e-invoices, tills, transfers.

They are drawn apart from the rest of a book, so that what there was before stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

from books.company import CURRENCIES, DAY, Row, cents, ordered
from books.desk import Desk
from books.entries import posted

SUPPLIERS = ("s1", "s2", "s3", None)
GOODS = ("item_a", "item_a", "item_b", "item_c", None)
TENDERS = {"cash": "acc_1150", "card": "acc_1160", "voucher": "acc_1160"}
HOUR = timedelta(hours=1)


def write_documents(desk: Desk) -> None:
    """Write the documents of a company and their entries in the ledger."""
    write_suppliers(desk)
    orders = [write_purchase_order(desk, f"po_{number}") for number in range(8)]
    for number in range(18):
        write_bill(desk, f"bill_{number}", orders)
    sales = [write_sales_order(desk, f"so_{number}") for number in range(8)]
    link_invoices(desk, sales)
    for number in range(12):
        write_quote(desk, f"quote_{number}", sales)
    write_einvoices(desk)
    for number in range(6):
        write_session(desk, f"poss_{number}")
    for number in range(8):
        write_transfer(desk, f"xfer_{number}")


def nights(desk: Desk, most: int) -> Iterator[int]:
    """Yield the nights on which a record is found changed, at most so many."""
    night = desk.night()
    yield night
    for _ in range(desk.rng.randrange(most)):
        if night == len(desk.book.nights) - 1:
            return
        night = desk.night(night)
        yield night


def stamps(desk: Desk, night: int) -> Row:
    return {"updatedAt": desk.book.nights[night] - HOUR}


def small(desk: Desk) -> Decimal:
    return Decimal(desk.rng.randrange(1, 99_999)) / 100


def pieces(desk: Desk) -> Decimal:
    return Decimal(desk.rng.choice([0, 1, 2, 5, 10, 12]))


def write_suppliers(desk: Desk) -> None:
    for key in filter(None, SUPPLIERS):
        terms = desk.rng.choice(
            [None, {"termsDays": 30, "discountDays": desk.rng.choice([0, 7, 40, 500]),
                    "discountPercent": Decimal(2)}]
        )  # fmt: skip
        row = desk.put("suppliers", 0, id=key, name=f"Supplier {key}", status="active",
                       paymentTerms=terms, creditLimit=small(desk), **stamps(desk, 0))  # fmt: skip
        if desk.chance(0.3):
            night = desk.night(0)
            row = desk.put_again("suppliers", row, night, creditLimit=small(desk),
                                 **stamps(desk, night))  # fmt: skip
        if desk.chance(0.2):
            desk.drop("suppliers", row, len(desk.book.nights) - 1)


def write_purchase_order(desk: Desk, key: str) -> Row:
    """Write an order and how its goods come in, at times more than was ordered."""
    currency = desk.rng.choice(["MYR", "MYR", "MYR", "USD", "SGD"])
    rate = CURRENCIES[currency]
    items = [
        {"id": f"{key}_{place}", "itemId": desk.rng.choice(GOODS), "quantity": pieces(desk),
         "unitPrice": small(desk), "lineTotal": Decimal(0), "receivedQuantity": Decimal(0)}
        for place in range(desk.rng.choice([1, 2, 3]))
    ]  # fmt: skip
    row: Row = {}
    for step, night in enumerate(nights(desk, 4)):
        if step:
            items = [
                line | {"receivedQuantity": line["receivedQuantity"] + desk.rng.choice(
                    [Decimal(0), line["quantity"], Decimal(1)])}
                for line in items
            ]  # fmt: skip
        told: Row = {
            "id": key, "poNumber": f"PO-{key}", "supplierId": desk.rng.choice(SUPPLIERS),
            "supplier": {"name": "As the order says"}, "orderDate": desk.day(),
            "status": desk.rng.choice(["draft", "sent", "confirmed", "partially_received",
                                       "received", "cancelled"]),
            "currency": currency, "exchangeRate": rate, "items": items, **stamps(desk, night),
        }  # fmt: skip
        row = desk.put("purchase_orders", night, **(row and unmarked(row)) | told)
        received = sum((rounded(line, "receivedQuantity") for line in items), Decimal(0))
        if received and desk.chance(0.6):
            lines = [("1300", received), ("2150", -received)]
            posted(desk, f"{key}_{step}", desk.day(), lines, night, reference=f"PO-{key}")
    if desk.chance(0.1):
        desk.drop("purchase_orders", row, len(desk.book.nights) - 1)
    return row


def unmarked(row: Row) -> Row:
    return {name: value for name, value in row.items() if not name.startswith("_")}


def rounded(line: Row, quantity: str) -> Decimal:
    return cents(line[quantity] * line["unitPrice"])


def write_bill(desk: Desk, key: str, orders: list[Row]) -> None:
    """Write a bill, of an order or of none, what is paid of it, and its entries."""
    currency = desk.rng.choice(["MYR"] * 4 + ["USD"])
    order = desk.rng.choice([*orders, None, None, None])
    items = []
    for place in range(desk.rng.choice([1, 1, 2, 3])):
        like = desk.rng.choice(order["items"]) if order and desk.chance(0.8) else None
        price = like["unitPrice"] if like and desk.chance(0.7) else small(desk)
        quantity = pieces(desk)
        items.append(
            {"id": f"{key}_{place}", "itemId": like["itemId"] if like else desk.rng.choice(GOODS),
             "quantity": quantity, "unitPrice": price, "lineTotal": cents(quantity * price),
             "taxAmount": desk.rng.choice([None, Decimal("1.23")]), "accountCode": "1400"}
        )  # fmt: skip
    if desk.chance(0.35):  # two such within a week may be one bill twice
        items = [{**items[0], "quantity": Decimal(1), "unitPrice": Decimal(100),
                  "lineTotal": Decimal(100), "taxAmount": None}]  # fmt: skip
    subtotal = sum((line["lineTotal"] for line in items), Decimal(0))
    tax = sum((line["taxAmount"] or Decimal(0) for line in items), Decimal(0))
    total = subtotal + tax + (Decimal("0.01") if desk.chance(0.1) else 0)
    day = desk.day()
    if desk.chance(0.3):  # around the last day of a discount, and ahead
        day = desk.today - desk.rng.choice([0, 1, 7, 8, 40, 41, -3, -40]) * DAY
    shared = "B-shared" if desk.chance(0.3 if currency == "USD" else 0.05) else f"B-{key}"
    row: Row = {
        "id": key, "billNumber": shared,
        "supplierInvoiceNumber": desk.rng.choice([None, f"I-{key}", " i-same", "I-SAME"]),
        "supplierId": desk.rng.choice(SUPPLIERS), "supplier": {"name": "As the bill says"},
        "purchaseOrderId": order["id"] if order else None,
        "billDate": None if desk.chance(0.03) else day,
        "dueDate": None if desk.chance(0.05) else edge(desk, day), "currency": currency,
        "items": items, "subtotal": subtotal, "taxTotal": tax, "total": total,
    }  # fmt: skip
    paid = Decimal(0)
    for step, night in enumerate(nights(desk, 4)):
        if step:
            paid = cents(total * Decimal(desk.rng.choice(["0", "0.3", "1", "1", "1.1"])))
        row |= {"status": desk.rng.choice(["draft", *["open"] * 6]), "paidAmount": paid,
                "balanceDue": desk.rng.choice([None, total - paid, total - paid]),
                **stamps(desk, night)}  # fmt: skip
        row = desk.put("bills", night, **unmarked(row))
    if desk.chance(0.1):
        desk.drop("bills", row, len(desk.book.nights) - 1)
    booked = total * (1 if currency == "MYR" else 4)
    if booked and desk.chance(0.7):
        lines = [("1400", booked), ("2000", -booked)]
        posted(desk, f"{key}_b", day, lines, night, reference=row["billNumber"])
    if paid and desk.chance(0.6):
        lines = [("2000", paid), ("1000", -paid)]
        posted(desk, f"{key}_p", desk.day(), lines, night,
               reference=desk.rng.choice([None, f"PAY-{key}"]))  # fmt: skip


def edge(desk: Desk, day: Any) -> Any:
    if desk.chance(0.4):
        return desk.today - desk.rng.choice([-3, 0, 1, 30, 31, 60, 61, 90, 91]) * DAY
    return day + 30 * DAY


def write_sales_order(desk: Desk, key: str) -> Row:
    currency = desk.rng.choice(["MYR", "MYR", "USD", "SGD"])
    items = [
        {"id": f"{key}_{place}", "itemId": desk.rng.choice(GOODS), "quantity": pieces(desk) * 10,
         "unitPrice": small(desk), "lineTotal": desk.amount()}
        for place in range(desk.rng.choice([1, 2, 3]))
    ]  # fmt: skip
    row: Row = {}
    for night in nights(desk, 4):
        told = {
            "id": key, "orderNumber": f"SO-{key}", "customerId": "c1", "orderDate": desk.day(),
            "requiredDate": desk.day(), "promisedDate": desk.rng.choice([None, desk.day()]),
            "status": desk.rng.choice(["draft", "confirmed", "confirmed", "shipped", "delivered",
                                       "cancelled"]),
            "currency": currency, "exchangeRate": CURRENCIES[currency], "items": items,
            **stamps(desk, night),
        }  # fmt: skip
        row = desk.put("sales_orders", night, **(row and unmarked(row)) | told)
    if desk.chance(0.1):
        desk.drop("sales_orders", row, len(desk.book.nights) - 1)
    return row


def link_invoices(desk: Desk, orders: list[Row]) -> None:
    """Let some invoices belong to an order, by its id or by its number."""
    for versions in ordered(desk.book.rows["invoices"], "invoices").values():
        order = desk.rng.choice([*orders, None, None])
        by_id = desk.chance(0.5)
        for row in versions if order else []:
            if row["_op"] == "upsert" and by_id:
                row["salesOrderId"] = order["id"]
            elif row["_op"] == "upsert":
                row["reference"] = order["orderNumber"]


def write_quote(desk: Desk, key: str, orders: list[Row]) -> None:
    day = desk.day()
    status = desk.rng.choice(["draft", "sent", "sent", "accepted", "rejected", "converted"])
    is_converted = status == "converted"
    for night in nights(desk, 2):
        desk.put(
            "quotes", night, id=key, quoteNumber=f"Q-{key}",
            customerId=desk.rng.choice(["c1", "c2"]), quoteDate=day,
            validUntil=desk.rng.choice([None, desk.today, desk.today - DAY, day + 30 * DAY]),
            status=status, currency=desk.rng.choice(["MYR", "USD"]), total=desk.amount(),
            acceptedAt=desk.instant(day) if status == "accepted" else None,
            convertedToOrderAt=desk.instant(day + 5 * DAY) if is_converted else None,
            salesOrderId=desk.rng.choice(orders)["id"] if is_converted else None,
            **stamps(desk, night),
        )  # fmt: skip


def write_einvoices(desk: Desk) -> None:
    """Write none, one or several e-invoices of each invoice, and one of none."""
    keys = [key for (key,) in ordered(desk.book.rows["invoices"], "invoices")]
    for invoice in [*keys, "inv_unknown"]:
        for attempt in range(desk.rng.choice([0, 1, 1, 1, 2, 3])):
            created = desk.instant(desk.day())
            for night in nights(desk, 2):
                row = desk.put(
                    "einvoices", night, id=f"einv_{invoice}_{attempt}", invoiceId=invoice,
                    status=desk.rng.choice(["created", "validated", "submitted", "accepted",
                                            "accepted", "rejected", "cancelled"]),
                    uuid=f"uuid {invoice} {attempt}", createdAt=created,
                    government={"validationTime": created + HOUR}, **stamps(desk, night),
                )  # fmt: skip
            if desk.chance(0.05):
                desk.drop("einvoices", row, len(desk.book.nights) - 1)


def write_session(desk: Desk, key: str) -> None:
    """Write a session of a till, its sales and returns, their entry, and what was banked."""
    day = min(desk.day(), desk.today)
    place = desk.rng.choice(["north", "south"])
    opened = desk.instant(day)
    is_closed = desk.chance(0.7)
    number = f"S-{key}"
    desk.put(
        "pos_sessions", desk.night(), id=key, sessionNumber=number, locationId=place,
        businessDate=day, openedAt=opened, closedAt=opened + 9 * HOUR if is_closed else None,
        status="closed" if is_closed else "open", expectedCash=Decimal(100),
        countedCash=Decimal(100) if desk.chance(0.5) else Decimal(97),
        variance=None, **stamps(desk, 0),
    )  # fmt: skip
    taken = dict.fromkeys(("acc_1150", "acc_1160"), Decimal(0))
    for place_no in range(desk.rng.randrange(7)):
        for row in transaction(desk, f"{key}_{place_no}", key, day, place, opened):
            kept = row["payments"] if row["status"] == "completed" else []
            for payment in kept or []:
                taken[payment["accountId"]] += payment["amount"] - (payment["change"] or 0)
    for account, amount in taken.items():
        if is_closed and amount and desk.chance(0.8):
            code = account.removeprefix("acc_")
            posted(desk, f"{key}_{code}", day, [(code, amount), ("4000", -amount)], 0,
                   reference=number)  # fmt: skip
            if desk.chance(0.7):
                part = cents(amount / desk.rng.choice([1, 1, 3]))
                fee = desk.rng.choice([Decimal(0), cents(part / 50)])
                lines = [("1000", part - fee), ("6900", fee), (code, -part)]
                posted(desk, f"{key}_{code}_b", min(day + DAY, desk.today), lines, 0,
                       reference=f"BNK-{number}")  # fmt: skip
    if desk.chance(0.3):
        posted(desk, f"{key}_m", day, [("1150", Decimal(3)), ("1400", Decimal(-3))], 0)


def transaction(
    desk: Desk, key: str, session: str, day: Any, place: str, opened: Any
) -> Iterator[Row]:
    """Write a sale or a return, and yield how it was found last."""
    sign = desk.rng.choice([1, 1, 1, -1])
    net, discount = sign * small(desk), sign * desk.rng.choice([Decimal(0), Decimal("2.50")])
    tax, rounding = cents(net * 6 / 100), desk.rng.choice([Decimal(0), Decimal("-0.02")])
    total = net + tax + rounding
    first = cents(total / desk.rng.choice([1, 1, 3]))
    methods = desk.rng.sample(sorted(TENDERS), 2)
    payments = [
        {"id": f"{key}_{method}", "method": method.upper(), "amount": amount + 5,
         "change": Decimal(5), "accountId": TENDERS[method]}
        for method, amount in zip(methods, (first, total - first), strict=True) if amount
    ]  # fmt: skip
    if desk.chance(0.05):
        payments = []
    row: Row = {}
    for night in nights(desk, 2):
        row = desk.put(
            "pos_transactions", night, id=key, transactionNumber=f"T-{key}",
            type="sale" if sign > 0 else "return",
            status=desk.rng.choice(["completed"] * 5 + ["voided"]), businessDate=day,
            occurredAt=opened + desk.rng.randrange(12) * HOUR, sessionId=session,
            locationId=place, subtotal=net, totalDiscount=discount, totalTax=tax,
            rounding=rounding, total=total, payments=payments, items=[],
            createdAt=opened + desk.rng.randrange(12) * HOUR, **stamps(desk, night),
        )  # fmt: skip
    yield row


def write_transfer(desk: Desk, key: str) -> None:
    wanted = pieces(desk) + 1
    sent = desk.rng.choice([wanted, wanted, wanted + 1])
    came = desk.rng.choice([sent, sent, sent - 1, sent + 1])
    for night in nights(desk, 4):
        status = desk.rng.choice(
            ["draft", "approved", "shipped", "received", "completed", "rejected"]
        )
        desk.put(
            "stock_transfers", night, id=key, transferNumber=f"X-{key}", date=desk.day(),
            status=status, fromLocationId="north", toLocationId="south",
            items=[{"id": f"{key}_1", "itemId": "item_a", "quantityRequested": wanted,
                    "quantityShipped": sent, "quantityReceived": came, "unitCost": small(desk)}],
            **stamps(desk, night),
        )  # fmt: skip
