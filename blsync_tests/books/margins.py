"""What the marts of margins should say: revenue and cost by invoice, and the way to the profit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any

from books.company import Book, Row, cents, latest, month_of
from books.definitions import SECTION, ZERO, Figures, Key, last_known, natural, percent
from books.ledger import Accounts, counted
from books.receivables import in_ringgit, recognised, sold_lines

REVENUE, COST = "operating_revenue", "cost_of_goods_sold"
Months = dict[date, Decimal]


def booked(book: Book, accounts: Accounts, section: str) -> dict[str, Months]:
    """Return what entries have on a section's accounts, by the number that they carry."""
    entries = counted(book)
    found: dict[str, Months] = defaultdict(lambda: defaultdict(Decimal))
    for line in accounts.ledger.to_dict("records"):
        is_of_section = SECTION[line["account_id"]] == section and line["amount"]
        if is_of_section and not line["is_closing_entry"]:
            entry = entries[line["journal_id"]]
            undone = entries.get(entry.get("reversesId") or "", entry)
            number = undone.get("reference") or entry.get("reference") or ""
            found[number][line["period"]] += natural(line["account_id"], line["amount"])
    return found


def margin_by_invoice(book: Book, accounts: Accounts) -> Figures:
    found: Figures = {}
    of_number: dict[str, list[Key]] = defaultdict(list)
    expected: dict[Key, Decimal] = {}
    places: dict[str, int] = defaultdict(int)
    costs = {item: unit_cost(book, item) for item in (None, "item_a", "item_b", "item_c")}
    for invoice, row, line in sold_lines(book):
        places[invoice] += 1
        key = (invoice, places[invoice])
        quantity, net = line["quantity"] or ZERO, in_ringgit(row, line["lineTotal"] or ZERO)
        cost, basis = costs[line["itemId"]]
        estimated = None if cost is None else cents(quantity * cost)
        found[key] = {
            "invoice_number": row["invoiceNumber"],
            "customer_id": row["customerId"] or None,
            "period": month_of(row["invoiceDate"]),
            "item_id": line["itemId"],
            "quantity": quantity,
            "net_revenue": net,
            "cost_basis": basis,
            "cogs_estimated": estimated,
            "cogs": estimated,
        }
        of_number[row["invoiceNumber"]].append(key)
        expected[key] = ZERO if line["itemId"] == "item_c" else estimated or ZERO
    for number, months in booked(book, accounts, COST).items():
        mine = sorted(of_number.get(number, []))
        rest = sum(months.values(), ZERO) - sum((expected[key] for key in mine), ZERO)
        weights = [abs(expected[key]) for key in mine]
        if not any(weights):
            weights = [abs(found[key]["net_revenue"]) for key in mine]
        for key, part in zip(mine, in_proportion(rest, weights), strict=True):
            found[key] |= {"cost_basis": "ledger", "cogs": expected[key] + part}
    for figures in found.values():
        figures["gross_profit"] = less(figures["net_revenue"], figures["cogs"])
    return found


def in_proportion(amount: Decimal, weights: list[Decimal]) -> list[Decimal]:
    """Share an amount to the cent: a part is the step between two rounded sums."""
    whole, steps = sum(weights, ZERO), [ZERO]
    with localcontext(prec=60):
        for place in range(len(weights)):
            weight = sum(weights[: place + 1], ZERO)
            steps.append(amount if weight == whole else cents(amount * weight / whole))
    return [after - before for before, after in pairwise(steps)]


def less(amount: Decimal, cost: Decimal | None) -> Decimal | None:
    return None if cost is None else amount - cost


def gross_margin(by_invoice: Figures) -> Figures:
    of_month: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for line in by_invoice.values():
        of_month[line["period"], line["item_id"]].append(line)

    def total(lines: list[dict[str, Any]], name: str) -> Decimal | None:
        amounts = [line[name] for line in lines]
        return None if None in amounts else sum(amounts, ZERO)

    found: Figures = {}
    for key, lines in of_month.items():
        net, cost = total(lines, "net_revenue") or ZERO, total(lines, "cogs")
        bases = {line["cost_basis"] for line in lines} - {"ledger"}
        profit = less(net, cost)
        found[key] = {
            "quantity": total(lines, "quantity"),
            "net_revenue": net,
            "cogs": cost,
            "gross_profit": profit,
            "margin_pct": None if profit is None else percent(profit, net),
            "cost_basis": bases.pop() if bases else "ledger",
            "cogs_estimated": total(lines, "cogs_estimated"),
        }
    return found


