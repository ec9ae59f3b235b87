"""The statements of a pack: each a worksheet whose sums are formulas."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from openpyxl import Workbook

from blsync.pack.sheet import HEADING, SECTION, TITLE, TOTAL, Formula, Sheet, summed

if TYPE_CHECKING:
    from blsync.pack import Month


@dataclass(frozen=True)
class Check:
    """A figure that the workbook adds up in `cell`, beside what the marts say."""

    title: str
    what: str
    cell: str
    expected: Any


_TRIAL_BALANCE = """
select account_number, account_name, account_type, opening_balance, debit, credit
from finance.trial_balance where company_id = $company and period = $month
order by account_number, account_id
"""
_TRIAL_SUMS = """
select coalesce(sum(closing_balance), 0) as closing, coalesce(sum(debit), 0) as debit,
    coalesce(sum(credit), 0) as credit
from finance.trial_balance where company_id = $company and period = $month
"""


def trial_balance(book: Workbook, month: Month, _journal: Sheet) -> list[Check]:
    """Write the trial balance: opening, the month's debits and credits, closing."""
    sheet = Sheet(book, "Trial balance")
    sheet.put([f"Trial balance as of {month.last}"], TITLE)
    sheet.put([])
    columns = {
        "account_number": "Account",
        "account_name": "Name",
        "account_type": "Type",
        "opening_balance": "Opening",
        "debit": "Debit",
        "credit": "Credit",
        "closing": "Closing",
    }
    rows = month.rows(_TRIAL_BALANCE)
    for row in rows:
        row["closing"] = Formula("={opening_balance}+{debit}-{credit}")
    sums = ("opening_balance", "debit", "credit", "closing")
    total = sheet.table(columns, rows, sums=sums)
    (expected,) = month.rows(_TRIAL_SUMS)
    return [
        Check(sheet.title, what, sheet.cell(total, sheet.column_of(columns, what)), expected[what])
        for what in ("debit", "credit", "closing")
    ]


_PROFIT = """
with this as (
    select section, section_order, account_id, account_number, account_name, amount, ytd_amount,
        previous_year_amount
    from finance.profit_and_loss where company_id = $company and period = $month
),
year_before as (
    select account_id, ytd_amount from finance.profit_and_loss
    where company_id = $company and period = $month - interval 1 year
)
select this.*, coalesce(year_before.ytd_amount, 0) as previous_year_ytd
from this left join year_before using (account_id)
order by section_order, account_number, account_id
"""
_PROFIT_SUMS = """
select net_profit from finance.profit_and_loss_summary
where company_id = $company and period = $month
"""
_ADDED = ("operating_revenue", "other_revenue")
"""Sections that add to the profit; the others take from it."""


def profit_and_loss(book: Workbook, month: Month, journal: Sheet) -> list[Check]:
    """Write the profit and loss by account; the month is added up from the lines of the journal."""
    sheet = Sheet(book, "Profit and loss")
    sheet.put([f"Profit and loss, {month.first:%B %Y}"], TITLE)
    sheet.put(["The month is the sum of the lines on the sheet Journal."])
    sheet.put([])
    heads = ("Account", "Name", "Year before the month", "Month", "Year to date")
    more = ("Same month last year", "Last year to date", "Change to last year", "Account id")
    sheet.put([*heads, *more], HEADING)
    ids, amounts, counts = (journal.span(letter) for letter in ("D", "K", "L"))
    signed: dict[str, list[str]] = {letter: [] for letter in "CDEFGH"}
    rows = month.rows(_PROFIT)
    for section, lines in groupby(rows, key=lambda row: str(row["section"])):
        sheet.put([section.replace("_", " ").capitalize()], SECTION)
        first = sheet.next_row
        for line in lines:
            row = sheet.next_row
            sheet.put(
                [
                    line["account_number"],
                    line["account_name"],
                    line["ytd_amount"] - line["amount"],
                    Formula(f'=ROUND(SUMIFS({amounts},{ids},I{row},{counts},"yes"),2)'),
                    Formula(f"=C{row}+D{row}"),
                    line["previous_year_amount"],
                    line["previous_year_ytd"],
                    Formula(f"=D{row}-F{row}"),
                    line["account_id"],
                ]
            )
        total = sheet.next_row
        sums = [summed(letter, first, total - 1) for letter in signed]
        sheet.put([f"Total {section.replace('_', ' ')}", None, *sums], TOTAL)
        for letter, parts in signed.items():
            parts.append(f"{'+' if section in _ADDED else '-'}{letter}{total}")
        sheet.put([])
    net = [Formula(f"=ROUND({''.join(parts) or '0'},2)") for parts in signed.values()]
    last = sheet.put(["Net profit", None, *net], TOTAL)
    found = month.rows(_PROFIT_SUMS)
    expected = found[0]["net_profit"] if found else 0
    return [Check(sheet.title, "net profit", sheet.cell(last, "D"), expected)]


