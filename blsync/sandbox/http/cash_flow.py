"""The cash-flow report (bigledger-api.md, section 16): opening cash and three sections.

Cash are the accounts of `chart.CASH`. Directly, each entry that moves cash tells by its other lines
what for. Indirectly, the operating section begins with the profit and says what else moved; the
sums are the same.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from blsync.sandbox.books.chart import CASH
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.values import Record, dumps, from_cents

METHODS = ("direct", "indirect")
SECTION_OF = {
    "fixed_asset": "investing",
    "long_term_liability": "financing",
    "equity": "financing",
}
"""Category of the account on the other side → section; all others are operating."""
SECTIONS = ("operating", "investing", "financing")


def cash_flow(books: Books, first: str, last: str, method: str) -> Record:
    """Give where cash came from and went in a period, both days included."""
    accounts = {account["id"]: account for account in books.store.all("accounts")}
    cash = [books.by_number[number] for number in CASH if number in books.by_number]
    moved = _moved_with_cash(books, cash, first, last)
    sections: dict[str, Counter[str]] = {name: Counter() for name in SECTIONS}
    for account_id, cents in moved.items():
        sections[SECTION_OF.get(accounts[account_id]["category"], "operating")][account_id] = cents
    lines = {name: _lines(accounts, amounts) for name, amounts in sections.items()}
    if method == "indirect":
        lines["operating"] = _indirect(books, accounts, sections, set(cash), (first, last))
    totals = {name: sum(sections[name].values()) for name in SECTIONS}
    opening = _balance(books, cash, first)
    change = sum(totals.values())
    return {
        "reportName": "Cash Flow Statement",
        "periodFrom": first,
        "periodTo": last,
        "method": method,
        "currency": "MYR",
        **{name: {"total": from_cents(totals[name]), "lines": lines[name]} for name in SECTIONS},
        "netChange": from_cents(change),
        "openingCash": from_cents(opening),
        "closingCash": from_cents(opening + change),
    }


def _moved_with_cash(books: Books, cash: list[str], first: str, last: str) -> dict[str, int]:
    """Return what the other lines of entries with cash brought in, in cents by account."""
    rows = books.store.query(
        "select account_id, sum(credit_cents) - sum(debit_cents) from journal_lines"
        " where date between ?1 and ?2 and account_id not in (select value from json_each(?3))"
        " and entry_id in (select entry_id from journal_lines where date between ?1 and ?2"
        "  and account_id in (select value from json_each(?3))) group by account_id",
        *(first, last, dumps(cash)),
    )
    return {account: cents for account, cents in rows if cents}


def _balance(books: Books, cash: list[str], before: str) -> int:
    rows = books.store.query(
        "select sum(debit_cents) - sum(credit_cents) from journal_lines"
        " where date < ? and account_id in (select value from json_each(?))",
        *(before, dumps(cash)),
    )
    return int(rows[0][0] or 0)


def _indirect(
    books: Books,
    accounts: dict[str, Record],
    sections: dict[str, Counter[str]],
    cash: set[str],
    period: tuple[str, str],
) -> list[Record]:
    """Return the operating section from the profit on: what moved but went through no cash."""
    rows = books.store.query(
        "select account_id, sum(credit_cents) - sum(debit_cents) from journal_lines"
        " where date between ? and ? group by account_id",
        *period,
    )
    profit, others = 0, Counter[str]()
    for account_id, cents in rows:
        kind = accounts[account_id]["type"]
        if kind in ("revenue", "expense"):
            profit += cents
        elif account_id not in cash:
            elsewhere = sections["investing"][account_id] + sections["financing"][account_id]
            others[account_id] += cents - elsewhere
    result = {"name": "Net profit", "accountId": None, "amount": from_cents(profit)}
    return [result, *_lines(accounts, others)]


def _lines(accounts: dict[str, Record], amounts: Counter[str]) -> list[Any]:
    named = [
        {
            "name": accounts[account_id]["name"],
            "accountId": account_id,
            "accountNumber": accounts[account_id]["accountNumber"],
            "amount": from_cents(cents),
        }
        for account_id, cents in amounts.items()
        if cents
    ]
    return sorted(named, key=lambda line: str(line["accountNumber"]))
