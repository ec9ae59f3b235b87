"""The dbt project on small hand-made books: figures, laws, and what a broken law does."""

from __future__ import annotations

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rig import models
from rig.inputs import write_inputs
from rig.seeds import hand_over

from blsync import marts, report, settings
from blsync.entities import ENTITIES
from blsync.marts import failures
from blsync.marts.compiled import compiled_project
from blsync.marts.running import Result
from blsync.settings import Settings

WAREHOUSE = Path(__file__).parent.parent / "warehouse"
TODAY = date(2026, 3, 15)
EARLIER = datetime(2026, 3, 14, 18, 0, tzinfo=UTC)
LATER = EARLIER + timedelta(days=1)

BEYOND_INT32 = 99_999_999_999
ODD_NAME = "o'neil {and} $ons «b»"

Row = dict[str, Any]
Entry = tuple[date, list[tuple[str, str]]]


ACCOUNTS = {
    "acc_1000": ("Cash at Bank", "asset", "current_asset"),
    "acc_1200": ("Trade Debtors", "asset", "current_asset"),
    "acc_1300": ("Goods", "asset", "current_asset"),
    "acc_1900": ("Sold Machine", "asset", "fixed_asset"),
    "acc_3000": ("Share Capital", "equity", "equity"),
    "acc_3200": ("Retained Earnings", "equity", "equity"),
    "acc_4000": ("Sales", "revenue", "operating_revenue"),
    "acc_4900": ("Interest", "revenue", "other_revenue"),
    "acc_5000": ("Cost of Sales", "expense", "cost_of_goods_sold"),
    "acc_6100": ("Rent", "expense", "operating_expense"),
    "acc_6900": ("Bits and Bobs", "expense", None),
}

# What counts, by hand: debits positive. The voided entry and its reversal are in it, the draft,
# the deleted entry and outdated versions are not.
COUNTED: dict[str, list[Entry]] = {
    "alpha": [
        (date(2025, 1, 10), [("acc_1000", "10000.00"), ("acc_3000", "-10000.00")]),
        (date(2025, 6, 1), [("acc_1900", "70.00"), ("acc_1000", "-70.00")]),
        (date(2025, 11, 20), [("acc_1200", "1000.10"), ("acc_4000", "-1000.10")]),
        (date(2025, 12, 5), [("acc_6100", "400.00"), ("acc_1000", "-400.00")]),
        (
            date(2025, 12, 31),
            [("acc_4000", "1000.10"), ("acc_6100", "-400.00"), ("acc_3200", "-600.10")],
        ),
        (date(2026, 1, 15), [("acc_1200", "500.00"), ("acc_4000", "-500.00")]),
        (date(2026, 1, 15), [("acc_5000", "120.00"), ("acc_1300", "-120.00")]),
        (date(2026, 1, 31), [("acc_6100", "50.00"), ("acc_1000", "-50.00")]),
        (date(2026, 2, 10), [("acc_6100", "99.00"), ("acc_1000", "-99.00")]),
        (date(2026, 2, 12), [("acc_1000", "99.00"), ("acc_6100", "-99.00")]),
        (date(2026, 3, 1), [("acc_1000", "300.00"), ("acc_1200", "-300.00")]),
        (date(2026, 3, 20), [("acc_6900", "7.77"), ("acc_1000", "-7.77")]),
    ],
    "beta": [
        (date(2025, 5, 20), [("acc_1000", "200.00"), ("acc_4000", "-200.00")]),
        (date(2025, 6, 2), [("acc_4000", "200.00"), ("acc_3200", "-200.00")]),
        (date(2025, 6, 10), [("acc_1000", "80.00"), ("acc_4000", "-80.00")]),
        (date(2025, 7, 1), [("acc_1000", "10.00"), ("acc_4900", "-10.00")]),
    ],
}
# Alpha and beta keep ordinary books. Delta has odd records that are nobody's breach of a law and no
# currency, omega large figures, and the inputs do not know gamma, whose first pull broke off.
CURRENCIES = {"alpha": "MYR", "beta": "MYR", "delta": None, "omega": "MYR"}
CLOSINGS = {"alpha": {date(2025, 12, 31)}, "beta": {date(2025, 6, 2)}}


def version(company: str, pulled_at: datetime = LATER, **fields: Any) -> Row:
    return {
        "_company_id": company,
        "_load_id": f"load {pulled_at:%d}",
        "_pulled_at": pulled_at,
        "_request_id": f"request {pulled_at:%d}",
        "_op": "upsert",
        **fields,
    }


def tombstone(company: str, key: str, pulled_at: datetime = LATER) -> Row:
    return version(company, pulled_at, id=key, _op="delete")


def journal(company: str, key: str, entry: Entry, **fields: Any) -> Row:
    day, lines = entry
    amounts = [Decimal(amount) for _, amount in lines]
    total = sum((amount for amount in amounts if amount > 0), Decimal(0))
    created = datetime(day.year, day.month, day.day, 4, tzinfo=UTC)
    standard: Row = {
        "id": key,
        "journalNumber": key.upper(),
        "date": day,
        "status": "posted",
        "totalDebit": total,
        "totalCredit": total,
        "createdAt": created,
        "postedAt": created,
        "lines": [
            {
                "id": f"line {number}",
                "accountId": account,
                "debit": max(amount, Decimal(0)),
                "credit": max(-amount, Decimal(0)),
            }
            for number, ((account, _), amount) in enumerate(zip(lines, amounts, strict=True))
        ],
    }
    return version(company, **(standard | fields))


def invoice(company: str, key: str, due: date, owed: str, **fields: Any) -> Row:
    amount = Decimal(owed)
    line = {"id": "1", "itemId": "item_a", "quantity": Decimal(9), "lineTotal": amount}
    standard: Row = {
        "id": key,
        "invoiceNumber": key.upper(),
        "customerId": "cust_1",
        "invoiceDate": due - timedelta(days=30),
        "dueDate": due,
        "status": "sent",
        "items": [line],
        "subtotal": amount,
        "total": amount,
        "amountPaid": Decimal(0),
        "amountDue": amount,
        "updatedAt": EARLIER,
    }
    return version(company, **(standard | fields))


