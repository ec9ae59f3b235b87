"""The report's figures, read from the published marts; money stays Decimal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

MONTHS = 13
"""Months in a table: a year, and the same month of the year before."""
MOST_NAMES = 10
"""Customers or items in a table; the others are one line."""
MOST_FINDINGS = 25
"""Lines of what to look at; the rest is counted."""
BUCKETS = ("current", "days_31_60", "days_61_90", "over_90")
_WITH_COMPANIES = ("periods", "sync_log", "accounts", "customers", "items", "reconciliation")

Row = dict[str, Any]


@dataclass(frozen=True)
class Company:
    """A company of the published file; `today` is the business day of its build."""

    company_id: str
    name: str
    currency: str
    built_at: datetime
    today: date


@dataclass(frozen=True)
class Books:
    """One company in the published file, and how to ask for its rows."""

    db: duckdb.DuckDBPyConnection
    tables: Mapping[str, frozenset[str]]
    """The published tables' columns."""
    company: Company

    def rows(self, sql: str, **more: object) -> list[Row]:
        """Return a query's rows; `$company` and whatever is in `more` are its parameters."""
        answer = self.db.execute(sql, {"company": self.company.company_id, **more})
        names = [column[0] for column in answer.description or []]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def tables_of(db: duckdb.DuckDBPyConnection) -> dict[str, frozenset[str]]:
    """Return the columns of each table of the marts."""
    found = db.execute(
        "select table_name, list(column_name) from duckdb_columns() "
        "where schema_name = 'finance' group by table_name"
    ).fetchall()
    return {name: frozenset(columns) for name, columns in found}


def companies_of(
    db: duckdb.DuckDBPyConnection, names: Mapping[str, str], zone: ZoneInfo
) -> list[Company]:
    """Return the companies that the published tables know, by name."""
    published = [name for name in _WITH_COMPANIES if name in tables_of(db)]
    if not published:
        return []
    union = " union all ".join(
        f"select company_id, currency, built_at from finance.{name}"  # noqa: S608 (names of ours)
        for name in published
    )
    rows = db.execute(
        f"""
        select company_id, any_value(currency), max(built_at),
            cast(timezone($zone, timezone('UTC', max(built_at))) as date)
        from ({union}) group by company_id
        """,  # noqa: S608
        {"zone": zone.key},
    ).fetchall()
    companies = [Company(key, names.get(key) or key, *facts) for key, *facts in rows]
    return sorted(companies, key=lambda company: (company.name, company.company_id))


def read(books: Books) -> dict[str, Any]:
    """Return the sections' figures; a section whose tables are not published yet is None."""
    return {
        name: section(books) if set(needed) <= set(books.tables) else None
        for name, (needed, section) in SECTIONS.items()
    }


def _profit_and_loss(books: Books) -> dict[str, Any]:
    months = books.rows(
        """
        select *, other_revenue - other_expense as other, cast(null as decimal(9, 1)) as margin,
            (period + interval 1 month) <= $today as is_over
        from finance.profit_and_loss_summary
        where company_id = $company and period <= $today
        order by period desc limit $most
        """,
        today=books.company.today,
        most=MONTHS,
    )[::-1]
    for row in months:
        row["margin"] = share(row["net_profit"], row["operating_revenue"])
    complete = [row for row in months if row["is_over"]]
    year = total(complete[-12:], _STATEMENT)
    year["margin"] = share(year["net_profit"], year["operating_revenue"])
    return {
        "months": months,
        "year": year,
        "year_months": len(complete[-12:]),
        "last": complete[-1] if complete else None,
        "before": complete[-2] if len(complete) > 1 else None,
    }


_STATEMENT = (
    "operating_revenue",
    "cost_of_goods_sold",
    "gross_profit",
    "operating_expense",
    "operating_profit",
    "other",
    "net_profit",
)
_BALANCES = ("balance", "previous_month_balance", "previous_year_balance")


