"""A chart of accounts as companies keep them, against sums over the server's own journal.

What each account is for is written down here by hand. The figures are added up from the entries
that the server holds, with nothing of the models.
"""

from __future__ import annotations

import csv
import json
from calendar import monthrange
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import duckdb
import pytest
from rig import patient
from rig.plain_text import PROGRAMS, move_a_cent
from test_cli import blsync, environment

from blsync.sandbox import Handle, Options, running

pytestmark = pytest.mark.deep

ZERO = Decimal(0)
CASH = "cash"
OPERATING, INVESTING, FINANCING = "operating", "investing", "financing"
LINES = {
    "accumulated_depreciation": (OPERATING, "Depreciation and amortisation added back"),
    "accounts_receivable": (OPERATING, "Change in trade receivables"),
    "allowance_for_doubtful_debts": (OPERATING, "Change in trade receivables"),
    "inventory": (OPERATING, "Change in inventory"),
    "prepaid_expense": (OPERATING, "Change in prepayments"),
    "other_receivable": (OPERATING, "Change in other receivables"),
    "tax_receivable": (OPERATING, "Change in recoverable tax"),
    "accounts_payable": (OPERATING, "Change in trade payables"),
    "accrued_expense": (OPERATING, "Change in accrued expenses"),
    "tax_payable": (OPERATING, "Change in tax payable"),
    "deferred_revenue": (OPERATING, "Change in deferred revenue"),
    "fixed_asset": (INVESTING, "Fixed assets at cost"),
    "loan": (FINANCING, "Loans"),
    "share_capital": (FINANCING, "Capital"),
    "dividends": (FINANCING, "Dividends and drawings"),
    "retained_earnings": (FINANCING, "Entries on earnings other than closings"),
}
WITHOUT_ROLE = {
    "current_asset": (OPERATING, "Change in other current assets"),
    "other_asset": (INVESTING, "Other assets"),
    "current_liability": (OPERATING, "Change in other liabilities"),
    "other_liability": (OPERATING, "Change in other liabilities"),
    "equity": (FINANCING, "Other equity"),
}


class Account(NamedTuple):
    """An account, its role, and who says so: n a word of its name, c its category, i items."""

    name: str
    category: str
    role: str | None
    source: str


def accounts_of(category: str, **told: tuple[str, str | None, str]) -> dict[str, Account]:
    return {n[1:]: Account(name, category, role, by) for n, (name, role, by) in told.items()}


