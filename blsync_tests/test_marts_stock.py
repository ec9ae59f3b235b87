"""Stock over days, and what a comparison with BigLedger's own figures comes to, on books by hand.

One build for all; figures are worked out here from the definitions, not by the models.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rig import models
from rig.inputs import write_inputs
from rig.seeds import hand_over

from blsync.entities import ENTITIES

WAREHOUSE = Path(__file__).parent.parent / "warehouse"
HOME = ZoneInfo("Asia/Kuala_Lumpur")
TODAY = date(2028, 3, 2)
LEAP_DAY = date(2028, 2, 29)
FETCHED = datetime(2028, 3, 2, 2, 0, tzinfo=UTC)
LONG_AGO = FETCHED - timedelta(days=20)
MINUTES = timedelta(minutes=1)
DAY = timedelta(days=1)

Row = dict[str, Any]


def landed(company: str, at: datetime, **fields: Any) -> Row:
    return {
        "_company_id": company,
        "_load_id": f"load {at:%d%H%M}",
        "_pulled_at": at,
        "_request_id": f"request {at:%d%H%M}",
        "_op": "upsert",
        **fields,
    }


# Stock: what was observed of a few rows, at odd hours, of two companies.
Key = tuple[str, str, str]


class Seen(NamedTuple):
    """A version of a stock row; without a quantity it was found gone."""

    at: datetime
    quantity: Decimal | None
    value: Decimal | None


def observations() -> dict[Key, list[Seen]]:
    dice = random.Random(4)
    first = datetime(2028, 2, 26, 15, 59, 59, tzinfo=UTC)  # a second before midnight at home
    seen: dict[Key, list[Seen]] = {}
    for company in ("north", "south"):
        for item in ("a", "b", "c", "d"):
            for place in ("1", "2"):
                start = first + timedelta(hours=0 if item != "d" else 60)
                times = sorted({start, *(start + timedelta(hours=dice.randint(1, 95))
                                         for _ in range(dice.randint(0, 9)))})  # fmt: skip
                seen[company, item, place] = [
                    Seen(at, Decimal(dice.randint(0, 9999)) / 100, Decimal(dice.randint(0, 9999)))
                    for at in times
                    if at <= FETCHED
                ]
    gone = Seen(datetime(2028, 2, 28, 3, tzinfo=UTC), None, None)
    back = Seen(datetime(2028, 3, 1, 3, tzinfo=UTC), Decimal(7), Decimal(70))
    one = Seen(first, Decimal(5), Decimal("5.05"))
    seen["south", "gone", "1"] = [one, gone]
    seen["south", "back", "1"] = [one, gone, back]
    seen["south", "briefly gone", "1"] = [
        one,
        gone,
        Seen(gone.at + MINUTES, Decimal(1), Decimal(2)),
    ]
    seen["south", "gone today", "1"] = [one, gone._replace(at=FETCHED)]
    # Landed past midnight while the build of the day before was under way.
    seen["south", "tomorrow", "1"] = [one, Seen(FETCHED + DAY, Decimal(3), Decimal(4))]
    seen["south", "negative", "1"] = [Seen(first, Decimal(-2), Decimal(-20))]
    return seen


SEEN = observations()


def day_of(at: datetime) -> date:
    return min(at.astimezone(HOME).date(), TODAY)


def expected_history() -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """(company, day, item, place) → closing, value, change of both, gone; from the definition."""
    first_days: dict[str, date] = {}
    for (company, *_), versions in SEEN.items():
        first = day_of(versions[0].at)
        first_days[company] = min(first, first_days.get(company, first))
    found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for (company, item, place), versions in SEEN.items():
        before = (Decimal(0), Decimal(0))
        for number in range((TODAY - first_days[company]).days + 1):
            day = first_days[company] + number * DAY
            known = [v for v in versions if day_of(v.at) <= day]
            if not known:
                continue
            last = known[-1]
            if last.quantity is None and day_of(last.at) < day:
                continue
            closing = (last.quantity or Decimal(0), last.value or Decimal(0))
            change = (closing[0] - before[0], closing[1] - before[1])
            if day == first_days[company]:
                change = (None, None)  # type: ignore[assignment]
            found[company, day, item, place] = (*closing, *change, last.quantity is None)
            before = closing
    return found


def stock_rows() -> list[Row]:
    rows = []
    for (company, item, place), versions in SEEN.items():
        for version in versions:
            row = landed(company, version.at, itemId=item, locationId=place)
            if version.quantity is None:
                rows.append(row | {"_op": "delete"})
                continue
            rows.append(
                row
                | {
                    "currentStock": version.quantity,
                    "stockValue": version.value,
                    "averageCost": Decimal("1.5"),
                    "updatedAt": LONG_AGO,
                }
            )
    rows += [
        landed("reported", FETCHED, itemId=item, locationId="1", currentStock=Decimal(4),
               stockValue=Decimal(8), updatedAt=changed, lastMovement={"quantity": moved})
        for item, changed, moved in (
            ("old", LONG_AGO, Decimal(1)),
            ("new", FETCHED - MINUTES, None),
            ("sold", FETCHED - MINUTES, Decimal(-1)),
        )
    ]  # fmt: skip
    rows += [
        landed("reported", at, itemId="grown", locationId="1", currentStock=Decimal(quantity),
               stockValue=Decimal(quantity), updatedAt=changed)
        for at, quantity, changed in ((FETCHED - DAY, 5, LONG_AGO), (FETCHED, 9, FETCHED - MINUTES))
    ]  # fmt: skip
    return rows


# The ledger: the same entries in each company, whose reports say different things.
EARLY, LATE, LATER = Decimal(1000), Decimal(30), Decimal(7)


class Said(NamedTuple):
    """What a company's trial balance says of its cash, and what is to come of it."""

    cash: Decimal
    outcome: str
    made_at: datetime | None = None
    failed_before: bool | None = None


