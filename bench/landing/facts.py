"""What the documents of all modules are made of: amounts, days, lines, legs of entries.

A document is a function of its number; its fields are SQL over `n`, `size` (invoices of the first
load), `load` and `pulled_at`. The first load has three years of documents; night `load` adds a two
hundredth of them, dated the day before.
"""

from __future__ import annotations

from collections.abc import Mapping

Part = tuple[Mapping[str, str], str]
"""Fields of an entity's records, each with its SQL, and the rows that they are made of."""
Documents = dict[str, list[Part]]
"""What a module lands in one load, by entity."""

MACROS = """
create or replace macro part(n, k) as cast(
    10 + (n * 7919 + k * 104729) % 90000 / 100 as decimal(18, 2));
create or replace macro line_count(n) as 1 + n % 3;
create or replace macro tax_of(amount) as cast(round(amount * 0.06, 2) as decimal(18, 2));
create or replace macro lines_of(n, first, second, third) as
    list_slice([first, second, third], 1, line_count(n));
create or replace macro sum_of(n, first, second, third) as cast(
    first
    + case when line_count(n) > 1 then second else 0 end
    + case when line_count(n) > 2 then third else 0 end as decimal(18, 2));
create or replace macro share_of(count) as greatest(count // 200, 1);
create or replace macro night_of(load) as date '2026-03-14' + load;
create or replace macro day_of(n, count) as date '2023-01-01' + cast(
    least(n * 1169 // count, 1168) + if(n < count, 0, 1 + (n - count) // share_of(count))
    as integer);
create or replace macro at_hour(day, hour) as cast(day as timestamptz) + to_hours(hour);
create or replace macro item_of(n, k) as (n * 31 + k) % 2000;
create or replace macro leg(k, account, amount) as {
    'id': concat('line_', k), 'accountId': concat('acc_', account), 'accountNumber': account,
    'accountName': concat('Account ', account), 'description': null,
    'debit': greatest(amount, 0), 'credit': greatest(-amount, 0)};
create or replace macro legs(found) as
    list_filter(found, lambda each: each.debit <> each.credit);
"""


def share_of(count: int) -> int:
    """Return how many of so many documents a night brings, and how many it changes."""
    return max(count // 200, 1)


def numbers(first: int, last: int) -> str:
    """Return rows with the numbers from `first` to before `last`."""
    return f"range({first}, {last}) as numbers (n)"


def entry(
    number: str, day: str, reference: str, about: str, legs: str, total: str
) -> dict[str, str]:
    """Return the fields of a posted journal entry."""
    return {
        "id": f"concat('je_', {number})",
        "journalNumber": number,
        "date": day,
        "reference": reference,
        "description": f"'{about}'",
        "status": "'posted'",
        "totalDebit": total,
        "totalCredit": total,
        "lines": f"legs({legs})",
        "createdBy": "'user_1'",
        "createdAt": f"cast({day} as timestamptz)",
        "postedAt": f"cast({day} as timestamptz)",
    }
