"""Groups of companies: what group.toml may say, and the figures of a group small enough to be
worked out by hand.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import test_warehouse
from rig import models
from rig.seeds import hand_over
from test_warehouse import Row, account, invoice, journal, version, write

from blsync import doctor, user_tables
from blsync.errors import ConfigError
from blsync.groups import GROUP_FILE, rows_of_groups
from blsync.marts.compiled import DATA, compiled_project
from blsync.marts.running import Result

DOCS = Path(__file__).parent.parent / "docs"
Query = Callable[[str], list[Any]]

GROUP = """
[g]
name = "The Group"
currency = "MYR"
parent = "alpha"

[g.companies.alpha]
from = "2025-11"

[g.companies.beta]
from = "2025-11"
share = 100
investment = "1800"
capital = ["3000"]

[g.companies.omega]
from = 2025-11-01
share = 60
investment = "1810"
capital = ["S3000"]
accounts = { S1000 = "1000", S1001 = "1000", S1002 = "1000", S3000 = "3000", S4000 = "4000" }
historical_rate = 3
historical_rates = [
    { account = "S3000", rate = 2.90 },
    { account = "S3000", month = "2026-03", rate = 3.02 },
]

[[g.intercompany]]
name = "Goods"
between = [{ company = "omega", account = "S4100" }, { company = "alpha", account = "5000" }]

[[g.intercompany]]
name = "Owed for goods"
between = [{ company = "omega", account = "S1200" }, { company = "alpha", account = "2100" }]

[[g.intercompany]]
name = "Loan"
between = [{ company = "alpha", account = "1300" }, { company = "beta", account = "2300" }]

[[g.intercompany]]
name = "Sold to beta"
between = [
    { company = "alpha", account = "4000", customer = "c_beta" },
    { company = "beta", account = "5100", supplier = "s_alpha" },
]

[[g.intercompany]]
name = "Owed by beta"
between = [
    { company = "alpha", account = "1200", customer = "c_beta" },
    { company = "beta", account = "2110", supplier = "s_alpha" },
]

[in_dollars]
currency = "USD"
parent = "beta"
[in_dollars.companies.beta]
from = "2025-11"

