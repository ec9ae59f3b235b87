"""What the marts of the other half should say, added up from the landed documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from books.company import CURRENCIES, DAY, Book, Row, cents, end_of, latest, month_of
from books.definitions import (
    ZERO,
    Figures,
    due_of,
    in_ringgit,
    last_known,
    local_day,
    midnight_after,
    total_of,
)
from books.ledger import counted
from books.receivables import bucket_of, months_before, past_month_ends, recognised

PAYABLE, CASH = "acc_2000", ("acc_1000", "acc_1010")
NEITHER = ("draft", "void", "voided", "cancelled")


def as_of_days(book: Book, entity: str) -> Iterator[tuple[date, datetime | None]]:
    """Yield month ends since the first pull of the documents and today, each with its midnight."""
    for day in past_month_ends(book, book.rows[entity]):
        yield day, midnight_after(book, day)
    yield book.plan.today, None


def billed(book: Book, before: datetime | None = None) -> dict[str, Row]:
    rows = latest(book.rows["bills"], "bills", before)
    return {key: row for (key,), row in rows.items() if row["status"] not in NEITHER}


def still_due(row: Row) -> Decimal:
    if row["balanceDue"] is not None:
        return Decimal(row["balanceDue"])
    return Decimal(row["total"] - row["paidAmount"])


def booked_totals(book: Book) -> dict[str, Decimal]:
    """Return what entries without cash put on the payables, by their reference."""
    found: dict[str, Decimal] = defaultdict(Decimal)
    for row in counted(book).values():
        accounts = {line["accountId"] for line in row["lines"]}
        if PAYABLE in accounts and accounts.isdisjoint(CASH) and row.get("reference"):
            for line in row["lines"]:
                if line["accountId"] == PAYABLE:
                    found[row["reference"]] += (line["credit"] or ZERO) - (line["debit"] or ZERO)
    return found


def home(book: Book) -> Callable[[Row, Decimal], Decimal | None]:
    """Return how a bill's amounts are told in ringgit; None where nobody says the rate."""
    booked = booked_totals(book)
    numbers = [row["billNumber"] for row in latest(book.rows["bills"], "bills").values()]

    def told(row: Row, amount: Decimal) -> Decimal | None:
        if row["currency"] == "MYR":
            return amount
        whole = booked.get(row["billNumber"], ZERO)
        if numbers.count(row["billNumber"]) != 1 or whole <= 0 or not row["total"]:
            return None
        return cents(amount * whole / row["total"])

    return told


def discount_of(row: Row, suppliers: dict[str, tuple[Row, bool]]) -> tuple[date | None, Decimal]:
    known = suppliers.get(row["supplierId"] or "")
    terms = known[0]["paymentTerms"] if known else None
    if not terms or row["billDate"] is None:
        return None, Decimal(2) if terms else ZERO
    return row["billDate"] + terms["discountDays"] * DAY, terms["discountPercent"]


def ap_open_items(book: Book) -> Figures:
    suppliers, in_home = last_known(book.rows["suppliers"], "suppliers"), home(book)
    found: Figures = {}
    for day, before in as_of_days(book, "bills"):
        for key, row in billed(book, before).items():
            due = still_due(row)
            amount = in_home(row, due)
            is_dated_ahead = row["billDate"] is not None and row["billDate"] > day
            if due <= 0 or is_dated_ahead or (amount is not None and amount <= 0):
                continue
            due_date = row["dueDate"] or row["billDate"]
            late = (day - due_date).days if due_date else None
            known = suppliers.get(row["supplierId"] or "")
            until, percent = discount_of(row, suppliers)
            has_discount = until is not None and until >= day
            discount = None if amount is None else cents(amount * percent / 100)
            found[day, key] = {
                "supplier_id": row["supplierId"],
                "supplier_name": known[0]["name"] if known else "As the bill says",
                "due_date": due_date,
                "bill_total": in_home(row, row["total"]),
                "amount_paid": in_home(row, row["paidAmount"]),
                "open_amount": amount,
                "days_past_due": late,
                "bucket": bucket_of(late),
                "discount_until": until,
                "discount_amount": discount if has_discount else ZERO,
            }
    return found


