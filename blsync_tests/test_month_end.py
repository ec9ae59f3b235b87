"""The end of a month: its pack, statements of account, what is in the way of closing it, the close,
its certificate.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import matplotlib
import openpyxl
import pytest
from pypdf import PdfReader
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

OWN_LAYOUT = """
[[profit_and_loss]]
name = "earned"
en = "What we earned"
side = "credit"
sections = ["operating_revenue"]
[[profit_and_loss]]
name = "goods"
en = "Goods"
side = "debit"
accounts = ["5010", "5020..5039"]
[[profit_and_loss]]
name = "running"
en = "Running costs"
side = "debit"
accounts = ["6010..6989", "6990", "7010..7099", "4910"]
[[profit_and_loss]]
name = "net_profit"
en = "What is left"
formula = "earned - goods - running"
[[balance_sheet]]
name = "assets"
en = "Assets"
side = "debit"
sections = ["assets"]
[[balance_sheet]]
name = "liabilities"
en = "Liabilities"
side = "credit"
sections = ["liabilities"]
[[balance_sheet]]
name = "equity"
en = "Equity"
side = "credit"
sections = ["equity"]
"""


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


def text_of(file: Path) -> str:
    """The text of a PDF's pages."""
    return "\n".join(page.extract_text() for page in PdfReader(file).pages)