def stock(item: str, location: str, quantity: str, value: str, **fields: Any) -> Row:
    return version(
        "alpha",
        itemId=item,
        locationId=location,
        currentStock=Decimal(quantity),
        stockValue=Decimal(value),
        updatedAt=EARLIER,
        **fields,
    )


def item(key: str, **fields: Any) -> Row:
    levels = {"minimumStock": Decimal(5), "reorderPoint": Decimal(10)}
    return version(
        "alpha",
        id=key,
        itemCode=key,
        type="inventory",
        inventory=levels,
        updatedAt=EARLIER,
        **fields,
    )


def account(company: str, key: str, name: str, kind: str, category: str | None) -> Row:
    return version(
        company,
        EARLIER,
        id=key,
        accountNumber=key.removeprefix("acc_"),
        name=name,
        type=kind,
        category=category,
        updatedAt=EARLIER,
    )


def chart(company: str) -> list[Row]:
    return [account(company, key, *rest) for key, rest in ACCOUNTS.items()]


def alpha_journals() -> list[Row]:
    entries = [journal("alpha", f"je_{n:02}", e) for n, e in enumerate(COUNTED["alpha"])]
    backdated, voided, reversal, posted_late = entries[7], entries[8], entries[9], entries[10]
    backdated["createdAt"] = datetime(2026, 2, 20, 17, 30, tzinfo=UTC)  # already the 21st at home
    # A void moves no timestamp: both versions were pulled at once and differ by status alone.
    was_posted = {**voided, "_load_id": "load 99"}
    voided["status"] = "void"
    reversal["reversesId"] = voided["id"]
    wrong_lines = journal("alpha", "-", (TODAY, [("acc_6100", "1.00"), ("acc_1000", "-1.00")]))
    was_draft = {
        **posted_late,
        "lines": wrong_lines["lines"],
        "status": "draft",
        "postedAt": None,
        "_pulled_at": EARLIER,
    }
    waste = [("acc_6100", "5000.00"), ("acc_1000", "-5000.00")]
    draft = journal("alpha", "je_draft", (date(2026, 2, 15), waste), status="draft")
    deleted = journal("alpha", "je_deleted", (date(2026, 2, 16), waste), _pulled_at=EARLIER)
    return [*entries, was_posted, was_draft, draft, deleted, tombstone("alpha", "je_deleted")]


def beta_journals() -> list[Row]:
    entries = [journal("beta", f"je_{n:02}", e) for n, e in enumerate(COUNTED["beta"])]
    entries[1]["description"] = "Closing of FY2025"
    return entries


EDGES = {
    -5: "1.01",
    0: "2.02",
    30: "4.04",
    31: "8.08",
    60: "16.16",
    61: "32.32",
    90: "64.64",
    91: "128.28",
}
"""Days past due, and an amount by which the bucket's sum tells which invoices are in it."""


def invoices() -> list[Row]:
    day = timedelta(days=1)
    open_items = [
        invoice("alpha", f"inv_{days}", TODAY - days * day, owed) for days, owed in EDGES.items()
    ]
    old = TODAY - 100 * day
    paid = {"status": "paid", "amountPaid": Decimal(50), "amountDue": Decimal(0)}
    return [
        *open_items,
        invoice("alpha", "inv_draft", old, "999.00", status="draft"),
        invoice("alpha", "inv_cancelled", old, "999.00", status="cancelled"),
        invoice("alpha", "inv_deleted", old, "999.00", _pulled_at=EARLIER),
        tombstone("alpha", "inv_deleted"),
        # Two versions of one pull: the record's own change time tells the later.
        invoice("alpha", "inv_paid", old, "50.00", updatedAt=EARLIER - day, _load_id="load 99"),
        invoice("alpha", "inv_paid", old, "50.00", **paid, lastPaymentDate=old - 10 * day),
        invoice("alpha", "inv_over", old, "20.00", amountPaid=Decimal(30), amountDue=Decimal(-10)),
        invoice("alpha", "inv_usd", TODAY, "10.00", currency="USD", exchangeRate=Decimal("4.255"),
                customerId="cust_2"),
        invoice("alpha", "inv_ahead", TODAY + 31 * day, "17.00", customerId="cust_2"),
        invoice("beta", "inv_0", TODAY, "3.00"),
        invoice("beta", "inv_no_rate", old, "50.00", **paid, currency="USD"),
        invoice("delta", "inv_nobody", TODAY, "5.00", customerId=None),
        invoice("delta", "inv_blank", TODAY - 40 * day, "6.00", customerId=""),
        invoice("delta", "inv_rate", TODAY, "2.00", currency="USD", exchangeRate=Decimal("4.5"),
                customerId="cust_d"),
        invoice("gamma", "inv_gamma", TODAY, "1.00"),
        invoice("omega", "inv_big", TODAY, "9999999999.99", currency="USD", customerId="cust_o",
                exchangeRate=Decimal("4.25512345")),
        invoice("omega", "inv_100m", TODAY, "100000000.00", customerId="cust_o"),
    ]  # fmt: skip


def large_entry(company: str) -> Row:
    lines = [(f"{company}_cash", "250000000000000.00"), (f"{company}_sales", "-250000000000000.00")]
    return journal(company, f"je_{company}", (TODAY, lines))


def two_accounts(company: str) -> list[Row]:
    return [
        account(company, f"{company}_cash", "Till", "asset", "current_asset"),
        account(company, f"{company}_sales", "Sales", "revenue", "operating_revenue"),
    ]


