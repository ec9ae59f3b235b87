"""The month's pack: one workbook of statements and lists, for whoever takes the books away; and its
statements as PDF.

What a spreadsheet can add up it adds up itself: sums, statements, year to date and checks are
formulas over the figures beside them, and the profit and loss adds up the journal lines in the same
workbook. So whoever recalculates it sees the marts' cents, or finds out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from openpyxl import Workbook

from blsync import closing
from blsync.errors import BlsyncError, ConfigError, joined
from blsync.files.atomic import atomic_write, storage_errors
from blsync.files.spreadsheet import MOST_ROWS
from blsync.lake.store import Lake
from blsync.marts.figures import COMPANIES
from blsync.marts.frames import Marts
from blsync.marts.published import published_file
from blsync.pack import layout, paper
from blsync.pack.layout import DEFAULT
from blsync.pack.lines import Page
from blsync.pack.lists import LISTS, List
from blsync.pack.sheet import HEADING, SECTION, TITLE, Formula, Sheet
from blsync.pack.statements import STATEMENTS, Form
from blsync.pack.words import Words
from blsync.pack.workbook import StatementSheet
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


@dataclass(frozen=True)
class Wanted:
    """What is to be written of a month: the workbook, and where it is named a PDF of its
    statements; in which layout (a shipped one's name, or a file) and language.
    """

    output: Path
    pdf: Path | None = None
    layout: str = DEFAULT
    language: str = "en"


@dataclass(frozen=True)
class Cover:
    """What stands in front of a pack, but for the checks."""

    heading: str
    about: str
    built_at: datetime
    tie_columns: dict[str, str]
    ties: list[dict[str, Any]]
    not_placed: list[str]
    closing: list[str]


@dataclass(frozen=True)
class Check:
    """A figure that the workbook adds up in `cell`, beside what the marts say."""

    title: str
    what: str
    cell: str
    expected: Any


def write(settings: Settings, company: Company, first: date, wanted: Wanted) -> list[str]:
    """Write a company's pack of a month (its first day); return the titles of its sheets.

    Raises ConfigError where the marts do not know the month, a folder does not exist, the layout
    cannot be used or a list does not fit into a worksheet; BuildError where nothing is published;
    StorageError.
    """
    for file in filter(None, (wanted.output, wanted.pdf)):
        if not file.parent.is_dir():
            raise ConfigError(f"The folder {file.parent} does not exist.")
    form = Form(layout.read(wanted.layout), Words(wanted.language))
    with Marts(published_file(settings)).of_one_night() as marts:
        month = Month(company, first, marts)
        if not month.rows("from finance.periods where company_id = $company and period = $month"):
            raise ConfigError(
                f"The marts have no month {first:%Y-%m} of {company.name}; finance.periods lists "
                "those that there are."
            )
        pages = [statement(month, form) for statement in STATEMENTS]
        cover = _cover(settings, month, form, pages)
        book = _workbook(month, form.words, cover, pages)
    with storage_errors(wanted.output), atomic_write(wanted.output) as draft:
        book.save(draft)
    if wanted.pdf:
        with storage_errors(wanted.pdf), atomic_write(wanted.pdf) as draft:
            paper.write(cover, pages, form.words, draft, settings.pdf_font)
    return list(book.sheetnames)


@dataclass(frozen=True)
class Written:
    """What was written of a company: its files and the workbook's sheets."""

    output: Path
    pdf: Path | None
    sheets: list[str]


def write_each(
    settings: Settings, companies: Sequence[Company], first: date, wanted: Wanted
) -> Iterator[tuple[Company, Written]]:
    """Write a pack for each of several companies, and yield it; `output` and `pdf` of `wanted` are
    folders then, which are made where they are missing, and files have the companies' names.

    Raises what `write` raises of one company as PartlyFailed, after all others.
    """
    failed: dict[str, BlsyncError] = {}
    for folder in filter(None, (wanted.output, wanted.pdf)):
        if folder.suffix.lower() in (".xlsx", ".pdf") or (folder.exists() and not folder.is_dir()):
            raise ConfigError(f"{folder} is for several companies: name a folder.")
        if not folder.parent.is_dir():
            raise ConfigError(f"The folder {folder.parent} does not exist.")
    for company in companies:
        name = f"{company.name}-{first:%Y-%m}"
        one = replace(
            wanted,
            output=wanted.output / f"{name}.xlsx",
            pdf=wanted.pdf / f"{name}.pdf" if wanted.pdf else None,
        )
        try:
            for file in filter(None, (one.output, one.pdf)):
                with storage_errors(file):
                    file.parent.mkdir(exist_ok=True)
            yield company, Written(one.output, one.pdf, write(settings, company, first, one))
        except BlsyncError as error:
            failed[company.name] = error
    if failed:
        raise joined(failed, len(companies))


def _workbook(month: Month, words: Words, cover: Cover, pages: list[Page]) -> Workbook:
    book = Workbook()
    book.remove(book.active)
    front = Sheet(book, words("Cover"))
    journal = _journal(book, month)
    checks: list[Check] = []
    for page in pages:
        written = StatementSheet(book, page, journal)
        checks += [Check(page.title, c.what, written.cell(c), c.expected) for c in page.checks]
    known = {*month.marts.tables()}
    for each in LISTS:
        if each.table in known:
            checks += _list(book, month, each)
    book.move_sheet(JOURNAL, len(book.sheetnames))
    _fill_cover(front, words, cover, checks)
    return book


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


def _cover(settings: Settings, month: Month, form: Form, pages: list[Page]) -> Cover:
    words = form.words
    (about,) = month.rows(
        "select max(currency) as currency, max(built_at) as built_at "
        "from finance.periods where company_id = $company"
    )
    names = {
        row["company_id"]: row["company_name"]
        for row in Lake(settings.data).read_input("companies", COMPANIES)
    }
    name = names.get(month.company.company_id) or month.company.name
    ties = {
        "check_name": "Report",
        "as_of_date": "As of",
        "compared": "Figures",
        "off": "Different",
        "not_comparable": "Not comparable",
        "request_id": "Request",
    }
    built_at = f"{about['built_at']:%Y-%m-%d %H:%M} UTC"
    return Cover(
        f"{name}: {words.month(month.first)}",
        words(
            "Amounts in {currency}; marts of {built_at}, from BigLedger.",
            currency=about["currency"],
            built_at=built_at,
        ),
        about["built_at"],
        {key: words(head) for key, head in ties.items()},
        month.rows(_TIES),
        [
            f"{page.title}: "
            + words("Not placed in the layout: {accounts}", accounts="; ".join(page.not_placed))
            for page in pages
            if page.not_placed
        ],
        _closing(settings, month, words),
    )


def _closing(settings: Settings, month: Month, words: Words) -> list[str]:
    path = closing.certificate_file(settings.seeds, month.company, month.first)
    if not path.exists():
        return [words("The month is not closed by `blsync close`.")]
    with suppress(ValueError, KeyError):  # `blsync close --verify` tells what is wrong with it
        told = json.loads(path.read_text("utf-8"))
        who = {name: told[name] for name in ("closed_at", "closed_by")}
        return [
            words("Closed at {closed_at} by {closed_by}.", **who),
            words("SHA-256 of the trial balance: {hash}", hash=told["trial_balance_sha256"]),
        ]
    return []


def _fill_cover(front: Sheet, words: Words, cover: Cover, checks: list[Check]) -> None:
    front.put([cover.heading], TITLE)
    front.put([cover.about])
    for text in cover.not_placed:
        front.put([text], SECTION)
    front.put([])
    heads = ("What the workbook adds up", "here", "the marts", "difference")
    front.put([*map(words, heads), ""], HEADING)
    for check in checks:
        row = front.next_row
        front.put(
            [
                f"{check.title}: {check.what}",
                Formula(f"={check.cell}"),
                check.expected,
                Formula(f"=ROUND(B{row}-C{row},2)"),
                Formula(f'=IF(D{row}=0,"{words("ok")}","{words("off")}")'),
            ]
        )
    front.put([])
    front.put([words("Compared with BigLedger's own reports")], HEADING)
    front.table(cover.tie_columns, cover.ties)
    front.put([])
    for text in cover.closing:
        front.put([text])