def ap_aging(open_items: Figures) -> Figures:
    found: Figures = {}
    for (day, _), line in open_items.items():
        row = found.setdefault((day, line["supplier_id"]), {
            "current": ZERO, "days_31_60": ZERO, "days_61_90": ZERO, "over_90": ZERO,
            "total_outstanding": ZERO, "total_overdue": ZERO, "oldest_days": 0,
        })  # fmt: skip
        names = {"31_60": "days_31_60", "61_90": "days_61_90"}
        amount, late = line["open_amount"] or ZERO, line["days_past_due"] or 0
        row[names.get(line["bucket"], line["bucket"])] += amount
        row["total_outstanding"] += amount
        row["total_overdue"] += amount if late > 0 else 0
        row["oldest_days"] = max(row["oldest_days"], late)
    return found


def suppliers(book: Book, open_items: Figures) -> Figures:
    today, in_home = book.plan.today, home(book)
    found: Figures = {}
    for key, (row, is_gone) in last_known(book.rows["suppliers"], "suppliers").items():
        mine = [bill for bill in billed(book).values() if bill["supplierId"] == key]
        owed = [v for (day, _), v in open_items.items() if day == today and v["supplier_id"] == key]
        year_ago = months_before(today, 12)
        found[(key,)] = {
            "is_deleted": is_gone,
            "credit_limit": row["creditLimit"],
            "open_balance": sum((line["open_amount"] or ZERO for line in owed), ZERO),
            "overdue_balance": sum(
                (v["open_amount"] or ZERO for v in owed if (v["days_past_due"] or 0) > 0), ZERO
            ),
            "bill_count": len(mine),
            "spend_12m": sum(
                (in_home(bill, bill["total"]) or ZERO for bill in mine
                 if bill["billDate"] and year_ago < bill["billDate"] <= today), ZERO,
            ),
            "last_bill_date": max(filter(None, (bill["billDate"] for bill in mine)), default=None),
        }  # fmt: skip
    return found


def filled(lines: list[Row], taken: dict[str, Decimal]) -> list[Decimal]:
    """Return what documents took of each line: an item's fill in order, the last takes all."""
    left = dict(taken)
    found = []
    for place, line in enumerate(lines):
        item = line["itemId"] or ""
        rest = max(left.get(item, ZERO), ZERO)
        is_last = all((later["itemId"] or "") != item for later in lines[place + 1 :])
        found.append(rest if is_last else min(rest, line["quantity"]))
        left[item] = rest - found[-1]
    return found


def billed_of(book: Book, order: str, day: date, before: datetime | None) -> dict[str, Decimal]:
    found: dict[str, Decimal] = defaultdict(Decimal)
    for row in billed(book, before).values():
        if row["purchaseOrderId"] == order and (row["billDate"] is None or row["billDate"] <= day):
            for line in row["items"]:
                found[line["itemId"] or ""] += line["quantity"]
    return found


def home_rate(row: Row) -> Decimal | None:
    return Decimal(1) if row["currency"] == "MYR" else CURRENCIES[row["currency"]]


def in_home_at(rate: Decimal | None, amount: Decimal) -> Decimal | None:
    return None if rate is None else cents(amount * rate)


def purchase_order_lines(book: Book) -> Figures:
    found: Figures = {}
    for (key,), row in latest(book.rows["purchase_orders"], "purchase_orders").items():
        of_lines = filled(row["items"], billed_of(book, key, book.plan.today, None))
        is_awaited = row["status"] in ("sent", "confirmed", "partially_received")
        for place, (line, taken) in enumerate(zip(row["items"], of_lines, strict=True), start=1):
            received = line["receivedQuantity"]
            found[key, place] = {
                "ordered": line["quantity"],
                "received": received,
                "billed": taken,
                "open_to_receive": max(line["quantity"] - received, ZERO) if is_awaited else ZERO,
                "open_to_bill": max(received - taken, ZERO),
            }
    return found


