"""The month's pack: one workbook of statements and lists, for whoever takes the books away.

What a spreadsheet can add up it adds up itself: sums, statements, year to date and checks are
formulas over the figures beside them, and the profit and loss adds up the journal lines in the same
workbook. So whoever recalculates it sees the marts' cents, or finds out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from openpyxl import Workbook

from blsync import closing
from blsync.errors import ConfigError
from blsync.files.atomic import atomic_write, storage_errors
from blsync.files.spreadsheet import MOST_ROWS
from blsync.lake.store import Lake
from blsync.marts.figures import COMPANIES
from blsync.marts.frames import Marts
from blsync.marts.published import published_file
from blsync.pack.lists import LISTS, List
from blsync.pack.sheet import HEADING, TITLE, Formula, Sheet
from blsync.pack.statements import Check, balance_sheet, cash_flow, profit_and_loss, trial_balance
from blsync.settings import Company, Settings
from blsync.user_tables import month_end

JOURNAL = "Journal"
_JOURNAL = """
select journal_date, journal_number, line_no, account_id, account_number, account_name,
    coalesce(line_description, entry_description) as description, reference, debit, credit,
    natural_amount,
    case when account_type in ('revenue', 'expense') and not is_closing_entry
        then 'yes' else 'no' end as in_profit_and_loss
from finance.general_ledger where company_id = $company and period = $month
order by journal_date, journal_number, line_no
"""
_TIES = """
select check_name, as_of_date, count(*) as compared, count(*) filter (where status = 'fail') as off,
    count(*) filter (where status = 'not_comparable') as not_comparable,
    max(source_request_id) as request_id
from finance.reconciliation where company_id = $company group by all order by all
"""


@dataclass(frozen=True)
class Month:
    """What a pack is of: a company's month, by its first day, and the marts to read it from."""

    company: Company
    first: date
    marts: Marts

    @property
    def last(self) -> date:
        """The month's last day."""
        return month_end(self.first)

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query that names `$company`, and `$month` or `$month_end`."""
        values = {"company": self.company.company_id, "month": self.first, "month_end": self.last}
        return self.marts.rows(query, values)


def write(settings: Settings, company: Company, first: date, output: Path) -> list[str]:
    """Write a company's pack of a month (its first day) as an xlsx file; return its sheets' titles.

    Raises ConfigError where the marts do not know the month, the folder does not exist or a list
    does not fit into a worksheet; BuildError where nothing is published; StorageError.
    """
    if not output.parent.is_dir():
        raise ConfigError(f"The folder {output.parent} does not exist.")
    month = Month(company, first, Marts(published_file(settings)))
    if not month.rows("from finance.periods where company_id = $company and period = $month"):
        raise ConfigError(
            f"The marts have no month {first:%Y-%m} of {company.name}; finance.periods lists those "
            "that there are."
        )
    book = Workbook()
    book.remove(book.active)
    cover = Sheet(book, "Cover")
    journal = _journal(book, month)
    checks: list[Check] = []
    statements: tuple[Callable[..., list[Check]], ...] = (
        trial_balance,
        profit_and_loss,
        balance_sheet,
        cash_flow,
    )
    for statement in statements:
        checks += statement(book, month, journal)
    known = {*month.marts.tables()}
    for each in LISTS:
        if each.table in known:
            checks += _list(book, month, each)
    book.move_sheet(JOURNAL, len(book.sheetnames))
    _fill_cover(cover, settings, month, checks)
    with storage_errors(output), atomic_write(output) as draft:
        book.save(draft)
    return list(book.sheetnames)


def _journal(book: Workbook, month: Month) -> Sheet:
    """List the month's lines: what the profit and loss adds up."""
    rows = month.rows(_JOURNAL)
    if len(rows) > MOST_ROWS - 10:
        raise ConfigError(
            f"{month.first:%Y-%m} has {len(rows):,} journal lines, more than a worksheet has room "
            "for. `blsync query` writes them as csv or parquet."
        )
    sheet = Sheet(book, JOURNAL)
    sheet.put([f"Journal of {month.first:%B %Y}"], TITLE)
    sheet.put([])
    sheet.table(
        {
            "journal_date": "Date",
            "journal_number": "Entry",
            "line_no": "Line",
            "account_id": "Account id",
            "account_number": "Account",
            "account_name": "Name",
            "description": "Description",
            "reference": "Reference",
            "debit": "Debit",
            "credit": "Credit",
            "natural_amount": "On its normal side",
            "in_profit_and_loss": "In profit and loss",
        },
        rows,
        sums=("debit", "credit"),
    )
    return sheet


def _list(book: Workbook, month: Month, each: List) -> list[Check]:
    sheet = Sheet(book, each.title)
    sheet.put([each.heading.format(month=f"{month.first:%B %Y}", day=month.last)], TITLE)
    if each.note:
        sheet.put([each.note])
    sheet.put([])
    rows = month.rows(each.query)
    if not rows:
        sheet.put(["None."])
        return []
    for row in rows:
        row |= {name: Formula(text) for name, text in each.formulas.items()}
    total = sheet.table(each.columns, rows, sums=each.sums)
    if not each.expected:
        return []
    (expected,) = month.rows(each.expected)
    return [
        Check(each.title, what, sheet.cell(total, sheet.column_of(each.columns, name)), value)
        for (name, what), value in zip(each.checked.items(), expected.values(), strict=True)
    ]


def _fill_cover(cover: Sheet, settings: Settings, month: Month, checks: list[Check]) -> None:
    (about,) = month.rows(
        "select max(currency) as currency, strftime(max(built_at), '%Y-%m-%d %H:%M UTC') "
        "as built_at from finance.periods where company_id = $company"
    )
    names = {
        row["company_id"]: row["company_name"]
        for row in Lake(settings.data).read_input("companies", COMPANIES)
    }
    name = names.get(month.company.company_id) or month.company.name
    cover.put([f"{name}: {month.first:%B %Y}"], TITLE)
    cover.put([f"Amounts in {about['currency']}; marts of {about['built_at']}, from BigLedger."])
    cover.put([])
    cover.put(["What the workbook adds up", "here", "the marts", "difference", ""], HEADING)
    for check in checks:
        row = cover.next_row
        result = Formula(f'=IF(D{row}=0,"ok","off")')
        cover.put(
            [
                f"{check.title}: {check.what}",
                Formula(f"={check.cell}"),
                check.expected,
                Formula(f"=ROUND(B{row}-C{row},2)"),
                result,
            ]
        )
    cover.put([])
    cover.put(["Compared with BigLedger's own reports"], HEADING)
    cover.table(
        {
            "check_name": "Report",
            "as_of_date": "As of",
            "compared": "Figures",
            "off": "Different",
            "not_comparable": "Not comparable",
            "request_id": "Request",
        },
        month.rows(_TIES),
    )
    cover.put([])
    path = closing.certificate_file(settings.seeds, month.company, month.first)
    if path.exists():
        with suppress(ValueError, KeyError):  # `blsync close --verify` tells what is wrong with it
            told = json.loads(path.read_text("utf-8"))
            cover.put([f"Closed at {told['closed_at']} by {told['closed_by']}."])
            cover.put([f"SHA-256 of the trial balance: {told['trial_balance_sha256']}"])
    else:
        cover.put(["The month is not closed by `blsync close`."])