ALL = EARLY + LATE + LATER
REPORTS = {
    "right": Said(ALL, "pass"),
    "healed": Said(ALL, "pass", None, True),
    "lacks the last": Said(EARLY + LATE, "not_comparable"),
    "lacks both": Said(EARLY, "not_comparable", None, True),
    "lacks all": Said(Decimal(0), "fail"),
    "lacks the one before the last": Said(EARLY + LATER, "fail"),
    "off by a cent": Said(ALL - Decimal("0.01"), "fail"),
    "made in between": Said(EARLY + LATE, "not_comparable", FETCHED - 7 * MINUTES),
    "made afterwards": Said(EARLY + LATE, "fail", FETCHED - 4 * MINUTES),
    "made the day before": Said(EARLY, "not_comparable", FETCHED - DAY),
}


def entry(company: str, key: str, amount: Decimal, at: datetime, **fields: Any) -> Row:
    lines = [
        {"id": "1", "accountId": "cash", "debit": amount},
        {"id": "2", "accountId": "capital", "credit": amount},
    ]
    standard: Row = {"date": at.date(), "status": "posted", "createdAt": at, "postedAt": at}
    totals = {"totalDebit": amount, "totalCredit": amount, "lines": lines}
    return landed(company, FETCHED, id=key, **(standard | totals | fields))


def journal() -> list[Row]:
    rows = []
    for company in REPORTS:
        drafted = {"createdAt": LONG_AGO}  # and posted a moment ago
        rows += [
            entry(company, "early", EARLY, LONG_AGO),
            entry(company, "late", LATE, FETCHED - 10 * MINUTES, **drafted),
            entry(company, "later", LATER, FETCHED - 5 * MINUTES),
            entry(company, "draft", Decimal(9), FETCHED - MINUTES, status="draft"),
        ]
    ahead = {"date": TODAY + 5 * DAY}
    return [
        *rows,
        entry("read early", "early", EARLY, LONG_AGO),
        entry("read early", "late", LATE, FETCHED - 10 * MINUTES),
        entry("read early", "later", LATER, FETCHED - 5 * MINUTES),
        entry("reported", "early", EARLY, LONG_AGO),
        entry("reported", "ahead", LATER, LONG_AGO, **ahead),
    ]


def account(company: str, key: str, net: Decimal | None, **fields: Any) -> Row:
    kind = "asset" if key.startswith("cash") else "equity"
    balance = None if net is None else {"net": net}
    category = "current_asset" if kind == "asset" else "equity"
    return landed(company, FETCHED, id=key, accountNumber=key, name=key, type=kind,
                  category=category, balance=balance, updatedAt=LONG_AGO, **fields)  # fmt: skip