OF_THE_SANDBOX = {
    **accounts_of(
        "current_asset",
        n1010=("", CASH, "n"), n1020=("", CASH, "n"), n1030=("", CASH, "n"), n1040=("", CASH, "n"),
        n1110=("", "accounts_receivable", "n"), n1120=("", "other_receivable", "n"),
        n1210=("", "inventory", "i"),
    ),
    **accounts_of("other_asset", n1310=("", "prepaid_expense", "n"),
                  n1320=("", "other_receivable", "n")),
    **accounts_of("fixed_asset", n1510=("", "fixed_asset", "c"), n1520=("", "fixed_asset", "c"),
                  n1515=("", "accumulated_depreciation", "n"),
                  n1525=("", "accumulated_depreciation", "n")),
    **accounts_of("current_liability", n2010=("", "accounts_payable", "n"),
                  n2020=("", "accrued_expense", "n"), n2030=("", "tax_payable", "n"),
                  n2040=("", "accrued_expense", "n")),
    **accounts_of("long_term_liability", n2500=("", "loan", "c")),
    **accounts_of("other_liability", n2800=("", "deferred_revenue", "n")),
    **accounts_of("equity", n3010=("", "share_capital", "n"), n3020=("", "retained_earnings", "n")),
}  # fmt: skip
"""Those of the sandbox's own books that are on the balance sheet and posted to."""
OWN = {
    **accounts_of(
        "current_asset",
        n1055=("Public Bank Islamic Account", CASH, "n"),
        n1060=("Tunai Runcit Kedai", CASH, "n"),
        n1070=("Touch 'n Go eWallet", CASH, "n"),
        n1080=("Undeposited Funds", CASH, "n"),
        n1130=("Other Receivables", "other_receivable", "n"),
        n1140=("Amount Due from Director", "other_receivable", "n"),
        n1150=("Staff Loans Receivable", "other_receivable", "n"),
        n1160=("Trade Receivables - Export, Related Parties", "accounts_receivable", "n"),
        n1165=("Sundry Debtors", "other_receivable", "n"),
        n1170=("Allowance for Doubtful Debts", "allowance_for_doubtful_debts", "n"),
        n1180=("Input Tax Recoverable", "tax_receivable", "n"),
        n1190=("Interest Receivable", "other_receivable", "n"),
        n1330=("Prepaid Rental of Bank Space", "prepaid_expense", "n"),
        n1340=("Cash Deposits for Utilities", "other_receivable", "n"),
        n1350=("Contract Assets", None, ""),
    ),
    **accounts_of(
        "fixed_asset",
        n1530=("Cash Register Equipment", "fixed_asset", "c"),
        n1535=("Provision for Depreciation - Computers", "accumulated_depreciation", "n"),
        n1540=("Bank Premises (Freehold)", "fixed_asset", "c"),
        n1550=("Till and Card Terminals", "fixed_asset", "c"),
        n1560=("Stock Handling Forklift", "fixed_asset", "c"),
        n1565=("Susut Nilai Terkumpul - Forklift", "accumulated_depreciation", "n"),
        n1570=("Night Deposit Safe", "fixed_asset", "c"),
        n1580=("Debtors Ledger Software", "fixed_asset", "c"),
        n1585=("Accum. Amort. - Software", "accumulated_depreciation", "n"),
        n1590=("Fully Depreciated Tools", "fixed_asset", "c"),
    ),
    **accounts_of(
        "other_asset",
        n1600=("Goodwill of Kas Maju", None, ""),
        n1610=("Shares of Bank Rakyat", None, ""),
        n1620=("Receivable from Subsidiary, beyond a Year", "other_receivable", "n"),
        n1630=("Stock Exchange Seat", None, ""),
    ),
    **accounts_of(
        "current_liability",
        n2050=("Sundry Creditors", None, ""),
        n2060=("Bank Overdraft", "loan", "n"),
        n2070=("Hire Purchase Creditor", "loan", "n"),
        n2080=("Payroll Clearing", "accrued_expense", "n"),
        n2090=("Service Tax Payable", "tax_payable", "n"),
        n2100=("Unearned Service Income", "deferred_revenue", "n"),
        n2110=("Other Payables", None, ""),
        n2120=("Trade Payables Import", "accounts_payable", "n"),
    ),
    **accounts_of(
        "long_term_liability",
        n2510=("Deferred Tax", "loan", "c"),
        n2520=("Lease Liability", "loan", "c"),
        n2530=("Trade Creditors, Retention", "loan", "c"),
    ),
    **accounts_of(
        "other_liability",
        n2810=("Advance from Customers", "deferred_revenue", "n"),
        n2820=("Provision for Warranty", None, ""),
    ),
    **accounts_of(
        "equity",
        n3030=("Owner's Drawings", "dividends", "n"),
        n3040=("Revaluation Reserve", None, ""),
        n3050=("Share Premium", "share_capital", "n"),
    ),
    **accounts_of("operating_revenue", n4040=("Cash Sales", "revenue", "c")),
    **accounts_of("other_revenue", n4920=("Rent of Bank Space", "other_income", "c"),
                  n4930=("Depreciation Written Back", "other_income", "c")),
    **accounts_of(
        "cost_of_goods_sold",
        n5035=("Depreciation of Plant", "cost_of_goods_sold", "c"),
        n5040=("Freight Inwards", "cost_of_goods_sold", "c"),
    ),
    **accounts_of(
        "operating_expense",
        n6090=("Cash Handling Fees", "operating_expense", "c"),
        n6100=("Bad Debts", "operating_expense", "c"),
        n6110=("Closing Parties", "operating_expense", "c"),
        n6120=("Amortisation", "depreciation_expense", "n"),
    ),
    **accounts_of("other_expense", n7030=("Loss on Disposal", "other_expense", "c")),
}  # fmt: skip
TYPES = {"asset": "asset", "liability": "liability", "equity": "equity", "revenue": "revenue"}
NOW = datetime.now(ZoneInfo("Asia/Kuala_Lumpur")).date()
THIS_MONTH = NOW.replace(day=1)
LAST_MONTH = (THIS_MONTH - timedelta(days=1)).replace(day=1)
Query = Callable[..., list[tuple[Any, ...]]]