[with_a_stranger]
currency = "MYR"
parent = "alpha"
[with_a_stranger.companies.alpha]
from = "2025-11"
[with_a_stranger.companies.nobody]
from = "2025-11"
share = 50
"""
RATES = """currency,presentation_currency,period,average_rate,closing_rate
SGD,MYR,2025-11,3.10,3.204
SGD,MYR,2025-12,3.20,3.30
SGD,MYR,2026-01,3.25,3.20
sgd,myr,02/2026,3.15,3.10
SGD,MYR,2026-03,3.05,3.00
MYR,USD,2025-10,0.25,0.25
MYR,USD,2025-11,0.24,0.23
"""
ASSET, LIABILITY = ("asset", "current_asset"), ("liability", "current_liability")
CHARTS = {
    "alpha": {
        "1000": ("Bank", *ASSET), "1200": ("Debtors", *ASSET), "1300": ("Due from beta", *ASSET),
        "1800": ("Shares of beta", *ASSET), "1810": ("Shares of omega", *ASSET),
        "2100": ("Due to omega", *LIABILITY), "3000": ("Capital", "equity", "equity"),
        "4000": ("Sales", "revenue", "operating_revenue"),
        "5000": ("Goods from omega", "expense", "cost_of_goods_sold"),
        "6800": ("Exchange differences", "expense", "other_expense"),
    },
    "beta": {
        "1000": ("Cash", *ASSET), "2300": ("Due to alpha", *LIABILITY),
        "2110": ("Creditors", *LIABILITY), "3000": ("Shares", "equity", "equity"),
        "5100": ("Goods", "expense", "cost_of_goods_sold"),
    },
    "omega": {
        "S1000": ("DBS", *ASSET), "S1001": ("Deposit", *ASSET), "S1002": ("Till", *ASSET),
        "S1200": ("Due from alpha", *ASSET), "S3000": ("Paid up", "equity", "equity"),
        "S3200": ("Retained", "equity", "equity"),
        "S4000": ("Sales", "revenue", "operating_revenue"),
        "S4100": ("Sales to alpha", "revenue", "operating_revenue"),
        "S6100": ("Rent", "expense", "operating_expense"),
    },
}  # fmt: skip
ENTRIES = [
    ("alpha", date(2025, 11, 3), ("1000", "10000.00"), ("3000", "-10000.00")),
    ("alpha", date(2025, 11, 4), ("1800", "500.00"), ("1810", "2500.00"), ("1000", "-3000.00")),
    ("alpha", date(2026, 1, 20), ("5000", "162.50"), ("2100", "-162.50")),
    ("alpha", date(2026, 1, 31), ("2100", "2.50"), ("6800", "-2.50")),
    ("alpha", date(2026, 2, 2), ("1300", "70.00"), ("1000", "-70.00")),
    ("alpha", date(2026, 2, 28), ("2100", "5.00"), ("6800", "-5.00")),
    ("alpha", date(2026, 3, 2), ("1810", "18.12"), ("1000", "-18.12")),
    ("alpha", date(2026, 3, 5), ("1200", "400.00"), ("4000", "-400.00")),
    ("beta", date(2026, 3, 5), ("5100", "340.00"), ("2110", "-340.00")),
    ("beta", date(2025, 11, 4), ("1000", "500.00"), ("3000", "-500.00")),
    ("beta", date(2026, 2, 2), ("1000", "60.00"), ("2300", "-60.00")),
    ("omega", date(2025, 6, 1), ("S1000", "1000.00"), ("S3000", "-1000.00")),
    ("omega", date(2025, 10, 9), ("S1000", "200.00"), ("S4000", "-200.00")),
    # Three times a part of a cent: 0.4 of both ones, and 0.2 of what is left.
    ("omega", date(2025, 11, 9), ("S1001", "1.00"), ("S1002", "1.00"), ("S1000", "-2.00")),
    ("omega", date(2025, 12, 9), ("S1000", "2.00"), ("S1001", "-1.00"), ("S1002", "-1.00")),
    ("omega", date(2025, 12, 10), ("S1000", "100.00"), ("S4000", "-100.00")),
    ("omega", date(2025, 12, 31), ("S4000", "300.00"), ("S3200", "-300.00")),
    ("omega", date(2026, 1, 20), ("S1200", "50.00"), ("S4100", "-50.00")),
    ("omega", date(2026, 2, 20), ("S6100", "20.00"), ("S1000", "-20.00")),
    ("omega", date(2026, 3, 2), ("S1000", "10.00"), ("S3000", "-10.00")),
]
"""Debits positive. Of beta's loan ten are on their way; in March alpha has not revalued what it
owes.
"""
MARTS = ("group_balance_sheet", "group_profit_and_loss")
LAWS = (
    "every_part_of_a_group_trial_balance_adds_up_to_nothing",
    "group_statements_hold_the_group_trial_balance",
    "translation_reserve_is_what_rates_made_of_the_net_assets",
)


def landing() -> dict[str, list[Row]]:
    """The books, and what alpha sold to beta: not all that stands on those accounts."""
    sold = Decimal(300)
    bill = {
        "billNumber": "B1", "supplierId": "s_alpha", "billDate": date(2026, 3, 5),
        "dueDate": date(2026, 4, 4), "status": "open", "currency": "MYR", "subtotal": sold,
        "taxTotal": Decimal(0), "total": sold, "paidAmount": Decimal(0), "balanceDue": sold,
        "items": [{"id": "1", "accountCode": "5100", "lineTotal": sold}],
    }  # fmt: skip
    return {
        "customers": [version("alpha", id="c_beta", name="Beta")],
        "suppliers": [version("beta", id="s_alpha", name="Alpha")],
        "invoices": [invoice("alpha", "i1", date(2026, 4, 4), "300.00", customerId="c_beta")],
        "bills": [version("beta", id="b1", **bill)],
        "accounts": [
            account(company, f"acc_{number}", *about)
            for company, chart in CHARTS.items()
            for number, about in chart.items()
        ],
        "journal_entries": [
            journal(company, f"je_{n}", (day, [(f"acc_{a}", amount) for a, amount in lines]))
            for n, (company, day, *lines) in enumerate(ENTRIES)
        ],
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Result]]:
    """The books above, and of all the models those that the group's statements need."""
    folder = tmp_path_factory.mktemp("groups")
    data, seeds = folder / "data", folder / "seeds"
    data.mkdir()
    user_tables.make_missing(seeds)
    (seeds / GROUP_FILE).write_text(GROUP)
    (seeds / user_tables.EXCHANGE_RATES).write_text(RATES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(test_warehouse.CURRENCIES, "omega", "SGD")
        write(data, landing(), [])
    hand_over(data, seeds)
    results = models.build(data, *MARTS, "balance_sheet", "periods")
    assert not models.failed(results)
    assert {name for name in results if name in LAWS} == set(LAWS)
    return data, results


@pytest.fixture(scope="module")
def query(built: tuple[Path, dict[str, Result]]) -> Iterator[Query]:
    with duckdb.connect(str(built[0] / "build.duckdb"), read_only=True) as connection:
        connection.execute("set schema = 'finance'")

        def ask(sql: str) -> list[Any]:
            rows = connection.execute(sql).fetchall()
            return [row[0] if len(row) == 1 else row for row in rows]

        yield ask


def money(*amounts: str) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, amounts))