def unit_cost(book: Book, item: str | None) -> tuple[Decimal | None, str]:
    """Value of the stock on hand by its quantity, else the item's own cost price."""
    mine = [r for (i, _), r in latest(book.rows["stock"], "stock").items() if i == item]
    quantity = sum((row["currentStock"] or ZERO for row in mine), ZERO)
    value = sum((row["stockValue"] or ZERO for row in mine), ZERO)
    if quantity > 0 and value > 0:
        return (value / quantity).quantize(Decimal("0.000001"), "ROUND_HALF_UP"), "average_cost"
    row = latest(book.rows["items"], "items").get((item or "",))
    cost = row["pricing"]["costPrice"] if row else None
    return cost, "none" if cost is None else "cost_price"


def margin_bridge(book: Book, accounts: Accounts, by_invoice: Figures) -> Figures:
    kinds = kinds_of_numbers(book)
    amounts: dict[Key, Decimal] = defaultdict(Decimal)
    for section, name in ((REVENUE, "net_revenue"), (COST, "cogs")):
        told: dict[str, Months] = defaultdict(lambda: defaultdict(Decimal))
        for line in by_invoice.values():
            told[line["invoice_number"]][line["period"]] += line[name] or ZERO
            amounts[line["period"], section, "invoices"] += line[name] or ZERO
        entries = booked(book, accounts, section)
        for row in recognised(book).values() if section == REVENUE else ():
            add_shipping(row, told, entries, amounts)
        for number in told.keys() | entries.keys():
            steps = compared(told.get(number), entries.get(number), kinds.get(number))
            for month, step, amount in steps:
                amounts[month, section, step] += amount
    return {key: {"amount": amount} for key, amount in amounts.items() if amount}


def add_shipping(
    row: Row, told: dict[str, Months], entries: dict[str, Months], amounts: dict[Key, Decimal]
) -> None:
    """Count shipping of an invoice that is booked to what it says."""
    number, shipping = row["invoiceNumber"], in_ringgit(row, row["shippingCost"] or ZERO)
    if shipping and row["invoiceDate"] and number in entries:
        told[number][month_of(row["invoiceDate"])] += shipping
        amounts[month_of(row["invoiceDate"]), REVENUE, "shipping"] += shipping


def compared(
    told: Months | None, entries: Months | None, kind: str | None
) -> list[tuple[date, str, Decimal]]:
    """Return month, name and amount of the steps from what an invoice says to what entries have."""
    if told is None:
        return [(m, kind or "other_entries", amount) for m, amount in (entries or {}).items()]
    if entries is None:
        return [(month, "not_on_ledger", -amount) for month, amount in told.items()]
    (own, amount), unexplained = next(iter(told.items())), sum(entries.values(), ZERO)
    elsewhere = {month: amount for month, amount in entries.items() if month != own}
    return [
        *((month, "from_other_months", amount) for month, amount in elsewhere.items()),
        (own, "booked_in_other_months", -sum(elsewhere.values(), ZERO)),
        (own, "posted_differently", unexplained - amount),
    ]


def kinds_of_numbers(book: Book) -> dict[str, str]:
    """Return what kind of document bears a number; of several the first."""
    kinds: tuple[tuple[str, str, Callable[[Row], str | None]], ...] = (
        ("invoices", "invoices_left_out", lambda row: row["invoiceNumber"]),
        ("pos_sessions", "tills", lambda row: row["sessionNumber"]),
        ("bills", "purchases", lambda row: row["billNumber"]),
        ("purchase_orders", "purchases", lambda row: row["poNumber"]),
    )
    found: dict[str, str] = {}
    for entity, kind, number_of in kinds:
        for row, _ in last_known(book.rows[entity], entity).values():
            if number := number_of(row):
                found.setdefault(number, kind)
    return found