def books() -> dict[str, list[Row]]:
    posts_to = {"assetAccountId": "acc_1300", "expenseAccountId": "acc_5000"}
    customer: Row = {"creditLimit": Decimal("1000.00"), "status": "active", "updatedAt": EARLIER}
    return {
        "accounts": [
            *chart("alpha"),
            *chart("beta"),
            tombstone("alpha", "acc_1900"),
            *two_accounts("gamma"),
            *two_accounts("omega"),
            {**account("delta", "memo", "Memorandum", "memo", None), "level": BEYOND_INT32},
        ],
        "journal_entries": [
            *alpha_journals(),
            *beta_journals(),
            large_entry("omega"),
            {**large_entry("gamma"), "totalDebit": Decimal(1)},
        ],
        "customers": [
            version("alpha", EARLIER, id="cust_1", name="Old Name", **customer),
            version("alpha", id="cust_1", name="Ahmad Trading", **customer),
            version("alpha", id="cust_2", name="Bee Hoon", **customer),
            version("beta", id="cust_1", name="Somebody Else", **customer),
            version("delta", id="cust_d", name="Dee", paymentTerms=BEYOND_INT32, **customer),
            version("gamma", id="cust_g", name="Gee", **customer),
            version("omega", id="cust_o", name="Oh", **customer),
        ],
        "invoices": invoices(),
        "items": [
            item("item_a", accounting=posts_to),
            item("item_b"),
            item("item_c"),
            item("item_d", _company_id="delta", supplier={"leadTimeDays": BEYOND_INT32}),
        ],
        "stock": [
            stock("item_a", "north", "3.5000", "35.00"),
            stock("item_a", "south", "-1.0000", "-10.00"),
            stock("item_b", "north", "8.0000", "0.40"),
            stock("item_b", "south", "0.0000", "0.00"),
            stock("item_c", "north", "11.0000", "1.00"),
            {**stock("item_c", "south", "5.0000", "5.00"), "_pulled_at": EARLIER},
            {**stock("item_c", "south", "0", "0"), "_op": "delete"},
            stock("item_c", "north", "1", "1", _company_id="gamma"),
        ],
    }  # fmt: skip


def figure(report: str, day: date, key: str | None, measure: str, value: str, **more: Any) -> Row:
    return {
        "company_id": "alpha",
        "report": report,
        "as_of_date": day,
        "entity_key": key,
        "measure": measure,
        "value": Decimal(value),
        "request_id": f"request {report}",
        "fetched_at": LATER,
        **more,
    }


def report_figures() -> list[Row]:
    january = {"period_from": date(2026, 1, 1)}
    half_february = {"period_from": date(2026, 2, 1)}
    july = {"period_from": date(2025, 7, 1), "company_id": "beta"}
    month_end = date(2026, 1, 31)
    return [
        *[
            figure(
                "trial_balance", month_end, key, "debit" if value > 0 else "credit", str(abs(value))
            )
            for key, value in balances("alpha", month_end).items()
            if value and key != "acc_1900"
        ],
        figure("trial_balance", month_end, "acc_5000", "credit", "0"),
        figure("balance_sheet", TODAY, "assets", "balance", "10930.10"),
        figure("balance_sheet", TODAY, "liabilities", "balance", "0"),
        figure("balance_sheet", TODAY, "equity", "balance", "10930.10"),
        figure("profit_loss", month_end, "gross_profit", "amount", "380.00", **january),
        figure("profit_loss", month_end, "net_profit", "amount", "330.00", **january),
        figure("profit_loss", date(2026, 2, 11), "net_profit", "amount", "-99.00", **half_february),
        figure("aged_receivables", TODAY, "cust_1", "days_31_60", "24.24"),
        figure("aged_receivables", TODAY, "cust_1", "total", "256.54"),
        figure("aged_receivables", month_end, "cust_1", "total", "1.00"),
        figure("past_receivables", date(2020, 1, 31), "all", "total", "0.01"),
        figure("stock_valuation", TODAY, "item_a", "quantity", "2.5"),
        figure("stock_valuation", TODAY, "item_a", "value", "25.00"),
        *[
            figure("profit_loss", date(2025, 7, 31), key, "amount", "10.00", **july)
            for key in ("other_revenue", "gross_profit", "net_profit")
        ],
        *[
            figure(
                "balance_sheet",
                date(2025, 7, 31),
                key,
                "balance",
                value,
                company_id="beta",
                told_dates="2026-02-11",
            )
            for key, value in (("assets", "1"), ("liabilities", "0"), ("equity", "2"))
        ],
        *[
            figure("aged_receivables", TODAY, None, "", "0", company_id=company)
            for company in ("beta", "delta")
        ],
        figure("aged_receivables", TODAY, "cust_g", "total", "1", company_id="gamma"),
    ]


def write(data: Path, landing: dict[str, list[Row]], figures: list[Row]) -> None:
    for name, entity in ENTITIES.items():
        rows = landing.get(name, [])
        # One file a pull, as in a real lake; none of an entity is one file without rows.
        for load in sorted({row["_load_id"] for row in rows}) or ["empty"]:
            folder = data / "landing" / name / "company_id=any"
            folder.mkdir(parents=True, exist_ok=True)
            table = pa.Table.from_pylist(
                [row for row in rows if row["_load_id"] == load], schema=entity.schema
            )
            pq.write_table(table, folder / f"{load}.parquet")
    landed = {row["_company_id"] for rows in landing.values() for row in rows}
    companies = [
        {
            "company_id": company,
            "company_name": company.title(),
            "currency": CURRENCIES[company],
            "timezone": "Asia/Kuala_Lumpur",
            "today": TODAY,
            "built_at": LATER,
        }
        for company in sorted(landed & set(CURRENCIES))
    ]
    loads: list[Row] = [
        {"company_id": "alpha", "load_id": "load 15", "entity": "invoices", "window_end": LATER}
    ]
    write_inputs(data, companies=companies, loads=loads, report_figures=figures)


