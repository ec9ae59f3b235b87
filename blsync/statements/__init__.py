"""Statements of account: what a customer owed, what moved it, and how old it is.

Nothing is sent. The figures are those of the marts, and each statement is compared with the open
items and the ageing before it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from blsync.errors import BlsyncError, BuildError, ConfigError, PartlyFailed
from blsync.files.pdf import spoilt_letters
from blsync.files.permissions import warn_once
from blsync.marts.frames import Marts
from blsync.marts.published import published_file
from blsync.settings import Company, Settings
from blsync.statements.figures import Books, Customer, Statement, books_of
from blsync.statements.papers import write_pdf, write_xlsx

FOLDER = Path("statements")
"""Where statements are written unless another place is named."""
KINDS = (".pdf", ".xlsx")
_MOST_NAMED = 5


@dataclass(frozen=True)
class Written:
    """A statement that was written, and its files."""

    statement: Statement
    files: list[Path]

    def to_json(self) -> dict[str, Any]:
        """Return what programs read of it: no name, no address."""
        told = self.statement
        return {
            "customer_id": told.customer.customer_id,
            "customer_number": told.customer.number or None,
            "opening_balance": told.opening,
            "closing_balance": told.closing,
            "overpaid": told.overpaid,
            "ageing": told.ageing,
            "files": [str(file) for file in self.files],
        }


@dataclass(frozen=True)
class Order:
    """Which statements are wanted: a company's, of a month (its first day; None: the running one)
    and of a customer (number, id or name; None: all who owe something or moved in the month).
    """

    company: Company
    customer: str | None = None
    month: date | None = None


def write(
    settings: Settings,
    order: Order,
    output: Path | None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Written]:
    """Write statements as PDF and xlsx, and yield each once its files are there.

    `output` is a folder, or for one customer a file, whose suffix says which of the two.

    Raises ConfigError where customer, month or place cannot be used; BuildError where nothing is
    published, or a statement does not foot; PartlyFailed where those of several do not, after all
    others; StorageError.
    """
    output = output or FOLDER
    is_file = output.suffix.lower() in KINDS
    if is_file and order.customer is None:
        raise ConfigError(f"--all writes many files; name a folder instead of {output}.")
    if not output.parent.is_dir():
        raise ConfigError(f"The folder {output.parent} does not exist.")
    if output.exists() and output.is_dir() == is_file:
        raise ConfigError(f"{output} is {'a folder' if is_file else 'no folder'}.")
    with Marts(published_file(settings)).of_one_night() as marts:
        books = books_of(marts, order.company, order.month)
        named = order.customer
        customers = [books.customer(named)] if named is not None else books.customers()
        names = {} if is_file else file_names(customers)
        failed: dict[str, BlsyncError] = {}
        for customer in customers:
            try:
                statement = books.statement(customer)
            except BuildError as error:
                if named is not None:
                    raise
                failed[customer.called] = error
                continue
            files = (
                [output]
                if is_file
                else [
                    output / f"{names[customer.customer_id]}-{books.first:%Y-%m}{kind}"
                    for kind in KINDS
                ]
            )
            yield Written(statement, [_write_one(settings, books, statement, f) for f in files])
        if named is None:
            _tell_nameless(books, say)
    if failed:
        told = " ".join(map(str, [*failed.values()][:_MOST_NAMED]))
        raise PartlyFailed(
            f"{len(failed)} of {len(customers)} statements do not foot and were not written; the "
            f"others are. {told}"
        )


def _write_one(settings: Settings, books: Books, statement: Statement, file: Path) -> Path:
    if file.suffix.lower() == ".xlsx":
        write_xlsx(books, statement, file)
    elif count := write_pdf(books, statement, file, settings.pdf_font):
        warn_once(f"Customer {statement.customer.called}: {spoilt_letters(count)}")
    return file


def _tell_nameless(books: Books, say: Callable[[str], None]) -> None:
    count, balance = books.nameless()
    if count:
        say(
            f"{count} invoices name no customer and are on no statement; {balance:,.2f} is open on "
            "them."
        )


def file_names(customers: list[Customer]) -> dict[str, str]:
    """Return what the files of each customer are called, by id: its number, and where two would
    be the same its id too.
    """
    plain = {c.customer_id: _plain(c.called) for c in customers}
    counts: dict[str, int] = {}
    for name in plain.values():
        counts[name.casefold()] = counts.get(name.casefold(), 0) + 1
    return {
        key: name if counts[name.casefold()] == 1 else f"{name}-{_plain(key)}"
        for key, name in plain.items()
    }


def _plain(text: str) -> str:
    """Return a text as a file's name: no separators of folders, no dot or dash at its beginning."""
    return re.sub(r"[^\w.-]+", "_", text).lstrip(".-") or "_"
