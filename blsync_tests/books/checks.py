"""Where a build of random books is not what the definitions say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

from books.company import Book, Row, end_of, latest, month_of, ordered
from books.definitions import ZERO, Figures, Key, due_of, in_ringgit, local_day, total_of
from books.figures import figures_of
from books.ledger import counted
from books.payables import broken_trade_rules
from books.receivables import recognised
from books.reports import reports_of
from books.restated import restated

INSTANT = timedelta(microseconds=1)

KEYS = {
    "accounts": ("account_id",),
    "periods": ("period",),
    "customers": ("customer_id",),
    "general_ledger": ("journal_id", "line_no"),
    "trial_balance": ("period", "account_id"),
    "balance_sheet": ("as_of_date", "account_id", "account_name"),
    "profit_and_loss": ("period", "account_id"),
    "profit_and_loss_summary": ("period",),
    "cash_flow": ("period", "line_name", "account_id"),
    "cash_flow_summary": ("period",),
    "invoices": ("invoice_id",),
    "ar_open_items": ("as_of_date", "invoice_id"),
    "ar_aging": ("as_of_date", "customer_id"),
    "collections": ("period",),
    "revenue_monthly": ("period", "customer_id", "item_id"),
    "margin_by_invoice": ("invoice_id", "line_no"),
    "gross_margin": ("period", "item_id"),
    "margin_bridge": ("period", "section", "step"),
    "tax_summary": ("period", "tax_code", "tax_rate"),
    "stock_on_hand": ("item_id", "location_id"),
    "stock_history": ("day", "item_id", "location_id"),
    "inventory_valuation": ("as_of_date", "item_id"),
    "suppliers": ("supplier_id",),
    "ap_open_items": ("as_of_date", "bill_id"),
    "ap_aging": ("as_of_date", "supplier_id"),
    "purchase_order_lines": ("purchase_order_id", "line_no"),
    "grni": ("as_of_date", "purchase_order_id", "line_no"),
    "order_lines": ("sales_order_id", "line_no"),
    "order_backlog": ("as_of_date", "sales_order_id", "line_no"),
    "quote_pipeline": ("quote_id",),
    "einvoice_compliance": ("period",),
    "sst_02": ("cycle", "line"),
    "pos_daily_sales": ("day", "location_id", "tender"),
    "pos_banking": ("day", "location_id", "tender"),
    "transfers_in_transit": ("as_of_date", "item_id"),
    "transfer_losses": ("transfer_id",),
}
"""Table → its key within a company. All rows of these tables are compared."""

DECIMALS = {
    "average_cost": 6,
    "avg_days_to_pay": 2,
    "days_of_cover": 1,
    "dso": 1,
    **dict.fromkeys(
        ("credit_used_pct", "pct_of_revenue", "gross_margin_pct", "net_margin_pct", "margin_pct",
         "overdue_pct", "over_90_pct"),
        4,
    ),
}  # fmt: skip
"""Column of quotients → to how many decimals they are rounded, halves away from zero."""

Ask = Callable[[str], list[tuple[Any, ...]]]


def differences(table: str, expected: dict[str, Figures], ask: Ask) -> Iterator[str]:
    """Yield where a mart is not what it should be; `expected` is by company."""
    wanted = {(company, *key): v for company, rows in expected.items() for key, v in rows.items()}
    keys = ("company_id", *KEYS[table])
    columns = [*next(iter(wanted.values()))] if wanted else []
    names = ", ".join(f'"{name}"' for name in (*keys, *columns))
    got: dict[Key, Key] = {}
    for row in ask(f"select {names} from finance.{table}"):
        key = row[: len(keys)]
        if key in got:
            yield f"{table} {key}: is there more than once"
        got[key] = row[len(keys) :]
    for key in sorted(wanted.keys() | got.keys(), key=str):
        if key not in got or key not in wanted:
            yield f"{table} {told(keys, key)}: {'is missing' if key in wanted else 'should not be'}"
            continue
        for column, value in zip(columns, got[key], strict=True):
            if not is_same(column, wanted[key][column], value):
                yield f"{table} {told(keys, key)} {column}: {wanted[key][column]} expected, {value} got"  # noqa: E501


def told(names: Iterable[str], key: Key) -> str:
    return " ".join(f"{name}={part}" for name, part in zip(names, key, strict=True))


def is_same(column: str, expected: Any, got: Any) -> bool:
    if column in DECIMALS and expected is not None:
        expected = round_half_up(expected, DECIMALS[column])
    return bool(expected == got)


def round_half_up(value: Decimal, decimals: int) -> Decimal:
    with localcontext(prec=60):
        return value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)


def statements(books: list[Book], ask: Ask) -> Iterator[str]:
    """Customers' statements run on to what is due, and add up invoice by invoice."""
    running: dict[Key, Decimal] = defaultdict(Decimal)
    of_invoice: dict[Key, Decimal] = defaultdict(Decimal)
    billed: dict[Key, Decimal] = defaultdict(Decimal)
    paid: dict[Key, Decimal] = defaultdict(Decimal)
    for company, customer, number, invoice, kind, amount, balance in ask(
        "select company_id, customer_id, event_no, invoice_id, event_type, debit - credit,"
        " running_balance from finance.customer_statement order by 1, 2, 3"
    ):
        running[company, customer] += amount
        if running[company, customer] != balance:
            yield (f"customer_statement {company} {customer} event {number} running_balance:"
                   f" {running[company, customer]} expected, {balance} got")  # fmt: skip
        if not amount and kind != "invoice":
            yield f"customer_statement {company} {invoice}: a {kind} of nothing"
        of_invoice[company, invoice] += amount
        billed[company, invoice] += amount if kind == "invoice" else 0
        paid[company, invoice] -= amount if kind in ("payment", "refund") else 0
    for book in books:
        due: dict[Key, Decimal] = defaultdict(Decimal)
        for key, row in last_counted(book).items():
            place = (book.company, key)
            now = recognised(book).get(key)
            owed = in_ringgit(now, due_of(now)) if now else ZERO
            due[book.company, (now or row)["customerId"] or None] += owed
            for what, expected, got in (
                ("is due", owed, of_invoice[place]),
                ("was billed", in_ringgit(row, total_of(row)), billed[place]),
                ("was paid", in_ringgit(row, row["amountPaid"] or ZERO), paid[place]),
            ):
                if expected != got:
                    yield f"customer_statement {place} {what}: {expected} expected, {got} got"
        for place, expected in due.items():
            if running[place] != expected:
                yield f"customer_statement {place} ends: {expected} expected, {running[place]} got"