def _balance_sheet(books: Books) -> dict[str, Any]:
    """The last month end that is over; in the books' first month that month's."""
    lines = books.rows(
        """
        with days as (
            select coalesce(max(as_of_date) filter (where as_of_date < $today), min(as_of_date))
                as as_of_date
            from finance.balance_sheet where company_id = $company
        )
        select * from finance.balance_sheet inner join days using (as_of_date)
        where company_id = $company order by line_order, account_number, account_name
        """,
        today=books.company.today,
    )
    sections: list[dict[str, Any]] = []
    for section in ("assets", "liabilities", "equity"):
        own = [line for line in lines if line["section"] == section]
        parts = [
            {
                "name": name,
                "lines": [
                    line
                    for line in own
                    if line["subsection"] == name and any(line[column] for column in _BALANCES)
                ],
                "total": total([line for line in own if line["subsection"] == name], _BALANCES),
            }
            for name in dict.fromkeys(line["subsection"] for line in own)
        ]
        sections.append(
            {
                "name": section,
                "parts": [part for part in parts if part["lines"]],
                "total": total(own, _BALANCES),
            }
        )
    financed = total([section["total"] for section in sections[1:]], _BALANCES)
    day = lines[0]["as_of_date"] if lines else None
    return {"as_of_date": day, "sections": sections, "financed": financed}


def _cash(books: Books) -> dict[str, Any]:
    months = books.rows(
        """
        select *, (period + interval 1 month) <= $today as is_over
        from finance.cash_flow_summary
        where company_id = $company and period <= $today
        order by period desc limit $most
        """,
        today=books.company.today,
        most=MONTHS,
    )[::-1]
    return {"months": months, "now": months[-1]["closing_cash"] if months else None}


def _receivables(books: Books) -> dict[str, Any]:
    debtors = books.rows(
        """
        select * from finance.ar_aging
        where company_id = $company and as_of_date = (
            select max(as_of_date) from finance.ar_aging
            where company_id = $company and as_of_date <= $today
        )
        order by total_outstanding desc, customer_name, customer_id
        """,
        today=books.company.today,
    )
    columns = (*BUCKETS, "total_outstanding", "total_overdue")
    owed = total(debtors, columns)
    return {
        "as_of_date": debtors[0]["as_of_date"] if debtors else None,
        **_leaders(debtors, columns),
        "shares": {name: share(owed[name], owed["total_outstanding"]) for name in BUCKETS},
    }


def _payables(books: Books) -> dict[str, Any]:
    creditors = books.rows(
        """
        select * from finance.ap_aging
        where company_id = $company and as_of_date = (
            select max(as_of_date) from finance.ap_aging
            where company_id = $company and as_of_date <= $today
        )
        order by total_outstanding desc, supplier_name, supplier_id
        """,
        today=books.company.today,
    )
    weeks = books.rows(
        """
        select due_week, sum(amount_due) as amount_due, sum(discount_lost) as discount_lost,
            sum(bill_count) as bills
        from finance.payment_calendar
        where company_id = $company and due_week + 6 >= $today
        group by due_week order by due_week limit $most
        """,
        today=books.company.today,
        most=MOST_NAMES,
    )
    columns = (*BUCKETS, "total_outstanding", "total_overdue")
    (received,) = books.rows(
        """
        select coalesce(sum(grni_amount), 0) as amount from finance.grni
        where company_id = $company and as_of_date = $today
        """,
        today=books.company.today,
    )
    return {
        "as_of_date": creditors[0]["as_of_date"] if creditors else None,
        **_leaders(creditors, columns),
        "weeks": weeks,
        "not_invoiced": received["amount"],
    }


def _backlog(books: Books) -> dict[str, Any]:
    lines = books.rows(
        """
        select customer_id, any_value(customer_name) as customer_name,
            count(distinct sales_order_id) as orders, sum(backlog_amount) as backlog_amount,
            coalesce(sum(backlog_amount) filter (where days_late > 0), 0) as late_amount,
            max(days_late) as days_late
        from finance.order_backlog where company_id = $company and as_of_date = $today
        group by customer_id order by backlog_amount desc nulls last, customer_name, customer_id
        """,
        today=books.company.today,
    )
    quotes = books.rows(
        """
        select state, count(*) as quotes, sum(amount) as amount
        from finance.quote_pipeline where company_id = $company group by state order by state
        """
    )
    return {**_leaders(lines, ("orders", "backlog_amount", "late_amount")), "quotes": quotes}


def _compliance(books: Books) -> dict[str, Any]:
    months = books.rows(
        """
        select * from finance.einvoice_compliance
        where company_id = $company and period <= $today order by period desc limit $most
        """,
        today=books.company.today,
        most=MONTHS,
    )
    counts = ("recognised", "accepted", "rejected", "pending", "missing", "large_unsubmitted")
    return {"months": months, "total": total(months, counts)}


