r"""A company's ledger as plain-text accounting, which `bean-check` and `hledger check` verify.

Every posted journal entry is a transaction, and every account has its balance asserted at each
month end: the transactions come from `finance.general_ledger`, the balances from
`finance.trial_balance`. A program that shares nothing with this one then adds up the first and
compares it with the second. An entry of both:

    2026-01-31 * "JE-00017" "Rent January" ^HQ-12           (beancount)
      Expenses:6030-Rent  2500.00 MYR
      Assets:1010-Bank  -2500.00 MYR
    2026-02-01 balance Expenses:6030-Rent  2500.00 MYR
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from blsync import marts
from blsync.errors import ConfigError
from blsync.files.atomic import atomic_write, storage_errors
from blsync.lake.store import BATCH
from blsync.marts import queries
from blsync.settings import Company, Settings

ROOTS = {
    "asset": "Assets",
    "liability": "Liabilities",
    "equity": "Equity",
    "revenue": "Income",
    "expense": "Expenses",
}
"""Kinds of account → the five names under which both programs keep accounts."""
OTHER_ROOT = "Equity"
"""Where an account of a kind that BigLedger's reference does not name is kept."""
NO_CURRENCY = "XXX"
"""What ISO 4217 has for amounts of no currency."""
_NO_NAME = re.compile(r"[^0-9A-Za-z]+")
_NO_TEXT = re.compile(r"\s+")
_NO_COMMODITY = re.compile(r"[^A-Z]")
_ACCOUNTS = """
    select account_id, account_number, any_value(account_name), any_value(account_type),
           min(journal_date)
    from finance.general_ledger
    where company_id = $company
    group by all
    order by account_number, account_id
"""
_LINES = """
    select journal_date, journal_id, journal_number, reference, entry_description, account_id,
           amount, line_description
    from finance.general_ledger
    where company_id = $company
    order by journal_date, journal_number, journal_id, line_no, line_key
"""
_BALANCES = """
    select period_end, account_id, closing_balance
    from finance.trial_balance
    where company_id = $company
    order by period_end, account_number, account_id
"""
_CURRENCY = "select any_value(currency) from finance.general_ledger where company_id = $company"


@dataclass(frozen=True)
class Account:
    """An account under the name that it has in the file; `opened_on` is its first posting."""

    name: str
    opened_on: date


@dataclass(frozen=True)
class Entry:
    """A journal entry; `postings` are (account, amount, text), debits positive."""

    day: date
    number: str
    reference: str
    text: str
    postings: list[tuple[str, Decimal, str]]


@dataclass(frozen=True)
class Balance:
    """What an account has to hold at the end of a day, debits positive."""

    day: date
    account: str
    amount: Decimal


def write_beancount(settings: Settings, company: Company, output: Path) -> int:
    """Write the company's ledger for beancount; returns its entries.

    Raises BuildError where nothing is published, ConfigError where the company has no entries or
    the folder does not exist, StorageError.
    """
    return _write(settings, company, output, _beancount)


def write_hledger(settings: Settings, company: Company, output: Path) -> int:
    """Write the company's ledger for hledger; returns its entries. Raises as `write_beancount`."""
    return _write(settings, company, output, _hledger)


def _write(
    settings: Settings,
    company: Company,
    output: Path,
    told: Callable[[str, dict[str, Account], Iterable[Entry], list[Balance]], Iterator[str]],
) -> int:
    if not output.parent.is_dir():
        raise ConfigError(f"The folder {output.parent} does not exist.")
    written = 0

    def counted(entries: Iterable[Entry]) -> Iterator[Entry]:
        nonlocal written
        for entry in entries:
            written += 1
            yield entry

    with marts.open_published(settings) as db:
        given = {"company": company.company_id}
        [(currency,)] = db.execute(_CURRENCY, given).fetchall()
        if currency is None:
            raise ConfigError(
                f"The published marts hold no journal entries of {company.name}; `blsync status` "
                "tells what was pulled."
            )
        accounts = _named(db.execute(_ACCOUNTS, given).fetchall())
        balances = [
            Balance(day, accounts[account].name, amount)
            for day, account, amount in db.execute(_BALANCES, given).fetchall()
            if account in accounts
        ]
        lines = queries.Answer(db.sql(_LINES, params=given).to_arrow_reader(BATCH)).rows()
        commodity = _NO_COMMODITY.sub("", currency.upper()) or NO_CURRENCY
        parts = told(commodity, accounts, counted(_entries(lines, accounts)), balances)
        with (
            storage_errors(output),
            atomic_write(output) as draft,
            draft.open("w", encoding="utf-8") as file,
        ):
            file.writelines(parts)
    return written


