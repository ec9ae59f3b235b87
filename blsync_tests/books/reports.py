"""What BigLedger's own reports would say of made-up books, as of today."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal

from books.company import Book, Row, month_of
from books.definitions import SECTION, ZERO
from books.figures import figures_of
from books.ledger import accounts_of


def reports_of(book: Book) -> Iterator[Row]:
    """Yield the figures of reports as of today, with which every comparison has to pass."""
    accounts = accounts_of(book)
    today, month = book.plan.today, month_of(book.plan.today)
    days = accounts.ledger[accounts.ledger["journal_date"].map(lambda day: day <= today)]
    sections: dict[str, Decimal] = defaultdict(Decimal)
    lines = list(days.to_dict("records")) if len(days) else []
    for line in lines:
        sections[SECTION[line["account_id"]]] += line["amount"]
    for account, amount in added(lines, "account_id").items():
        yield report(book, "trial_balance", account, "debit", max(amount, ZERO))
        yield report(book, "trial_balance", account, "credit", max(-amount, ZERO))
    yield report(book, "balance_sheet", "assets", "balance", sections["assets"])
    yield report(book, "balance_sheet", "liabilities", "balance", -sections["liabilities"])
    owned = sections["assets"] + sections["liabilities"]
    yield report(book, "balance_sheet", "equity", "balance", owned)
    running = [line for line in lines if line["period"] == month and not line["is_closing_entry"]]
    earned = dict.fromkeys(SECTION.values(), ZERO)
    for line in running:
        earned[SECTION[line["account_id"]]] += line["amount"]
    profits = {
        "operating_revenue": -earned["operating_revenue"],
        "other_revenue": -earned["other_revenue"],
        "cost_of_goods_sold": earned["cost_of_goods_sold"],
        "gross_profit": -earned["operating_revenue"] - earned["cost_of_goods_sold"],
        "operating_expense": earned["operating_expense"],
        "other_expense": earned["other_expense"],
        "net_profit": -sum(
            (amount for name, amount in earned.items()
             if name not in ("assets", "liabilities", "equity")), ZERO,
        ),
    }  # fmt: skip
    for name, amount in profits.items():
        yield report(book, "profit_loss", name, "amount", amount) | {"period_from": month}
    yield from subledgers_of(book)


def subledgers_of(book: Book) -> Iterator[Row]:
    figures = figures_of(book)
    measures = ("current", "days_31_60", "days_61_90", "over_90")
    for (day, customer), line in figures["ar_aging"].items():
        if day == book.plan.today:
            key = customer or "no customer"
            for measure in measures:
                yield report(book, "aged_receivables", key, measure, line[measure])
            yield report(book, "aged_receivables", key, "total", line["total_outstanding"])
    past: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for (day, _), line in figures["ar_aging"].items():
        for measure in (*measures, "total") if line["is_reconstructed"] else ():
            name = "total_outstanding" if measure == "total" else measure
            past[day, measure] += line[name]
    for (day, measure), value in past.items():
        yield report(book, "past_receivables", "all", measure, value) | {"as_of_date": day}
    for (day, item), line in figures["inventory_valuation"].items():
        if day == book.plan.today:
            yield report(book, "stock_valuation", item, "quantity", line["quantity"])
            yield report(book, "stock_valuation", item, "value", line["stock_value"])


def report(book: Book, name: str, key: str, measure: str, value: Decimal) -> Row:
    return {
        "company_id": book.company, "report": name, "as_of_date": book.plan.today,
        "period_from": None, "entity_key": key, "measure": measure, "value": value,
        "request_id": f"request {name}", "fetched_at": book.built_at, "made_at": book.built_at,
    }  # fmt: skip


def added(lines: Iterable[Row], name: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        found[line[name]] += line["amount"]
    return dict(found)