def last_counted(book: Book) -> dict[str, Row]:
    """Return each invoice's last version that was neither draft, cancelled nor dated ahead."""
    found = {}
    for key, versions in ordered(book.rows["invoices"], "invoices").items():
        for row, later in zip(versions, [*versions[1:], None], strict=True):
            moment = (row["_pulled_at"], row["_op"])
            if row["_op"] == "delete" or (later and moment == (later["_pulled_at"], later["_op"])):
                continue
            is_ahead = row["invoiceDate"] and row["invoiceDate"] > book.plan.today
            if row["status"] not in ("draft", "cancelled") and not is_ahead:
                found[key[0]] = row
    return found


def movements(book: Book, day: date, at: datetime) -> dict[Key, Decimal]:
    """What each entry dated up to a day put on each account, by what was known at an instant."""
    found: dict[Key, Decimal] = defaultdict(Decimal)
    for key, row in counted(book, at + INSTANT).items():
        for line in row["lines"] if row["date"] <= day else []:
            found[key, line["accountId"]] += (line["debit"] or ZERO) - (line["credit"] or ZERO)
    return found


def restatements(books: list[Book], ask: Ask) -> Iterator[str]:
    """Every change of a closed month's balances is listed, each as what it is, and no other."""
    expected = {(book.company, *key): row for book in books for key, row in restated(book)}
    got = {
        row[:5]: row[5:]
        for row in ask(
            "select company_id, period, line_key, account_id, known_from at time zone 'UTC',"
            " change_type, amount_before, amount_after, amount_delta, is_brought_forward"
            " from finance.restatements"
        )
    }
    for key in sorted(expected.keys() | got.keys(), key=str):
        if expected.get(key) != got.get(key):
            yield f"restatements {key}: {expected.get(key)} expected, {got.get(key)} got"