@pytest.mark.deep
def test_the_statements_as_pdf_have_every_figure_that_the_workbook_comes_to(env, tmp_path):
    files = [tmp_path / name for name in ("pack.xlsx", "pack.pdf")]
    words = ("--output", str(files[0]), "--pdf", str(files[1]), "--json")
    done = blsync("pack", MONTH, *words, env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pdf"] == str(files[1])
    assert files[1].stat().st_mode & 0o777 == 0o600
    told = text_of(files[1])
    amounts = re.findall(r"\(?[\d,]+\.\d\d\)?", told)
    found = {Decimal(re.sub(r"[(),]", "", a)) * (-1 if a[0] == "(" else 1) for a in amounts}
    for figure, table, day in (
        ("net_profit", "profit_and_loss_summary", "period"),
        ("closing_cash", "cash_flow_summary", "period"),
        ("amount", "profit_and_loss", "period"),
        ("closing_balance", "trial_balance", "period"),
        ("balance", "balance_sheet", "as_of_date"),
    ):
        sql = f"select {figure} as n from finance.{table} where strftime({day}, '%Y-%m') = "
        rows = query(env, f"{sql} '{MONTH}'")
        assert rows
        assert {row["n"] for row in rows} <= found
    assert " off" not in told.split("Compared with")[0]
    if office.program():
        (saved,) = office.type_into(tmp_path, {files[0]: {}})
        book = openpyxl.load_workbook(saved, data_only=True)
        for sheet in book.worksheets[1:5]:
            shown = [
                round(Decimal(str(cell.value)), 2)
                for row in sheet.iter_rows(min_row=5)
                for cell in row
                if isinstance(cell.value, float) and cell.column_letter != "C"
            ]
            assert len(shown) > 4
            assert {*shown} <= found, sheet.title


@pytest.mark.deep
def test_a_pack_in_malay_has_the_same_figures_and_a_layout_of_ones_own_its_rows(env, tmp_path):
    malay, own = tmp_path / "ms.xlsx", tmp_path / "own.xlsx"
    pdf = tmp_path / "ms.pdf"
    words = ("--output", str(malay), "--pdf", str(pdf), "--language", "ms")
    done = blsync("pack", MONTH, *words, env=env)
    assert done.returncode == 0, done.stderr
    assert openpyxl.load_workbook(malay).sheetnames[1:3] == ["Imbangan duga", "Untung dan rugi"]
    assert "Untung sebelum cukai" in text_of(pdf)

    layout = tmp_path / "own.toml"
    rows = OWN_LAYOUT.replace("6010..6989", "6010..6029")
    layout.write_text(rows)
    words = ("--output", str(own), "--layout", str(layout))
    done = blsync("pack", MONTH, *words, env=env)
    assert done.returncode == 0, done.stderr
    book = openpyxl.load_workbook(own)
    labels = [row[0] for row in book["Profit and loss"].values]
    assert "What we earned" in labels
    assert "Not placed in the layout" in labels
    told = [row[0] for row in book["Cover"].values if row[0]]
    (not_placed,) = (text for text in told if "Not placed" in text)
    assert "6030 Rent" in not_placed
    assert "6010" not in not_placed

    layout.write_text(OWN_LAYOUT)
    whole = blsync("pack", MONTH, *words, "--pdf", str(pdf), env=env)
    assert whole.returncode == 0, whole.stderr
    cover = text_of(pdf).split("Compared with")[0]
    assert ("Not placed" in cover, " off" in cover, cover.count(" ok")) == (False, False, 8)
    if office.program():  # interest income lessens what is spent, in its formula, too
        (saved,) = office.type_into(tmp_path, {own: {}})
        rows = openpyxl.load_workbook(saved, data_only=True)["Cover"].iter_rows(values_only=True)
        assert "off" not in {row[4] for row in rows if len(row) > 4}

    layout.write_text(OWN_LAYOUT.replace("6010..6989", "5010..6989"))
    double = blsync("pack", MONTH, *words, env=env)
    assert (double.returncode, "5010 Cost of Goods Sold (goods, running)" in double.stderr) == (
        2,
        True,
    )


@pytest.mark.deep
def test_three_companies_have_a_pack_each_and_one_without_the_month_keeps_none_from_it(
    changed, env, tmp_path
):
    """The books of one, three times: the same figures under another name."""
    tables = [
        tuple(row.values())
        for row in query(
            env,
            "select table_schema, table_name from information_schema.columns "
            "where column_name = 'company_id' and table_schema in ('finance', 'history') "
            "order by all",
        )
    ]
    copies = [
        f"insert into {schema}.{table} select * replace ('{name}' as company_id) "
        f"from {schema}.{table} where company_id = 'company_sandbox'"
        for schema, table in tables
        for name in ("north", "south")
    ]
    three = changed(*copies, "delete from finance.periods where company_id = 'south'")
    listed = tmp_path / "companies.toml"
    listed.write_text(
        "".join(
            f"[companies.{name}]\ncompany_id = '{key}'\napi_key_env = 'BIGLEDGER_API_KEY'\n"
            for name, key in (("main", "company_sandbox"), ("north", "north"), ("south", "south"))
        )
    )
    listed.chmod(0o600)
    three |= {"BLSYNC_COMPANIES": str(listed), "BIGLEDGER_COMPANY_ID": ""}
    folder = tmp_path / "packs"
    words = ("--output", str(folder), "--pdf", str(folder), "--json")
    done = blsync("pack", MONTH, "--all-companies", *words, env=three)
    assert (done.returncode, "south: The marts have no month" in done.stderr) == (3, True)
    packs = json.loads(done.stdout)["packs"]
    assert [*packs] == ["main", "north"]
    assert sorted(file.name for file in folder.iterdir()) == sorted(
        f"{name}-{MONTH}{kind}" for name in packs for kind in (".xlsx", ".pdf")
    )
    first, second = (
        [line for line in text_of(Path(one["pdf"])).splitlines() if f"{LAST:%B %Y}" not in line]
        for one in packs.values()
    )
    assert len(first) > 100
    assert first == second
    two = blsync(
        *("pack", MONTH, "--company", "main", "--company", "north"),
        *("--output", str(tmp_path / "x.xlsx")),
        env=three,
    )
    assert (two.returncode, "name a folder" in two.stderr) == (2, True)


@pytest.fixture
def changed(env: dict[str, str], tmp_path: Path):
    """Change a copy of the published marts; return the settings of that copy."""
    folder = tmp_path / "published"

    def change(*statements: str) -> dict[str, str]:
        folder.mkdir(exist_ok=True)
        copy = folder / "blsync.duckdb"
        if not copy.exists():
            shutil.copyfile(Path(env["BLSYNC_DATA"]) / copy.name, copy)
        with duckdb.connect(str(copy)) as db:
            for statement in statements:
                db.execute(statement)
        return {**env, "BLSYNC_PUBLISH_TO": str(folder)}

    return change


def debtor(env: dict[str, str]) -> dict:
    """The customer who owes most, without a credit."""
    return query(
        env,
        "select customer_id, customer_number, open_balance from finance.customers "
        "where customer_id not in (select customer_id from finance.invoices where amount_due < 0) "
        "order by open_balance desc limit 1",
    )[0]


@pytest.mark.deep
def test_statements_of_all_who_owe_or_moved_add_up_to_what_is_open(env, tmp_path):
    done = blsync("statement", "--all", "--output", str(tmp_path / "s"), "--json", env=env)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout, parse_float=Decimal)["statements"]
    aged = query(
        env,
        "select sum(total_outstanding) as open, sum(over_90) as over_90 from finance.ar_aging "
        "where as_of_date = (select max(as_of_date) from finance.ar_aging)",
    )
    assert sum(one["closing_balance"] + one["overpaid"] for one in told) == aged[0]["open"]
    assert sum(one["ageing"]["over_90"] for one in told) == aged[0]["over_90"]
    wanted = query(
        env,
        "select distinct customer_id from finance.customer_statement group by customer_id, "
        "invoice_id having sum(debit - credit) <> 0 or max(event_date) >= "
        f"'{TODAY.replace(day=1)}' order by all",
    )
    assert sorted(one["customer_id"] for one in told) == [row["customer_id"] for row in wanted]
    files = {Path(file) for one in told for file in one["files"]}
    assert files == {*(tmp_path / "s").iterdir()}
    assert len(files) == 2 * len(told)
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    for one in told:
        pdf, _ = map(Path, one["files"])
        assert f"{one['closing_balance']:,.2f}" in text_of(pdf).replace("(", "-").replace(")", "")
        assert one["customer_number"] in text_of(pdf)


