"""The end of a month: its pack, what is in the way of closing it, the close, its certificate."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from rig import office
from test_cli import blsync, environment
from test_pull import control

from blsync import user_tables
from blsync.errors import ConfigError
from blsync.sandbox import Handle, Options, running

TODAY = datetime.now(ZoneInfo("Asia/Kuala_Lumpur")).date()
LAST = TODAY.replace(day=1) - timedelta(days=1)
"""A day of the month that is closed here."""
MONTH = f"{LAST:%Y-%m}"
BOOKS = Options(invoices=80, customers=20, items=12, months=4, limits=False)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Handle]:
    with running(BOOKS) as handle:
        yield handle


@pytest.fixture(scope="module")
def env(sandbox: Handle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of a company that was synced and whose marts are published."""
    folder = tmp_path_factory.mktemp("closing")
    seeds = folder / "user"
    user_tables.make_missing(seeds)
    # As a spreadsheet program saves it where commas stand in numbers.
    header = "\ufeffcompany_id;period;closed_at\r\nelsewhere;2026-01;2026-02-05T10:00:00Z"
    (seeds / user_tables.PERIOD_CLOSE).write_text(header, newline="")
    with (seeds / user_tables.BUDGET).open("a") as budget:
        for number, amount in (("6030", "1000"), ("4010", "99999.99")):
            budget.write(f"{sandbox.company_id},{number},{MONTH},{amount},\n")
    more = {"BLSYNC_SEEDS": str(seeds), "BLSYNC_ACTOR": "carol"}
    given = environment(folder / "data", sandbox.base_url, **more)
    done = blsync("sync", env=given)
    assert done.returncode == 0, done.stderr
    return given


def query(env: dict[str, str], sql: str) -> list[dict]:
    done = blsync("query", sql, "--format", "json", env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout, parse_float=Decimal)