def balances(company: str, day: date) -> dict[str, Decimal]:
    """Closing balances by hand: every line up to the day, added up."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for entry_date, lines in COUNTED[company]:
        if entry_date <= day:
            for account_id, amount in lines:
                sums[account_id] += Decimal(amount)
    return dict(sums)


Query = Callable[[str], list[Any]]


@dataclass
class Build:
    data: Path
    results: dict[str, Result]

    def warnings(self, law: str) -> int:
        """How many rows a law of severity warn listed."""
        [found] = [result for name, result in self.results.items() if re.fullmatch(law, name)]
        return (found.failures or 0) if found.status == "warn" else 0


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The books above, built whole, in folders whose names are harder than most."""
    folder = tmp_path_factory.mktemp("books") / ODD_NAME
    data, seeds = folder / "data", folder / "seeds"
    data.mkdir(parents=True)
    seeds.mkdir()
    write(data, books(), report_figures())
    (seeds / "account_roles.csv").write_text(
        "company_id,account_number,account_role\nalpha,6900,sundries\n"
    )
    (seeds / "period_close.csv").write_text(
        "company_id,period,closed_at\nalpha,2026-01-31,2026-02-05 09:00:00+08:00\n"
    )
    (seeds / "fiscal_year.csv").write_text("company_id,start_month\nbeta,6\ndelta,4\n")
    hand_over(data, seeds)
    results = models.build(data)
    assert not models.failed(results)
    return Build(data, results)


@pytest.fixture(scope="module")
def query(build: Build) -> Iterator[Query]:
    """Asks the marts built of the books above; one column comes back as its values."""
    with duckdb.connect(str(build.data / "build.duckdb"), read_only=True) as connection:
        connection.execute("set schema = 'finance'")

        def ask(sql: str) -> list[Any]:
            rows = connection.execute(sql).fetchall()
            return [row[0] if len(row) == 1 else row for row in rows]

        yield ask


PUBLIC = {
    "accounts": "account_id account_number account_name account_type account_category "
    "parent_account_id level normal_side statement section section_order account_role is_active "
    "is_deleted api_balance role_source",
    "periods": "period period_end fiscal_year fiscal_month fiscal_quarter is_closed closed_at",
    "customers": "customer_id customer_number customer_name customer_type email phone tax_number "
    "status payment_terms credit_limit api_balance open_balance overdue_balance credit_used_pct "
    "first_invoice_date last_invoice_date invoice_count revenue_total revenue_12m avg_days_to_pay "
    "days_since_last_invoice is_deleted",
    "items": "item_id item_code item_name category item_type unit cost_price selling_price "
    "is_active is_deleted",
    "general_ledger": "line_key journal_id journal_number line_no journal_date period account_id "
    "account_number account_name account_type account_category reference entry_description "
    "line_description debit credit amount natural_amount running_balance status "
    "reverses_journal_id is_reversed created_at posted_at days_backdated request_id",
    "trial_balance": "period period_end account_id account_number account_name account_type "
    "opening_balance debit credit net_movement closing_balance closing_debit closing_credit",
    "balance_sheet": "as_of_date section subsection line_order account_id account_number "
    "account_name is_computed balance previous_month_balance previous_year_balance",
    "profit_and_loss": "period section section_order account_id account_number account_name amount "
    "ytd_amount previous_month_amount previous_year_amount rolling_12m_amount pct_of_revenue",
    "budget_vs_actual": "version period section section_order account_number account_name "
    "budget_amount actual_amount variance_amount variance_pct profit_effect ytd_budget_amount "
    "ytd_actual_amount",
    "variance_drivers": "period comparison version section section_order account_number "
    "account_name account_amount account_compared_amount account_movement driver_order driver_type "
    "driver_id driver_name amount compared_amount movement",
    "ledger_dimensions": "line_key dimension value",
    "invoice_line_dimensions": "invoice_id line_no dimension value",
    "profit_and_loss_by_dimension": "dimension value period section section_order account_id "
    "account_number account_name amount",
    "profit_and_loss_summary": "period operating_revenue cost_of_goods_sold gross_profit "
    "operating_expense operating_profit other_revenue other_expense net_profit gross_margin_pct "
    "net_margin_pct",
    "invoice_lines": "invoice_id invoice_number line_no customer_id invoice_date due_date period "
    "status item_id item_code description quantity unit_price discount_amount line_total tax_code "
    "tax_rate tax_amount is_recognised",
    "invoices": "invoice_id invoice_number customer_id invoice_date due_date status reference "
    "subtotal total_discount total_tax shipping_cost total amount_paid amount_due payment_status "
    "days_past_due einvoice_status request_id",
    "ar_open_items": "as_of_date customer_id customer_name invoice_id invoice_number invoice_date "
    "due_date invoice_total amount_paid open_amount days_past_due bucket is_reconstructed",
    "ar_aging": "as_of_date customer_id customer_name current days_31_60 days_61_90 over_90 "
    "total_outstanding total_overdue oldest_days credit_limit is_reconstructed",
    "stock_on_hand": "item_id location_id current available reserved on_order average_cost "
    "stock_value reorder_point alert days_of_cover",
    "inventory_valuation": "as_of_date item_id item_code quantity average_cost stock_value",
    "stock_history": "day item_id location_id closing_quantity average_cost stock_value "
    "change_quantity change_value",
    "cash_flow": "period section line_order line_name account_id amount",
    "cash_flow_summary": "period opening_cash operating investing financing closing_cash "
    "ledger_cash_change footing_difference",
    "restatements": "period closed_at account_id journal_id change_type amount_before amount_after "
    "amount_delta known_from",
    "exceptions": "rule severity entity record_id evidence first_seen",
    "push_log": "plan_id entity action natural_key state remote_id request_id error_code error",
    "sync_log": "entity window_start window_end rows deleted quarantined requests throttled_ms "
    "started_at committed_at",
    "reconciliation": "check_name as_of_date entity_key mart_value source_value difference status "
    "source_request_id checked_at",
}


def test_without_a_file_of_groups_their_tables_are_empty(query: Query) -> None:
    names = "select table_name from duckdb_tables() where table_name like '%group\\_%' escape '\\'"
    tables = query(f"{names} and schema_name in ('finance', 'intermediate')")
    assert len(tables) == 8
    for table in tables:
        schema = "intermediate" if table.startswith("int_") else "finance"
        assert query(f"select count(*) from {schema}.{table}") == [0], table


