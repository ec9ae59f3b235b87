"""What the marts of receivables and revenue should say, added up from the landed invoices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from books import pasts
from books.company import DAY, Book, Row, cents, end_of, latest, month_of, ordered
from books.definitions import (
    ACCOUNTS,
    CASH,
    RECEIVABLE,
    TAX,
    ZERO,
    Figures,
    Key,
    due_of,
    in_ringgit,
    last_known,
    local_day,
    midnight_after,
    percent,
    rate_of,
    total_of,
)
from books.ledger import Accounts


def recognised(book: Book, before: datetime | None = None) -> dict[str, Row]:
    rows = latest(book.rows["invoices"], "invoices", before)
    return {key[0]: row for key, row in rows.items() if row["status"] not in ("draft", "cancelled")}


def due_date(row: Row) -> date | None:
    return row["dueDate"] or row["invoiceDate"]


def past_month_ends(book: Book, rows: Iterable[Row]) -> Iterator[date]:
    """Month ends before today, since the first pull."""
    day = end_of(min((local_day(book, row["_pulled_at"]) for row in rows), default=book.plan.today))
    while day < book.plan.today:
        yield day
        day = end_of(day + DAY)


def ar_open_items(book: Book) -> Figures:
    today = book.plan.today
    moments = {
        day: midnight_after(book, day) for day in past_month_ends(book, book.rows["invoices"])
    }
    customers = last_known(book.rows["customers"], "customers")
    found: Figures = {}
    for day, before in [*moments.items(), (today, None)]:
        for key, row in recognised(book, before).items():
            is_dated_ahead = row["invoiceDate"] is not None and row["invoiceDate"] > day
            owed = in_ringgit(row, due_of(row))
            if not is_dated_ahead and owed > 0:
                paid = in_ringgit(row, row["amountPaid"] or ZERO)
                found[day, key] = open_item(day, row, owed, customers) | {"amount_paid": paid}
    for day, row, owed in pasts.open_before(book):
        line = open_item(day, row, owed, customers)
        line |= {"amount_paid": line["invoice_total"] - owed, "is_reconstructed": True}
        found[day, row["id"]] = line
    return found


def open_item(
    day: date, row: Row, owed: Decimal, customers: dict[str, tuple[Row, bool]]
) -> dict[str, Any]:
    due = due_date(row)
    late = (day - due).days if due else None
    customer = row["customerId"] or None
    known = customers.get(customer or "")
    return {
        "customer_id": customer,
        "customer_name": known[0]["name"] if known else row["customer"]["name"],
        "due_date": due,
        "invoice_total": in_ringgit(row, total_of(row)),
        "open_amount": owed,
        "days_past_due": late,
        "bucket": bucket_of(late),
        "is_reconstructed": False,
    }


def bucket_of(late: int | None) -> str:
    """Up to 30 days past due is current; what has no date is older than all."""
    for last, name in ((30, "current"), (60, "31_60"), (90, "61_90")):
        if late is not None and late <= last:
            return name
    return "over_90"


def ar_aging(book: Book, open_items: Figures) -> Figures:
    found: Figures = {}
    for (day, _), line in open_items.items():
        customer = line["customer_id"]
        before = None if day == book.plan.today else midnight_after(book, day)
        row = found.setdefault((day, customer), {
            "current": ZERO, "days_31_60": ZERO, "days_61_90": ZERO, "over_90": ZERO,
            "total_outstanding": ZERO, "total_overdue": ZERO, "oldest_days": 0,
            "is_reconstructed": line["is_reconstructed"],
            "credit_limit": limit_known(book, customer, before),
        })  # fmt: skip
        names = {"31_60": "days_31_60", "61_90": "days_61_90"}
        row[names.get(line["bucket"], line["bucket"])] += line["open_amount"]
        row["total_outstanding"] += line["open_amount"]
        late = line["days_past_due"] or 0
        row["total_overdue"] += line["open_amount"] if late > 0 else 0
        row["oldest_days"] = max(row["oldest_days"], late)
    return found


def limit_known(book: Book, customer: str | None, before: datetime | None) -> Decimal | None:
    """The last limit seen by then, also of a customer that is gone."""
    rows = ordered(book.rows["customers"], "customers").get((customer or "",), [])
    seen = [r for r in rows if r["_op"] == "upsert" and (not before or r["_pulled_at"] < before)]
    return seen[-1]["creditLimit"] if seen else None


def days_to_pay(rows: Iterable[Row]) -> Decimal | None:
    """Mean of days from invoice to last payment of invoices that are paid."""
    days = [
        (row["lastPaymentDate"] - row["invoiceDate"]).days
        for row in rows
        if due_of(row) <= 0 < total_of(row) and row.get("lastPaymentDate") and row["invoiceDate"]
    ]
    return Decimal(sum(days)) / len(days) if days else None


def months_before(day: date, months: int) -> date:
    """The same day so many months before, or that month's last."""
    first = month_of(day, -months)
    return first.replace(day=min(day.day, end_of(first).day))