@pytest.fixture(scope="module")
def packed(env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pack of the month, before it is closed."""
    output = tmp_path_factory.mktemp("pack") / "pack.xlsx"
    done = blsync("pack", MONTH, "--output", str(output), env=env)
    assert done.returncode == 0, done.stderr
    return output


@pytest.mark.deep
def test_a_pack_has_every_statement_and_list_and_the_lines_that_the_profit_is_made_of(packed, env):
    book = openpyxl.load_workbook(packed)
    assert book.sheetnames[:5] == [
        "Cover", "Trial balance", "Profit and loss", "Balance sheet", "Cash flow"
    ]  # fmt: skip
    assert book.sheetnames[-1] == "Journal"
    lines = query(
        env,
        "select debit, credit from finance.general_ledger "
        f"where strftime(period, '%Y-%m') = '{MONTH}' order by journal_date, journal_number, "
        "line_no",
    )
    journal = list(book["Journal"].iter_rows(min_row=4, values_only=True))[: len(lines)]
    assert [(row[8], row[9]) for row in journal] == [
        (float(line["debit"]), float(line["credit"])) for line in lines
    ]
    profit = book["Profit and loss"]
    sums = [row[3].value for row in profit.iter_rows(min_row=5) if row[8].value]
    assert sums
    assert all(text.startswith("=ROUND(SUMIFS('Journal'!") for text in sums)


@pytest.mark.deep
@pytest.mark.skipif(
    office.program() is None,
    reason="there is no LibreOffice on PATH: apt-get install libreoffice-calc-nogui",
)
def test_a_spreadsheet_program_that_recalculates_a_pack_comes_to_the_cents_of_the_marts(
    packed, env, tmp_path
):
    (saved,) = office.type_into(tmp_path, {packed: {}})
    book = openpyxl.load_workbook(saved, data_only=True)
    checks = list(book["Cover"].iter_rows(min_row=5, values_only=True))
    checks = checks[: next(n for n, row in enumerate(checks) if row[0] is None)]
    assert len(checks) >= 10  # those of lists that have rows, too
    assert {row[4] for row in checks} == {"ok"}
    assert "Budget: effect on profit" in {row[0] for row in checks}
    (told,) = query(
        env,
        "select net_profit from finance.profit_and_loss_summary "
        f"where strftime(period, '%Y-%m') = '{MONTH}'",
    )
    profit = next(row for row in checks if row[0] == "Profit and loss: net profit")
    assert round(Decimal(str(profit[1])), 2) == told["net_profit"]
    (accounts,) = query(
        env,
        "select sum(ytd_amount) as total from finance.profit_and_loss "
        f"where strftime(period, '%Y-%m') = '{MONTH}'",
    )
    rows = book["Profit and loss"].iter_rows(min_row=5, values_only=True)
    to_date = [Decimal(str(row[4])) for row in rows if row[8]]
    assert round(sum(to_date), 2) == accounts["total"]
    errors = [
        (sheet.title, cell.coordinate)
        for sheet in book
        for row in sheet.iter_rows()
        for cell in row
        if cell.data_type == "e"
    ]
    assert errors == []


@pytest.mark.deep
def test_a_cent_that_is_off_in_the_journal_shows_on_the_cover(packed, tmp_path):
    if office.program() is None:
        pytest.skip("there is no LibreOffice on PATH: apt-get install libreoffice-calc-nogui")
    book = openpyxl.load_workbook(packed)
    journal = book["Journal"]
    row = next(r for r in journal.iter_rows(min_row=4) if r[11].value == "yes")
    row[10].value = row[10].value + 0.01
    changed = tmp_path / "changed.xlsx"
    book.save(changed)
    (saved,) = office.type_into(tmp_path, {changed: {}})
    cover = openpyxl.load_workbook(saved, data_only=True)["Cover"]
    off = [r[0] for r in cover.iter_rows(min_row=5, values_only=True) if r[4] == "off"]
    assert off == ["Profit and loss: net profit"]


@pytest.mark.deep
def test_a_month_that_the_marts_do_not_have_has_no_pack(env, tmp_path):
    output = tmp_path / "pack.xlsx"
    unknown = blsync("pack", "1999-01", "--output", str(output), env=env)
    assert (unknown.returncode, "no month 1999-01" in unknown.stderr) == (2, True)
    nowhere = blsync("pack", MONTH, "--output", str(tmp_path / "none" / "x.xlsx"), env=env)
    assert (nowhere.returncode, "does not exist" in nowhere.stderr) == (2, True)
    assert not output.exists()


@pytest.mark.deep
def test_a_month_is_closed_with_a_certificate_and_what_changes_it_afterwards_contradicts_it(
    env, sandbox
):
    """From the first look at the month to the alert, in the order in which a controller does it."""
    running_month = blsync("close", f"{TODAY:%Y-%m}", env=env)
    assert (running_month.returncode, "has not ended" in running_month.stderr) == (2, True)

    looked = blsync("close", MONTH, "--check", "--json", env=env)
    found = {one["check"]: one for one in json.loads(looked.stdout)["blockers"]}
    gaps = query(
        env,
        "select invoice_number from finance.einvoice_gaps where side = 'portal' "
        f"and strftime(invoice_date, '%Y-%m') = '{MONTH}'",
    )
    drafts = query(
        env,
        "select invoice_number from history.invoices where known_to is null and not is_deleted "
        f"and status = 'draft' and strftime(invoice_date, '%Y-%m') = '{MONTH}'",
    )
    assert found.get("missing_einvoices", {"count": 0})["count"] == len(gaps)
    assert found.get("draft_invoices", {"count": 0})["count"] == len(drafts)
    assert "trial_balance_differs" not in found
    assert found
    assert looked.returncode == 4

    refused = blsync("close", MONTH, env=env)
    assert refused.returncode == 4
    assert all(name in refused.stderr for name in found)
    table = Path(env["BLSYNC_SEEDS"]) / user_tables.PERIOD_CLOSE
    assert "company_sandbox" not in table.read_text()

    closed = blsync("close", MONTH, "--allow", "--json", env=env)
    assert closed.returncode == 0, closed.stderr
    certificate = json.loads(closed.stdout)
    assert certificate["closed_by"] == "carol"
    assert {one["check"] for one in certificate["allowed"]} == {*found}
    (report,) = certificate["reports"]
    assert report["is_equal"]
    assert report["request_id"]
    lines = query(
        env,
        "select account_id, closing_balance from finance.trial_balance "
        f"where strftime(period, '%Y-%m') = '{MONTH}' and closing_balance <> 0 order by account_id",
    )
    text = "".join(f"{line['account_id']}\t{line['closing_balance']:.2f}\n" for line in lines)
    assert certificate["trial_balance_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    told = table.read_bytes().decode("utf-8")
    assert told.startswith("\ufeffcompany_id;period;closed_at\r\nelsewhere;")
    assert told.count("\r\n") == told.count("\n") == 3
    months = user_tables.closed_months(table.parent, "company_sandbox", datetime.now(UTC))
    assert list(months) == [LAST.replace(day=1)]
    again = blsync("close", MONTH, env=env)
    assert (again.returncode, "was closed at" in again.stderr) == (2, True)

    assert blsync("close", MONTH, "--verify", env=env).returncode == 0
    (entry,) = query(
        env,
        "select journal_id, account_number, amount from finance.general_ledger "
        f"where strftime(journal_date, '%Y-%m') = '{MONTH}' and debit > 0 order by all limit 1",
    )
    control(sandbox, "delete", entity="journal_entries", ids=[entry["journal_id"]])
    assert blsync("sync", env={**env, "BLSYNC_DRIFT_HOURS": "0"}).returncode in (0, 3)
    verified = blsync("close", MONTH, "--verify", env=env)
    assert verified.returncode == 1
    assert f"account {entry['account_number']}: " in verified.stdout
    status = json.loads(blsync("status", "--json", env=env).stdout)
    kinds = {one["kind"]: one for one in status["off"]}
    assert kinds["restated"]["subject"] == MONTH
    assert kinds["restated"]["count"] == len(verified.stdout.splitlines())

    path = Path(certificate["file"])
    path.write_text(path.read_text().replace('"closing_balance": "', '"closing_balance": "1', 1))
    forged = blsync("close", MONTH, "--verify", env=env)
    assert (forged.returncode, "was changed after it was written" in forged.stderr) == (1, True)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "c1,2026-10-01,2026-11-05T02:00:00Z\n"),
        ("company_id,period,closed_at", "c1,2026-10-01,2026-11-05T02:00:00Z\n"),
        ("sep=\t\ncompany_id\tperiod\tclosed_at\n", "c1\t2026-10-01\t2026-11-05T02:00:00Z\n"),
    ],
)
def test_a_close_is_added_in_the_form_that_the_table_has(tmp_path, text, line):
    file = tmp_path / user_tables.PERIOD_CLOSE
    if text:
        file.write_text(text)
    at = datetime(2026, 11, 5, 2, tzinfo=UTC)
    user_tables.add_close(tmp_path, "c1", date(2026, 10, 1), at)
    assert file.read_text().endswith(line)
    (close,) = user_tables.period_closes(tmp_path)
    assert (close.company_id, close.month, close.closed_at) == ("c1", date(2026, 10, 1), at)


def test_a_table_that_cannot_be_read_is_not_written_on(tmp_path):
    file = tmp_path / user_tables.PERIOD_CLOSE
    file.write_text("company_id,period,closed_at\nc1,Sep-26,\n")
    with pytest.raises(ConfigError, match="line 2"):
        user_tables.add_close(tmp_path, "c1", date(2026, 10, 1), datetime.now(UTC))
    assert file.read_text().endswith("c1,Sep-26,\n")


@pytest.mark.parametrize("words", [("2026-13",), ("October",), ("2026-10", "--check", "--allow")])
def test_a_month_or_options_that_are_none_are_refused(words, tmp_path):
    done = blsync("close", *words, env=environment(tmp_path, "http://127.0.0.1:9/v1"))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