@pytest.mark.parametrize("mart", PUBLIC)
def test_a_mart_has_its_public_columns(query: Query, mart: str) -> None:
    columns = query(f"select column_name from duckdb_columns() where table_name = '{mart}'")
    assert {*PUBLIC[mart].split(), "company_id", "currency", "built_at"} <= set(columns)


def test_every_table_and_column_says_what_it_means(query: Query) -> None:
    unsaid = "not internal and comment is null and schema_name <> 'last_build'"
    columns = query(f"select table_name, column_name from duckdb_columns() where {unsaid}")
    assert columns == []
    assert query(f"select table_name from duckdb_tables() where {unsaid}") == []


EXAMPLE = re.compile(r"Example: [^`]+\\? `([^`]+)`")


def test_every_public_table_has_a_worked_example_that_runs(query: Query) -> None:
    tables = query(
        "select table_name, comment from duckdb_tables() where schema_name = 'finance' union all"
        " select view_name, comment from duckdb_views() where schema_name = 'proposals'"
    )
    assert len(tables) > len(PUBLIC)
    for table, comment in tables:
        examples = EXAMPLE.findall(comment)
        assert [f".{table}" in sql for sql in examples] == [True], table
        assert "company_id = 'acme'" in examples[0], table  # else several companies are added up
        query(examples[0])