_BALANCE_SHEET = """
select section, subsection, account_number, account_name, balance, previous_month_balance,
    previous_year_balance
from finance.balance_sheet where company_id = $company and as_of_date = $month_end
order by line_order
"""
_BALANCE_SUMS = """
select section, sum(balance) as balance from finance.balance_sheet
where company_id = $company and as_of_date = $month_end group by all
"""


def balance_sheet(book: Workbook, month: Month, _journal: Sheet) -> list[Check]:
    """Write the balance sheet beside those of a month and of a year before."""
    sheet = Sheet(book, "Balance sheet")
    sheet.put([f"Balance sheet as of {month.last}"], TITLE)
    sheet.put([])
    heads = ("Account", "Name", "Group", "Balance", "A month before", "A year before")
    sheet.put([*heads, "Change in the month"], HEADING)
    totals: dict[str, int] = {}
    for section, lines in groupby(month.rows(_BALANCE_SHEET), key=lambda r: str(r["section"])):
        sheet.put([section.capitalize()], SECTION)
        first = sheet.next_row
        for line in lines:
            row = sheet.next_row
            names = ("account_number", "account_name", "subsection", "balance")
            before = ("previous_month_balance", "previous_year_balance")
            values = [line[name] for name in (*names, *before)]
            sheet.put([*values, Formula(f"=D{row}-E{row}")])
        last = sheet.next_row - 1
        sums = [summed(letter, first, last) for letter in "DEFG"]
        totals[section] = sheet.put([f"Total {section}", None, None, *sums], TOTAL)
        sheet.put([])
    parts = {"assets": "+", "liabilities": "-", "equity": "-"}
    if parts.keys() <= totals.keys():
        differences = [
            Formula("=ROUND(" + "".join(f"{s}{c}{totals[n]}" for n, s in parts.items()) + ",2)")
            for c in "DEFG"
        ]
        sheet.put(["Assets less liabilities and equity", None, None, *differences], TOTAL)
    expected = {row["section"]: row["balance"] for row in month.rows(_BALANCE_SUMS)}
    return [
        Check(sheet.title, section, sheet.cell(row, "D"), expected[section])
        for section, row in totals.items()
    ]


_CASH_FLOW = """
select section, line_name, account_number, account_name, amount from finance.cash_flow
where company_id = $company and period = $month order by line_order, account_number
"""
_CASH_SUMS = """
select opening_cash, closing_cash from finance.cash_flow_summary
where company_id = $company and period = $month
"""


def cash_flow(book: Workbook, month: Month, _journal: Sheet) -> list[Check]:
    """Write the cash flow from opening to closing cash."""
    sheet = Sheet(book, "Cash flow")
    sheet.put([f"Cash flow, {month.first:%B %Y}"], TITLE)
    sheet.put([])
    sheet.put(["Line", "Account", "Name", "Amount"], HEADING)
    found = month.rows(_CASH_SUMS)
    if not found:
        sheet.put(["None."])
        return []
    totals = [sheet.put(["Opening cash", None, None, found[0]["opening_cash"]], TOTAL)]
    for section, lines in groupby(month.rows(_CASH_FLOW), key=lambda row: str(row["section"])):
        sheet.put([section.capitalize()], SECTION)
        first = sheet.next_row
        for line in lines:
            names = ("line_name", "account_number", "account_name", "amount")
            sheet.put(line[name] for name in names)
        total = summed("D", first, sheet.next_row - 1)
        totals.append(sheet.put([f"Total {section}", None, None, total], TOTAL))
    closing = Formula("=ROUND(" + "+".join(f"D{row}" for row in totals) + ",2)")
    last = sheet.put(["Closing cash", None, None, closing], TOTAL)
    return [Check(sheet.title, "closing cash", sheet.cell(last, "D"), found[0]["closing_cash"])]
