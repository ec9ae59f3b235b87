"""Books that are odd and go on all the same: mistyped dates, huge amounts, accepted exceptions.

One build holds a company of each kind; every law holds in it, and the figures are added up by hand.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path
from typing import Any

import duckdb
import pytest
from rig import models
from rig.seeds import hand_over
from test_warehouse import (
    EARLIER,
    LATER,
    TODAY,
    WAREHOUSE,
    Query,
    Row,
    account,
    chart,
    figure,
    invoice,
    journal,
    stock,
    version,
    write,
)

from blsync import report, settings, user_tables
from blsync.marts import failures
from blsync.marts.compiled import compiled_project
from blsync.marts.publish import publish
from blsync.marts.running import Result

YEAR_206, YEAR_9999 = date(206, 3, 1), date(9999, 12, 31)
YEAR_1 = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=8)))
"""In UTC it lies in the year 0, which Python's calendar does not have."""
BEFORE, AFTER = date(1975, 12, 1), date(2037, 1, 1)
MOST = "9999999999999999.99"
"""The most that an amount of a record can be."""
TWICE, THRICE = 2 * Decimal(MOST), 3 * Decimal(MOST)


def mistyped() -> dict[str, list[Row]]:
    """Alpha has ordinary months, and a date of the year 206 and of the year 9999 everywhere."""
    sale = [("acc_1200", "100.00"), ("acc_4000", "-100.00")]
    early = [("acc_1200", "7.00"), ("acc_4000", "-7.00")]
    late = [("acc_1200", "9.00"), ("acc_4000", "-9.00")]
    nowhere = journal("alpha", "je_undated", (TODAY, [("acc_1000", "3.00"), ("acc_4000", "-3.00")]))
    paid = {"status": "paid", "amountPaid": Decimal(5), "amountDue": Decimal(0)}
    adjusted = {"id": "adj", "adjustmentNumber": "ADJ", "status": "posted", "items": []}
    return {
        "journal_entries": [
            journal("alpha", "je_1", (date(2026, 1, 15), sale), reference="INV_1"),
            journal("alpha", "je_2", (date(2026, 2, 15), sale), reference="INV_2"),
            journal("alpha", "je_206", (YEAR_206, early), reference="INV_206", createdAt=YEAR_1,
                    postedAt=YEAR_1),
            journal("alpha", "je_9999", (YEAR_9999, late), createdAt=EARLIER, postedAt=EARLIER),
            {**nowhere, "date": None},
        ],
        "invoices": [
            invoice("alpha", "inv_1", TODAY, "100.00"),
            invoice("alpha", "inv_2", TODAY, "100.00"),
            invoice("alpha", "inv_1826", TODAY, "0.00", status="draft", einvoice={
                "submittedAt": datetime(1826, 3, 1, 4, tzinfo=UTC)}),
            invoice("alpha", "inv_206", YEAR_206, "7.00", invoiceDate=YEAR_206),
            invoice("alpha", "inv_9999", YEAR_9999, "9.00", invoiceDate=YEAR_9999),
            invoice("alpha", "inv_due", YEAR_9999, "1.00", invoiceDate=TODAY),
            invoice("alpha", "inv_paid", TODAY, "5.00", lastPaymentDate=YEAR_9999, **paid),
        ],
        "stock_adjustments": [
            version("alpha", **adjusted, date=YEAR_206, createdAt=EARLIER, postedAt=EARLIER),
        ],
        "customers": [
            version("alpha", id="cust_1200", customerNumber="C-1200", name="Cee",
                    lastSaleDate=date(1200, 2, 29)),
        ],
        "accounts": chart("alpha"),
    }  # fmt: skip