@pytest.fixture(scope="module")
def published(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The books above, published as `blsync build` does it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BLSYNC_DATA", str(build.data))
        patch.setenv("BLSYNC_ENV_FILE", os.devnull)
        loaded = settings.load()
        (build.data / "build.whole").touch()
        marts.publish(loaded)
        yield loaded


@pytest.mark.deep
def test_the_documentation_is_one_page_that_needs_no_network(published: Settings) -> None:
    page = report.write_docs(published).read_text()
    loaded = re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=.?(?:https?:)?//", page)
    assert loaded == []
    assert not re.search(r"@import|url\([\"']?(?:https?:)?//", page)
    for words in ("Example: Which ten customers owe most", "debits = credits", "days_backdated"):
        assert words in page
    assert str(published.data / ".docs.") not in page


def test_no_public_column_is_a_binary_fraction_and_only_sums_are_wider_than_18_digits(
    query: Query,
) -> None:
    types = query(
        "select table_name, column_name, data_type from duckdb_columns()"
        " where schema_name = 'finance' and (data_type in ('DOUBLE', 'FLOAT', 'HUGEINT')"
        " or data_type like 'DECIMAL(%' and data_type not like 'DECIMAL(18,%'"
        " and data_type not in ('DECIMAL(36,2)', 'DECIMAL(36,4)'))"
    )
    assert types == []


@pytest.mark.parametrize("company", COUNTED)
def test_the_trial_balance_is_the_sum_of_what_counts_at_every_month_end(
    query: Query, company: str
) -> None:
    months = query(f"select period_end from periods where company_id = '{company}' order by all")
    assert len(months) == (15 if company == "alpha" else 11)
    for day in months:
        mart = query(
            f"select account_id, closing_balance from trial_balance"
            f" where company_id = '{company}' and period_end = '{day}'"
        )
        assert dict(mart) == balances(company, day)


def test_a_voided_entry_stays_beside_its_reversal_and_the_two_net_to_zero(query: Query) -> None:
    lines = query(
        "select status, is_reversed, sum(debit),"
        " sum(case when account_id = 'acc_6100' then amount end)"
        " from general_ledger where journal_id in ('je_08', 'je_09') group by all order by all"
    )
    assert lines == [("posted", False, 99, -99), ("void", True, 99, 99)]


def test_drafts_and_deleted_entries_never_count(query: Query) -> None:
    assert query("from general_ledger where debit = 5000 or credit = 5000") == []


def test_the_latest_version_of_an_entry_wins(query: Query) -> None:
    lines = query(
        "select account_id, amount, request_id from general_ledger"
        " where journal_id = 'je_10' order by all"
    )
    assert lines == [("acc_1000", 300, "request 15"), ("acc_1200", -300, "request 15")]


def test_an_entry_dated_back_counts_in_its_own_month_and_says_by_how_much(query: Query) -> None:
    lines = query(
        "select distinct period, days_backdated from general_ledger where journal_id = 'je_07'"
    )
    assert lines == [(date(2026, 1, 1), 21)]


def test_the_running_balance_follows_date_number_and_line(query: Query) -> None:
    running = query(
        "select running_balance from general_ledger where company_id = 'alpha'"
        " and account_id = 'acc_6100' order by journal_date, journal_number, line_no"
    )
    assert running == [400, 0, 50, 149, 50]


def test_a_deleted_account_keeps_its_payload_and_its_postings(query: Query) -> None:
    assert query(
        "select account_name, is_deleted from accounts"
        " where account_id = 'acc_1900' order by company_id"
    ) == [("Sold Machine", True), ("Sold Machine", False)]
    assert query(
        "select distinct account_name, closing_balance from trial_balance"
        " where account_id = 'acc_1900'"
    ) == [("Sold Machine", 70)]


def test_companies_with_the_same_ids_do_not_mix(query: Query) -> None:
    names = query(
        "select company_id, customer_name from customers where customer_id = 'cust_1' order by 1"
    )
    assert names == [("alpha", "Ahmad Trading"), ("beta", "Somebody Else")]
    assert query("select total_outstanding from ar_aging_today where company_id = 'beta'") == [3]


def test_a_fiscal_year_from_june_bears_the_number_of_the_year_in_which_it_ends(
    query: Query,
) -> None:
    months = query(
        "select period, fiscal_year, fiscal_month, fiscal_quarter from periods"
        " where company_id = 'beta' and period in ('2025-05-01', '2025-06-01', '2026-01-01')"
        " order by 1"
    )
    assert months == [
        (date(2025, 5, 1), 2025, 12, 4),
        (date(2025, 6, 1), 2026, 1, 1),
        (date(2026, 1, 1), 2026, 8, 3),
    ]


def test_a_closed_month_is_closed_and_no_other(query: Query) -> None:
    closed = query("select company_id, period, closed_at from periods where is_closed")
    assert closed == [("alpha", date(2026, 1, 1), datetime(2026, 2, 5, 1, 0))]


@pytest.mark.parametrize(
    ("company", "day", "earlier_years", "current_year"),
    [
        ("alpha", "2025-11-30", "0.00", "1000.10"),
        ("alpha", "2025-12-31", "0.00", "0.00"),  # closed on the last day of the year
        ("alpha", "2026-02-28", "0.00", "330.00"),
        ("beta", "2025-05-31", "0.00", "200.00"),
        ("beta", "2025-06-30", "0.00", "80.00"),  # closed in the first days of the next year
        ("beta", "2026-03-31", "0.00", "90.00"),
    ],
)
def test_equity_shows_the_earnings_that_no_entry_has_closed(
    query: Query, company: str, day: str, earlier_years: str, current_year: str
) -> None:
    lines = query(
        f"select balance from balance_sheet where company_id = '{company}'"
        f" and as_of_date = '{day}' and is_computed order by line_order"
    )
    assert lines == [Decimal(earlier_years), Decimal(current_year)]


def test_the_balance_sheet_compares_with_the_month_and_the_year_before(query: Query) -> None:
    cash = query(
        "select balance, previous_month_balance, previous_year_balance from balance_sheet where"
        " company_id = 'alpha' and account_id = 'acc_1000' and as_of_date = '2026-01-31'"
    )
    assert cash == [(9480, 9530, 10000)]


def test_a_closing_entry_leaves_the_profit_of_its_month_as_it_was(query: Query) -> None:
    profits = query(
        "select period, net_profit from profit_and_loss_summary"
        " where company_id = 'alpha' and net_profit <> 0 order by 1"
    )
    assert profits == [
        (date(2025, 11, 1), Decimal("1000.10")),
        (date(2025, 12, 1), -400),
        (date(2026, 1, 1), 330),
        (date(2026, 3, 1), Decimal("-7.77")),
    ]
    closings = query(
        "select distinct company_id, journal_date from general_ledger where is_closing_entry"
    )
    assert {company: {day} for company, day in closings} == CLOSINGS


def test_months_without_movement_still_have_sums_to_date(query: Query) -> None:
    rent = query(
        "select period, amount, ytd_amount, previous_month_amount, rolling_12m_amount"
        " from profit_and_loss where company_id = 'alpha' and account_id = 'acc_6100' order by 1"
    )
    assert rent == [
        (date(2025, 12, 1), 400, 400, 0, 400),
        (date(2026, 1, 1), 50, 50, 400, 450),
        (date(2026, 2, 1), 0, 50, 50, 450),
        (date(2026, 3, 1), 0, 50, 0, 450),
    ]


def test_margins_are_hundredths_of_operating_revenue_and_null_without_any(query: Query) -> None:
    margins = query(
        "select gross_margin_pct, net_margin_pct from profit_and_loss_summary"
        " where company_id = 'alpha' and period >= '2026-01-01' order by period"
    )
    assert margins == [(76, 66), (None, None), (None, None)]


def test_buckets_change_after_30_60_and_90_days_past_due(query: Query) -> None:
    assert query(
        "select current, days_31_60, days_61_90, over_90, total_outstanding, total_overdue,"
        " oldest_days from ar_aging_today where company_id = 'alpha' and customer_id = 'cust_1'"
    ) == [
        (
            Decimal("7.07"),
            Decimal("24.24"),
            Decimal("96.96"),
            Decimal("128.28"),
            Decimal("256.55"),
            Decimal("253.52"),
            91,
        )
    ]


def test_only_recognised_invoices_with_something_to_pay_are_open(query: Query) -> None:
    open_items = query("select invoice_id from ar_open_items_today where company_id = 'alpha'")
    assert set(open_items) == {*(f"inv_{days}" for days in EDGES), "inv_usd"}


def test_a_foreign_invoice_is_owed_in_the_currency_of_the_company(query: Query) -> None:
    assert query(
        "select total, invoice_currency, currency from invoices where invoice_id = 'inv_usd'"
    ) == [(10, "USD", "MYR")]
    assert query("select open_amount from ar_open_items_today where invoice_id = 'inv_usd'") == [
        Decimal("42.55")
    ]


def test_a_deleted_invoice_is_in_no_mart(query: Query) -> None:
    assert query("select invoice_id from invoices where invoice_id = 'inv_deleted'") == []
    assert query("select invoice_id from invoice_lines where invoice_id = 'inv_deleted'") == []


def test_a_customer_knows_balance_limit_and_pace_of_payment(query: Query) -> None:
    assert query(
        "select open_balance, overdue_balance, credit_used_pct, invoice_count, revenue_total,"
        " avg_days_to_pay, days_since_last_invoice from customers"
        " where company_id = 'alpha' and customer_id = 'cust_1'"
    ) == [
        (
            Decimal("256.55"),
            Decimal("253.52"),
            Decimal("25.655"),
            10,
            Decimal("326.55"),
            20,
            25,
        )
    ]


def test_the_role_of_an_account_comes_from_the_user_then_items_then_names(query: Query) -> None:
    roles = query(
        "select account_id, account_role, role_source from accounts where company_id = 'alpha'"
        " and account_number in ('1000', '1200', '1300', '3200', '5000', '6900') order by 1"
    )
    assert roles == [
        ("acc_1000", "cash", "name"),
        ("acc_1200", "accounts_receivable", "name"),
        ("acc_1300", "inventory", "items"),
        ("acc_3200", "retained_earnings", "name"),
        ("acc_5000", "cost_of_goods_sold", "items"),
        ("acc_6900", "sundries", "seed"),
    ]
    assert query(
        "select role_source from accounts where company_id = 'beta' and account_id = 'acc_6900'"
    ) == ["none"]


def test_stock_alerts_by_location_and_by_item(query: Query) -> None:
    alerts = query(
        "select item_id, location_id, alert, days_of_cover from stock_on_hand order by 1, 2"
    )
    assert alerts == [
        ("item_a", "north", "low", 5),
        ("item_a", "south", "negative", 5),
        ("item_b", "north", "reorder", None),
        ("item_b", "south", "out", None),
        ("item_c", "north", "ok", None),
    ]


def test_the_valuation_of_an_item_is_the_sum_of_its_locations(query: Query) -> None:
    assert query(
        "select item_id, quantity, average_cost, stock_value from inventory_valuation order by 1"
    ) == [
        ("item_a", Decimal("2.5"), 10, 25),
        ("item_b", 8, Decimal("0.05"), Decimal("0.40")),
        ("item_c", 11, Decimal("0.090909"), 1),
    ]


def test_reconciliation_passes_only_what_is_the_same_to_the_cent(query: Query) -> None:
    rows = query(
        "select check_name, as_of_date, entity_key, difference, status from reconciliation"
        " where status <> 'pass' and company_id = 'alpha' order by all"
    )
    assert rows == [
        ("aged_receivables", date(2026, 1, 31), "cust_1:total", None, "not_comparable"),
        ("aged_receivables", TODAY, "cust_1:current", Decimal("7.07"), "fail"),
        ("aged_receivables", TODAY, "cust_1:days_61_90", Decimal("96.96"), "fail"),
        ("aged_receivables", TODAY, "cust_1:over_90", Decimal("128.28"), "fail"),
        ("aged_receivables", TODAY, "cust_1:total", Decimal("0.01"), "fail"),
        ("aged_receivables", TODAY, "cust_2:current", Decimal("42.55"), "fail"),
        ("aged_receivables", TODAY, "cust_2:total", Decimal("42.55"), "fail"),
        ("past_receivables", date(2020, 1, 31), "all:total", Decimal("-0.01"), "not_comparable"),
        ("profit_and_loss", date(2026, 1, 31), "cost_of_goods_sold:amount", 120, "fail"),
        ("profit_and_loss", date(2026, 1, 31), "operating_expense:amount", 50, "fail"),
        ("profit_and_loss", date(2026, 1, 31), "operating_revenue:amount", 500, "fail"),
        ("profit_and_loss", date(2026, 2, 11), "operating_expense:amount", 99, "fail"),
        ("stock_valuation", TODAY, "item_b:quantity", 8, "fail"),
        ("stock_valuation", TODAY, "item_b:value", Decimal("0.40"), "fail"),
        ("stock_valuation", TODAY, "item_c:quantity", 11, "fail"),
        ("stock_valuation", TODAY, "item_c:value", 1, "fail"),
        # Left out of the report on purpose: a key of the mart's alone is 0 there.
        ("trial_balance", date(2026, 1, 31), "acc_1900:debit", 70, "fail"),
    ]
    passed = query(
        "select check_name, count(*) from reconciliation"
        " where status = 'pass' and company_id = 'alpha' group by 1 order by 1"
    )
    assert passed == [
        ("aged_receivables", 1),
        ("balance_sheet", 3),
        ("profit_and_loss", 3),
        ("stock_valuation", 2),
        ("trial_balance", 9),
    ]


def test_gross_profit_is_read_as_the_report_reads_it(query: Query) -> None:
    """Whether other revenue is part of it is documented nowhere; the mart leaves it out."""
    assert query(
        "select entity_key, mart_value, status from reconciliation"
        " where company_id = 'beta' and check_name = 'profit_and_loss' order by 1"
    ) == [
        ("gross_profit:amount", 10, "pass"),
        ("net_profit:amount", 10, "pass"),
        ("other_revenue:amount", 10, "pass"),
    ]
    assert query(
        "select gross_profit, net_profit from profit_and_loss_summary"
        " where company_id = 'beta' and period = '2025-07-01'"
    ) == [(0, 10)]


def test_a_report_of_another_date_is_not_comparable_whatever_it_says(query: Query) -> None:
    rows = query(
        "select source_value, status, reason from reconciliation"
        " where company_id = 'beta' and check_name = 'balance_sheet' order by 1"
    )
    assert {status for _, status, _ in rows} == {"not_comparable"}
    assert [value for value, _, _ in rows if value] == [1, 2]
    assert all("2026-02-11, which was not asked for" in reason for _, _, reason in rows)


def test_a_report_that_came_back_empty_is_compared_too(query: Query) -> None:
    assert query(
        "select entity_key, mart_value, source_value, status from reconciliation"
        " where company_id = 'beta' and check_name = 'aged_receivables' order by 1"
    ) == [("cust_1:current", 3, 0, "fail"), ("cust_1:total", 3, 0, "fail")]


def test_a_comparison_names_the_request_that_brought_the_report(query: Query) -> None:
    sources = query(
        "select distinct source_request_id from reconciliation where check_name = 'trial_balance'"
    )
    assert sources == ["request trial_balance"]


def test_the_sync_log_holds_a_row_a_load(query: Query) -> None:
    assert query("select load_id, entity, window_start, window_end from sync_log") == [
        ("load 15", "invoices", None, LATER.replace(tzinfo=None))
    ]


def test_figures_of_many_digits_are_exact(query: Query) -> None:
    assert query("select invoice_id, open_amount from ar_open_items_today"
                 " where company_id = 'omega' order by all") == [
        ("inv_100m", 100_000_000),
        ("inv_big", Decimal("42551234499.96")),
    ]  # fmt: skip
    assert query(
        "select open_balance, revenue_total, credit_used_pct from customers"
        " where company_id = 'omega'"
    ) == [(Decimal("42651234499.96"), Decimal("42651234499.96"), Decimal("4265123449.996"))]
    assert query(
        "select amount, pct_of_revenue from profit_and_loss where company_id = 'omega'"
    ) == [(250_000_000_000_000, 100)]
    assert query(
        "select net_profit, net_margin_pct from profit_and_loss_summary where company_id = 'omega'"
    ) == [(250_000_000_000_000, 100)]


def test_an_invoice_dated_ahead_is_not_yet_owed(query: Query) -> None:
    assert query("select total from invoices where invoice_id = 'inv_ahead'") == [17]
    assert query("from ar_open_items_today where invoice_id = 'inv_ahead'") == []
    assert query(
        "select open_balance, overdue_balance, total_outstanding from customers"
        " inner join ar_aging_today using (company_id, customer_id)"
        " where company_id = 'alpha' and customer_id = 'cust_2'"
    ) == [(Decimal("42.55"), 0, Decimal("42.55"))]


def test_invoices_without_a_customer_are_a_row_of_their_own(query: Query) -> None:
    assert query(
        "select customer_id, customer_name, current, days_31_60, total_outstanding"
        " from ar_aging_today where company_id = 'delta' order by 1"
    ) == [("cust_d", "Dee", 9, 0, 9), (None, None, 5, 6, 11)]
    assert query(
        "select entity_key, mart_value, status from reconciliation"
        " where company_id = 'delta' and entity_key like 'no customer%' order by 1"
    ) == [
        ("no customer:current", 5, "fail"),
        ("no customer:days_31_60", 6, "fail"),
        ("no customer:total", 11, "fail"),
    ]


def test_numbers_beyond_all_meaning_stop_nothing(query: Query) -> None:
    assert query("select payment_terms from customers where company_id = 'delta'") == [None]
    assert query("select level from accounts where company_id = 'delta'") == [None]
    assert query("select lead_time_days from staging.stg_items where company_id = 'delta'") == [
        None
    ]


def test_an_account_of_an_unknown_type_without_postings_is_a_warning(
    build: Build, query: Query
) -> None:
    assert query(
        "select account_type, normal_side, statement, section from accounts"
        " where company_id = 'delta'"
    ) == [("memo", None, None, None)]
    assert build.warnings("accepted_values_stg_accounts_account_type__.*") == 1


def test_a_company_without_a_currency_has_its_marts(build: Build, query: Query) -> None:
    assert build.warnings("not_null_stg_companies_currency") == 1
    assert build.warnings("the_users_tables_name_what_exists") == 0
    assert query("select distinct currency from periods where company_id = 'delta'") == [None]
    assert query(
        "select invoice_currency, exchange_rate, currency from invoices"
        " where invoice_id = 'inv_rate'"
    ) == [("USD", Decimal("4.5"), None)]


def test_a_foreign_invoice_without_a_rate_is_listed(build: Build, query: Query) -> None:
    assert build.warnings("foreign_invoices_have_an_exchange_rate") == 1
    assert query("select exchange_rate from invoices where invoice_id = 'inv_no_rate'") == [1]


@pytest.mark.parametrize("mart", PUBLIC)
def test_a_company_that_the_inputs_do_not_name_is_in_no_mart(query: Query, mart: str) -> None:
    assert query(f"from {mart} where company_id = 'gamma'") == []


def test_a_company_that_the_inputs_do_not_name_is_a_warning(build: Build) -> None:
    assert build.warnings("every_company_in_the_landing_is_known") == 1


@pytest.mark.deep
def test_what_only_follows_from_a_broken_law_is_not_told(tmp_path: Path) -> None:
    day = date(2026, 1, 5)
    unbalanced = journal("alpha", "je_1", (day, [("acc_1000", "100.00"), ("acc_4000", "-99.99")]))
    nowhere = journal("alpha", "je_2", (day, [("acc_1000", "1.00"), ("acc_gone", "-1.00")]))
    odd = journal("alpha", "je_3", (day, [("acc_1000", "1.00"), ("memo", "-1.00")]))
    accounts = [*chart("alpha"), account("alpha", "memo", "Memorandum", "memo", None)]
    write(tmp_path, {"accounts": accounts, "journal_entries": [unbalanced, nowhere, odd]}, [])
    hand_over(tmp_path, WAREHOUSE / "seeds")
    results = models.build(tmp_path)
    assert results["every_journal_balances_and_equals_its_header"].status == "fail"
    assert results["no_journal_line_without_an_account"].failures == 2
    follows = results["trial_balance_sums_to_zero_every_month"]
    assert follows.failures
    assert follows.status == "skipped"
    with duckdb.connect(str(tmp_path / "build.duckdb"), read_only=True) as connection:
        found = connection.execute(
            "select distinct record_id from finance.exceptions where severity = 'error'"
        ).fetchall()
    assert {("je_1",), ("je_2",), ("je_3",)} <= set(found)


@pytest.mark.deep
def test_a_role_that_nothing_tells_stops_the_build_with_the_accounts_to_decide_on(
    tmp_path: Path,
) -> None:
    accounts = [
        account("alpha", "acc_1010", "Kotak Depan", "asset", "current_asset"),
        account("alpha", "acc_1020", "Kotak Belakang", "asset", "current_asset"),
        account("alpha", "acc_1030", "Unused", "asset", "current_asset"),
        account("alpha", "acc_4000", "Sales", "revenue", "operating_revenue"),
    ]
    day = date(2026, 1, 5)
    sales = [
        journal("alpha", f"je_{box}", (day, [(box, "5.00"), ("acc_4000", "-5.00")]))
        for box in ("acc_1010", "acc_1020")
    ]
    write(tmp_path, {"accounts": accounts, "journal_entries": sales}, [])
    seeds = tmp_path / "seeds"
    shutil.copytree(WAREHOUSE / "seeds", seeds)
    hand_over(tmp_path, seeds)
    results = models.build(tmp_path, "int_missing_roles")
    assert results[failures.ROLES_LAW].status == "fail"
    told = failures.told(compiled_project(tmp_path), results.values(), tmp_path / "build.duckdb")
    assert (
        "alpha has no account of the role cash, which the cash flow stands on, and neither items "
        "nor names tell which it is. In question: 1010 Kotak Depan (asset), 1020 Kotak Belakang "
        "(asset). Decide in account_roles.csv (in BLSYNC_SEEDS), for example with the line "
        "alpha,1010,cash" in told
    )
    with (seeds / "account_roles.csv").open("a") as file:
        file.write("alpha,1010,cash\n")
    hand_over(tmp_path, seeds)
    assert not models.failed(models.build(tmp_path, "int_missing_roles"))