def test_the_balance_sheet_of_a_group_is_what_its_companies_have_without_each_other(
    query: Query,
) -> None:
    found = query(
        "select account_name, companies_amount, elimination_amount, minority_amount, balance"
        " from group_balance_sheet where group_id = 'g' and as_of_date = '2026-03-31'"
    )
    # omega's 1 340.00 SGD at 3.00, two fifths of them not the group's; all equity that it had when
    # it was bought, or was paid in since, against what alpha paid, but for goodwill.
    assert {name: tuple(amounts) for name, *amounts in found} == {
        "Bank": money("11341.88", "0", "0", "11341.88"),
        "Debtors": money("400", "-300", "0", "100"),
        "Creditors": money("340", "-300", "0", "40"),
        "Due from alpha": money("150", "-150", "0", "0"),
        "Due from beta": money("70", "-60", "0", "10"),
        "Shares of beta": money("500", "-500", "0", "0"),
        "Shares of omega": money("2518.12", "-2518.12", "0", "0"),
        "Goodwill": money("0", "400", "0", "400"),
        "Due to omega": money("155", "-150", "0", "5"),
        "Due to alpha": money("60", "-60", "0", "0"),
        "Capital": money("13430.20", "-2258.12", "-1172.08", "10000"),
        "Retained earnings brought forward": money("920", "-360", "-368", "192"),
        "Current year earnings": money("4.50", "0", "-39.80", "-35.30"),
        "Translation reserve": money("70.30", "0", "-28.12", "42.18"),
        "Minority interests": money("0", "0", "1608", "1608"),
    }


def test_the_profit_of_a_group_is_without_what_its_companies_sold_each_other(query: Query) -> None:
    found = query(
        "select period, account_name, amount, ytd_amount from group_profit_and_loss"
        " where group_id = 'g' and (amount <> 0 or ytd_amount <> 0) order by all"
    )
    december, january, february = date(2025, 12, 1), date(2026, 1, 1), date(2026, 2, 1)
    assert found == [
        (december, "Profit of minority interests", *money("128", "128")),
        (december, "Sales", *money("320", "320")),
        (january, "Exchange differences", *money("-2.50", "-2.50")),
        (january, "Profit of minority interests", *money("65", "65")),
        (february, "Exchange differences", *money("-5", "-7.50")),
        (february, "Profit of minority interests", *money("-25.20", "39.80")),
        (february, "Rent", *money("63", "63")),
        (date(2026, 3, 1), "Exchange differences", *money("0", "-7.50")),
        (date(2026, 3, 1), "Goods", *money("40", "40")),
        (date(2026, 3, 1), "Profit of minority interests", *money("0", "39.80")),
        (date(2026, 3, 1), "Rent", *money("0", "63")),
        (date(2026, 3, 1), "Sales", *money("100", "100")),
    ]