@pytest.mark.deep
def test_a_statement_begins_with_what_the_month_before_ended_with(env, tmp_path):
    number = debtor(env)["customer_number"]
    found = []
    before = (LAST.replace(day=1) - timedelta(days=1)).strftime("%Y-%m")
    for month in (before, MONTH, f"{TODAY:%Y-%m}"):
        words = ("--month", month, "--output", str(tmp_path / "s"), "--json")
        done = blsync("statement", number, *words, env=env)
        assert done.returncode == 0, done.stderr
        found += json.loads(done.stdout, parse_float=Decimal)["statements"]
    assert [one["opening_balance"] for one in found[1:]] == [
        one["closing_balance"] for one in found[:-1]
    ]
    assert found[-1]["closing_balance"] == debtor(env)["open_balance"]


@pytest.mark.deep
@pytest.mark.skipif(
    office.program() is None,
    reason="there is no LibreOffice on PATH: apt-get install libreoffice-calc-nogui",
)
def test_a_spreadsheet_program_that_recalculates_a_statement_comes_to_its_balance(env, tmp_path):
    owes = debtor(env)
    written = tmp_path / "one.xlsx"
    done = blsync("statement", owes["customer_id"], "--output", str(written), env=env)
    assert done.returncode == 0, done.stderr
    (saved,) = office.type_into(tmp_path, {written: {}})
    rows = list(openpyxl.load_workbook(saved, data_only=True)["Statement"].values)
    (closing,) = (row[5] for row in rows if row[1] == "Closing balance")
    (aged,) = (rows[n + 1][5] for n, row in enumerate(rows) if row[4] == "Overpaid")
    assert [round(Decimal(str(value)), 2) for value in (closing, aged)] == [
        owes["open_balance"]
    ] * 2


@pytest.mark.deep
def test_a_statement_that_is_a_cent_off_is_an_error_with_the_figures_and_not_written(
    changed, env, tmp_path
):
    owes = debtor(env)
    who = f"customer_id = '{owes['customer_id']}'"
    off = changed(f"update finance.ar_aging set over_90 = over_90 + 0.01 where {who}")
    folder = tmp_path / "s"
    one = blsync("statement", owes["customer_number"], "--output", str(folder), env=off)
    assert (one.returncode, "does not foot" in one.stderr) == (1, True)
    assert f"customer {owes['customer_number']}" in one.stderr
    assert "in ar_aging 0.01" in one.stderr
    assert not folder.exists()
    every = blsync("statement", "--all", "--output", str(folder), env=off)
    assert (every.returncode, "in ar_aging 0.01" in every.stderr) == (3, True)
    assert [*folder.iterdir()]
    assert not [f for f in folder.iterdir() if f.name.startswith(owes["customer_number"])]

    off = changed(
        "update finance.ar_aging set over_90 = over_90 - 0.01 where " + who,
        "update finance.customer_statement set credit = credit + 0.01 "
        f"where {who} and event_no = 1",
    )
    one = blsync("statement", owes["customer_number"], "--output", str(folder), env=off)
    assert (one.returncode, "its entry 1 has the balance" in one.stderr) == (1, True)