def customers(book: Book, open_items: Figures) -> Figures:
    today = book.plan.today
    found: Figures = {}
    for key, (row, is_gone) in last_known(book.rows["customers"], "customers").items():
        mine = [i for i in recognised(book).values() if i["customerId"] == key]
        dates = [i["invoiceDate"] for i in mine if i["invoiceDate"]]
        year_ago = months_before(today, 12)
        is_owed = [
            line for (day, _), line in open_items.items()
            if day == today and line["customer_id"] == key
        ]  # fmt: skip
        owed = sum((line["open_amount"] for line in is_owed), ZERO)
        found[(key,)] = {
            "customer_name": row["name"],
            "is_deleted": is_gone,
            "credit_limit": row["creditLimit"],
            "open_balance": owed,
            "overdue_balance": sum(
                (line["open_amount"] for line in is_owed if (line["days_past_due"] or 0) > 0), ZERO
            ),
            "credit_used_pct": percent(owed, row["creditLimit"]),
            "first_invoice_date": min(dates, default=None),
            "last_invoice_date": max(dates, default=None),
            "invoice_count": len(mine),
            "revenue_total": sum((in_ringgit(i, i["subtotal"] or ZERO) for i in mine), ZERO),
            "revenue_12m": sum(
                (in_ringgit(i, i["subtotal"] or ZERO) for i in mine
                 if i["invoiceDate"] and year_ago < i["invoiceDate"] <= today), ZERO,
            ),
            "avg_days_to_pay": days_to_pay(mine),
            "days_since_last_invoice": (today - max(dates)).days if dates else None,
        }  # fmt: skip
    return found


def entries_of(accounts: Accounts) -> Iterator[tuple[date, dict[str, Decimal]]]:
    """Yield month and sums by account of each entry."""
    if len(accounts.ledger):
        for _, lines in accounts.ledger.groupby("journal_id"):
            yield lines["period"].iloc[0], dict(lines.groupby("account_id")["amount"].sum())


def has_revenue(amounts: dict[str, Decimal]) -> bool:
    return any(ACCOUNTS[account][1] == "revenue" for account in amounts)


def collections(book: Book, accounts: Accounts, aging: Figures) -> Figures:
    today = book.plan.today
    sold: dict[date, Decimal] = defaultdict(Decimal)
    cashed: dict[date, Decimal] = defaultdict(Decimal)
    for month, amounts in entries_of(accounts):
        amount = amounts.get(RECEIVABLE, ZERO)
        if not amounts.keys().isdisjoint(CASH):
            cashed[month] -= amount
        elif TAX in amounts or has_revenue(amounts):
            sold[month] += amount
    found = {}
    for place, month in enumerate(accounts.months):
        closing, moved = accounts.balance(RECEIVABLE, month), accounts.moved(RECEIVABLE, month)
        quarter = accounts.months[max(place - 2, 0) : place + 1]
        days = sum(max((min(end_of(m), today) - m).days + 1, 0) for m in quarter)
        sales = sum((sold[m] for m in quarter), ZERO)
        has_begun = month <= today
        owing = [r for (day, _), r in aging.items() if day == min(end_of(month), today)]
        owed = sum((r["total_outstanding"] for r in owing), ZERO) if has_begun else ZERO
        payments = [
            i for i in recognised(book).values()
            if i.get("lastPaymentDate") and month_of(i["lastPaymentDate"]) == month
        ]  # fmt: skip
        found[(month,)] = {
            "opening_ar": closing - moved,
            "credit_sales": sold[month],
            "cash_collected": cashed[month],
            "other_movement": moved - sold[month] + cashed[month],
            "closing_ar": closing,
            "dso": closing * days / sales if has_begun and sales > 0 else None,
            "overdue_pct": percent(sum((r["total_overdue"] for r in owing), ZERO), owed),
            "over_90_pct": percent(sum((r["over_90"] for r in owing), ZERO), owed),
            "avg_days_to_pay": days_to_pay(payments),
            "is_reconstructed": has_begun and any(row["is_reconstructed"] for row in owing),
        }
    return found