def huge() -> dict[str, list[Row]]:
    """Omega has several records that each hold as much as one can."""
    sale = [("acc_1200", MOST), ("acc_4000", f"-{MOST}")]
    rows = range(3)
    tax = {"taxCode": "SST-10", "taxRate": Decimal(10), "taxAmount": Decimal(MOST)}
    lines = [
        {"id": "1", "itemId": "item_a", "quantity": Decimal(9), "lineTotal": Decimal(0), **tax}
    ]
    taxed = {"items": lines, "subtotal": Decimal(0), "totalTax": Decimal(MOST)}
    both_sides = journal(
        "omega", "je_both", (TODAY, [("acc_1000", MOST), ("acc_4000", f"-{MOST}")])
    )
    for line, other in zip(both_sides["lines"], reversed(both_sides["lines"]), strict=True):
        line |= {"debit": line["debit"] or -other["debit"]}
        line |= {"credit": line["credit"] or -other["credit"]}
    both_sides |= {"totalDebit": Decimal(0), "totalCredit": Decimal(0)}
    return {
        "accounts": chart("omega"),
        "journal_entries": [
            *[journal("omega", f"je_{n}", (date(2026, 2, 5), sale)) for n in rows],
            both_sides,
        ],
        "customers": [version("omega", id="cust_1", name="Oh", creditLimit=Decimal(MOST))],
        "invoices": [
            *[invoice("omega", f"inv_{n}", TODAY, MOST) for n in rows],
            *[invoice("omega", f"tax_{n}", TODAY, MOST, **taxed) for n in rows],
            invoice("omega", "inv_usd", TODAY, MOST, currency="USD",
                    exchangeRate=Decimal("9999999999.12345678")),
        ],
        "stock": [
            stock("item_a", place, "99999999999999.9999", MOST, _company_id="omega",
                  averageCost=Decimal("999999999999.999999"))
            for place in ("north", "south", "east")
        ],
        "items": [version("omega", id="item_a", itemCode="A", type="inventory")],
    }  # fmt: skip


def crooked() -> dict[str, list[Row]]:
    """Beta has entries that break the laws about single records."""
    day = date(2026, 2, 10)
    fair = [("acc_1000", "50.00"), ("acc_3000", "-50.00")]
    off = journal("beta", "je_off", (day, [("acc_1000", "100.00"), ("acc_4000", "-99.99")]))
    none = journal("beta", "je_none", (day, [("acc_1000", "5.00"), ("x", "-5.00")]))
    none["lines"][1]["accountId"] = None
    gone = journal("beta", "je_gone", (day, [("acc_1000", "-3.00"), ("acc_gone", "3.00")]))
    memo = journal("beta", "je_memo", (TODAY, [("acc_1000", "-2.00"), ("memo", "2.00")]))
    return {
        "accounts": [*chart("beta"), account("beta", "memo", "Memorandum", "memo", None)],
        "journal_entries": [
            journal("beta", "je_fair", (date(2026, 1, 5), fair)), off, none, gone, memo,
        ],
        "customers": [version("beta", id="cust_1", name="Siti Rahman")],
    }  # fmt: skip


ACCEPTED = [
    ("je_off", "unbalanced_entry"),
    ("je_none", "unknown_account"),
    ("je_gone", "unknown_account"),
    ("je_memo", "unknown_account"),
    ("je_fair", "unbalanced_entry"),
    ("je_nobody", "unknown_account"),
]
"""Of beta; the last two name what is not off, and what is not there."""


def accepting(data: Path, pairs: list[tuple[str, str]]) -> Path:
    """Return a folder of the user's tables in which these are accepted."""
    seeds = data / "seeds"
    shutil.copytree(WAREHOUSE / "seeds", seeds, dirs_exist_ok=True)
    with (seeds / user_tables.ACCEPTED).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(user_tables.COLUMNS[user_tables.ACCEPTED])
        writer.writerows(["beta", key, rule, f"why {key}", "Mei"] for key, rule in pairs)
    return seeds