def type_of(category: str) -> str:
    return TYPES.get(category.rpartition("_")[2], "expense")


@dataclass
class Desk:
    """Makes accounts and entries at the server."""

    server: Handle
    ids: dict[str, str]

    def send(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {
            "Authorization": f"Bearer {self.server.api_key}",
            "X-Company-Id": self.server.company_id,
        }
        answer = patient.post(f"{self.server.base_url}{path}", json=body, headers=headers)
        return dict(answer.raise_for_status().json()["data"])

    def enter(self, day: date, text: str, *lines: tuple[str, int]) -> None:
        """Post an entry; amounts in cents, debits positive."""
        told = [
            {"accountId": self.ids[n], "debit": max(c, 0) / 100, "credit": max(-c, 0) / 100}
            for n, c in lines
        ]
        body = {"date": str(day), "reference": text, "description": text, "status": "posted"}
        self.send("/journal-entries", {**body, "lines": told})


def keep_books(desk: Desk) -> None:
    """Post to each account in two months, and what is easily taken for something else."""
    for place, (number, account) in enumerate(OWN.items(), start=1):
        desk.ids[number] = desk.send(
            "/accounts",
            {
                "accountNumber": number,
                "name": account.name,
                "category": account.category,
                "type": type_of(account.category),
            },
        )["id"]
        sign = -1 if type_of(account.category) in ("liability", "equity", "revenue") else 1
        if account.role in ("accumulated_depreciation", "allowance_for_doubtful_debts"):
            sign = -1
        for day, cents in ((LAST_MONTH, 10007 * place), (THIS_MONTH, 1003 * place + 13)):
            desk.enter(day, f"OWN-{number}", (number, sign * cents), ("1010", -sign * cents))
    day = THIS_MONTH
    desk.enter(day, "EXPORT", ("1160", 500_00), ("4010", -450_00), ("2090", -50_00))
    desk.enter(day, "PAID", ("1055", 200_00), ("1160", -200_00))
    desk.enter(day, "LENT", ("1140", 77_00), ("1010", -77_00))
    desk.enter(day, "Director pays back", ("1010", 33_00), ("1140", -33_00))
    desk.enter(day, "Wear of computers", ("6050", 12_00), ("1535", -12_00))
    desk.enter(day, "Office closing party, paid as capital", ("6110", 700_00), ("3010", -700_00))
    desk.enter(day, "Dividend receivable", ("1165", 9_00), ("4920", -9_00))


class Books(NamedTuple):
    query: Query
    lines: list[tuple[str, date, str, Decimal]]
    """Of entries that count: entry, month, account number, debits less credits."""
    env: dict[str, str]


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """One synced set of books; the server's journal beside it."""
    options = Options(
        seed=5, customers=8, items=8, invoices=30, months=3, limits=False, modules=False
    )
    with running(options) as server:
        url = f"{server.url}/sandbox/records?entity="
        ids = {a["accountNumber"]: a["id"] for a in patient.get(f"{url}accounts").json()}
        keep_books(Desk(server, ids))
        data = tmp_path_factory.mktemp("chart") / "data"
        env = environment(data, server.base_url, BLSYNC_START=str(NOW))
        done = blsync("sync", env=env)
        assert done.returncode == 0, done.stderr
        found = json.loads(patient.get(f"{url}journal_entries").text, parse_float=Decimal)
        numbers = {key: number for number, key in ids.items()}
        lines = [
            (
                entry["id"],
                date.fromisoformat(entry["date"]).replace(day=1),
                numbers[line["accountId"]],
                Decimal(line["debit"] or 0) - Decimal(line["credit"] or 0),
            )
            for entry in found
            if entry["status"] in ("posted", "void")
            for line in entry["lines"]
        ]
        with duckdb.connect(str(data / "blsync.duckdb"), read_only=True) as db:
            db.execute("set schema = 'finance'")
            yield Books(lambda sql, *values: db.execute(sql, values).fetchall(), lines, env)


SHEET = {
    number: account
    for number, account in {**OF_THE_SANDBOX, **OWN}.items()
    if type_of(account.category) in ("asset", "liability", "equity")
}


def is_profit(number: str) -> bool:
    return number[0] in "4567"


def of_role(role: str) -> set[str]:
    return {number for number, account in SHEET.items() if account.role == role}


def test_the_chart_is_one_of_real_life(books: Books) -> None:
    ((used,),) = books.query("select count(distinct account_id) from general_ledger")
    assert used >= 60
    assert {n for *_, n, _ in books.lines if not is_profit(n)} <= SHEET.keys()


@pytest.mark.parametrize("number", OWN)
def test_the_category_decides_what_an_account_is_for(books: Books, number: str) -> None:
    sources = {"n": "name", "c": "category", "": "none"}
    account = OWN[number]
    assert books.query(
        "select account_role, role_source from accounts where account_number = ?", number
    ) == [(account.role, sources[account.source])]


def test_the_cash_flow_is_added_up_from_the_journal(books: Books) -> None:
    wanted: dict[tuple[date, str, str], Decimal] = defaultdict(Decimal)
    cash: dict[date, Decimal] = defaultdict(Decimal)
    for _, month, number, amount in books.lines:
        account = SHEET.get(number)
        if account is None:
            wanted[month, OPERATING, "Net profit"] -= amount
        elif account.role == CASH:
            cash[month] += amount
        else:
            place = LINES[account.role] if account.role else WITHOUT_ROLE[account.category]
            wanted[month, *place] -= amount
    rows = books.query(
        "select period, section, line_name, sum(amount) from cash_flow group by all"
        " having sum(amount) <> 0"
    )
    assert {row[:3]: row[3] for row in rows} == {key: v for key, v in wanted.items() if v}
    changes = books.query(
        "select period, ledger_cash_change, footing_difference from cash_flow_summary"
        " where ledger_cash_change <> 0"
    )
    assert {row[0]: row[1:] for row in changes} == {m: (v, 0) for m, v in cash.items() if v}


def test_collections_are_added_up_from_the_journal(books: Books) -> None:
    receivables, cash = of_role("accounts_receivable"), of_role(CASH)
    entries: dict[tuple[str, date], dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for key, month, number, amount in books.lines:
        entries[key, month][number] += amount
    moved: dict[date, list[Decimal]] = defaultdict(lambda: [ZERO, ZERO, ZERO])
    for (_, month), lines in entries.items():
        if not receivables & lines.keys():
            continue
        amount = sum((v for number, v in lines.items() if number in receivables), ZERO)
        is_sale = any(number[0] == "4" or number in of_role("tax_payable") for number in lines)
        moved[month][0] += amount
        if cash & lines.keys():
            moved[month][1] -= amount
        elif is_sale:
            moved[month][2] += amount
    closing, months = ZERO, sorted({month for _, month, _, _ in books.lines})
    wanted = {}
    for place, month in enumerate(months):
        change, collected, sold = moved[month]
        closing += change
        quarter = months[max(place - 2, 0) : place + 1]
        ends = [min(m.replace(day=monthrange(m.year, m.month)[1]), NOW) for m in quarter]
        days = sum((end - m).days + 1 for end, m in zip(ends, quarter, strict=True))
        sales = sum((moved[m][2] for m in quarter), ZERO)
        dso = (closing * days / sales).quantize(Decimal("0.1"), ROUND_HALF_UP) if sales else None
        wanted[month] = (sold, collected, closing, dso)
    rows = books.query(
        "select period, credit_sales, cash_collected, closing_ar, dso from collections"
    )
    assert {row[0]: row[1:] for row in rows} == wanted


def test_the_profit_and_loss_is_added_up_from_the_journal(books: Books) -> None:
    wanted: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for _, month, number, amount in books.lines:
        if is_profit(number):
            wanted[month, number] += -amount if number[0] == "4" else amount
    rows = books.query(
        "select period, account_number, amount from profit_and_loss where amount <> 0"
    )
    assert {row[:2]: row[2] for row in rows} == {key: v for key, v in wanted.items() if v}
    assert books.query("select count(*) from general_ledger where is_closing_entry") == [(0,)]


def test_revenue_and_cost_by_invoice_lead_to_those_of_the_journal(books: Books) -> None:
    section = dict(books.query("select account_number, section from accounts"))
    wanted: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for _, month, number, amount in books.lines:
        if section[number] in ("operating_revenue", "cost_of_goods_sold"):
            wanted[month, section[number]] += -amount if number[0] == "4" else amount
    rows = books.query("select period, section, sum(amount) from margin_bridge group by all")
    assert {row[:2]: row[2] for row in rows if row[2]} == {key: v for key, v in wanted.items() if v}
    steps = books.query("select distinct step from margin_bridge")
    assert {"invoices", "shipping", "other_entries"} <= {step for (step,) in steps}


def test_customers_and_items_cost_what_the_entries_of_their_invoices_say(books: Books) -> None:
    booked = books.query(
        "select invoice_id, customer_id, sum(ledger.amount) from general_ledger as ledger"
        " join accounts using (company_id, account_id)"
        " join invoices on invoices.invoice_number = ledger.reference and is_recognised"
        " where section = 'cost_of_goods_sold' group by all order by 1"
    )
    assert booked == books.query(
        "select invoice_id, customer_id, sum(cogs) from margin_by_invoice"
        " where cost_basis = 'ledger' group by all order by 1"
    )
    assert len(booked) > 20
    of_items = "select sum(cogs), sum(gross_profit) from"
    assert books.query(f"{of_items} gross_margin") == books.query(f"{of_items} margin_by_invoice")


def test_bigledger_says_the_same_of_these_books(books: Books) -> None:
    assert books.query(
        "select check_name, entity_key, mart_value, source_value, status from reconciliation"
        " where status <> 'pass' and entity_key <> 'report:unavailable'"
        # The sandbox takes its own bank accounts alone for cash, whatever else is opened.
        " and check_name <> 'cash_flow'"
    ) == []  # fmt: skip
    checks = books.query("select distinct check_name from reconciliation")
    assert ("profit_and_loss",) in checks


@pytest.mark.parametrize(("kind", "verify"), PROGRAMS)
def test_other_programs_verify_these_books_and_miss_a_cent(
    books: Books, tmp_path: Path, kind: str, verify: Callable[[Path], bool]
) -> None:
    output = tmp_path / "books"
    done = blsync("export", kind, "--output", str(output), env=books.env)
    assert done.returncode == 0, done.stderr
    assert verify(output)
    move_a_cent(output)
    assert not verify(output)


def test_every_guess_that_carries_a_balance_is_listed_with_its_line(books: Books) -> None:
    held: dict[str, Decimal] = defaultdict(Decimal)
    for *_, number, amount in books.lines:
        held[number] += amount
    roles = {number: a.role for number, a in {**OF_THE_SANDBOX, **OWN}.items() if a.source == "n"}
    roles |= {"6050": "depreciation_expense", "7020": "interest_expense",
              "5020": "inventory_adjustment"}  # fmt: skip
    guessed = {f"company_sandbox,{n},{role}" for n, role in roles.items() if held[n]}
    rows = books.query("select evidence from exceptions where rule = 'guessed_role'")
    assert {evidence.split(" line ")[1].split(" in ")[0] for (evidence,) in rows} == guessed
    done = blsync("doctor", "--json", env=books.env)
    (check,) = [c for c in json.loads(done.stdout)["checks"] if "account roles" in c["name"]]
    assert check["ok"]
    assert check["message"].startswith(f"{len(guessed)} accounts with a balance")
    told = {line.split(" (")[0] for line in check["message"].split(": ", 1)[1].split("; ")}
    assert told == guessed


def test_a_role_that_the_user_confirms_is_a_guess_no_more(books: Books, tmp_path: Path) -> None:
    done = blsync("doctor", "--json", env=books.env)
    (check,) = [c for c in json.loads(done.stdout)["checks"] if "account roles" in c["name"]]
    lines = [line.split(" (")[0] for line in check["message"].split(": ", 1)[1].split("; ")]
    for name, header in (
        ("period_close", "company_id,period,closed_at"),
        ("fiscal_year", "company_id,start_month"),
        ("account_roles", "company_id,account_number,account_role"),
    ):
        rows = lines if name == "account_roles" else []
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
    assert {len(row) for row in csv.reader(lines)} == {3}
    built = blsync("build", env={**books.env, "BLSYNC_SEEDS": str(tmp_path)})
    assert built.returncode == 0, built.stderr
    sql = (
        "select count(*) from finance.exceptions where rule = 'guessed_role' union all"
        " select count(*) from finance.accounts where role_source = 'seed'"
    )
    answer = blsync("query", sql, "--format", "csv", env=books.env)
    assert answer.stdout.split()[1:] == ["0", str(len(lines))]