def accounts() -> list[Row]:
    both = [(company, key) for company in REPORTS for key in ("cash", "capital")]
    return [
        *(account(company, key, None) for company, key in both),
        *(
            {**account("read early", key, net), "_pulled_at": FETCHED - 20 * MINUTES}
            for key, net in (("cash", EARLY), ("capital", -EARLY - LATER))
        ),
        account("reported", "cash", EARLY),  # without the entry dated ahead
        account("reported", "capital", -EARLY - LATER),  # with it
        account("reported", "unused", Decimal(0)),
        account("reported", "wrong", Decimal(3)),
        account("reported", "in dollars", Decimal(3), currency="USD"),
        account("reported", "silent", None),
        {**account("reported", "deleted", Decimal(3)), "_pulled_at": LONG_AGO},
        landed("reported", FETCHED, id="deleted", _op="delete"),
    ]


class Debtor(NamedTuple):
    """A customer's balance at BigLedger, its invoices' amounts due, and what is to come of it."""

    balance: Decimal | None
    due: list[str]
    outcome: str | None
    read_at: datetime = FETCHED
    changed_at: datetime = LONG_AGO
    more: Row = {}  # noqa: RUF012 (never changed)
    balance_before: Decimal | None = None


DEBTORS = {
    "square": Debtor(Decimal(30), ["10", "20"], "pass"),
    "nothing": Debtor(Decimal(0), [], "pass"),
    "overpaid, netted": Debtor(Decimal(6), ["10", "-4"], "pass"),
    "overpaid, apart": Debtor(Decimal(10), ["10", "-4"], "pass"),
    "wrong": Debtor(Decimal("10.01"), ["10"], "fail"),
    "read before": Debtor(Decimal(5), ["10"], "not_comparable", LONG_AGO, FETCHED - MINUTES),
    "read after": Debtor(Decimal(5), ["10"], "not_comparable",
                         more={"updatedAt": FETCHED - MINUTES}, balance_before=Decimal(10)),
    "later, in between": Debtor(Decimal(5), ["10"], "not_comparable",
                                more={"updatedAt": FETCHED - MINUTES},
                                balance_before=Decimal(12)),
    "later, and never so": Debtor(Decimal(5), ["10"], "fail",
                                  more={"updatedAt": FETCHED - MINUTES},
                                  balance_before=Decimal(8)),
    "came after": Debtor(Decimal(5), [], "not_comparable",
                         more={"updatedAt": FETCHED - MINUTES, "createdAt": FETCHED - MINUTES}),
    "seen after, and too low": Debtor(Decimal(5), ["10"], "fail",
                                      more={"updatedAt": FETCHED - MINUTES}),
    "too low, and read before": Debtor(Decimal(-1), ["10"], "fail", LONG_AGO, FETCHED - MINUTES),
    "of tomorrow": Debtor(Decimal(5), ["10"], "fail", more={"updatedAt": FETCHED + DAY}),
    "read late": Debtor(Decimal(0), [], "pass", FETCHED + MINUTES),
    "in dollars": Debtor(Decimal(5), ["10"], "not_comparable", more={"currency": "USD"}),
    "silent": Debtor(None, ["10"], None),
}  # fmt: skip


def customers() -> list[Row]:
    return [
        landed("reported", debtor.read_at, id=name, currentBalance=debtor.balance,
               **({"updatedAt": LONG_AGO} | debtor.more))
        for name, debtor in DEBTORS.items()
    ] + [
        landed("reported", LONG_AGO, id=name, currentBalance=debtor.balance_before,
               updatedAt=LONG_AGO)
        for name, debtor in DEBTORS.items() if debtor.balance_before is not None
    ]  # fmt: skip


def invoices() -> list[Row]:
    rows = []
    for name, debtor in DEBTORS.items():
        for number, due in enumerate(debtor.due):
            amount = abs(Decimal(due))
            line = {"id": "1", "quantity": Decimal(1), "lineTotal": amount}
            rows.append(
                landed("reported", FETCHED, id=f"{name} {number}", customerId=name, status="sent",
                       invoiceDate=TODAY, dueDate=TODAY, items=[line], subtotal=amount,
                       total=amount, amountPaid=amount - Decimal(due), amountDue=Decimal(due),
                       updatedAt=debtor.changed_at)
            )  # fmt: skip
    return rows


def figure(
    company: str, report: str, key: str | None, measure: str, value: Any, **more: Any
) -> Row:
    return {
        "company_id": company,
        "report": report,
        "as_of_date": TODAY,
        "entity_key": key,
        "measure": measure,
        "value": Decimal(value),
        "request_id": f"request {report}",
        "fetched_at": FETCHED,
        **more,
    }