def grni(book: Book) -> Figures:
    found: Figures = {}
    for day, before in as_of_days(book, "purchase_orders"):
        orders = latest(book.rows["purchase_orders"], "purchase_orders", before)
        for (key,), row in orders.items():
            of_lines = filled(row["items"], billed_of(book, key, day, before))
            for place, (line, taken) in enumerate(zip(row["items"], of_lines, strict=True), 1):
                over = line["receivedQuantity"] - taken
                if row["status"] != "draft" and over:
                    value = cents(over * line["unitPrice"])
                    found[day, key, place] = {
                        "received": line["receivedQuantity"],
                        "billed": taken,
                        "grni_amount": in_home_at(home_rate(row), value),
                    }
    return found


def invoiced_of(book: Book, before: datetime | None) -> dict[str, dict[str, Decimal]]:
    """Return what issued invoices took of each order, by item."""
    found: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    held = last_known(book.rows["sales_orders"], "sales_orders")
    numbers = {row["orderNumber"]: key for key, (row, _) in held.items()}
    for row in recognised(book, before).values():
        order = row.get("salesOrderId") or numbers.get(row.get("reference") or "")
        for line in row["items"] or [] if order else []:
            found[order][line["itemId"] or ""] += line["quantity"] or ZERO
    return found


def order_figures(book: Book, before: datetime | None) -> Iterator[tuple[str, int, Row, Row]]:
    """Yield order, line's place, header and what is invoiced and left of the line."""
    taken = invoiced_of(book, before)
    orders = latest(book.rows["sales_orders"], "sales_orders", before)
    for (key,), row in orders.items():
        of_lines = filled(row["items"], taken[key])
        for place, (line, invoiced) in enumerate(zip(row["items"], of_lines, strict=True), 1):
            remaining = max(line["quantity"] - invoiced, ZERO)
            part = cents(line["lineTotal"] * remaining / line["quantity"]) if remaining else ZERO
            yield key, place, row, {
                "invoiced": invoiced, "remaining": remaining,
                "amount": in_home_at(home_rate(row), part) if remaining else ZERO,
            }  # fmt: skip


def order_lines(book: Book) -> Figures:
    return {
        (key, place): {
            "invoiced": line["invoiced"],
            "remaining": line["remaining"],
            "remaining_amount": line["amount"],
        }
        for key, place, _, line in order_figures(book, None)
    }


def order_backlog(book: Book) -> Figures:
    found: Figures = {}
    for day, before in as_of_days(book, "sales_orders"):
        for key, place, row, line in order_figures(book, before):
            if row["status"] in ("confirmed", "shipped", "delivered") and line["remaining"]:
                found[day, key, place] = {
                    "remaining_quantity": line["remaining"],
                    "backlog_amount": line["amount"],
                }
    return found


def quote_pipeline(book: Book) -> Figures:
    found: Figures = {}
    for (key,), row in latest(book.rows["quotes"], "quotes").items():
        state = row["status"]
        is_over = row["validUntil"] is not None and row["validUntil"] < book.plan.today
        if state in ("draft", "sent") and is_over:
            state = "expired"
        found[(key,)] = {
            "state": state,
            "age_days": (book.plan.today - row["quoteDate"]).days,
            "amount": row["total"] if row["currency"] == "MYR" else None,
        }
    return found


