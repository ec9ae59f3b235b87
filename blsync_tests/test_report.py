"""The report, from a published file made by hand: two companies, odd names, empty books."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest

from blsync import cli, report, settings
from blsync.errors import BuildError, ConfigError
from blsync.marts import queries

BUILT = "timestamp '2026-03-10 22:00:00'"  # 11 March in Kuala Lumpur
TABLES = {
    "periods": "period date, period_end date",
    "accounts": "account_id text, account_number text, account_name text",
    "customers": "customer_id text, customer_name text",
    "items": "item_id text, item_code text, item_name text, category text",
    "profit_and_loss_summary": ", ".join(
        f"{name} {kind}"
        for name, kind in {
            "period": "date",
            **dict.fromkeys(
                (
                    "operating_revenue",
                    "cost_of_goods_sold",
                    "gross_profit",
                    "operating_expense",
                    "operating_profit",
                    "other_revenue",
                    "other_expense",
                    "net_profit",
                ),
                "decimal(18, 2)",
            ),
        }.items()
    ),
    "balance_sheet": "as_of_date date, section text, subsection text, line_order integer, "
    "account_id text, account_number text, account_name text, is_computed boolean, "
    "balance decimal(18, 2), previous_month_balance decimal(18, 2), "
    "previous_year_balance decimal(18, 2)",
    "cash_flow_summary": "period date, opening_cash decimal(18, 2), operating decimal(18, 2), "
    "investing decimal(18, 2), financing decimal(18, 2), closing_cash decimal(18, 2)",
    "ar_aging": "as_of_date date, customer_id text, customer_name text, current decimal(18, 2), "
    "days_31_60 decimal(18, 2), days_61_90 decimal(18, 2), over_90 decimal(18, 2), "
    "total_outstanding decimal(18, 2), total_overdue decimal(18, 2), oldest_days integer",
    "revenue_monthly": "period date, customer_id text, item_id text, quantity decimal(18, 4), "
    "net_revenue decimal(18, 2), previous_year_net_revenue decimal(18, 2)",
    "stock_on_hand": "item_id text, location_id text, current decimal(18, 4), "
    "available decimal(18, 4), on_order decimal(18, 4), stock_value decimal(18, 2), "
    "reorder_point decimal(18, 4), alert text, days_of_cover decimal(18, 1)",
    "reconciliation": "check_name text, as_of_date date, entity_key text, "
    "mart_value decimal(18, 4), source_value decimal(18, 4), difference decimal(18, 4), "
    "status text, is_healed boolean",
    "exceptions": "rule text, severity text, entity text, record_id text, first_seen timestamp",
    "sync_log": "load_id text, entity text, window_end timestamp, rows bigint, deleted bigint, "
    "quarantined bigint, committed_at timestamp",
}
COMPANIES = {"c1": "MYR", "c2": "JPY"}
MONTHS = [date(2025 + (month > 12), (month - 1) % 12 + 1, 1) for month in range(1, 16)]


def make_tables(db: duckdb.DuckDBPyConnection) -> None:
    db.execute("create schema finance")
    for name, columns in TABLES.items():
        db.execute(
            f"create table finance.{name} (company_id text, {columns}, currency text, "
            "built_at timestamp)"
        )


def fill(db: duckdb.DuckDBPyConnection, company: str, factor: int) -> None:
    def add(table: str, *rows: str) -> None:
        end = f"'{COMPANIES[company]}', {BUILT}"
        values = ", ".join(f"('{company}', {row}, {end})" for row in rows)
        db.execute(f"insert into finance.{table} values {values}")

    for number, month in enumerate(MONTHS, start=1):
        sold = factor * (1000 + number)
        day = f"date '{month}'"
        add("periods", f"{day}, last_day({day})")
        add(
            "profit_and_loss_summary",
            f"{day}, {sold}.10, {sold}, 0.10, {sold}, {-sold}, 3, 1, {2 - sold}",
        )
        add("cash_flow_summary", f"{day}, {sold}, 5, -2, 0, {sold + 3}")
        add(
            "balance_sheet",
            f"last_day({day}), 'assets', 'current_asset', 1, 'a1', '1010', 'Bank', false, "
            f"{sold}.55, 1, 2",
            f"last_day({day}), 'equity', 'computed', 2, null, null, 'Current year earnings', "
            f"true, {sold}.55, 1, 2",
        )
        for customer in range(12):
            add(
                "revenue_monthly",
                f"{day}, 'k{customer}', 'i{customer % 3}', 1, {sold + customer}.25, {customer}",
            )
    add("accounts", "'a1', '1010', 'Bank'")
    add("items", *(f"'i{n}', 'IT-{n}', 'Item {n}', 'Goods'" for n in range(3)))
    add("customers", *(f"'k{n}', {name_of(n)}" for n in range(12)))
    for day in ("2026-02-28", "2026-03-11"):
        add(
            "ar_aging",
            *(
                f"date '{day}', 'k{n}', {name_of(n)}, {factor * n}.5, 1, 2, 3, {factor * n + 6}.5, "
                f"6, {90 + n}"
                for n in range(12)
            ),
        )
    add(
        "stock_on_hand",
        f"'i0', 'shop', 5, 5, 0, {factor * 500}.75, 2, 'ok', 9",
        "'i1', 'shop', -2.5, -2.5, 1, -10, 2, 'negative', null",
    )
    add(
        "reconciliation",
        "'trial_balance', date '2026-02-28', 'a1:debit', 10, 10, 0, 'pass', true",
        "'trial_balance', date '2026-02-28', 'a1:credit', 10, 12.5, -2.5, 'fail', false",
    )
    add("exceptions", "'number_gap', 'warning', 'invoices', 'x', timestamp '2026-03-01 00:00'")
    add(
        "sync_log",
        "'l1', 'invoices', timestamp '2026-03-09 22:00', 3, 0, 0, timestamp '2026-03-09 22:01'",
        "'l2', 'invoices', timestamp '2026-03-10 21:00', 4, 1, 0, timestamp '2026-03-10 21:01'",
    )


def name_of(customer: int) -> str:
    return "'<script>alert(1)</script>'" if customer == 11 else f"'Customer {customer}'"


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "blsync.duckdb"
    with duckdb.connect(str(path)) as db:
        make_tables(db)
        fill(db, "c1", 1)
        fill(db, "c2", 1_000_000)
    return path


@pytest.fixture(scope="module")
def current(published, tmp_path_factory) -> Iterator[settings.Settings]:
    with pytest.MonkeyPatch.context() as patch:
        yield configured(patch, published.parent)


def configured(patch: pytest.MonkeyPatch, data: Path) -> settings.Settings:
    patch.setenv("BLSYNC_ENV_FILE", str(data / "no.env"))
    patch.setenv("BLSYNC_DATA", str(data))
    patch.setenv("BLSYNC_TIMEZONE", "Asia/Kuala_Lumpur")
    return settings.load()


@pytest.fixture
def fresh(tmp_path, monkeypatch) -> settings.Settings:
    return configured(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def written(current) -> report.Report:
    return report.write(current)


@pytest.fixture(scope="module")
def page(written) -> Page:
    return read_page(written.path)


class Page(HTMLParser):
    """What a reader sees: each section's rows as lists of cells, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._section = ""
        self._is_cell = False

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
            self.rows[self._section] = []
        elif tag == "tr":
            self.rows[self._section].append([])
        elif tag in ("td", "th"):
            self.rows[self._section][-1].append("")
            self._is_cell = True

    def handle_endtag(self, tag) -> None:
        if tag in ("td", "th"):
            self._is_cell = False

    def handle_data(self, data) -> None:
        self.text += data
        if self._is_cell:
            row = self.rows[self._section][-1]
            row[-1] = " ".join((row[-1] + data).split())

    def row(self, section: str, first: str) -> list[str]:
        (found,) = [row for row in self.rows[section] if row and row[0] == first]
        return found[1:]