def figures() -> list[Row]:
    rows = []
    for company, said in REPORTS.items():
        more = {"made_at": said.made_at, "failed_before": said.failed_before}
        rows += [
            figure(company, "trial_balance", "cash", "debit", said.cash, **more),
            figure(company, "trial_balance", "capital", "credit", said.cash, **more),
            figure(company, "balance_sheet", "assets", "balance", said.cash, **more),
        ]
    debtors = [
        figure("reported", "aged_receivables", name, measure, 5)
        for name in ("wrong", "read before")
        for measure in ("current", "total")
    ]
    debtors.append(figure("reported", "aged_receivables", "read before", "over_90", 11))
    stock = [
        figure("reported", "stock_valuation", item, "quantity", 5)
        for item in ("old", "new", "sold", "grown")
    ]
    stock.append(figure("reported", "stock_valuation", "grown", "value", 4))
    return [
        *rows,
        *debtors,
        *stock,
        figure("reported", "list_totals", "accounts", "records", 6, request_id="accounts"),
        figure("reported", "list_totals", "items", "records", 1),
        figure("reported", "list_totals", "invoices", "records", 1),
        figure("reported", "list_totals", "customers", "records", len(DEBTORS) - 1),
        figure("empty", "list_totals", "items", "records", 0),
        figure("empty", "trial_balance", None, "", 0),
    ]


COMPANIES = ("north", "south", "reported", "read early", "empty", *REPORTS)


def load(entity: str, rows: int, until: datetime, committed: datetime) -> Row:
    return {"company_id": "reported", "load_id": f"{entity} {until}", "entity": entity,
            "window_end": until, "rows": rows, "deleted": 0, "committed_at": committed}  # fmt: skip


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    data = tmp_path_factory.mktemp("stock")
    books = {
        "stock": stock_rows(),
        "journal_entries": journal(),
        "accounts": accounts(),
        "customers": customers(),
        "invoices": invoices(),
    }
    for name, entity in ENTITIES.items():
        folder = data / "landing" / name / "company_id=any"
        folder.mkdir(parents=True)
        table = pa.Table.from_pylist(books.get(name, []), schema=entity.schema)
        pq.write_table(table, folder / "all.parquet")
    about = {"currency": "MYR", "timezone": "Asia/Kuala_Lumpur", "today": TODAY}
    companies = [{"company_id": name, "built_at": FETCHED, **about} for name in COMPANIES]
    known_until = FETCHED - 3 * MINUTES
    loads = [
        load("invoices", 9, known_until, FETCHED + MINUTES),
        load("items", 0, known_until, FETCHED + MINUTES),
        load("journal_entries", 9, known_until, FETCHED - MINUTES),
        # A comparison of ids covers nothing.
        load("invoices", 0, FETCHED + DAY, FETCHED) | {"window_start": FETCHED + DAY},
    ]
    write_inputs(data, companies=companies, loads=loads, report_figures=figures())
    tables = ("stock_on_hand", "inventory_valuation", "transfers_in_transit", "reconciliation")
    hand_over(data, WAREHOUSE / "seeds")
    results = models.build(data, *tables)
    assert not models.failed(results)
    assert "stock_history_ends_at_the_stock_on_hand" in results
    with duckdb.connect(str(data / "build.duckdb"), read_only=True) as db:
        db.execute("set schema = 'finance'")
        yield lambda sql: db.execute(sql).fetchall()


def test_stock_history_is_what_was_known_at_each_local_midnight(query: Any) -> None:
    rows = query(
        "select company_id, day, item_id, location_id, closing_quantity, stock_value, "
        "change_quantity, change_value, is_deleted from stock_history "
        "where company_id in ('north', 'south')"
    )
    found = {row[:4]: row[4:] for row in rows}
    assert len(found) == len(rows)
    assert found == expected_history()


def test_what_moved_before_the_first_observation_is_unknown_and_what_came_later_is_not(
    query: Any,
) -> None:
    first = date(2028, 2, 26)
    assert query(
        "select distinct day from stock_history where change_quantity is null and "
        "company_id in ('north', 'south')"
    ) == [(first,)]
    came = query(
        "select min(day), arg_min(change_quantity = closing_quantity, day) from stock_history "
        "where company_id = 'north' and item_id = 'd' group by location_id"
    )
    assert came == [(date(2028, 2, 29), True)] * 2


