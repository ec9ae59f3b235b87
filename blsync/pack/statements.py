"""The statements of a pack, from the marts and a layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from blsync.pack.layout import REQUIRED, Account, Layout
from blsync.pack.lines import ZERO, Across, Booked, Check, Column, Kind, Page, Signed, Sum
from blsync.pack.words import Words

if TYPE_CHECKING:
    from blsync.pack import Month


@dataclass(frozen=True)
class Form:
    """How the statements are laid out, and in which language they are written."""

    layout: Layout
    words: Words = field(default_factory=lambda: Words("en"))


_TRIAL_BALANCE = """
select account_number, account_name, account_type, opening_balance, debit, credit
from finance.trial_balance where company_id = $company and period = $month
order by account_number, account_id
"""
_TRIAL_SUMS = """
select coalesce(sum(debit), 0) as debit, coalesce(sum(credit), 0) as credit,
    coalesce(sum(closing_balance), 0) as closing
from finance.trial_balance where company_id = $company and period = $month
"""


def trial_balance(month: Month, form: Form) -> Page:
    """Return the trial balance: opening, the month's debits and credits, closing."""
    words = form.words
    page = Page(
        words("Trial balance"),
        words("Trial balance as of {day}", day=month.last),
        [
            *(Column(words("Account"), 1), Column(words("Name"), 3), Column(words("Type"), 1)),
            *(_amounts(words(head)) for head in ("Opening", "Debit", "Credit", "Closing")),
        ],
        is_list=True,
    )
    page.put([column.head for column in page.columns], Kind.HEADING)
    names = ("opening_balance", "debit", "credit")
    rows = month.rows(_TRIAL_BALANCE)
    for row in rows:
        about = (row["account_number"], row["account_name"], words(row["account_type"] or ""))
        page.put([*about, *(row[name] for name in names), Across([("+", 3), ("+", 4), ("-", 5)])])
    sums = [Sum(1, len(rows)) if rows else ZERO] * 4
    total = page.put([words("Total"), None, None, *sums], Kind.TOTAL)
    (expected,) = month.rows(_TRIAL_SUMS)
    page.checks += [
        Check(words(what), total, column, expected[what])
        for column, what in enumerate(("debit", "credit", "closing"), start=4)
    ]
    return page


_ACCOUNT = """
coalesce(accounts.account_role, '') as role, accounts.normal_side as side
"""
_PROFIT = f"""
with this as (
    select section, section_order, account_id, account_number, account_name, amount, ytd_amount,
        previous_year_amount
    from finance.profit_and_loss where company_id = $company and period = $month
),
year_before as (
    select account_id, ytd_amount from finance.profit_and_loss
    where company_id = $company and period = $month - interval 1 year
),
accounts as (from finance.accounts where company_id = $company)
select this.*, coalesce(year_before.ytd_amount, 0) as previous_year_ytd,
    coalesce(accounts.account_category, '') as category, {_ACCOUNT}
from this
left join year_before using (account_id)
left join accounts using (account_id)
order by section_order, this.account_number, account_id
"""  # noqa: S608 (of this file's own texts)
_PROFIT_SUMS = """
select net_profit from finance.profit_and_loss_summary
where company_id = $company and period = $month
"""