def figures() -> list[Row]:
    """What BigLedger's reports say: the year 206 is past, 9999 is to come."""
    of_omega = {"company_id": "omega"}
    return [
        figure("trial_balance", TODAY, "acc_1200", "debit", "207.00"),
        figure("trial_balance", TODAY, "acc_4000", "credit", "207.00"),
        figure("balance_sheet", TODAY, "assets", "balance", "207.00"),
        figure("balance_sheet", TODAY, "equity", "balance", "207.00"),
        figure("aged_receivables", TODAY, "cust_1", "total", "208.00"),
        figure("trial_balance", TODAY, "acc_1200", "debit", str(THRICE), **of_omega),
        figure("trial_balance", TODAY, "acc_1000", "debit", str(TWICE), **of_omega),
        figure("trial_balance", TODAY, "acc_4000", "credit", str(THRICE + TWICE), **of_omega),
        figure("stock_valuation", TODAY, "item_a", "value", str(THRICE), **of_omega),
    ]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Result]]:
    data = tmp_path_factory.mktemp("odd")
    kinds = (mistyped(), huge(), crooked())
    landing = {
        name: [row for kind in kinds for row in kind.get(name, [])]
        for name in {name for kind in kinds for name in kind}
    }
    write(data, landing, figures())
    hand_over(data, accepting(data, ACCEPTED))
    results = models.build(data)
    assert not models.failed(results)
    return data, results


@pytest.fixture(scope="module")
def query(built: tuple[Path, dict[str, Result]]) -> Iterator[Query]:
    with duckdb.connect(str(built[0] / "build.duckdb"), read_only=True) as connection:
        connection.execute("set schema = 'finance'")

        def ask(sql: str) -> list[Any]:
            rows = connection.execute(sql).fetchall()
            return [row[0] if len(row) == 1 else row for row in rows]

        yield ask


# Mistyped dates


@pytest.mark.deep
def test_a_mistyped_date_makes_no_months(query: Query) -> None:
    assert query("select period from periods where company_id = 'alpha' order by 1") == [
        date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1),
    ]  # fmt: skip
    (rows,) = query("select count(*) from trial_balance where company_id = 'alpha'")
    assert rows == 6


def test_what_is_dated_before_all_months_opens_the_first_one(query: Query) -> None:
    assert query(
        "select account_id, opening_balance, debit, credit, closing_balance from trial_balance"
        " where company_id = 'alpha' and period = '2026-01-01' order by 1"
    ) == [("acc_1200", 7, 100, 0, 107), ("acc_4000", -7, 0, 100, -107)]
    assert query(
        "select account_name, balance from balance_sheet where company_id = 'alpha'"
        " and as_of_date = '2026-03-31' and balance <> 0 order by line_order"
    ) == [
        ("Trade Debtors", 207),
        ("Retained earnings not yet closed", 7),
        ("Current year earnings", 200),
    ]
    assert query(
        "select opening_ar, closing_ar from collections where company_id = 'alpha' order by period"
    ) == [(7, 107), (107, 207), (207, 207)]


def test_the_profit_of_no_month_has_what_is_dated_outside_all_months(query: Query) -> None:
    assert query(
        "select net_profit from profit_and_loss_summary where company_id = 'alpha' order by period"
    ) == [100, 100, 0]


def test_what_is_dated_outside_has_one_month_on_either_side(query: Query) -> None:
    for table, measure in (
        ("general_ledger", "sum(debit)"),
        ("revenue_monthly", "sum(net_revenue)"),
    ):
        found = query(
            f"select period, {measure} from {table} where company_id = 'alpha'"
            f" and period not between '2025-01-01' and '2026-12-31' group by 1 order by 1"
        )
        late = 12 if table == "general_ledger" else 9  # with the entry that has no date
        assert found == [(BEFORE, 7), (AFTER, late)], table
    (total,) = query("select sum(net_revenue) from revenue_monthly where company_id = 'alpha'")
    assert [total] == query("select sum(line_total) from invoice_lines where company_id = 'alpha'")
    assert query("select sum(previous_year_net_revenue) from revenue_monthly where"
                 " company_id = 'alpha'") == [0]  # fmt: skip


