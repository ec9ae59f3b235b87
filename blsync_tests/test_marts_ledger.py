"""Cash flow, restatements, exceptions and the push log on made-up books, against plain Python."""

from __future__ import annotations

import os
import random
import shutil
from calendar import monthrange
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rig import commands, models
from rig.seeds import hand_over
from test_warehouse import (
    WAREHOUSE,
    Row,
    account,
    invoice,
    journal,
    tombstone,
    version,
    write,
)

from blsync import marts, settings
from blsync.ledger import Ledger, plans
from blsync.ledger.approvals import Saying
from blsync.ledger.plans import Operation, Plan, RowOutcome
from blsync.ledger.states import Verdict
from blsync.marts.running import Result

Query = Callable[[str], list[Any]]
FIRST = datetime(2026, 1, 31, 18, tzinfo=UTC)
SECOND = datetime(2026, 2, 11, 18, tzinfo=UTC)
THIRD = datetime(2026, 3, 10, 18, tzinfo=UTC)
LAST = datetime(2026, 3, 14, 18, tzinfo=UTC)
CLOSES = {
    date(2025, 12, 1): datetime(2026, 1, 8, 1, tzinfo=UTC),  # before anything was pulled
    date(2026, 1, 1): datetime(2026, 2, 5, 1, tzinfo=UTC),
    date(2026, 2, 1): datetime(2026, 3, 5, 1, tzinfo=UTC),
}
COMPANIES = ("alpha", "beta")

OPERATING, INVESTING, FINANCING = "operating", "investing", "financing"
CHART = {
    "bank": ("Maybank", "asset", "current_asset"),
    "till": ("Cash in till", "asset", "current_asset"),
    "debtors": ("Trade Debtors", "asset", "current_asset"),
    "sundry": ("Sundry", "asset", None),
    "van": ("Van", "asset", "fixed_asset"),
    "accumulated": ("Accumulated Depreciation of the van", "asset", "fixed_asset"),
    "goodwill": ("Goodwill", "asset", "other_asset"),
    "creditors": ("Trade Creditors", "liability", "current_liability"),
    "provision": ("Provision", "liability", "other_liability"),
    "mortgage": ("Mortgage", "liability", "long_term_liability"),
    "capital": ("Share Capital", "equity", "equity"),
    "drawings": ("Drawings", "equity", "equity"),
    "retained": ("Retained Earnings", "equity", "equity"),
    "surplus": ("Revaluation", "equity", "equity"),
    "sales": ("Sales", "revenue", "operating_revenue"),
    "rent": ("Rent", "expense", "operating_expense"),
    "wear": ("Depreciation", "expense", "operating_expense"),
}
CASH = ("bank", "till")
PROFIT = ("sales", "rent", "wear")
LINES = {
    "debtors": (OPERATING, "Change in trade receivables"),
    "sundry": (OPERATING, "Change in other current assets"),
    "van": (INVESTING, "Fixed assets at cost"),
    "accumulated": (OPERATING, "Depreciation and amortisation added back"),
    "goodwill": (INVESTING, "Other assets"),
    "creditors": (OPERATING, "Change in trade payables"),
    "provision": (OPERATING, "Change in other liabilities"),
    "mortgage": (FINANCING, "Loans"),
    "capital": (FINANCING, "Capital"),
    "drawings": (FINANCING, "Dividends and drawings"),
    "retained": (FINANCING, "Entries on earnings other than closings"),
    "surplus": (FINANCING, "Other equity"),
}


def entry(
    key: str,
    day: date,
    *lines: tuple[str, str | int | Decimal],
    at: datetime = FIRST,
    **fields: Any,
) -> Row:
    """A version of an entry that was pulled at that time; debits positive."""
    company = fields.pop("company", "alpha")
    told = {"_pulled_at": at, "_load_id": f"load {at:%m%d}", "_request_id": f"request {at:%m%d}"}
    pairs = [(name, str(amount)) for name, amount in lines]
    return journal(company, key, (day, pairs), **(told | fields))


def gone(key: str, at: datetime) -> Row:
    return {**tombstone("alpha", key, at), "_load_id": f"load {at:%m%d}"}


def random_entries(company: str) -> list[Row]:
    """Entries on any accounts in sixteen months, the 29th of February among their days."""
    rng = random.Random(company)
    found = []
    for number in range(150):
        day = date(2024, 1, 1) + timedelta(days=rng.randrange(790))
        debit, credit = rng.sample(list(CHART), 2)
        amount = Decimal(rng.randrange(1, 10 ** rng.randrange(3, 13))) / 100
        found.append(
            entry(
                f"r_{company}_{number + 1:04d}", day, (debit, amount), (credit, -amount),
                company=company, at=rng.choice([FIRST, FIRST, FIRST, SECOND, THIRD, LAST]),
                reference=f"R{number}",
            )
        )  # fmt: skip
    leap = [("van", "29.02"), ("bank", "-29.02")]
    return [*found, entry(f"leap_{company}", date(2024, 2, 29), *leap, company=company)]