def _tills(books: Books) -> dict[str, Any]:
    tenders = books.rows(
        """
        select tender, sum(taken) as taken, sum(banked) as banked, sum(fee) as fee,
            sum(in_clearing) as in_clearing, max(days_outstanding) as days_outstanding
        from finance.pos_banking where company_id = $company group by tender order by tender
        """
    )
    sessions = books.rows(
        """
        select * from finance.pos_sessions where company_id = $company and variance <> 0
        order by business_date desc, session_number limit $most
        """,
        most=MOST_NAMES,
    )
    columns = ("taken", "banked", "fee", "in_clearing")
    return {"tenders": tenders, "total": total(tenders, columns), "sessions": sessions}


_REVENUE = ("net_revenue", "previous_year_net_revenue")


def _revenue(books: Books) -> dict[str, Any]:
    """The last twelve complete months; in the books' first month that month so far."""
    (months,) = books.rows(
        """
        select max(period) as newest, max(period) filter (where period + interval 1 month <= $today)
            as complete
        from finance.periods where company_id = $company and period <= $today
        """,
        today=books.company.today,
    )
    last = months["complete"] or months["newest"]
    found: dict[str, Any] = {"last": last, "is_complete": months["complete"] is not None}
    for name, key, label, table in (
        ("customers", "customer_id", "customer_name", "customers"),
        ("items", "item_id", "item_code || ' ' || item_name", "items"),
    ):
        rows = books.rows(
            f"""
            with sums as (
                select {key},
                    cast(sum(quantity) as decimal(38, 4)) as quantity,
                    cast(sum(net_revenue) as decimal(38, 2)) as net_revenue,
                    cast(sum(previous_year_net_revenue) as decimal(38, 2))
                        as previous_year_net_revenue
                from finance.revenue_monthly
                where company_id = $company
                    and period between cast($last as date) - interval 11 months and $last
                group by {key}
            ),
            names as (
                select {key}, {label} as name from finance.{table} where company_id = $company
            )
            select coalesce(names.name, sums.{key}) as name, sums.*
            from sums left join names using ({key})
            order by net_revenue desc, name
            """,  # noqa: S608 (names of ours)
            last=last,
        )
        found[name] = _leaders(rows, _REVENUE)
        for row in [*found[name]["first"], found[name]["others"], found[name]["total"]]:
            if row:
                row["share"] = share(row["net_revenue"], found[name]["total"]["net_revenue"])
    return found


def _stock(books: Books) -> dict[str, Any]:
    by_category = books.rows(
        """
        select coalesce(items.category, 'Without a category') as category,
            count(distinct stock.item_id) as items,
            count(*) filter (where stock.alert <> 'ok') as alerts,
            cast(sum(stock.stock_value) as decimal(38, 2)) as stock_value
        from finance.stock_on_hand as stock
        left join finance.items using (company_id, item_id)
        where stock.company_id = $company
        group by 1 order by stock_value desc, category
        """
    )
    alerts = books.rows(
        """
        select stock.*, items.item_code, items.item_name
        from finance.stock_on_hand as stock
        left join finance.items using (company_id, item_id)
        where stock.company_id = $company and stock.alert <> 'ok'
        order by list_position(['negative', 'out', 'low', 'reorder'], stock.alert),
            stock.days_of_cover nulls last, items.item_code, stock.location_id
        """
    )
    return {
        "by_category": by_category,
        "total": total(by_category, ("items", "alerts", "stock_value")),
        "alerts": alerts[:MOST_FINDINGS],
        "more": len(alerts[MOST_FINDINGS:]),
    }


def _tie_out(books: Books) -> dict[str, Any]:
    # Files from before the column do not tell what was healed.
    has_healed = "is_healed" in books.tables["reconciliation"]
    healed = "count(*) filter (where is_healed)" if has_healed else "0"
    checks = books.rows(
        f"""
        select check_name, as_of_date, count(*) as compared,
            count(*) filter (where status = 'pass') as passed,
            count(*) filter (where status = 'fail') as failed,
            count(*) filter (where status = 'not_comparable') as not_comparable,
            {healed} as healed,
            coalesce(sum(abs(difference)) filter (where status = 'fail'), 0) as difference
        from finance.reconciliation where company_id = $company
        group by check_name, as_of_date order by check_name, as_of_date
        """  # noqa: S608 (a text of ours)
    )
    # A supplier's name, where the file is new enough to have suppliers.
    suppliers = "union all select supplier_id, supplier_name from finance.suppliers"
    suppliers += " where company_id = $company"
    failures = books.rows(
        f"""
        with names as (
            select account_id as id, concat_ws(' ', account_number, account_name) as name
            from finance.accounts where company_id = $company
            union all
            select customer_id, customer_name from finance.customers where company_id = $company
            union all
            select item_id, concat_ws(' ', item_code, item_name)
            from finance.items where company_id = $company
            {suppliers if "suppliers" in books.tables else ""}
        )
        select found.*, names.name, split_part(entity_key, ':', 1) as key,
            split_part(entity_key, ':', 2) as figure
        from finance.reconciliation as found
        left join names on names.id = split_part(entity_key, ':', 1)
        where company_id = $company and status = 'fail'
        order by abs(difference) desc, check_name, as_of_date, entity_key
        limit $most
        """,  # noqa: S608 (a text of ours)
        most=MOST_FINDINGS,
    )
    sums = total(checks, ("compared", "passed", "failed", "not_comparable", "healed"))
    more = sums["failed"] - len(failures)
    return {"checks": checks, "total": sums, "failures": failures, "more": more}