def test_mistyped_dates_are_listed_with_what_is_odd(query: Query) -> None:
    found = query(
        "select entity, record_id, severity, evidence from exceptions"
        " where rule = 'implausible_date' order by 1, 2"
    )
    assert [row[:3] for row in found] == [
        ("customers", "cust_1200", "warning"),
        ("invoices", "inv_1826", "warning"),
        ("invoices", "inv_206", "error"),
        ("invoices", "inv_9999", "error"),
        ("invoices", "inv_due", "error"),
        ("invoices", "inv_paid", "error"),
        ("journal_entries", "je_206", "error"),
        ("journal_entries", "je_9999", "error"),
        ("journal_entries", "je_undated", "error"),
        ("stock_adjustments", "adj", "error"),
    ]
    span = "which is not between 1976-01-01 and 2036-12-31."
    assert found[0][3] == f"C-1200: its last sale is 1200-02-29, {span}"
    assert found[1][3] == f"INV_1826: its submission is 1826-03-01, {span}"
    assert found[2][3] == f"INV_206: its date is 0206-03-01 and its due date is 0206-03-01, {span}"
    assert found[4][3] == f"INV_DUE: its due date is 9999-12-31, {span}"
    assert found[8][3] == f"JE_UNDATED: its date is missing, {span}"


def test_bigledgers_reports_tie_out_with_mistyped_dates(query: Query) -> None:
    assert (
        query(
            "select check_name, entity_key, mart_value, source_value from reconciliation"
            " where company_id = 'alpha' and status <> 'pass' and check_name <> 'aged_receivables'"
        )
        == []
    )
    assert query(
        "select status from reconciliation"
        " where company_id = 'alpha' and entity_key = 'cust_1:total'"
    ) == ["pass"]


def test_averages_leave_mistyped_dates_out(query: Query) -> None:
    assert query(
        "select avg_days_to_pay, first_invoice_date, last_invoice_date from customers"
        " where company_id = 'omega'"
    ) == [(None, date(2026, 2, 13), date(2026, 2, 13))]
    assert query("select avg_days_to_pay from collections where avg_days_to_pay is not null") == []


# Huge amounts


def test_sums_of_the_largest_amounts_are_exact(query: Query) -> None:
    assert query(
        "select account_id, closing_balance from trial_balance"
        " where company_id = 'omega' and period = '2026-03-01' order by 1"
    ) == [("acc_1000", TWICE), ("acc_1200", THRICE), ("acc_4000", -THRICE - TWICE)]
    assert query(
        "select net_profit, net_margin_pct from profit_and_loss_summary"
        " where company_id = 'omega' and period = '2026-02-01'"
    ) == [(THRICE, 100)]
    assert query("select sum(tax_amount) from tax_summary where company_id = 'omega'") == [THRICE]
    assert query(
        "select stock_value, quantity from inventory_valuation where company_id = 'omega'"
    ) == [(THRICE, 3 * Decimal("99999999999999.9999"))]
    (owed,) = query("select total_outstanding from ar_aging_today where company_id = 'omega'")
    with localcontext(prec=60):
        foreign = Decimal(MOST) * Decimal("9999999999.12345678")
        assert owed == 2 * THRICE + foreign.quantize(Decimal("0.01"), ROUND_HALF_UP)


def test_bigledgers_reports_of_huge_amounts_tie_out(query: Query) -> None:
    assert query(
        "select check_name, count(*) from reconciliation where company_id = 'omega'"
        " and status = 'pass' group by 1 order by 1"
    ) == [("stock_valuation", 1), ("trial_balance", 3)]


# Accepted exceptions