def test_what_companies_do_not_agree_on_is_listed_with_both_sides(query: Query) -> None:
    found = query(
        "select period_end, elimination, left_amount, right_amount, eliminated_amount, difference"
        " from group_eliminations where group_id = 'g' and kind = 'intercompany' and not is_matched"
        " order by all"
    )
    february, march = date(2026, 2, 28), date(2026, 3, 31)
    assert found == [
        (february, "Loan", *money("70", "-60", "60", "10")),
        (march, "Loan", *money("70", "-60", "60", "10")),
        (march, "Owed for goods", *money("150", "-155", "150", "-5")),
    ]
    sold = "select left_amount, right_amount from group_eliminations where elimination like"
    assert query(f"{sold} 'Sold to beta' and left_amount <> 0") == [money("-300", "300")]
    assert query(f"{sold} 'Owed by beta' and left_amount <> 0") == [money("300", "-300")]
    goods = "select eliminated_amount from group_eliminations where elimination = 'Goods'"
    assert query(f"{goods} and period >= '2026-01-01'") == list(money(*["-162.50"] * 3))


def test_goodwill_of_a_foreign_company_moves_with_its_currency(query: Query) -> None:
    found = query(
        "select period, sum(amount) from group_trial_balance where group_id = 'g'"
        " and account_name = 'Goodwill' group by period order by period"
    )
    assert [amount for _, amount in found] == list(
        money("427.20", "440", "426.67", "413.33", "400")
    )
    paid = "select difference from group_eliminations where elimination = 'Investment in omega'"
    assert query(paid) == [Decimal(400)] * 5


def test_cents_of_rounding_are_a_line_of_their_own(query: Query) -> None:
    assert query(
        "select period, amount from group_trial_balance where group_id = 'g' and kind = 'rounding'"
    ) == [(date(2025, 11, 1), Decimal("0.01"))]


def test_the_translation_reserve_is_what_rates_made_of_the_net_assets_month_by_month(
    query: Query,
) -> None:
    found = query(
        "select amount from group_trial_balance where group_id = 'g' and kind = 'translation'"
        " and part = 'omega' order by period"
    )
    months = [  # net assets before, what moved with its own rate
        (1200, []),
        (1200, [(100, "3.20")]),
        (1300, [(50, "3.25")]),
        (1350, [(-20, "3.15")]),
        (1330, [(10, "3.02")]),
    ]
    rates = [Decimal(rate) for rate in ("3", "3.204", "3.30", "3.20", "3.10", "3.00")]
    reserve = 1000 * Decimal("0.10")  # of capital that came in at 2.90
    for month, (net_assets, moved) in enumerate(months):
        reserve += net_assets * (rates[month + 1] - rates[month])
        reserve += sum(amount * (rates[month + 1] - Decimal(rate)) for amount, rate in moved)
        assert found[month] == -reserve


def test_a_group_is_told_up_to_the_month_before_a_rate_is_missing(
    query: Query, built: tuple[Path, dict[str, Result]]
) -> None:
    sheets = query("select distinct group_id, as_of_date from group_balance_sheet order by all")
    assert [day for group, day in sheets if group == "in_dollars"] == [date(2025, 11, 30)]
    assert query(
        "select missing_rate from group_companies where group_id = 'in_dollars'"
        " and missing_rate is not null order by all"
    ) == [f"MYR in USD for {month}" for month in ("2025-12", "2026-01", "2026-02", "2026-03")]
    late = built[1]["every_ended_month_of_a_group_has_its_rates"]
    assert (late.status, late.failures) == ("warn", 3)  # March has not ended