@pytest.mark.deep
def test_a_past_statement_tells_what_came_to_be_known_later_and_lets_nothing_else_differ(
    changed, env, tmp_path
):
    """The marts know each past month end as it was known then, once the history reaches there."""
    owes = debtor(env)
    columns = f"date '{LAST}' as as_of_date, open_amount + 5 as open_amount"
    then = changed(
        "delete from finance.ar_open_items where is_reconstructed",
        f"insert into finance.ar_open_items select * replace ({columns}) "
        "from finance.ar_open_items "
        f"where customer_id = '{owes['customer_id']}' order by invoice_date limit 1",
    )
    words = (
        "statement",
        owes["customer_number"],
        "--month",
        MONTH,
        "--output",
        str(tmp_path / "s"),
    )
    known_later = blsync(*words, env=then)
    assert known_later.returncode == 0, known_later.stderr
    told = text_of(tmp_path / "s" / f"{owes['customer_number']}-{MONTH}.pdf")
    assert f"On {LAST} itself" in told
    unchanged = changed(
        "update history.invoices set known_from = timestamp '2020-01-01'",
        f"delete from finance.customer_statement where customer_id = '{owes['customer_id']}'",
        f"delete from finance.ar_aging where customer_id = '{owes['customer_id']}'",
        f"delete from finance.ar_open_items where customer_id = '{owes['customer_id']}' "
        f"and as_of_date <> date '{LAST}'",
    )
    off = blsync(*words, env=unchanged)
    assert (off.returncode, "has not changed since" in off.stderr) == (1, True)


@pytest.mark.deep
def test_letters_that_no_font_has_are_boxes_and_a_warning_and_a_font_that_is_named_shows_them(
    changed, env, tmp_path
):
    owes = debtor(env)
    named = changed(
        "update finance.customers set customer_name = 'Kedai \u1d24 \u1d25' "
        f"where customer_id = '{owes['customer_id']}'"
    )
    words = ("statement", owes["customer_number"], "--output", str(tmp_path / "one.pdf"))
    boxed = blsync(*words, "--month", f"{TODAY:%Y-%m}", env=named)
    assert f"Customer {owes['customer_number']}: 2 different letters are not as" in boxed.stderr
    assert "Kedai \u25a1 \u25a1" in text_of(tmp_path / "one.pdf")
    jawi = changed(
        "update finance.customers set customer_name = 'Kedai \u062c\u0627' "
        f"where customer_id = '{owes['customer_id']}'"
    )
    assert ": 2 different letters are not as" in blsync(*words, env=jawi).stderr
    named = changed(
        "update finance.customers set customer_name = 'Kedai \u1d24 \u1d25' "
        f"where customer_id = '{owes['customer_id']}'"
    )
    font = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSerif.ttf"
    shown = blsync(*words, env={**named, "BLSYNC_PDF_FONT": str(font)})
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Kedai \u1d24 \u1d25" in text_of(tmp_path / "one.pdf")
    none = blsync(*words, env={**named, "BLSYNC_PDF_FONT": __file__})
    assert (none.returncode, "BLSYNC_PDF_FONT" in none.stderr) == (2, True)


@pytest.mark.deep
def test_an_unknown_customer_a_month_to_come_and_a_place_that_is_none_are_refused(env, tmp_path):
    number = debtor(env)["customer_number"]
    ahead = f"{TODAY.year + 1}-01"
    for words, said in (
        (("nobody",), "no customer 'nobody'"),
        ((), "Name one customer"),
        ((number, "--all"), "Name one customer"),
        ((number, "--month", ahead), f"no month {ahead}"),
        ((number, "--output", str(tmp_path / "none" / "s")), "does not exist"),
        (("--all", "--output", str(tmp_path / "all.pdf")), "name a folder"),
    ):
        done = blsync("statement", *words, env=env)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert [*tmp_path.iterdir()] == []


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