def test_inventory_is_valued_today_and_at_every_month_end_that_was_observed(query: Any) -> None:
    sums: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
    for (company, day, item, _), (_, value, _, _, is_gone) in expected_history().items():
        if day in (TODAY, LEAP_DAY) and not is_gone:
            sums[company, day, item] += value
    rows = query(
        "select company_id, as_of_date, item_id, stock_value from inventory_valuation "
        "where company_id in ('north', 'south')"
    )
    assert {row[:3]: row[3] for row in rows} == sums


@pytest.mark.parametrize("company", REPORTS)
def test_a_trial_balance_fails_where_no_lateness_of_the_report_explains_it(
    query: Any, company: str
) -> None:
    said = REPORTS[company]
    rows = query(
        "select entity_key, mart_value, difference, status, is_healed, reason is not null "
        f"from reconciliation where company_id = '{company}' and check_name = 'trial_balance' "
        "order by 1"
    )
    is_healed = said.outcome == "pass" and bool(said.failed_before)
    rest = (ALL, ALL - said.cash, said.outcome, is_healed, said.outcome == "not_comparable")
    assert rows == [("capital:credit", *rest), ("cash:debit", *rest)]


def test_a_line_of_a_statement_fails_where_no_lateness_of_the_report_explains_it(
    query: Any,
) -> None:
    rows = query(
        "select company_id, status from reconciliation where entity_key = 'assets:balance'"
    )
    assert dict(rows) == {company: said.outcome for company, said in REPORTS.items()}


def test_receivables_and_stock_fail_where_what_just_changed_explains_less(query: Any) -> None:
    rows = query(
        "select entity_key, status from reconciliation where company_id = 'reported' and "
        "check_name in ('aged_receivables', 'stock_valuation') and source_value > 0 order by 1"
    )
    assert rows == [
        ("grown:quantity", "not_comparable"),  # what it was the night before
        ("grown:value", "fail"),  # what it never was
        ("new:quantity", "fail"),
        ("old:quantity", "fail"),
        ("read before:current", "not_comparable"),
        ("read before:over_90", "fail"),  # more than was ever billed
        ("read before:total", "not_comparable"),
        ("sold:quantity", "not_comparable"),  # before its last movement
        ("wrong:current", "fail"),
        ("wrong:total", "fail"),
    ]


def test_the_balances_on_customers_are_compared_with_their_open_invoices(query: Any) -> None:
    rows = query(
        "select entity_key, source_value, mart_value - source_value = difference, status, "
        "as_of_date, source_request_id is not null from reconciliation "
        "where check_name = 'customer_balance' order by 1"
    )
    assert rows == [
        (f"{name}:balance", debtor.balance, True, debtor.outcome, TODAY, True)
        for name, debtor in sorted(DEBTORS.items())
        if debtor.outcome
    ]


def test_the_balances_on_accounts_are_compared_with_the_ledger(query: Any) -> None:
    rows = query(
        "select entity_key, mart_value, status from reconciliation "
        "where check_name = 'account_balance' and company_id = 'reported' order by 1"
    )
    assert rows == [
        ("capital:balance", -EARLY - LATER, "pass"),
        ("cash:balance", EARLY, "pass"),
        ("in dollars:balance", 0, "not_comparable"),
        ("unused:balance", 0, "pass"),
        ("wrong:balance", 0, "fail"),
    ]


def test_a_balance_read_before_entries_fails_where_it_lacks_more_than_those(query: Any) -> None:
    rows = query(
        "select entity_key, difference, status from reconciliation "
        "where check_name = 'account_balance' and company_id = 'read early' order by 1"
    )
    assert rows == [
        ("capital:balance", -LATE, "fail"),  # it has the last entry, and not the one before it
        ("cash:balance", LATE + LATER, "not_comparable"),
    ]


def test_totals_of_lists_are_compared_with_the_live_records(query: Any) -> None:
    rows = query(
        "select company_id, entity_key, mart_value, status, source_request_id from reconciliation "
        "where check_name = 'list_totals' order by all"
    )
    count = len(invoices())
    assert rows == [
        ("empty", "items:records", 0, "pass", "request list_totals"),
        ("reported", "accounts:records", 6, "pass", "accounts"),
        # Told before the latest of them was first seen.
        ("reported", "customers:records", len(DEBTORS), "not_comparable", "request list_totals"),
        ("reported", "invoices:records", count, "fail", "request list_totals"),
        ("reported", "items:records", 0, "fail", "request list_totals"),
    ]
