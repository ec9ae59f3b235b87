"""Marts whose reconciliation collapsed are not published, and a bad night's exit codes say so."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import duckdb
import pytest
from conftest import open_for_writing
from test_cli import blsync, environment
from test_pull import control

from blsync.errors import SafetyLimit
from blsync.marts import collapse
from blsync.sandbox import Options, running

pytestmark = pytest.mark.deep
"""A night for each way in which books collapse."""

REPORTS = ("trial_balance", "aged_receivables")


def figures(status: str, count: int = 40, company: str = "co", check: str = "trial_balance"):
    return [(company, check, f"{n}:debit", status) for n in range(count)]


def build_of(
    path: Path, rows: list[tuple[str, str, str, str]], reports: tuple[str, ...] = REPORTS
) -> Path:
    """Make marts of a reconciliation alone, for the company co."""
    with duckdb.connect(str(path)) as db:
        for schema in ("finance", "intermediate", "staging"):
            db.execute(f"create schema {schema}")
        db.execute(
            "create table finance.reconciliation "
            "(company_id text, check_name text, entity_key text, status text)"
        )
        db.execute("create table intermediate.int_reports_fetched (company_id text, report text)")
        db.execute("create table staging.stg_companies as select 'co' as company_id")
        for row in rows:
            db.execute("insert into finance.reconciliation values (?, ?, ?, ?)", row)
        for report in reports:
            db.execute("insert into intermediate.int_reports_fetched values ('co', ?)", [report])
    return path


def test_a_fifth_of_what_tied_out_may_fail_and_no_more(tmp_path):
    before = build_of(tmp_path / "before", figures("pass"))
    some = build_of(tmp_path / "some", figures("fail", 8) + figures("pass")[8:])
    collapse.check(some, before)
    more = build_of(tmp_path / "more", figures("fail", 9) + figures("pass")[9:])
    with pytest.raises(SafetyLimit) as refused:
        collapse.check(more, before)
    text = str(refused.value)
    assert "of 40 figures of co" in text
    assert "9 do not any more (trial_balance 9;" in text
    assert "trial_balance 0:debit fails" in text
    assert "blsync build --allow" in text
    assert refused.value.exit_code == 4


@pytest.mark.parametrize(
    ("then", "now"),
    [
        pytest.param(figures("pass", 19), figures("fail", 19), id="few"),
        pytest.param(figures("fail"), figures("fail"), id="failed-before"),
        pytest.param(figures("pass"), figures("not_comparable"), id="not-comparable"),
        pytest.param(figures("pass", company="left"), [], id="a-dropped-company"),
        pytest.param(figures("pass", check="profit_and_loss"), [], id="a-report-not-fetched"),
        pytest.param(
            figures("pass"),
            [(*row[:2], row[2].replace("debit", "credit"), "pass") for row in figures("pass")],
            id="another-column",
        ),
    ],
)
def test_what_says_nothing_about_the_books_stops_nothing(tmp_path, then, now):
    collapse.check(build_of(tmp_path / "now", now), build_of(tmp_path / "then", then))


@pytest.mark.parametrize("check", ["trial_balance", "account_balance"])
def test_figures_that_are_gone_count_as_those_that_fail(tmp_path, check):
    before = build_of(tmp_path / "before", figures("pass", check=check))
    with pytest.raises(SafetyLimit, match="is gone"):
        collapse.check(build_of(tmp_path / "after", []), before)


def test_one_company_of_several_is_enough(tmp_path):
    well = figures("pass", 400, "other")
    before = build_of(tmp_path / "before", [*well, *figures("pass")])
    after = build_of(tmp_path / "after", [*well, *figures("fail")])
    with pytest.raises(SafetyLimit, match="figures of co "):
        collapse.check(after, before)


def test_one_company_may_collapse_where_it_is_allowed_and_no_other_one(tmp_path):
    pair = [*figures("pass"), *figures("pass", company="other")]
    before = build_of(tmp_path / "before", pair)
    after = build_of(tmp_path / "after", [(*row[:3], "fail") for row in pair])
    for path in (before, after):
        with duckdb.connect(str(path)) as db:
            db.execute("insert into staging.stg_companies values ('other')")
            db.execute(
                "insert into intermediate.int_reports_fetched values ('other', 'trial_balance')"
            )
    with pytest.raises(SafetyLimit, match=r"figures of co .* figures of other "):
        collapse.check(after, before)
    with pytest.raises(SafetyLimit) as refused:
        collapse.check(after, before, {"co"})
    assert "figures of co " not in str(refused.value)
    collapse.check(after, before, {"co", "other"})


def test_nothing_is_compared_before_the_first_publish_or_with_other_columns(tmp_path):
    after = build_of(tmp_path / "after", figures("fail"))
    collapse.check(after, tmp_path / "none")
    with duckdb.connect(str(tmp_path / "old")) as db:
        db.execute("create table other as select 1 as number")
    collapse.check(after, tmp_path / "old")
    (tmp_path / "damaged").write_bytes(b"no database")
    collapse.check(after, tmp_path / "damaged")


def test_published_marts_that_another_program_writes_are_no_earlier_version(tmp_path):
    before = build_of(tmp_path / "before", figures("pass"))
    after = build_of(tmp_path / "after", figures("fail"))
    with open_for_writing(before), pytest.raises(duckdb.IOException, match="lock"):
        collapse.check(after, before)


def test_a_build_that_cannot_be_compared_is_no_earlier_version(tmp_path):
    before = build_of(tmp_path / "before", figures("pass"))
    after = build_of(tmp_path / "after", figures("fail"))
    with duckdb.connect(str(after)) as db:
        db.execute("drop table finance.reconciliation")
    with pytest.raises(duckdb.CatalogException):
        collapse.check(after, before)


def published(data: Path) -> str:
    return hashlib.sha256((data / "blsync.duckdb").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def sandbox():
    with running(Options(invoices=120, customers=40, items=25, months=3, limits=False)) as handle:
        yield handle


@pytest.fixture(scope="module")
def env(sandbox, tmp_path_factory):
    """The environment of a company whose marts are published."""
    data = tmp_path_factory.mktemp("collapse")
    found = environment(data, sandbox.base_url)
    first = blsync("sync", "--json", env=found)
    assert first.returncode == 0, first.stderr
    return found


def test_a_night_of_empty_lists_ends_with_3_and_the_marts_stay(env, sandbox):
    data = Path(env["BLSYNC_DATA"])
    before = published(data)
    control(sandbox, "faults", faults="hide=1")
    night = blsync("sync", "--json", env=env)
    control(sandbox, "faults", faults="")
    assert night.returncode == 3
    told = json.loads(night.stdout)
    assert told["published"] is None
    assert "--allow" in told["entities"]["customers"]["error"]
    assert told["entities"]["customers"]["deleted"] == 0
    assert told["entities"]["journal_entries"]["deleted"] == 0
    assert published(data) == before


def test_marts_that_lost_what_tied_out_are_published_only_where_that_is_allowed(env, sandbox):
    data = Path(env["BLSYNC_DATA"])
    before = published(data)
    control(sandbox, "faults", faults="hide=1")
    night = blsync("sync", "--json", env={**env, "BLSYNC_DELETE_SHARE": "1"})
    control(sandbox, "faults", faults="")
    assert night.returncode == 4
    assert json.loads(night.stdout)["published"] is None
    assert "figures of company_sandbox that tied out" in night.stderr
    assert "customer_balance " in night.stderr
    assert "blsync build --allow" in night.stderr
    assert published(data) == before
    allowed = blsync("build", "--allow", env=env)
    assert allowed.returncode == 0, allowed.stderr
    assert published(data) != before