def invoices(book: Book) -> Figures:
    live = latest(book.rows["invoices"], "invoices")
    return {
        (key[0],): {
            "customer_id": row["customerId"] or None,
            "status": row["status"],
            "due_date": due_date(row),
            "total": total_of(row),
            "amount_paid": row["amountPaid"] or ZERO,
            "amount_due": due_of(row),
            "exchange_rate": rate_of(row),
            "days_past_due": (book.plan.today - due).days
            if (due := due_date(row)) and due_of(row) > 0
            and row["status"] not in ("draft", "cancelled") else None,
        }
        for key, row in live.items()
    }  # fmt: skip


def sold_lines(book: Book) -> Iterator[tuple[str, Row, Row]]:
    """Yield (invoice, header, line) of what was sold, by invoices with a date."""
    for key, row in recognised(book).items():
        for line in row["items"] or [] if row["invoiceDate"] else []:
            yield key, row, line


def revenue_monthly(book: Book) -> Figures:
    found: Figures = {}
    invoiced: dict[Key, set[str]] = defaultdict(set)

    def row_of(key: Key) -> dict[str, Any]:
        names = ("quantity", "discount", "net_revenue", "tax", "previous_year_net_revenue")
        return found.setdefault(key, dict.fromkeys(names, ZERO))

    for invoice, row, line in sold_lines(book):
        rest = (row["customerId"] or None, line["itemId"])
        month = month_of(row["invoiceDate"])
        figures = row_of((month, *rest))
        net = in_ringgit(row, line["lineTotal"] or ZERO)
        figures["quantity"] += line["quantity"] or ZERO
        figures["discount"] += in_ringgit(row, line["discountAmount"] or ZERO)
        figures["net_revenue"] += net
        figures["tax"] += in_ringgit(row, line["taxAmount"] or ZERO)
        invoiced[month, *rest].add(invoice)
        if month_of(month, 12) <= book.plan.today:
            row_of((month_of(month, 12), *rest))["previous_year_net_revenue"] += net
    for key, figures in found.items():
        figures["gross_revenue"] = figures["net_revenue"] + figures["discount"]
        figures["invoice_count"] = len(invoiced[key])
    return found


def tax_summary(book: Book, accounts: Accounts) -> Figures:
    found: Figures = {}
    billed: dict[Key, set[str]] = defaultdict(set)
    for invoice, row, line in sold_lines(book):
        key = (month_of(row["invoiceDate"]), line["taxCode"], line["taxRate"])
        figures = found.setdefault(key, {"taxable_amount": ZERO, "tax_amount": ZERO})
        figures["taxable_amount"] += in_ringgit(row, line["lineTotal"] or ZERO)
        figures["tax_amount"] += in_ringgit(row, line["taxAmount"] or ZERO)
        billed[key].add(invoice)
    for key, figures in found.items():
        figures["invoice_count"] = len(billed[key])
    moved: dict[date, Decimal] = defaultdict(Decimal)
    for month, amounts in entries_of(accounts):
        if RECEIVABLE in amounts or has_revenue(amounts):
            moved[month] -= amounts.get(TAX, ZERO)
    for month, movement in moved.items():
        if movement and not any(key[0] == month for key in found):
            found[month, None, None] = {
                "taxable_amount": ZERO, "tax_amount": ZERO, "invoice_count": 0
            }  # fmt: skip
    share_tax(found, moved)
    return found


def share_tax(found: Figures, moved: dict[date, Decimal]) -> None:
    """Share a month's movement by tax; the row with the most tax bears what rounding leaves."""
    for month in {key[0] for key in found}:
        mine = [key for key in found if key[0] == month]
        whole = sum((found[key]["tax_amount"] for key in mine), ZERO)
        parts = {
            key: cents(moved[month] * found[key]["tax_amount"] / whole) if whole else ZERO
            for key in mine
        }
        largest = min(mine, key=lambda k: (-abs(found[k]["tax_amount"]), k[1] is None, k[1]))
        parts[largest] += moved[month] - sum(parts.values(), ZERO)
        for key in mine:
            found[key]["gl_tax_movement"] = parts[key]
            found[key]["difference"] = found[key]["tax_amount"] - parts[key]