def _named(rows: list[tuple[Any, ...]]) -> dict[str, Account]:
    """Name the accounts; two whose names would be the same have their ids in them."""
    names = [_account_name(number, name, kind) for _, number, name, kind, _ in rows]
    found = {}
    for (account, *_, opened_on), name in zip(rows, names, strict=True):
        is_taken = names.count(name) > 1
        found[account] = Account(f"{name}-{_plain(account)}" if is_taken else name, opened_on)
    return found


def _account_name(number: str | None, name: str | None, kind: str | None) -> str:
    parts = [part for part in (_plain(number), _plain(name)) if part]
    leaf = "-".join(parts) or "Unnamed"
    leaf = leaf if leaf[0].isdigit() or leaf[0].isupper() else f"{leaf[0].upper()}{leaf[1:]}"
    return f"{ROOTS.get((kind or '').lower(), OTHER_ROOT)}:{leaf}"


def _plain(text: str | None) -> str:
    """Return letters and digits of ASCII with dashes between: what both programs take in a name."""
    folded = unicodedata.normalize("NFKD", text or "").encode("ascii", "ignore").decode()
    return _NO_NAME.sub("-", folded).strip("-")


def _entries(lines: Iterable[tuple[Any, ...]], accounts: dict[str, Account]) -> Iterator[Entry]:
    for (day, _, number), group in groupby(lines, key=itemgetter(0, 1, 2)):
        entry = list(group)
        yield Entry(
            day,
            _text(number),
            _text(entry[0][3]),
            _text(entry[0][4]),
            [(accounts[line[5]].name, line[6], _text(line[7])) for line in entry],
        )


def _text(text: str | None) -> str:
    """Return a text as it stands in one line."""
    shown = "".join(c for c in _NO_TEXT.sub(" ", text or "") if c.isprintable())
    return shown.strip()


def _beancount(
    currency: str,
    accounts: dict[str, Account],
    entries: Iterable[Entry],
    balances: list[Balance],
) -> Iterator[str]:
    yield f'option "operating_currency" "{currency}"\n'
    yield f'option "inferred_tolerance_default" "{currency}:0"\n'
    for account in accounts.values():
        yield f"{account.opened_on} open {account.name} {currency}\n"
    for entry in entries:
        yield f'\n{entry.day} * "{_quoted(entry.number)}" "{_quoted(entry.text)}"\n'
        if entry.reference:
            yield f'  reference: "{_quoted(entry.reference)}"\n'
        for name, amount, text in entry.postings:
            yield f"  {name}  {amount:f} {currency}\n"
            if text:
                yield f'    text: "{_quoted(text)}"\n'
    yield "\n"
    for balance in balances:
        # A balance is that of the day's beginning.
        following = balance.day + timedelta(days=1)
        yield f"{following} balance {balance.account}  {balance.amount:f} ~ 0 {currency}\n"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _hledger(
    currency: str,
    accounts: dict[str, Account],
    entries: Iterable[Entry],
    balances: list[Balance],
) -> Iterator[str]:
    yield f"decimal-mark .\ncommodity 1000.00 {currency}\n"
    for account in accounts.values():
        yield f"account {account.name}\n"
    for entry in entries:
        about = _uncommented(" ".join(filter(None, (entry.text, entry.reference))))
        yield f"\n{entry.day} * ({_uncommented(entry.number, '()')}) {about}\n"
        for name, amount, text in entry.postings:
            comment = f"  ; {text}" if text else ""
            yield f"    {name}  {amount:f} {currency}{comment}\n"
    for day, group in groupby(balances, key=lambda balance: balance.day):
        yield f"\n{day} * balances\n"
        for balance in group:
            yield f"    {balance.account}  0 {currency} = {balance.amount:f} {currency}\n"


def _uncommented(text: str, more: str = "") -> str:
    """Return a text without what begins a comment in hledger, or ends the part it stands in."""
    for sign in f";{more}":
        text = text.replace(sign, " ")
    return _NO_TEXT.sub(" ", text).strip()