def profit_and_loss(month: Month, form: Form) -> Page:
    """Return the profit and loss by account; the month is the sum of the journal's lines."""
    words = form.words
    page = Page(
        words("Profit and loss"),
        words("Profit and loss, {month}", month=words.month(month.first)),
        [
            Column(words("Account"), 1),
            Column(words("Name"), 3),
            Column(words("Year before the month"), is_number=True, is_helper=True),
            *(
                _amounts(words(head))
                for head in (
                    *("Month", "Year to date", "Same month last year", "Last year to date"),
                    "Change to last year",
                )
            ),
            Column(words("Account id"), is_helper=True),
        ],
        note=words("The month is the sum of the lines on the sheet Journal."),
    )
    page.put([column.head for column in page.columns], Kind.HEADING)
    rows = month.rows(_PROFIT)

    def cells(row: Mapping[str, Any], sign: int) -> list[Any]:
        return [
            row["account_number"],
            row["account_name"],
            sign * (row["ytd_amount"] - row["amount"]),
            Booked(row["amount"], is_reversed=sign < 0),
            Across([("+", 2), ("+", 3)]),
            sign * row["previous_year_amount"],
            sign * row["previous_year_ytd"],
            Across([("+", 3), ("-", 5)]),
            row["account_id"],
        ]

    _check_chart(month, form.layout, "profit_and_loss")
    placed = [(_account(row), cells, row) for row in rows]
    totals = _lay_out(page, form, "profit_and_loss", placed)
    found = month.rows(_PROFIT_SUMS)
    expected = found[0]["net_profit"] if found else ZERO
    page.checks.append(Check(words("net profit"), totals["net_profit"], 3, expected))
    return page


_BALANCE_SHEET = f"""
with accounts as (from finance.accounts where company_id = $company)
select balance_sheet.section, subsection as category, balance_sheet.account_id,
    balance_sheet.account_number, balance_sheet.account_name, balance, previous_month_balance,
    previous_year_balance, {_ACCOUNT}
from finance.balance_sheet left join accounts using (account_id)
where balance_sheet.company_id = $company and as_of_date = $month_end
order by line_order
"""  # noqa: S608 (of this file's own texts)
_BALANCE_SUMS = """
select section, sum(balance) as balance from finance.balance_sheet
where company_id = $company and as_of_date = $month_end group by all
"""


def balance_sheet(month: Month, form: Form) -> Page:
    """Return the balance sheet beside those of a month and of a year before."""
    words = form.words
    page = Page(
        words("Balance sheet"),
        words("Balance sheet as of {day}", day=month.last),
        [
            *(Column(words("Account"), 1), Column(words("Name"), 3)),
            Column(words("Group"), 1.4),
            *(
                _amounts(words(head))
                for head in ("Balance", "A month before", "A year before", "Change in the month")
            ),
        ],
    )
    page.put([column.head for column in page.columns], Kind.HEADING)

    def cells(row: Mapping[str, Any], sign: int) -> list[Any]:
        names = ("balance", "previous_month_balance", "previous_year_balance")
        return [
            *(row["account_number"], row["account_name"], row["category"]),
            *(sign * row[name] for name in names),
            Across([("+", 3), ("-", 4)]),
        ]

    _check_chart(month, form.layout, "balance_sheet")
    sides = {"assets": "debit"}
    placed = [
        (_account({**row, "side": sides.get(row["section"], "credit")}), cells, row)
        for row in month.rows(_BALANCE_SHEET)
    ]
    totals = _lay_out(page, form, "balance_sheet", placed)
    parts = [
        (sign, totals[n])
        for sign, n in zip("+--", ("assets", "liabilities", "equity"), strict=True)
    ]
    label = words("Assets less liabilities and equity")
    page.put([label, None, None, *[Signed(parts)] * 4], Kind.TOTAL)
    expected = {row["section"]: row["balance"] for row in month.rows(_BALANCE_SUMS)}
    page.checks += [
        Check(words(name), totals[name], 3, expected.get(name, ZERO))
        for name in ("assets", "liabilities", "equity")
    ]
    return page


_CASH_FLOW = """
select section, line_name, account_number, account_name, amount from finance.cash_flow
where company_id = $company and period = $month order by line_order, account_number
"""
_CASH_SUMS = """
select opening_cash, closing_cash from finance.cash_flow_summary
where company_id = $company and period = $month
"""