def closing(company: str, key: str, day: date) -> Row:
    """The entry that leaves nothing on the accounts of the profit and loss at a year's end."""
    left: dict[str, Decimal] = defaultdict(Decimal)
    for row in random_entries(company):
        for line in row["lines"] if row["date"] <= day else []:
            if line["accountId"] in PROFIT:
                left[line["accountId"]] -= line["debit"] - line["credit"]
    return entry(key, day, *left.items(), ("retained", -sum(left.values())), company=company)


CLOSINGS = [
    closing("alpha", "closing", date(2024, 12, 31)),
    closing("beta", "closing_beta", date(2025, 5, 31)),
]
JANUARY, FEBRUARY = date(2026, 1, 20), date(2026, 2, 10)
RENT: list[tuple[str, str | int]] = [("rent", 100), ("bank", -100)]


def changes() -> list[Row]:
    """What happens to alpha's entries after January and February were closed."""
    dearer: list[tuple[str, str | int]] = [("rent", 120), ("bank", -120)]
    other: list[tuple[str, str | int]] = [("wear", 100), ("bank", -100)]
    longer: list[tuple[str, str | int]] = [("rent", 60), ("bank", -100), ("wear", 40)]
    return [
        entry("added", JANUARY, *RENT, at=SECOND),
        entry("removed", JANUARY, *RENT), gone("removed", SECOND),
        entry("amount", JANUARY, *RENT), entry("amount", JANUARY, *dearer, at=SECOND),
        entry("account", JANUARY, *RENT), entry("account", JANUARY, *other, at=SECOND),
        entry("date", JANUARY, *RENT), entry("date", FEBRUARY, *RENT, at=SECOND),
        entry("status", JANUARY, *RENT, status="draft"), entry("status", JANUARY, *RENT, at=SECOND),
        entry("void", JANUARY, *RENT), entry("void", JANUARY, *RENT, at=SECOND, status="void"),
        entry("reversal", FEBRUARY, ("bank", 100), ("rent", -100), at=SECOND, reversesId="void"),
        entry("line", JANUARY, *RENT), entry("line", JANUARY, *longer, at=SECOND),
        entry("early", date(2025, 11, 3), *RENT, at=THIRD),
        entry("late", FEBRUARY, *RENT, at=THIRD),
        entry("twice", JANUARY, *RENT), entry("twice", JANUARY, *dearer, at=SECOND),
        entry("twice", JANUARY, *RENT, at=THIRD),
        entry("back", JANUARY, *RENT), gone("back", SECOND), entry("back", JANUARY, *RENT, at=LAST),
        entry("same", JANUARY, *RENT), entry("same", JANUARY, *RENT, at=SECOND, description="!"),
        entry("draft", JANUARY, *RENT, at=SECOND, status="draft", createdAt=THIRD),
        entry("open", date(2026, 3, 2), *RENT, at=THIRD),
    ]  # fmt: skip


NEW_YEAR, LATE_IN_MARCH = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC)


def odd_entries() -> list[Row]:
    march = date(2026, 3, 3)
    fresh = {"at": LAST, "createdAt": LATE_IN_MARCH, "postedAt": None}
    crooked: list[tuple[str, str | int]] = [("rent", 100), ("bank", "-99.99")]
    return [
        entry("stale", march, *RENT, status="draft", createdAt=NEW_YEAR),
        entry("stale", march, *RENT, status="draft", createdAt=NEW_YEAR, at=LAST),
        entry("crooked", march, *crooked, status="draft", **fresh),
        entry("nowhere", march, ("rent", 5), ("moon", -5), status="draft", **fresh),
        entry("no_reversal", march, *RENT, status="posted"),
        entry("no_reversal", march, *RENT, status="void", at=SECOND),
        entry("ahead", date(2026, 3, 16), *RENT, at=LAST),
        entry("booked_late", JANUARY, *RENT, at=THIRD, postedAt=LATE_IN_MARCH),
        entry("same_ref_a", march, *RENT, at=LAST, reference="Ref 7"),
        entry("same_ref_b", march, *RENT, at=LAST, reference=" ref 7"),
        entry("same_ref_c", march, *RENT, at=LAST, reference="ref 7", status="draft"),
        entry("number_a", march, *RENT, at=LAST, journalNumber="N"),
        entry("number_b", march, *RENT, at=LAST, journalNumber="N"),
        *[
            entry(f"gap_{n}", march, *RENT, at=LAST, journalNumber=f"GAP-{n}")
            for n in (8, 9, 11, 14)
        ],
        entry("gap_12", march, *RENT, journalNumber="GAP-12"), gone("gap_12", SECOND),
    ]  # fmt: skip