def current_einvoices(book: Book) -> dict[str, Row]:
    """Return each invoice's e-invoice that counts: the latest not cancelled, else the latest."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in latest(book.rows["einvoices"], "einvoices").values():
        found[row["invoiceId"]].append(row)
    return {
        key: max(rows, key=lambda row: (row["status"] != "cancelled", row["createdAt"], row["id"]))
        for key, rows in found.items()
    }


def einvoice_compliance(book: Book) -> Figures:
    current = current_einvoices(book)
    found: Figures = {}
    places = {"accepted": "accepted", "rejected": "rejected", "cancelled": "cancelled",
              "created": "pending", "validated": "pending", "submitted": "pending"}  # fmt: skip
    for key, row in recognised(book).items() if current else []:
        if row["invoiceDate"] is None:
            continue
        month = month_of(row["invoiceDate"])
        figures = found.setdefault((month,), {
            **dict.fromkeys(("recognised", "missing", *places.values(), "large_unsubmitted"), 0),
            "consolidate_by": month_of(month, 1) + 6 * DAY,
        })  # fmt: skip
        status = current[key]["status"] if key in current else None
        figures["recognised"] += 1
        figures[places.get(status or "", "missing")] += 1
        is_large = in_ringgit(row, total_of(row)) >= 10_000
        figures["large_unsubmitted"] += is_large and status not in (
            "submitted", "accepted", "rejected"
        )  # fmt: skip
    return found


def sst_02(book: Book, months: set[date]) -> Figures:
    """The return of each two months, as it was known when their last month was closed."""
    rows = book.rows["invoices"]
    first_load = min(rows, key=lambda row: row["_pulled_at"])["_load_id"] if rows else None
    first_seen = max((r["_pulled_at"] for r in rows if r["_load_id"] == first_load), default=None)
    locks = {
        month: max(closed_at, first_seen)
        for month, closed_at in book.closes.items() if first_seen and month in months
    }  # fmt: skip
    now = taxes_of(book, None)
    then = {month: taxes_of(book, at + timedelta(microseconds=1)) for month, at in locks.items()}
    found: Figures = {}
    for cycle, line in now.keys() | {key for rows in then.values() for key in rows}:
        month = month_of(cycle, 1)
        told, is_now = then.get(month, now).get((cycle, line)), now.get((cycle, line))
        if told is None and is_now is None:
            continue
        for key in ((cycle, line), (cycle, "12")):
            row = found.setdefault(key, {
                **dict.fromkeys(("taxable_amount", "tax_amount", "restated_tax"), ZERO),
                "is_locked": month in locks,
            })  # fmt: skip
            row["taxable_amount"] += told[0] if told else ZERO
            row["tax_amount"] += told[1] if told else ZERO
            row["restated_tax"] += (is_now[1] if is_now else ZERO) - (told[1] if told else ZERO)
    return found


def taxes_of(book: Book, before: datetime | None) -> dict[Any, tuple[Decimal, Decimal]]:
    """Return value and tax by the first day of the two months, and the line of the return."""
    found: dict[Any, tuple[Decimal, Decimal]] = {}
    for row in recognised(book, before).values():
        day = row["invoiceDate"]
        for line in row["items"] or [] if day else []:
            if line["taxRate"] == 10:
                place, due = "11b", day
            elif line["taxRate"] in (6, 8):
                last = month_of(day, 12)
                last = last.replace(day=min(day.day, end_of(last).day))
                place, due = "11c", min(settled_on(book, row) or last, last)
            else:
                continue
            if due <= book.plan.today:
                first = month_of(due)
                key = (first if first.month % 2 else month_of(first, -1), place)
                value, tax = found.get(key, (ZERO, ZERO))
                found[key] = (
                    value + in_ringgit(row, line["lineTotal"] or ZERO),
                    tax + in_ringgit(row, line["taxAmount"] or ZERO),
                )
    return found


def settled_on(book: Book, row: Row) -> date | None:
    if due_of(row) > 0 or total_of(row) <= 0:
        return None
    return row.get("lastPaymentDate") or local_day(book, row["updatedAt"])


def kept(book: Book) -> Iterator[tuple[Row, dict[str, Decimal]]]:
    """Yield each sale or return that is not voided, and what was paid in which tender."""
    for row in latest(book.rows["pos_transactions"], "pos_transactions").values():
        if row["status"] == "voided":
            continue
        paid = {p["method"].lower(): p["amount"] - p["change"] for p in row["payments"]}
        rest = row["total"] - sum(paid.values(), ZERO)
        yield row, paid | ({"unexplained": rest} if rest else {})


def pos_daily_sales(book: Book) -> Figures:
    """Rows by tender; parts of one that was split are told by their total alone."""
    found: Figures = {}
    for row, paid in kept(book):
        for tender, amount in paid.items():
            key = (row["businessDate"], row["locationId"], tender)
            figures = found.setdefault(key, {"transactions": 0, "return_count": 0, "total": ZERO})
            figures["transactions"] += 1
            figures["return_count"] += row["type"] == "return"
            figures["total"] += amount
    return found


def pos_banking(book: Book) -> Figures:
    """What closed sessions took; that what was banked leads to the account is a law."""
    sessions = {k[0]: r for k, r in latest(book.rows["pos_sessions"], "pos_sessions").items()}
    found: Figures = {}
    for row, paid in kept(book):
        session = sessions.get(row["sessionId"])
        if session is None or session["status"] != "closed":
            continue
        for tender, amount in paid.items():
            key = (session["businessDate"], session["locationId"], tender)
            found.setdefault(key, {"taken": ZERO})["taken"] += amount
    return found


def transfers_in_transit(book: Book) -> Figures:
    found: Figures = {}
    for day, before in as_of_days(book, "stock_transfers"):
        for row in latest(book.rows["stock_transfers"], "stock_transfers", before).values():
            for line in row["items"] if row["status"] in ("shipped", "received") else []:
                figures = found.setdefault(
                    (day, line["itemId"]), {"quantity": ZERO, "value": ZERO, "transfers": 0}
                )
                figures["quantity"] += line["quantityShipped"]
                figures["value"] += cents(line["quantityShipped"] * line["unitCost"])
                figures["transfers"] += 1
    return found


def transfer_losses(book: Book) -> Figures:
    found: Figures = {}
    for (key,), row in latest(book.rows["stock_transfers"], "stock_transfers").items():
        for line in row["items"] if row["status"] == "completed" else []:
            lost = line["quantityShipped"] - line["quantityReceived"]
            if lost > 0:
                found[(key,)] = {
                    "lost_quantity": lost,
                    "lost_value": cents(lost * line["unitCost"]),
                    "is_written_off": False,
                }
    return found


def broken_trade_rules(book: Book) -> Iterator[tuple[str, str]]:
    """Yield rule and record of what is wrong with bills, orders, tills and transfers."""
    bills = billed(book)
    same: dict[Any, list[str]] = defaultdict(list)
    for key, row in bills.items():
        number = (row["supplierInvoiceNumber"] or "").strip().lower()
        if number and row["supplierId"]:
            same[row["supplierId"], number].append(key)
        tax = sum((line["taxAmount"] or ZERO for line in row["items"]), ZERO)
        is_off = still_due(row) != row["total"] - row["paidAmount"]
        if is_off or row["total"] != row["subtotal"] + tax:
            yield "broken_bill_totals", key
        if row["supplierId"] and row["total"] and row["billDate"]:
            others = [
                other for other_key, other in bills.items()
                if other_key != key and other["billDate"]
                and (other["supplierId"], other["currency"], other["total"])
                == (row["supplierId"], row["currency"], row["total"])
            ]  # fmt: skip
            if any(abs((row["billDate"] - other["billDate"]).days) <= 7 for other in others):
                yield "near_duplicate_bill", key
    for keys in same.values():
        for key in keys if len(keys) > 1 else []:
            yield "duplicate_supplier_invoice", key
    for (order,), row in latest(book.rows["purchase_orders"], "purchase_orders").items():
        of_lines = filled(row["items"], billed_of(book, order, book.plan.today, None))
        if row["status"] == "draft":
            continue
        if any(line["receivedQuantity"] > line["quantity"] for line in row["items"]):
            yield "received_more_than_ordered", order
        pairs = zip(row["items"], of_lines, strict=True)
        if any(taken > line["receivedQuantity"] for line, taken in pairs):
            yield "billed_more_than_received", order
    for (key,), row in latest(book.rows["pos_sessions"], "pos_sessions").items():
        if row["status"] == "closed" and row["countedCash"] != row["expectedCash"]:
            yield "till_variance", key
    for (key,), row in latest(book.rows["stock_transfers"], "stock_transfers").items():
        line = row["items"][0]
        quantities = [line[f"quantity{name}"] for name in ("Requested", "Shipped", "Received")]
        if quantities != sorted(quantities, reverse=True):
            yield "transfer_quantities", key