def test_doctor_names_the_first_rate_that_is_missing_in_what_is_published(
    built: tuple[Path, dict[str, Result]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()  # no folder can be made in it, so doctor goes no further than that
    for name, value in {
        "BLSYNC_ENV_FILE": os.devnull,
        "BLSYNC_DATA": str(tmp_path / "file" / "data"),
        "BLSYNC_PUBLISH_TO": str(built[0]),
        "BLSYNC_SEEDS": str(built[0].parent / "seeds"),
        "BIGLEDGER_COMPANY_ID": "alpha",
        "BIGLEDGER_API_KEY": "blg_test_sk_nobody",
    }.items():
        monkeypatch.setenv(name, value)
    shutil.copy(built[0] / "build.duckdb", built[0] / "blsync.duckdb")
    (check,) = [check for check in doctor.examine().checks if check.name == "your tables"]
    assert "exchange_rates.csv lacks MYR in USD for 2025-12 (group in_dollars)" in check.message


def test_a_group_with_a_company_that_nobody_pulls_is_left_out_and_told(
    query: Query, built: tuple[Path, dict[str, Result]]
) -> None:
    assert query("select distinct group_id from group_companies order by all") == [
        "g",
        "in_dollars",
    ]
    told = built[1]["the_users_tables_name_what_exists"]
    assert (told.status, told.failures) == ("warn", 1)


@pytest.fixture(scope="module")
def changed(
    built: tuple[Path, dict[str, Result]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return Path(shutil.copy(built[0] / "build.duckdb", tmp_path_factory.mktemp("changed")))


@pytest.mark.parametrize(
    ("law", "change"),
    [
        (LAWS[0], "group_trial_balance set amount = amount + 0.01 where account_name = 'Goodwill'"),
        (LAWS[0], "group_trial_balance set local_amount = 1 where company_account_number = '1000'"),
        (
            LAWS[1],
            "group_balance_sheet set balance = balance - 0.01 where account_name = 'Capital'",
        ),
        (LAWS[1], "group_profit_and_loss set amount = 0 where account_name = 'Rent'"),
        (LAWS[2], "group_trial_balance set amount = amount + 0.01 where kind = 'translation'"),
    ],
)
def test_a_law_finds_what_is_changed(
    built: tuple[Path, dict[str, Result]], changed: Path, law: str, change: str
) -> None:
    data = built[0]
    (node,) = [node for node in compiled_project(data).nodes.values() if node.name == law]
    sql = node.whole.replace(DATA, str(data))
    with duckdb.connect(str(changed)) as connection:
        connection.execute("begin")
        assert connection.execute(sql).fetchall() == []
        connection.execute(f"update finance.{change}")
        assert connection.execute(sql).fetchall() != []
        connection.execute("rollback")


def random_group(rng: random.Random) -> tuple[str, str]:
    """A group in dollars of which no company is in dollars, and its rates."""
    months = [(2024, m) for m in range(10, 13)] + [(2025, m) for m in range(1, 13)]
    months += [(2026, m) for m in range(1, 4)]
    rates = RATES.splitlines()[:1]
    for currency in ("MYR", "SGD"):
        for year, month in months:
            average, closing = (f"0.{rng.randrange(1000, 9999)}" for _ in range(2))
            rates.append(f"{currency},USD,{year}-{month:02},{average},{closing}")
    text = """
[g]
currency = "USD"
parent = "alpha"
[g.companies.alpha]
from = "2024-11"
historical_rates = [{ account = "1800", rate = 0.5 }, { account = "3000", rate = 0.1234 }]
[g.companies.beta]
from = "2025-04"
share = 33.3333
investment = "1800"
historical_rate = 0.3
[g.companies.omega]
from = "2025-09"
share = 51.5
investment = "1810"
capital = ["S3000"]
historical_rates = [{ account = "S3000", month = "2025-10", rate = 0.77777777 }]
[[g.intercompany]]
name = "One"
between = [{ company = "alpha", account = "5000" }, { company = "omega", account = "S4100" }]
[[g.intercompany]]
name = "Two"
between = [{ company = "alpha", account = "1300" }, { company = "beta", account = "3000" }]
"""
    return text, "\n".join(rates) + "\n"


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(3))
def test_the_laws_hold_of_random_books_in_three_currencies(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    entries = []
    for number in range(400):
        company = rng.choice(list(CHARTS))
        day = date(2024, 6, 1) + timedelta(days=rng.randrange(650))
        debit, credit = (f"acc_{key}" for key in rng.sample(list(CHARTS[company]), 2))
        amount = Decimal(rng.randrange(1, 10 ** rng.randrange(2, 12))) / 100
        lines = [(debit, str(amount)), (credit, str(-amount))]
        entries.append(journal(company, f"je_{number}", (day, lines)))
    data, seeds = tmp_path / "data", tmp_path / "seeds"
    user_tables.make_missing(seeds)
    text, rates = random_group(rng)
    (seeds / GROUP_FILE).write_text(text)
    (seeds / user_tables.EXCHANGE_RATES).write_text(rates)
    (seeds / user_tables.FISCAL_YEAR).write_text("company_id,start_month\nalpha,7\nomega,4\n")
    data.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(test_warehouse.CURRENCIES, "omega", "SGD")
        write(data, landing() | {"journal_entries": entries}, [])
    hand_over(data, seeds)
    results = models.build(data, *MARTS, "balance_sheet", "periods")
    assert not models.failed(results)
    with duckdb.connect(str(data / "build.duckdb"), read_only=True) as connection:
        rows = connection.execute(
            "select company_id, period, -sum(amount) filter (where account_name ="
            " 'Minority interests'), sum(amount) filter (where kind = 'company' and section in"
            " ('assets', 'liabilities')) from finance.group_trial_balance"
            " where company_id <> 'alpha' group by all"
        ).fetchall()
    others = {"beta": Decimal("0.666667"), "omega": Decimal("0.485")}
    assert len(rows) == 12 + 7
    for company, _, minority, net_assets in rows:  # each of some ten lines is rounded
        assert abs(minority - others[company] * net_assets) < Decimal("0.10")


GOOD = '[a]\ncurrency = "MYR"\nparent = "p"\n[a.companies.p]\nfrom = "2025-01"\n'
CHILD = GOOD + '[a.companies.c]\nfrom = "2025-01"\nshare = 60\n'
INVESTED = 'investment = "1"\n'
PAIR = CHILD + '[[a.intercompany]]\nname = "x"\nbetween = '
WRONG = {
    "no TOML": ("[a\n", r"not well-formed TOML \(.*line 1"),
    "a table that is none": ("a = 1\n", r"\[a\] is '1'; write a table of name, currency, parent"),
    "a key that is none": (
        GOOD + "shares = 60\n",
        r"\[a.companies.p\] has no 'shares': .* did you mean share\?",
    ),
    "no currency": ('[a]\nparent = "p"\n', r"\[a\] has no currency; .* currency ="),
    "a currency that is none": (GOOD.replace("MYR", "RM"), r"\[a\]: currency is 'RM'; .* MYR"),
    "a parent that is none": (GOOD.replace('"p"', '"q"'), r"parent is 'q'; write one of .*: p"),
    "no month": (GOOD.replace('from = "2025-01"', ""), r"companies.p\] has no from; .*2025-01"),
    "a month that is none": (GOOD.replace("2025-01", "2025-13"), r"from is '2025-13'; .*2025-01"),
    "a share of all too much": (CHILD.replace("60", "160"), r"share is '160'; write hundredths"),
    "a month before the parent's": (
        CHILD.replace('from = "2025-01"\nshare', 'from = "2024-12"\nshare'),
        r"c\]: from is '2024-12'; write no month before the parent's, 2025-01",
    ),
    "a share in quotes": (CHILD.replace("60", '"60"'), r"share is '60'; write a number above 0"),
    "no share": (CHILD.replace("share = 60\n", ""), r"\[a.companies.c\] has no share"),
    "a share of the parent": (GOOD + "share = 60\n", r"share is '60'; write nothing: the "),
    "an account without quotes": (CHILD + "investment = 1800\n", r"is '1800'; .*quotes"),
    "a rate below nothing": (CHILD + "historical_rate = -3\n", r"rate is '-3'; .*above 0"),
    "a rate of ten decimals": (CHILD + "historical_rate = 0.0000000001\n", "most eight decimals"),
    "a rate that is no number": (CHILD + "historical_rate = nan\n", r"'NaN'; write a number"),
    "one account of two investments": (
        CHILD + INVESTED + CHILD[len(GOOD) :].replace(".c]", ".d]") + INVESTED,
        r"companies.d\]: investment is '1'; .* its own; c has this one",
    ),
    "one side": (PAIR + '[{company = "p", account = "1"}]\n', r"company 1: between names 1 side"),
    "one company": (
        PAIR + '[{company = "p", account = "1"}, {company = "p", account = "2"}]\n',
        r"2 sides of 1 companies; write two",
    ),
    "a side of a stranger": (
        PAIR + '[{company = "p", account = "1"}, {company = "z", account = "2"}]\n',
        r"between 2: company is 'z'; write one of the group's: p, c",
    ),
    "an account taken out twice": (
        PAIR
        + '[{company = "p", account = "1"}, {company = "c", account = "2"}]\n'
        + PAIR[len(CHILD) :].replace('"x"', '"y"')
        + '[{company = "p", account = "1"}, {company = "c", account = "3"}]\n',
        r"account is '1'; write an account that no other",
    ),
    "a part of an account that is taken out whole": (
        PAIR
        + '[{company = "p", account = "1"}, {company = "c", account = "2"}]\n'
        + PAIR[len(CHILD) :].replace('"x"', '"y"')
        + '[{company = "p", account = "1", customer = "z"}, {company = "c", account = "3"}]\n',
        r"account is '1'; write an account that no other",
    ),
    "a customer and a supplier": (
        PAIR
        + '[{company = "p", account = "1", customer = "z", supplier = "y"}, {company = "c"}]\n',
        r"between 1: supplier is 'y'; write either",
    ),
    "no UTF-8": (GOOD + "# caf\xe9\n", r"line 6 is not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_with_the_file_is_told_with_its_place_and_the_right_form(
    tmp_path: Path, what: str
) -> None:
    text, told = WRONG[what]
    user_tables.make_missing(tmp_path)
    (tmp_path / GROUP_FILE).write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=told) as caught:
        user_tables.check(tmp_path)
    assert str(tmp_path / GROUP_FILE) in str(caught.value)


def test_the_examples_in_the_guide_and_in_the_module_are_read() -> None:
    guide = (DOCS / "guide" / "accountant.md").read_text()
    (shown,) = re.findall(r"```toml\n(\[acme\]\n.*?)```", guide, re.DOTALL)
    example = DOCS.parent / "examples" / "seeds" / GROUP_FILE
    assert shown == example.read_text()
    rows = rows_of_groups(example)
    assert [row["company_id"] for row in rows["groups"]] == ["company_acme"]
    assert all(rows.values())
    header, *rates = re.findall(r"```text\n(currency.*?)```", guide, re.DOTALL)[0].splitlines()
    assert header == ",".join(user_tables.COLUMNS[user_tables.EXCHANGE_RATES])
    assert {*rates} <= {*(example.with_name(user_tables.EXCHANGE_RATES)).read_text().splitlines()}


def test_without_the_file_there_is_no_group(tmp_path: Path) -> None:
    assert not any(rows_of_groups(tmp_path / GROUP_FILE).values())


WRONG_RATES = {
    "SGD,MYR,2026-01,3.1,0": r"line 2: closing_rate '0' is none; write a rate like 3.4512",
    "SGD,MYR,2026-01,much,3": r"line 2: average_rate 'much'",
    "S$,MYR,2026-01,3,3": r"line 2: currency 'S\$' is none; write a code of three letters",
    "MYR,MYR,2026-01,1,1": r"line 2 is of one currency",
    "SGD,MYR,2026-01,3,3\nsgd,MYR,01/2026,3,3": r"line 3 says again what line 2 says: SGD in MYR",
}


@pytest.mark.parametrize("lines", WRONG_RATES)
def test_what_is_wrong_with_a_rate_is_told_with_its_line(tmp_path: Path, lines: str) -> None:
    user_tables.make_missing(tmp_path)
    with (tmp_path / user_tables.EXCHANGE_RATES).open("a") as file:
        file.write(lines + "\n")
    with pytest.raises(ConfigError, match=WRONG_RATES[lines]):
        user_tables.check(tmp_path)