def known_then(books: list[Book], ask: Ask) -> Iterator[str]:
    """The macro gives the balances as they were known at any instant."""
    for book in books:
        for at in book.nights:
            day = end_of(month_of(book.plan.today, -1))
            expected: dict[str, Decimal] = defaultdict(Decimal)
            for (_, account), amount in movements(book, day, at).items():
                expected[account] += amount
            got = dict(ask(
                "select account_id, closing_balance from finance.trial_balance_as_known("
                f"'{day}', timestamptz '{at.isoformat()}' at time zone 'UTC')"
                f" where company_id = '{book.company}'"
            ))  # fmt: skip
            for account in expected.keys() | got.keys():
                if expected.get(account, ZERO) != got.get(account, ZERO):
                    yield (f"trial_balance_as_known {book.company} {day} at {at} {account}:"
                           f" {expected[account]} expected, {got.get(account)} got")  # fmt: skip


RULES = (
    "void_without_reversal", "entry_in_future", "broken_invoice_totals", "stale_draft",
    "broken_bill_totals", "near_duplicate_bill", "duplicate_supplier_invoice",
    "received_more_than_ordered", "billed_more_than_received", "till_variance",
    "transfer_quantities",
)  # fmt: skip


def exceptions(books: list[Book], ask: Ask) -> Iterator[str]:
    """Records that break these rules are listed, and no others."""
    names = ", ".join(f"'{rule}'" for rule in RULES)
    got = set(
        ask(f"select company_id, rule, record_id from finance.exceptions where rule in ({names})")
    )
    expected = {(book.company, *found) for book in books for found in broken_rules(book)}
    for row in sorted(expected - got):
        yield f"exceptions {row}: is missing"
    for row in sorted(got - expected):
        yield f"exceptions {row}: should not be"


def broken_rules(book: Book) -> Iterator[tuple[str, str]]:
    entries = counted(book)
    reversed_ids = {row.get("reversesId") for row in entries.values()}
    for key, row in entries.items():
        if row["status"] == "void" and key not in reversed_ids:
            yield "void_without_reversal", key
        if row["date"] > book.plan.today:
            yield "entry_in_future", key
    for key, row in recognised(book).items():
        if due_of(row) != total_of(row) - (row["amountPaid"] or ZERO):
            yield "broken_invoice_totals", key
    for entity in ("journal_entries", "invoices"):
        for (key,), row in latest(book.rows[entity], entity).items():
            age = book.plan.today - local_day(book, row["createdAt"])
            if row["status"] == "draft" and age.days > 30:
                yield "stale_draft", key
    yield from broken_trade_rules(book)


def reconciliation(books: list[Book], ask: Ask) -> Iterator[str]:
    """Every figure of the reports as of today passes, and none was left out."""
    counts = dict(ask("select company_id, count(*) from finance.reconciliation"
                      " where check_name not like '%_balance' or check_name = 'trial_balance'"
                      " group by 1"))  # fmt: skip
    for book in books:
        wanted = len(list(reports_of(book)))
        if counts.get(book.company, 0) != wanted:
            yield f"reconciliation {book.company}: {wanted} rows expected, {counts} got"
    for row in ask("select company_id, check_name, entity_key, mart_value, source_value, status"
                   " from finance.reconciliation where status <> 'pass' order by all"):  # fmt: skip
        yield f"reconciliation does not pass: {row}"


TOGETHER: dict[str, Callable[[list[Book], Ask], Iterator[str]]] = {
    "customer_statement": statements,
    "restatements": restatements,
    "trial_balance_as_known": known_then,
    "exceptions": exceptions,
    "reconciliation": reconciliation,
}
CHECKS = (*KEYS, *TOGETHER)


def expected_of(books: list[Book]) -> dict[str, dict[str, Figures]]:
    """Table → company → what it should hold."""
    found: dict[str, dict[str, Figures]] = defaultdict(dict)
    for book in books:
        for table, figures in figures_of(book).items():
            found[table][book.company] = figures
    return found


def wrong(
    name: str, books: list[Book], expected: dict[str, dict[str, Figures]], ask: Ask
) -> list[str]:
    """Return what a check finds, a line each."""
    if name in TOGETHER:
        return list(TOGETHER[name](books, ask))
    return list(differences(name, expected[name], ask))