def _exceptions(books: Books) -> dict[str, Any]:
    rules = books.rows(
        """
        select rule, severity, entity, count(*) as records, min(first_seen) as first_seen
        from finance.exceptions where company_id = $company
        group by rule, severity, entity
        order by list_position(['error', 'warning', 'info'], severity), records desc, rule, entity
        """
    )
    return {"rules": rules, "total": total(rules, ("records",))}


def _freshness(books: Books) -> dict[str, Any]:
    entities = books.rows(
        """
        select entity, max(window_end) as covered_until, max(committed_at) as last_load,
            count(*) as loads, cast(sum(rows) as bigint) as rows,
            cast(sum(deleted) as bigint) as deleted,
            cast(sum(quarantined) as bigint) as quarantined
        from finance.sync_log where company_id = $company
        group by entity order by entity
        """
    )
    known = [row["covered_until"] for row in entities if row["covered_until"]]
    return {
        "entities": entities,
        "covered_until": min(known, default=None),
        "events": _events(books),
        "response_times": _response_times(books),
    }


def _events(books: Books) -> Row | None:
    """Return what came of events, None where none came or the table is not published yet."""
    if "webhook_log" not in books.tables:
        return None
    (row,) = books.rows(
        """
        select count(*) as received, count(*) filter (is_duplicate) as duplicates,
            count(*) filter (satisfied_by is null and entity is not null) as waiting,
            max(received_at) as received_at, max(satisfied_at) as satisfied_at,
            median(delay_seconds) as delay_seconds
        from finance.webhook_log where company_id = $company
        """
    )
    return row if row["received"] else None


def _response_times(books: Books) -> list[Row]:
    """Return how long answers took on the last day of each kind of request."""
    if "sla_daily" not in books.tables:
        return []
    return books.rows(
        """
        select kind, day, requests, p50_ms, p95_ms, target_ms,
            cast(share_within * 100 as decimal(9, 1)) as percent_within
        from finance.sla_daily where company_id = $company
        qualify row_number() over (partition by kind order by day desc) = 1
        order by target_ms
        """
    )


SECTIONS: dict[str, tuple[tuple[str, ...], Callable[[Books], dict[str, Any]]]] = {
    "profit_and_loss": (("profit_and_loss_summary",), _profit_and_loss),
    "balance_sheet": (("balance_sheet",), _balance_sheet),
    "cash": (("cash_flow_summary",), _cash),
    "receivables": (("ar_aging",), _receivables),
    "payables": (("ap_aging", "payment_calendar", "grni"), _payables),
    "backlog": (("order_backlog", "quote_pipeline"), _backlog),
    "compliance": (("einvoice_compliance",), _compliance),
    "tills": (("pos_banking", "pos_sessions"), _tills),
    "revenue": (("revenue_monthly", "periods", "customers", "items"), _revenue),
    "stock": (("stock_on_hand", "items"), _stock),
    "tie_out": (("reconciliation", "accounts", "customers", "items"), _tie_out),
    "exceptions": (("exceptions",), _exceptions),
    "freshness": (("sync_log",), _freshness),
}


def _leaders(rows: Sequence[Row], columns: Sequence[str]) -> dict[str, Any]:
    first, rest = rows[:MOST_NAMES], rows[MOST_NAMES:]
    others = {**total(rest, columns), "count": len(rest)} if rest else None
    return {"first": first, "others": others, "total": total(rows, columns), "count": len(rows)}


def total(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Row:
    """Return each column's sum; null counts as nothing."""
    listed = list(rows)
    return {
        name: sum((row[name] for row in listed if row[name] is not None), Decimal(0))
        for name in columns
    }


def share(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    """Return the part in per cent of the whole, to one decimal; None where there is no whole."""
    if part is None or not whole:
        return None
    return (part * 100 / whole).quantize(Decimal("0.1"), ROUND_HALF_UP)