def read_page(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text())
    return page


def amount(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace("−", "-"))


@pytest.fixture(scope="module")
def ask(published) -> Iterator[Callable[..., tuple]]:
    with queries.opened(published) as db:
        yield lambda sql: db.execute(sql).fetchone()


@pytest.mark.parametrize(("number", "company"), [(1, "c1"), (2, "c2")])
def test_the_figures_are_those_of_the_published_tables(page, ask, number, company):
    where = f"where company_id = '{company}'"
    sold, net = ask(
        f"select sum(operating_revenue), sum(net_profit) from finance.profit_and_loss_summary "
        f"{where} and period between '2025-03-01' and '2026-02-01'"
    )
    row = page.row(f"profit-{number}", "Last 12 complete months")
    assert (amount(row[0]), amount(row[6])) == (sold, net)
    cells = page.row(f"balance-{number}", "Total assets")
    assert [amount(cell) for cell in cells] == list(
        ask(
            "select sum(balance), sum(previous_month_balance), sum(previous_year_balance) "
            f"from finance.balance_sheet {where} and section = 'assets' "
            "and as_of_date = '2026-02-28'"
        )
    )
    assert cells == page.row(f"balance-{number}", "Liabilities and equity")
    (closing,) = ask(
        f"select closing_cash from finance.cash_flow_summary {where} and period = '2026-03-01'"
    )
    assert amount(page.row(f"cash-{number}", "Mar 2026 so far")[-1]) == closing
    buckets = ask(
        "select sum(current), sum(days_31_60), sum(days_61_90), sum(over_90), "
        "sum(total_outstanding), sum(total_overdue) "
        f"from finance.ar_aging {where} and as_of_date = '2026-03-11'"
    )
    shown = page.row(f"receivables-{number}", "All 12 customers")
    assert tuple(map(amount, shown[:6])) == buckets
    revenue = ask(
        "select sum(net_revenue), sum(previous_year_net_revenue) from finance.revenue_monthly "
        f"{where} and period between '2025-03-01' and '2026-02-01'"
    )
    totals = [row for row in page.rows[f"revenue-{number}"] if row[0] == "All"]
    assert [(amount(row[1]), amount(row[3])) for row in totals] == [revenue, revenue]
    (value,) = ask(f"select sum(stock_value) from finance.stock_on_hand {where}")
    assert amount(page.row(f"stock-{number}", "All")[-1]) == value


