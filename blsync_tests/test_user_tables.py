"""The user's own tables: every form that a spreadsheet saves is read the same by everybody."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from blsync import user_tables
from blsync.errors import ConfigError
from blsync.lake.store import Lake
from blsync.marts.build import write_user_tables
from blsync.user_tables import (
    ACCEPTED,
    ACCOUNT_ROLES,
    BUDGET,
    COLUMNS,
    DIMENSIONS,
    FISCAL_YEAR,
    PERIOD_CLOSE,
)

NOW = datetime(2026, 4, 30, tzinfo=UTC)
CLOSES = "company_id,period,closed_at\none,2026-03-31,2026-04-05T10:00:00Z\none,2026-04-01,\n"
FORMS = {
    "plain": CLOSES.encode(),
    "byte-order mark": CLOSES.encode("utf-8-sig"),
    "CRLF": CLOSES.replace("\n", "\r\n").encode(),
    "byte-order mark and CRLF": CLOSES.replace("\n", "\r\n").encode("utf-8-sig"),
    "no last line end": CLOSES.rstrip("\n").encode(),
    "blank lines": CLOSES.replace("\n", "\n\n").encode(),
    "quotes": CLOSES.replace("one", '"one"').encode(),
    "semicolons": CLOSES.replace(",", ";").encode(),
    "sep=;": ("sep=;\r\n" + CLOSES.replace(",", ";")).encode("utf-8-sig"),
    "tabs": CLOSES.replace(",", "\t").encode(),
    "empty columns at the end": CLOSES.replace("\n", ",,\n").encode(),
}


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    for name, columns in COLUMNS.items():
        (tmp_path / name).write_text(",".join(columns) + "\n")
    return tmp_path


@pytest.mark.parametrize("form", FORMS)
def test_closed_months_are_the_same_in_every_form_of_the_file(seeds: Path, form: str) -> None:
    (seeds / PERIOD_CLOSE).write_bytes(FORMS[form])
    user_tables.check(seeds)
    closed = user_tables.closed_months(seeds, "one", NOW)
    assert closed == {date(2026, 3, 1): "2026-04-05T10:00:00Z"}


@pytest.mark.parametrize("form", FORMS)
def test_the_marts_are_given_the_closes_that_a_push_obeys(
    seeds: Path, tmp_path: Path, form: str
) -> None:
    (seeds / PERIOD_CLOSE).write_bytes(FORMS[form])
    lake = Lake(tmp_path / "data")
    write_user_tables(lake, seeds)
    with duckdb.connect() as db:
        rows = db.execute(
            "select company_id, date_trunc('month', period)::date, closed_at at time zone 'UTC' "
            f"from read_parquet('{lake.input_file('period_close')}') where company_id <> ''"
        ).fetchall()
    ours = [
        (c.company_id, c.month, c.closed_at and c.closed_at.replace(tzinfo=None))
        for c in user_tables.period_closes(seeds)
    ]
    assert rows == ours
    assert len(rows) == 2


MONTHS = {
    "2026-03": "03",
    "2026/03": "03",
    "03/2026": "03",
    "3.2026": "03",
    "01/03/2026": "03",
    "31.3.2026": "03",
    "1-3-2026": "03",
    "2026/03/01": "03",
    "2026-03-15": "03",
}


@pytest.mark.parametrize("text", MONTHS)
def test_a_month_is_read_in_every_form_in_which_people_keep_it(seeds: Path, text: str) -> None:
    (seeds / PERIOD_CLOSE).write_text(
        f"company_id;period;closed_at\none;{text};05/04/2026 18:00\n", "utf-8-sig"
    )
    assert user_tables.closed_months(seeds, "one", NOW) == {date(2026, 3, 1): "05/04/2026 18:00"}


CLOSED_AT = {
    "05/04/2026 18:00": "2026-04-05T18:00",
    "5.4.2026 18:00:30": "2026-04-05T18:00:30",
    "05/04/2026 6:05 PM": "2026-04-05T18:05",
    "05/04/2026": "2026-04-05T00:00",
    "2026-04-05 18:00:00+08:00": "2026-04-05T10:00",
    "2026-04-05": "2026-04-05T00:00",
}


@pytest.mark.parametrize("text", CLOSED_AT)
def test_a_time_of_closing_is_read_day_first_and_in_utc(seeds: Path, text: str) -> None:
    (seeds / PERIOD_CLOSE).write_text(f"company_id,period,closed_at\none,2026-03,{text}\n")
    [close] = user_tables.period_closes(seeds)
    assert close.closed_at == datetime.fromisoformat(CLOSED_AT[text]).replace(tzinfo=UTC)


def test_codes_are_read_as_they_are_meant(seeds: Path) -> None:
    (seeds / ACCOUNT_ROLES).write_text(
        "sep=;\ncompany_id;account_number;account_role;;\n"
        'one;="0100";cash;;\none;\'0200;cash;;\none\u200b;\u00a0300;cash;;\n'
    )
    rows = user_tables.rows_of_tables(seeds)[ACCOUNT_ROLES]
    assert [(row["company_id"], row["account_number"]) for row in rows] == [
        ("one", "0100"),
        ("one", "0200"),
        ("one", "300"),
    ]


def test_a_close_that_is_still_to_come_has_not_happened(seeds: Path) -> None:
    (seeds / PERIOD_CLOSE).write_text("company_id,period,closed_at\none,2026-04-01,2999-01-01\n")
    assert user_tables.closed_months(seeds, "one", NOW) == {}


WRONG = {
    "a day that is none": (
        PERIOD_CLOSE,
        "one,2026-02-30,2026-03-01",
        r"line 2: period '2026-02-30'",
    ),
    "a day by its month": (
        PERIOD_CLOSE,
        "one,March,2026-03-01",
        r"line 2: period 'March'.*2026-03",
    ),
    "a time that is none": (PERIOD_CLOSE, "one,2026-02-01,soon", r"line 2: closed_at 'soon'"),
    "a day that may be month first": (PERIOD_CLOSE, "one,09/01/2026,2026-10-05", r"'09/01/2026'"),
    "a day without its century": (PERIOD_CLOSE, "one,01/09/26,2026-10-05", r"period '01/09/26'"),
    "a day that is a number": (PERIOD_CLOSE, "one,46266,2026-10-05", r"period '46266'"),
    "a close before its month": (
        PERIOD_CLOSE,
        "one,2026-09,05/04/2026",
        r"before the month",
    ),
    "a code in E-notation": (ACCOUNT_ROLES, "one,1.01E+05,cash", r"line 2: account_number"),
    "the error of a formula": (ACCOUNT_ROLES, "one,1010,#REF!", r"line 2: account_role '#REF!'"),
    "a value too few": (PERIOD_CLOSE, "one,2026-02-01", r"line 2 has 2 values"),
    "a month that is none": (FISCAL_YEAR, "one,13", r"line 2: start_month '13'.*1 to 12"),
    "a role too few": (ACCOUNT_ROLES, "one,1010", r"line 2 has 2 values"),
    "a rule that is none": (ACCEPTED, "one,r1,no_rule,why,who", r"line 2: rule 'no_rule'"),
    "an amount that is none": (BUDGET, "one,6010,2026-01,much,", r"line 2: amount 'much'"),
    "an amount that may be two": (BUDGET, 'one,6010,2026-01,"1,200",', r"'1,200'.*like 1200.00"),
    "a tenth of a cent": (BUDGET, "one,6010,2026-01,1.001,", r"amount '1.001'.*like 1200.00"),
    "a plan of one month twice": (
        BUDGET,
        "one,6010,2026-01,1,\none,6010,01/2026,2,budget",
        r"line 3 plans again what line 2 plans: account 6010, 2026-01, budget",
    ),
    "a rule without a value": (DIMENSIONS, "one,project,,,,,,", r"line 2 has no value; fill it in"),
    "one end of the accounts": (
        DIMENSIONS,
        "one,project,Penang,4000,,,,",
        r"line 2 has no account_to;.*as in 4000,4000",
    ),
    "ends of accounts the other way round": (
        DIMENSIONS,
        "one,project,Penang,4000,999,,,",
        r"line 2: no account is from 4000 to 999; write the lower end as account_from",
    ),
    "conditions that are there already": (
        DIMENSIONS,
        "one,project,Penang,,,,,P*\none,project,Ipoh,,,,,P*",
        r"line 3 has the conditions of line 2.*project Ipoh",
    ),
    "no UTF-8": (FISCAL_YEAR, "caf\xe9,1", r"line 2 is not UTF-8"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_with_file_and_line(seeds: Path, what: str) -> None:
    name, line, told = WRONG[what]
    path = seeds / name
    path.write_bytes(path.read_bytes() + line.encode("latin-1") + b"\n")
    with pytest.raises(ConfigError, match=told) as caught:
        user_tables.check(seeds)
    assert str(path) in str(caught.value)


def test_a_header_in_another_order_is_refused_with_the_right_one(seeds: Path) -> None:
    (seeds / FISCAL_YEAR).write_text("start_month,company_id\n6,one\n")
    with pytest.raises(ConfigError, match="company_id,start_month"):
        user_tables.check(seeds)


def test_a_table_that_is_missing_is_told_with_its_header(seeds: Path) -> None:
    (seeds / FISCAL_YEAR).unlink()
    with pytest.raises(ConfigError, match=r"fiscal_year.csv is missing.*company_id,start_month"):
        user_tables.check(seeds)