def invoices() -> list[Row]:
    due = date(2026, 3, 20)
    nights = [{"_pulled_at": at, "_load_id": f"load {at:%m%d}"} for at in (FIRST, SECOND, LAST)]
    mine = {"customerId": "c1", "reference": "PO 1"}
    return [
        invoice("alpha", "INV-1", due, "50.00", **nights[0]),
        invoice("alpha", "INV-1", due, "50.00", total=Decimal(51), **nights[1]),
        invoice("alpha", "INV-1", due, "50.00", total=Decimal(51), status="paid", **nights[2]),
        invoice("alpha", "INV-2", due, "60.00", totalTax=Decimal(6), **mine),
        invoice("alpha", "INV-4", due, "9.00", **mine),
        invoice("alpha", "INV-5", due, "9.00", **mine | {"customerId": "c2"}),
    ]


def parted() -> dict[str, list[Row]]:
    """What beta sells to whom, and the entries that carry the invoices' numbers."""
    day, chairs, tables = date(2025, 7, 4), "chair", "table"
    sold = {
        "B-1": ("wholesaler", [chairs]), "B-2": ("passer_by", [chairs]),
        "B-3": ("passer_by", [chairs, tables]), "B_4": ("nobody", [tables]),
    }  # fmt: skip
    return {
        "journal_entries": [
            entry(f"sold_{n}", day, ("debtors", 10**n), ("sales", -(10**n)), company="beta",
                  reference=number)
            for n, number in enumerate(sold)
        ],
        "customers": [
            version("beta", FIRST, id="wholesaler", name="W", tags=["VIP", "Wholesale"]),
            version("beta", FIRST, id="passer_by", name="P", tags=["Walk-in"]),
            version("beta", FIRST, id="nobody", name="N"),
        ],
        "items": [
            version("beta", FIRST, id=item, itemCode=item, category={"name": item.title()})
            for item in (chairs, tables)
        ],
        "invoices": [
            invoice("beta", number, day, "9.00", customerId=customer, items=[
                {"id": item, "itemId": item, "lineTotal": Decimal(9) / len(items)} for item in items
            ])
            for number, (customer, items) in sold.items()
        ],
    }  # fmt: skip


DIMENSIONS = """\
company_id,dimension,value,account_from,account_to,customer_tag,item_category,reference
beta,department,Trade,,,WHOLESALE,,
beta,department,Chairs,,,,chair,
beta,department,Front,SALES,SALES,,,
beta,project,Sold,SALES,SALES,,,b-*
beta,project,Rented,RENT,SALES,,,*9
mars,department,Trade,,,,,
beta,region,East,,,,,B_*
beta,shop,North,6000,6999,ghost,,
"""


def landing() -> dict[str, list[Row]]:
    charted = [*COMPANIES, "omega"]  # omega has a chart and no entries
    return {
        "accounts": [
            {**account(company, key, *rest), "_pulled_at": FIRST, "accountNumber": key.upper()}
            for company in charted
            for key, rest in CHART.items()
        ],
        "journal_entries": [
            *(row for company in COMPANIES for row in random_entries(company)),
            *CLOSINGS, *changes(), *odd_entries(), *parted()["journal_entries"],
        ],
        "customers": parted()["customers"],
        "items": parted()["items"],
        "invoices": [*invoices(), *parted()["invoices"]],
    }  # fmt: skip


def quarantine(data: Path) -> None:
    rows = [
        ("invoices", '{"id": "INV-9"}', "Decimal does not fit 'a@b.my' (in notes)", FIRST),
        ("invoices", '{"id": "INV-9"}', "Not a date: ali.abu@example.my.", SECOND),
        ("invoices", '{"id": "INV-4"}', "Mended since", FIRST),
        ("invoices", '["no record"]', "Expected `object`, got `array`", SECOND),
        ("stock", '{"itemId": "i", "locationId": "l"}', "Expected `decimal`", SECOND),
    ]
    for number, (name, payload, reason, at) in enumerate(rows):
        folder = data / "quarantine" / name / "company_id=alpha"
        folder.mkdir(parents=True, exist_ok=True)
        row = {"_payload": payload, "_reason": reason, "_load_id": "l", "_request_id": "req",
               "_pulled_at": at}  # fmt: skip
        pq.write_table(pa.Table.from_pylist([row]), folder / f"{number}.parquet")


def pushed(data: Path) -> None:
    """Plans in a real ledger, and the input that a build reads of them."""
    given = settings.load()
    plan = Plan(
        "p1", "one", "alpha", "https://x/v1", "customers", "planned", "a.csv", "upsert", FIRST,
        verdicts=(Saying(Verdict.PLANNED, "alice", FIRST), Saying(Verdict.APPROVED, "bob", THIRD)),
    )  # fmt: skip
    doubted = {"code": "DUPLICATE_EMAIL", "field": "email", "message": "siti@example.my is taken"}
    refused = {"code": "REQUIRED_FIELD", "field": "name", "message": "name is empty"}
    rows = [
        Operation(1, "ahmad.ali+x@example.my", "create", "pending"),
        Operation(2, "siti@example.my", "update", "pending", remote_id="c9",
                  changes='{"creditLimit":[10.00,25.50],"email":["s@example.my","t@example.my"]}'),
        Operation(3, "CUST-3", "create", "not_sent", error=refused),
    ]  # fmt: skip
    given.data.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(given.ledger_url)
    plans.put(ledger, plan, rows)
    plans.claim(ledger, "p1", rows[:2], "b1", SECOND)
    lost, done = RowOutcome(1, "pending", "lost"), RowOutcome(1, "applied", "applied", "c1")
    plans.settle(
        ledger, "p1", [lost, RowOutcome(2, "rejected", "rejected", error=doubted)], THIRD, "q1"
    )
    plans.claim(ledger, "p1", rows[:1], "b2", THIRD, "carol")
    plans.settle(ledger, "p1", [done], LAST, "q2")
    ledger.close()
    commands.write_inputs(given, [])
    shutil.copy(given.data / "inputs" / "push_log.parquet", data / "inputs")