def test_top_debtors_come_first_and_the_others_are_one_line(page, ask):
    rows = page.rows["receivables-1"]
    assert [row[0] for row in rows[1:4]] == [
        "<script>alert(1)</script>",
        "Customer 10",
        "Customer 9",
    ]
    assert len(rows) == 1 + 10 + 3  # header; the ten; others, all, per cent
    (others,) = ask(
        "select sum(total_outstanding) from finance.ar_aging where company_id = 'c1' "
        "and as_of_date = '2026-03-11' and customer_id in ('k0', 'k1')"
    )
    assert amount(page.row("receivables-1", "2 others")[4]) == others


def test_a_name_with_markup_is_text(page, written):
    assert "<script" not in written.path.read_text()
    assert "<script>alert(1)</script>" in page.text


def test_the_page_asks_the_network_for_nothing(page, written):
    text = written.path.read_text()
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\((?!#)", text)
    references = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "srcset")
    ]
    assert references
    assert all(value.startswith(("#", "data:")) for value in references)
    assert not {"script", "iframe", "img", "object"} & {tag for tag, _ in page.tags}


def test_every_link_on_the_page_leads_to_one_place(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {a["href"] for _, a in page.tags if (a.get("href") or "").startswith("#")}
    assert {link[1:] for link in links} <= set(ids)
    assert {"#company-1", "#company-2"} <= links


def test_what_does_not_tie_out_is_named_with_what_was_healed(page):
    checks = [row for row in page.rows["tie-out-1"] if row[0] == "Trial balance"]
    assert checks == [
        ["Trial balance", "2026-02-28", "2", "1", "1", "1", "0", "2.50"],
        ["Trial balance", "2026-02-28", "1010 Bank", "Credit", "10.00", "12.50", "−2.50"],
    ]
    assert "1 of 2 comparisons with BigLedger differ." in page.text


def test_alerts_exceptions_and_freshness_are_listed_in_local_time(page):
    alert = page.row("stock-1", "IT-1Item 1")
    assert alert == ["shop", "negative", "−2.5", "−2.5", "1", "2", "–"]
    assert page.row("exceptions-1", "Number gap") == [
        "warning",
        "Invoices",
        "1",
        "2026-03-01 08:00",
    ]
    loads = ["2026-03-11 05:00", "2026-03-11 05:01", "2", "7", "1", "0"]
    assert page.row("freshness-1", "Invoices") == loads
    assert "Books as of 2026-03-11, in MYR." in " ".join(page.text.split())


def test_headlines_are_in_the_companys_currency_and_name_no_customer(written):
    assert written.headlines["c1"] == {
        "Revenue in February 2026": "MYR 1,014.10",
        "Net profit in February 2026": "MYR −1,012.00",
        "Cash": "MYR 1,018.00",
        "Receivables": "MYR 144.00",
        "Receivables overdue": "MYR 72.00",
        "Stock": "MYR 490.75",
        "Tied out": "1 of 2, 1 differ",
    }
    assert written.headlines["c2"]["Cash"] == "JPY 1,015,000,003"
    assert written.headlines["c2"]["Receivables"] == "JPY 66,000,078"
    for uri in written.pictures.values():
        picture = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
        assert picture.startswith(b"\x89PNG")


def test_decimals_are_shown_even_where_the_currency_has_fewer():
    assert report.money(Decimal("1234.50"), digits=0) == "1,234.50"
    assert report.money(Decimal("-0.0010")) == "−0.001"
    assert report.money(Decimal("1234.0000"), digits=0) == "1,234"
    assert report.money(Decimal("1234567890.00")) == "1,234,567,890.00"
    assert report.money(None) == "–"


def test_a_file_from_before_a_table_leaves_its_section_out_with_a_sentence(fresh):
    with duckdb.connect(str(fresh.data / "blsync.duckdb")) as db:
        make_tables(db)
        fill(db, "c1", 1)
        for table in ("revenue_monthly", "cash_flow_summary", "exceptions"):
            db.execute(f"drop table finance.{table}")
        db.execute("alter table finance.reconciliation drop column is_healed")
    found = report.write(fresh)
    page = read_page(found.path)
    assert "Cash" not in found.headlines["c1"]
    assert [name for name, rows in page.rows.items() if not rows] == [
        "cash-1",
        "payables-1",
        "backlog-1",
        "revenue-1",
        "tills-1",
        "compliance-1",
        "exceptions-1",
    ]
    assert "Left out: the published file has no cash_flow_summary yet." in page.text
    assert page.row("profit-1", "Feb 2026")


def test_empty_books_make_a_page_that_says_so(fresh):
    with duckdb.connect(str(fresh.data / "blsync.duckdb")) as db:
        make_tables(db)
        db.execute(
            "insert into finance.sync_log values ('c1', 'l', 'invoices', null, 0, 0, 0, "
            f"{BUILT}, 'MYR', {BUILT})"
        )
    page = read_page(report.write(fresh).path)
    assert "The books have no entries yet." in page.text
    assert "No customer owes anything." in page.text
    assert page.row("freshness-1", "Invoices")[0] == "–"


def test_without_a_company_the_page_tells_what_to_run(fresh):
    with duckdb.connect(str(fresh.data / "blsync.duckdb")) as db:
        make_tables(db)
    found = report.write(fresh)
    assert found.headlines == {}
    assert "The published marts hold no company yet." in read_page(found.path).text


def test_the_first_month_is_shown_as_it_stands(fresh):
    with duckdb.connect(str(fresh.data / "blsync.duckdb")) as db:
        make_tables(db)
        fill(db, "c1", 1)
        for table, column in (
            ("periods", "period"),
            ("profit_and_loss_summary", "period"),
            ("revenue_monthly", "period"),
            ("cash_flow_summary", "period"),
            ("balance_sheet", "as_of_date"),
        ):
            db.execute(f"delete from finance.{table} where {column} < '2026-03-01'")
    page = read_page(report.write(fresh).path)
    assert "Balance sheet at 2026-03-31" in page.text
    assert "The first month is not over: as it stands." in page.text
    assert "Mar 2026 so far" in " ".join(page.text.split())
    assert page.row("revenue-1", "Customer 10")[0] == "1,025.25"


@pytest.mark.parametrize("command", ["report", "docs"])
def test_before_the_first_publish_the_command_says_what_to_run(fresh, monkeypatch, capsys, command):
    monkeypatch.setattr("sys.argv", ["blsync", command])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == BuildError.exit_code == 1
    told = capsys.readouterr()
    assert "Run `blsync sync` first" in " ".join(told.err.split())
    assert told.out == ""
    assert not list(fresh.data.glob("*.html"))


def test_the_command_prints_where_it_wrote(current, tmp_path, monkeypatch, capsys):
    output = tmp_path / "march.html"
    monkeypatch.setattr("sys.argv", ["blsync", "report", "--output", str(output)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    assert capsys.readouterr().out == f"{output}\n"
    assert output.read_text().startswith("<!doctype html>")
    assert [path.name for path in tmp_path.iterdir()] == ["march.html"]


def test_an_output_folder_that_does_not_exist_is_named(current, tmp_path):
    with pytest.raises(ConfigError, match="nowhere does not exist"):
        report.write(current, tmp_path / "nowhere" / "report.html")