def cash_flow(month: Month, form: Form) -> Page:
    """Return the cash flow from opening to closing cash."""
    words = form.words
    page = Page(
        words("Cash flow"),
        words("Cash flow, {month}", month=words.month(month.first)),
        [
            *(Column(words("Line"), 2.4), Column(words("Account"), 1), Column(words("Name"), 3)),
            _amounts(words("Amount")),
        ],
    )
    page.put([column.head for column in page.columns], Kind.HEADING)
    found = month.rows(_CASH_SUMS)
    if not found:
        page.put([words("None.")])
        return page
    opening = [words("Opening cash"), None, None, found[0]["opening_cash"]]
    totals = [page.put(opening, Kind.TOTAL)]
    for section, lines in groupby(month.rows(_CASH_FLOW), key=lambda row: str(row["section"])):
        page.put([words(section).capitalize()], Kind.SECTION)
        first = len(page.lines)
        for line in lines:
            names = (words(line["line_name"]), line["account_number"], line["account_name"])
            page.put([*names, line["amount"]])
        label = words("Total {label}", label=words(section))
        total = [label, None, None, Sum(first, len(page.lines) - 1)]
        totals.append(page.put(total, Kind.TOTAL))
    closing = Signed([("+", line) for line in totals])
    last = page.put([words("Closing cash"), None, None, closing], Kind.TOTAL)
    page.checks.append(Check(words("closing cash"), last, 3, found[0]["closing_cash"]))
    return page


STATEMENTS = (trial_balance, profit_and_loss, balance_sheet, cash_flow)


def _amounts(head: str) -> Column:
    return Column(head, 1.3, is_number=True)


def _account(row: Mapping[str, Any]) -> Account:
    return Account(
        row["account_id"] or "",
        row["account_number"] or "",
        row["account_name"] or "",
        row["section"] or "",
        row["category"] or "",
        row["role"],
        row["side"] or "",
    )


_CHART = f"""
select account_id, account_number, account_name, section,
    coalesce(account_category, section) as category, {_ACCOUNT}
from finance.accounts where company_id = $company and statement = $statement
order by account_number, account_id
"""  # noqa: S608 (of this file's own texts)


def _check_chart(month: Month, layout: Layout, statement: str) -> None:
    """Raise ConfigError where an account of the chart is in two rows, whether it has figures yet
    or not.
    """
    values = {"company": month.company.company_id, "statement": statement}
    layout.placed(statement, [_account(row) for row in month.marts.rows(_CHART, values)])


def _lay_out(
    page: Page, form: Form, statement: str, lines: Sequence[tuple[Account, Any, Mapping[str, Any]]]
) -> dict[str, int]:
    """Write the rows of a layout with their accounts below them, and at the end the accounts that
    are in none; return the line of each row's total.
    """
    words, width = form.words, len(page.columns)
    columns = [n for n, column in enumerate(page.columns) if column.is_number]
    by_account = {id(account): (cells, row) for account, cells, row in lines}
    rows, missing = form.layout.placed(statement, [account for account, _, _ in lines])
    totals: dict[str, int] = {}

    def total(label: str, cell: Any) -> int:
        cells = [label, *[None] * (width - 1)]
        for column in columns:
            cells[column] = cell
        return page.put(cells, Kind.TOTAL)

    def accounts(listed: Sequence[Account], side: str) -> Sum:
        first = len(page.lines)
        for account in listed:
            cells, row = by_account[id(account)]
            page.put(cells(row, 1 if account.side == side else -1))
        return Sum(first, len(page.lines) - 1)

    for row in form.layout.statements[statement]:
        label = row.labels.get(words.language) or next(iter(row.labels.values()))
        if row.terms:
            parts = [(sign, totals[name]) for sign, name in row.terms if name in totals]
            totals[row.name] = total(label, Signed(parts) if parts else ZERO)
        elif listed := rows.get(row.name):
            page.put([label], Kind.SECTION)
            found = accounts(listed, row.side)
            label = words("Total {label}", label=label[:1].lower() + label[1:])
            totals[row.name] = total(label, found)
        elif row.name in REQUIRED[statement]:
            totals[row.name] = total(label, ZERO)
        elif row.conditions:
            continue  # nothing to show of it
        else:
            page.put([label.upper()], Kind.SECTION)
    if missing:
        page.put([words("Not placed in the layout")], Kind.SECTION)
        for account in missing:
            cells, found_row = by_account[id(account)]
            page.put(cells(found_row, 1))
        page.not_placed += map(str, missing)
    return totals