BUDGET = """company_id,account_number,period,amount,version
beta,SALES,2025-04,"1,000.00",
beta,SALES,2025-06,2000,
beta,RENT,07/2025,(300.50),
beta,MARS,2025-06,5,
beta,BANK,2025-06,7,
beta,SALES,2025-06,900,Forecast
omega,SALES,2025-06,1,
nobody,SALES,2025-06,1,
"""
"""Of a year that begins in June; MARS is no account, BANK none of the profit and loss."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Result]]:
    """The books above, built with their laws."""
    folder = tmp_path_factory.mktemp("ledger")
    data, seeds = folder / "data", folder / "seeds"
    shutil.copytree(WAREHOUSE / "seeds", seeds)
    data.mkdir()
    write(data, landing(), [])
    quarantine(data)
    closed = [f"alpha,{period},{at.isoformat()}\n" for period, at in CLOSES.items()]
    (seeds / "period_close.csv").write_text("company_id,period,closed_at\n" + "".join(closed))
    (seeds / "fiscal_year.csv").write_text("company_id,start_month\nbeta,6\n")
    (seeds / "account_roles.csv").write_text(
        "company_id,account_number,account_role\nalpha,BANK,cash\nbeta,BANK,cash\nomega,BANK,cash\n"
        "alpha,GOODWILL,investments\nalpha,PROVISION,\n"
    )
    (seeds / "budget.csv").write_text(BUDGET)
    (seeds / "dimensions.csv").write_text(DIMENSIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BLSYNC_DATA", str(folder / "push"))
        patch.setenv("BLSYNC_SEEDS", str(seeds))
        patch.setenv("BLSYNC_ENV_FILE", os.devnull)
        patch.setenv("BIGLEDGER_COMPANY_ID", "alpha")
        pushed(data)
    hand_over(data, seeds)
    wanted = ("cash_flow_summary", "restatements", "trial_balance", "exceptions", "push_log")
    wanted = (*wanted, "budget_vs_actual", "profit_and_loss_by_dimension")
    wanted = (*wanted, "invoice_line_dimensions", "variance_drivers", "stg_suppliers")
    results = models.build(data, *wanted)
    assert not models.failed(results)
    return data, results


@pytest.fixture(scope="module")
def data(built: tuple[Path, dict[str, Result]]) -> Path:
    return built[0]


@pytest.fixture(scope="module")
def query(data: Path) -> Iterator[Query]:
    with duckdb.connect(str(data / "build.duckdb"), read_only=True) as connection:
        connection.execute("set schema = 'finance'")

        def ask(sql: str) -> list[Any]:
            rows = connection.execute(sql).fetchall()
            return [row[0] if len(row) == 1 else row for row in rows]

        yield ask


def known_entries(company: str, at: datetime) -> list[Row]:
    """The entries that counted, by what had been pulled up to that time."""
    latest: dict[str, Row] = {}
    rows = [row for row in landing()["journal_entries"] if row["_company_id"] == company]
    for row in sorted(rows, key=lambda row: row["_pulled_at"]):
        if row["_pulled_at"] <= at:
            latest[row["id"]] = row
    return [
        row
        for row in latest.values()
        if row["_op"] == "upsert" and row["status"] in ("posted", "void")
    ]


def end_of(period: date) -> date:
    return period.replace(day=monthrange(period.year, period.month)[1])


def balances(company: str, day: date, at: datetime) -> dict[str, Decimal]:
    found: dict[str, Decimal] = defaultdict(Decimal)
    for row in known_entries(company, at):
        if row["date"] <= day:
            for line in row["lines"]:
                found[line["accountId"]] += line["debit"] - line["credit"]
    return dict(found)


@pytest.mark.parametrize("company", COMPANIES)
def test_the_cash_flow_is_what_moved_every_account_but_cash(query: Query, company: str) -> None:
    wanted: dict[tuple[date, str, str], Decimal] = defaultdict(Decimal)
    for row in known_entries(company, LAST):
        if row["id"].startswith("closing"):
            continue
        for line in row["lines"]:
            name = line["accountId"]
            section = (OPERATING, "Net profit") if name in PROFIT else LINES.get(name)
            if name not in CASH and section:
                wanted[row["date"].replace(day=1), *section] -= line["debit"] - line["credit"]
    mart = query(
        "select period, section, line_name, sum(amount) from cash_flow"
        f" where company_id = '{company}' group by all having sum(amount) <> 0"
    )
    assert {tuple(key): amount for *key, amount in mart} == {k: v for k, v in wanted.items() if v}


@pytest.mark.parametrize("company", COMPANIES)
def test_the_cash_flow_summary_leads_from_opening_to_closing_cash(
    query: Query, company: str
) -> None:
    rows = query(
        "select period, opening_cash, operating + investing + financing, closing_cash,"
        " ledger_cash_change, footing_difference from cash_flow_summary"
        f" where company_id = '{company}' order by 1"
    )
    assert len(rows) == 27
    opening = Decimal(0)
    for period, *figures in rows:
        held = balances(company, end_of(period), LAST)
        cash = sum((held.get(name, Decimal(0)) for name in CASH), Decimal(0))
        assert figures == [opening, cash - opening, cash, cash - opening, 0]
        opening = cash


def test_a_company_without_entries_has_a_cash_flow_of_nothing(query: Query) -> None:
    assert query(
        "select period, closing_cash, footing_difference from cash_flow_summary"
        " where company_id = 'omega'"
    ) == [(date(2026, 3, 1), 0, 0)]


@pytest.mark.parametrize("at", [FIRST - timedelta(1), *CLOSES.values(), SECOND, LAST])
def test_the_trial_balance_as_known_is_what_had_been_pulled_by_then(
    query: Query, at: datetime
) -> None:
    for company in COMPANIES:
        for day in (date(2024, 2, 29), date(2026, 1, 31), date(2026, 3, 31)):
            mart = query(
                "select account_id, closing_balance"
                f" from finance.trial_balance_as_known('{day}', timestamp '{at:%Y-%m-%d %H:%M}')"
                f" where company_id = '{company}'"
            )
            assert dict(mart) == balances(company, day, at)


def test_balances_known_at_the_close_and_restatements_make_those_known_now(query: Query) -> None:
    for period, closed_at in CLOSES.items():
        then = balances("alpha", end_of(period), max(closed_at, FIRST))
        now = balances("alpha", end_of(period), LAST)
        deltas = {
            name: now.get(name, Decimal(0)) - then.get(name, Decimal(0)) for name in {*now, *then}
        }
        mart = query(
            "select account_id, sum(amount_delta) from restatements"
            f" where period = '{period}' group by all having sum(amount_delta) <> 0"
        )
        assert dict(mart) == {name: delta for name, delta in deltas.items() if delta}


def test_each_change_to_closed_books_is_listed_with_its_kind(query: Query) -> None:
    rows = query(
        "select journal_id, account_id, change_type, amount_before, amount_after, known_from::date"
        " from restatements where period = '2026-01-01' and journal_id not like 'r\\_%' escape '\\'"
        " and journal_id not in ('early', 'booked_late') order by all"
    )
    second, third, last = SECOND.date(), THIRD.date(), LAST.date()
    assert rows == [
        ("account", "rent", "account", 100, 0, second),
        ("account", "wear", "account", 0, 100, second),
        ("added", "bank", "added", 0, -100, second),
        ("added", "rent", "added", 0, 100, second),
        ("amount", "bank", "amount", -100, -120, second),
        ("amount", "rent", "amount", 100, 120, second),
        ("back", "bank", "added", 0, -100, last),
        ("back", "bank", "removed", -100, 0, second),
        ("back", "rent", "added", 0, 100, last),
        ("back", "rent", "removed", 100, 0, second),
        ("date", "bank", "date", -100, 0, second),
        ("date", "rent", "date", 100, 0, second),
        ("line", "rent", "amount", 100, 60, second),
        ("line", "wear", "added", 0, 40, second),
        ("removed", "bank", "removed", -100, 0, second),
        ("removed", "rent", "removed", 100, 0, second),
        ("status", "bank", "status", 0, -100, second),
        ("status", "rent", "status", 0, 100, second),
        ("twice", "bank", "amount", -120, -100, third),
        ("twice", "bank", "amount", -100, -120, second),
        ("twice", "rent", "amount", 100, 120, second),
        ("twice", "rent", "amount", 120, 100, third),
        ("void", "bank", "status", -100, -100, second),
        ("void", "rent", "status", 100, 100, second),
    ]


def test_a_change_reaches_the_closed_months_after_it_and_no_earlier_ones(query: Query) -> None:
    rows = query(
        "select journal_id, period, is_brought_forward, request_id from restatements"
        " where account_id = 'rent' and journal_id in ('early', 'late') order by all"
    )
    assert rows == [
        ("early", date(2025, 12, 1), True, "request 0310"),
        ("early", date(2026, 1, 1), True, "request 0310"),
        ("early", date(2026, 2, 1), True, "request 0310"),
        ("late", date(2026, 2, 1), False, "request 0310"),
    ]


def test_books_from_before_the_first_load_are_no_restatement(query: Query) -> None:
    assert query("from restatements where known_from <= '2026-01-31 18:00'") == []
    assert query("from restatements where company_id = 'beta'") == []


GUESSED = {
    "till": "cash",
    "debtors": "accounts_receivable",
    "accumulated": "accumulated_depreciation",
    "creditors": "accounts_payable",
    "capital": "share_capital",
    "drawings": "dividends",
    "retained": "retained_earnings",
    "wear": "depreciation_expense",
}
"""What a word alone tells; the user names the bank, and categories say the rest or nothing."""


def test_a_role_that_a_word_alone_tells_is_listed_with_the_line_that_settles_it(
    query: Query,
) -> None:
    rows = query(
        "select record_id, severity, evidence from exceptions"
        " where company_id = 'alpha' and rule = 'guessed_role'"
    )
    held = balances("alpha", date.max, LAST)
    assert {key for key, *_ in rows} == {key for key in GUESSED if held[key]}
    for key, severity, evidence in rows:
        assert severity == ("info" if key in PROFIT else "warning")
        assert f"a balance of {held[key]}." in evidence
        assert f"by the line alpha,{key.upper()},{GUESSED[key]} in account_roles.csv" in evidence


def test_exceptions_name_the_record_the_rule_and_what_was_found(query: Query) -> None:
    rows = query(
        "select rule, severity, record_id, evidence, first_seen::date from exceptions"
        " where record_id not like 'r\\_%' escape '\\'"
        " and rule not in ('entry_in_closed_period', 'guessed_role') order by all"
    )
    first, second, last = FIRST.date(), SECOND.date(), LAST.date()
    day = timedelta(days=1)
    assert rows == [
        ("broken_invoice_totals", "error", "INV-1", "INV-1: subtotal, tax and shipping are 50.00, "
         "its total is 51.00; its total less what was paid is 51.00, 50.00 is due.", second),
        ("broken_invoice_totals", "error", "INV-2", "INV-2: its lines bear 0.00 tax, its header "
         "6.00; subtotal, tax and shipping are 66.00, its total is 60.00.", last + day),
        ("duplicate_number", "warning", "number_a", "2 records have the number N.", last),
        ("duplicate_number", "warning", "number_b", "2 records have the number N.", last),
        ("duplicate_reference", "info", "INV-2", "INV-2 has the same reference as INV-4.",
         last + day),
        ("duplicate_reference", "info", "INV-4", "INV-4 has the same reference as INV-2.",
         last + day),
        ("duplicate_reference", "warning", "same_ref_a", "SAME_REF_A has the same reference and "
         "total as SAME_REF_B.", last),
        ("duplicate_reference", "warning", "same_ref_b", "SAME_REF_B has the same reference and "
         "total as SAME_REF_A.", last),
        ("entry_in_future", "warning", "ahead", "AHEAD is dated 2026-03-16, ahead of 2026-03-15.",
         last),
        ("number_gap", "info", "gap_11", "Between GAP-9 and GAP-11 a number is missing.", last),
        ("number_gap", "info", "gap_14", "Between GAP-11 and GAP-14 2 numbers are missing; "
         "1 known from records that were deleted.", last),
        ("number_gap", "warning", "INV-4", "Between INV-2 and INV-4 a number is missing.",
         last + day),
        ("quarantined_record", "error", "INV-9", "The record could not be typed and is in no table:"
         " Not a date: … (request req).", first),
        ("quarantined_record", "error", "i:l", "The record could not be typed and is in no table: "
         "Expected `decimal` (request req).", second),
        ("quarantined_record", "error", "without an id in req", "The record could not be typed and "
         "is in no table: Expected `object`, got `array` (request req).", second),
        ("stale_draft", "warning", "stale", "STALE is still a draft, 73 days after it was made.",
         first),
        ("unbalanced_entry", "warning", "crooked", "CROOKED has debits of 100.00 and credits of "
         "99.99; its header says 100.00 and 100.00.", last),
        ("unknown_account", "warning", "nowhere", "NOWHERE has a line on an account that the chart "
         "does not have or gives no known type: moon.", last),
        ("void_without_reversal", "error", "no_reversal", "NO_REVERSAL is void, but no entry "
         "reverses it, so its 100.00 still count.", second),
    ]  # fmt: skip


def test_only_what_was_booked_after_the_close_is_an_exception_of_a_closed_month(
    query: Query,
) -> None:
    assert query(
        "select record_id, evidence from exceptions where rule = 'entry_in_closed_period'"
    ) == [
        ("booked_late", "BOOKED_LATE is dated 2026-01-20 but was booked on 2026-03-09, after that "
         "month was closed on 2026-02-05.")
    ]  # fmt: skip


def test_the_push_log_has_every_attempt_and_no_mail_address(query: Query) -> None:
    assert query(
        "select row, attempt_no, entity, action, natural_key, state, outcome, remote_id,"
        " request_id, error_code, error from push_log order by 1, 2"
    ) == [
        (1, 1, "customers", "create", "a***@example.my", "applied", "lost", "c1", "q1", None, None),
        (1, 2, "customers", "create", "a***@example.my", "applied", "applied", "c1", "q2", None,
         None),
        (2, 1, "customers", "update", "s***@example.my", "rejected", "rejected", "c9", "q1",
         "DUPLICATE_EMAIL", "email: s***@example.my is taken"),
        (3, 0, "customers", "create", "CUST-3", "not_sent", None, None, None, "REQUIRED_FIELD",
         "name: name is empty"),
    ]  # fmt: skip


def test_the_push_log_has_who_acted_and_what_was_before_and_after(query: Query) -> None:
    assert query(
        "select row, attempt_no, planned_by, actor, approved_by, before, after from push_log"
        " order by 1, 2"
    ) == [
        (1, 1, "alice", None, None, None, None),
        (1, 2, "alice", "carol", "bob", None, None),
        (2, 1, "alice", None, None, '{"creditLimit":10.00,"email":"***"}',
         '{"creditLimit":25.50,"email":"***"}'),
        (3, 0, "alice", "alice", "bob", None, None),
    ]  # fmt: skip


def test_the_published_file_answers_what_was_known_when(
    data: Path, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("BLSYNC_DATA", str(data))
    given = settings.load()
    (data / "build.whole").touch()
    marts.publish(given)
    _, rows = marts.fetch_rows(
        given,
        "select account_id, closing_balance from finance.trial_balance_as_known("
        "'2026-02-28', '2026-03-05 01:00') where company_id = 'alpha'",
    )
    assert dict(rows) == balances("alpha", date(2026, 2, 28), CLOSES[date(2026, 2, 1)])


def test_what_was_planned_stands_beside_what_came_about_in_every_month_of_the_plan(
    query: Query,
) -> None:
    moved: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for row in known_entries("beta", LAST):
        for line in row["lines"] if not row["id"].startswith("closing") else []:
            if line["accountId"] in PROFIT:
                amount = line["debit"] - line["credit"]
                natural = -amount if line["accountId"] == "sales" else amount
                moved[row["date"].replace(day=1), line["accountId"].upper()] += natural
    april, june, july = date(2025, 4, 1), date(2025, 6, 1), date(2025, 7, 1)
    planned = {
        (april, "SALES"): Decimal(1000), (june, "SALES"): Decimal(2000),
        (july, "RENT"): Decimal("-300.50"), (june, "MARS"): Decimal(5), (june, "BANK"): Decimal(7),
    }  # fmt: skip
    rows = query(
        "select period, account_number, budget_amount, actual_amount, variance_amount "
        "from budget_vs_actual where company_id = 'beta' and version = 'budget'"
    )
    found = {(period, number): amounts for period, number, *amounts in rows}
    span = (april, date(2025, 5, 1), june, july)
    assert found.keys() == planned.keys() | {(m, a.upper()) for m in span for a in PROFIT}
    for key, amounts in found.items():
        plan, actual = planned.get(key, Decimal(0)), moved[key]
        assert amounts == [plan, actual, actual - plan], key
    names = "select account_number from budget_vs_actual where account_name is null"
    assert sorted(query(f"{names} and section is null")) == ["BANK", "MARS"]
    others = "select distinct company_id, version from budget_vs_actual order by all"
    assert query(others) == [("beta", "Forecast"), ("beta", "budget"), ("omega", "budget")]


def test_a_budget_adds_up_over_the_fiscal_year_and_tells_what_it_does_to_the_profit(
    query: Query,
) -> None:
    sales = (
        "select ytd_budget_amount, ytd_actual_amount - sum(actual_amount) over (partition by "
        "period >= date '2025-06-01' order by period) from budget_vs_actual where company_id = "
        "'beta' and version = 'budget' and account_number = 'SALES' order by period"
    )
    assert query(sales) == [(1000, 0), (1000, 0), (2000, 0), (2000, 0)]
    effects = (
        "select sum(profit_effect) - sum(case when section like '%revenue' then variance_amount "
        "else -variance_amount end) from budget_vs_actual where section is not null"
    )
    assert query(effects) == [0]
    assert query("select count(*) from budget_vs_actual where profit_effect is null") == [2]


def test_a_line_counts_for_the_first_rule_of_a_dimension_that_holds(query: Query) -> None:
    rows = query(
        "select reference, account_id, dimension, value from general_ledger inner join "
        "ledger_dimensions using (company_id, line_key) where reference like 'B%'"
    )
    # Capitals do not matter, an invoice of two categories is of neither, and `_` is no placeholder.
    assert sorted(rows) == [
        ("B-1", "debtors", "department", "Trade"),
        ("B-1", "sales", "department", "Trade"),
        ("B-1", "sales", "project", "Sold"),
        ("B-2", "debtors", "department", "Chairs"),
        ("B-2", "sales", "department", "Chairs"),
        ("B-2", "sales", "project", "Sold"),
        ("B-3", "sales", "department", "Front"),
        ("B-3", "sales", "project", "Sold"),
        ("B_4", "debtors", "region", "East"),
        ("B_4", "sales", "department", "Front"),
        ("B_4", "sales", "region", "East"),
    ]
    invoiced = query(
        "select invoice_number, item_id, value from invoice_lines inner join "
        "invoice_line_dimensions using (company_id, invoice_id, line_no)"
    )
    assert sorted(invoiced) == [
        ("B-1", "chair", "Trade"),
        ("B-2", "chair", "Chairs"),
        ("B-3", "chair", "Chairs"),
        ("B_4", "table", "East"),
    ]


def test_the_profit_and_loss_by_dimension_has_every_line_once_in_each_dimension(
    query: Query,
) -> None:
    sums: dict[tuple[str, str, date, str], Decimal] = defaultdict(Decimal)
    for row in known_entries("beta", LAST):
        reference = row.get("reference") or ""
        for line in row["lines"] if not row["id"].startswith("closing") else []:
            if (account := line["accountId"]) not in PROFIT:
                continue
            amount = line["debit"] - line["credit"]
            front = "Front" if account == "sales" else "unassigned"
            department = {"B-1": "Trade", "B-2": "Chairs"}.get(reference, front)
            sold = account == "sales" and reference.startswith("B-")
            rented = account in ("rent", "sales") and reference.endswith("9")
            project = "Sold" if sold else "Rented" if rented else "unassigned"
            natural = -amount if account == "sales" else amount
            values = {
                "department": department,
                "project": project,
                "region": "East" if reference.startswith("B_") else "unassigned",
                "shop": "unassigned",
            }
            for dimension, value in values.items():
                sums[dimension, value, row["date"].replace(day=1), account] += natural
    rows = query(
        "select dimension, value, period, account_id, amount from profit_and_loss_by_dimension"
    )
    assert {tuple(row[:4]): row[4] for row in rows} == sums
    assert {value for _, value, _, _ in sums} >= {"Sold", "Rented", "Trade", "unassigned"}


def test_rules_that_name_what_does_not_exist_are_a_warning(
    built: tuple[Path, dict[str, Result]],
) -> None:
    # A company that is none, and a tag that no customer has; the third is a role left empty.
    law = built[1]["the_users_tables_name_what_exists"]
    assert (law.status, law.failures) == ("warn", 3)


def test_what_moved_an_account_is_its_drivers_and_the_rest(query: Query) -> None:
    parties = {
        "B-1": ("customer", "wholesaler"),
        "B-2": ("customer", "passer_by"),
        "B-3": ("customer", "passer_by"),
        "B_4": ("customer", "nobody"),
    }
    nothing: dict[Any, Decimal] = {}
    moved: dict[tuple[date, str], dict[Any, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for row in known_entries("beta", LAST):
        driver = parties.get(row.get("reference") or "", ("reference", row.get("reference")))
        if not row.get("reference"):
            driver = ("entry", row["journalNumber"])
        for line in row["lines"] if not row["id"].startswith("closing") else []:
            if (account := line["accountId"]) in PROFIT:
                amount = line["debit"] - line["credit"]
                natural = -amount if account == "sales" else amount
                moved[row["date"].replace(day=1), account][driver] += natural
    planned = {(date(2025, 4, 1), "sales"): 1000, (date(2025, 6, 1), "sales"): 2000}
    planned[date(2025, 7, 1), "rent"] = Decimal("-300.50")
    months = [date(2025, 3, 1).replace(year=2025 + n // 12, month=n % 12 + 1) for n in range(2, 15)]
    expected = {}
    for month in months:
        before = (month - timedelta(days=1)).replace(day=1)
        compared = {"previous_month": before, "previous_year": month.replace(year=month.year - 1)}
        if date(2025, 4, 1) <= month <= date(2025, 7, 1):
            compared["budget"] = month
        for (comparison, other), account in product(compared.items(), PROFIT):
            now, then = moved.get((month, account), nothing), moved.get((other, account), nothing)
            if comparison == "budget":
                then = {("budget", "budget"): Decimal(planned.get((month, account), 0))}
            total, base = sum(now.values()) - sum(then.values()), abs(sum(then.values()))
            if abs(total) >= 1000 and abs(total) * 20 >= base:
                each = {key: now.get(key, 0) - then.get(key, 0) for key in {*now, *then}}
                plan = each.pop(("budget", "budget"), 0)
                order = sorted(each, key=lambda key: (-abs(each[key]), *key))
                rows = [(*key, each[key]) for key in order[:5]]
                if plan:
                    rows.insert(0, ("budget", "budget", plan))
                if order[5:]:
                    rows.append(("rest", None, sum(each[key] for key in order[5:])))
                assert sum(row[2] for row in rows) == total
                expected[comparison, month, account.upper()] = rows
    found = defaultdict(list)
    for comparison, month, account, *driver in query(
        "select comparison, period, account_number, driver_type, driver_id, movement "
        "from variance_drivers where company_id = 'beta' "
        "and coalesce(version, 'budget') = 'budget' order by driver_order"
    ):
        found[comparison, month, account].append(tuple(driver))
    assert found == expected
    types = {row[0] for rows in expected.values() for row in rows}
    assert {comparison for comparison, _, _ in expected} == {
        "previous_month",
        "previous_year",
        "budget",
    }
    assert types >= {"customer", "reference", "budget"}