def test_an_accepted_exception_stays_listed_with_who_accepted_it_and_why(query: Query) -> None:
    assert query(
        "select record_id, rule, is_accepted, accepted_by, accepted_reason from exceptions"
        " where company_id = 'beta' and severity = 'error' order by 1"
    ) == [
        ("je_gone", "unknown_account", True, "Mei", "why je_gone"),
        ("je_memo", "unknown_account", True, "Mei", "why je_memo"),
        ("je_none", "unknown_account", True, "Mei", "why je_none"),
        ("je_off", "unbalanced_entry", True, "Mei", "why je_off"),
    ]
    assert query("select count(*) from exceptions where is_accepted is null") == [0]


def test_lines_outside_the_chart_stand_among_the_assets_where_they_are_seen(query: Query) -> None:
    assert query(
        "select account_id, account_name, subsection, balance from balance_sheet"
        " where company_id = 'beta' and as_of_date = '2026-03-31' and section = 'assets' order by 1"
    ) == [
        ("acc_1000", "Cash at Bank", "current_asset", 150),
        ("acc_gone", "Not in the chart of accounts: acc_gone", "unassigned", 3),
        ("memo", "Memorandum", "unassigned", 2),
        ("unassigned", "Not in the chart of accounts: unassigned", "unassigned", -5),
    ]


def test_sums_are_off_by_just_what_was_accepted(query: Query) -> None:
    assert query(
        "select period, sum(closing_balance) from trial_balance where company_id = 'beta'"
        " group by 1 order by 1"
    ) == [(date(2026, 1, 1), 0), (date(2026, 2, 1), Decimal("0.01")),
          (date(2026, 3, 1), Decimal("0.01"))]  # fmt: skip
    assert query(
        "select footing_difference from cash_flow_summary where company_id = 'beta' order by period"
    ) == [0, Decimal("-0.01"), 0]


def test_an_acceptance_of_what_is_not_off_is_a_warning(
    built: tuple[Path, dict[str, Result]],
) -> None:
    warned = built[1]["accepted_exceptions_name_what_is_off"]
    assert (warned.status, warned.failures) == ("warn", 2)


@pytest.mark.deep
def test_the_report_is_written_of_odd_books(
    built: tuple[Path, dict[str, Result]], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = built[0]
    monkeypatch.setenv("BLSYNC_DATA", str(data))
    monkeypatch.setenv("BLSYNC_ENV_FILE", os.devnull)
    (data / "build.whole").touch()
    publish(settings.load())
    page = report.write(settings.load()).path.read_text()
    for amount in (TWICE, THRICE):
        assert f"{amount:,.2f}" in page


LAWS = ("every_journal_balances_and_equals_its_header", "no_journal_line_without_an_account")


@pytest.mark.deep
def test_a_law_that_records_break_names_them_by_ids_and_amounts_and_no_more_is_accepted(
    tmp_path: Path,
) -> None:
    write(tmp_path, crooked(), [])
    seeds = accepting(tmp_path, [("je_gone", "unknown_account"), ("je_none", "unbalanced_entry")])
    hand_over(tmp_path, seeds)
    compiled = compiled_project(tmp_path)
    names = {node.id: node.name for node in compiled.nodes.values()}
    read = {names[i] for node in compiled.nodes.values() if node.name in LAWS for i in node.parents}
    results = models.build(tmp_path, *read)
    assert {results[law].status for law in LAWS} == {"fail"}
    told = failures.told(compiled, results.values(), tmp_path / "build.duckdb")
    assert "company_id beta journal_id je_off journal_number JE_OFF imbalance 0.01" in told
    assert "journal_id je_none journal_number JE_NONE line_no 2 account_id unassigned" in told
    assert "journal_id je_memo" in told
    assert "je_gone" not in told
    assert "je_fair" not in told
    assert "blsync query --unpublished" in told
    assert "accepted_exceptions.csv" in told
    assert "Siti" not in told
    assert str(LATER) not in told
