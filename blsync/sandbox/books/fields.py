"""What a kind of record is to the sandbox: its list's addresses, its limits, and the fields one may
filter and sort by; where the books of a company get such records from.

Field kinds: text, number, bool, date (a business date), instant, and each (a scalar inside
a list of the record, met when any element meets it). bigledger-api.md, sections 3 and 5.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blsync.sandbox.books.company import Books


@dataclass(frozen=True)
class Entity:
    """One kind of record.

    ``columns`` are the fields kept beside the record's text, because joins, sorting or
    filters lean on them. ``aliases`` are the module pages' own spellings of a condition:
    parameter → (field, operator); ``flags`` are those that take true or false: parameter →
    SQL condition.

    ``found`` writes the records that a new company has, and ``pass_night`` does what a night of
    business does to them. The trade in goods, whose kinds of record all hang together, needs
    neither: it is made by `generate.seed` and `generate.night`.
    """

    name: str
    resource: str
    paths: tuple[str, ...]
    scope: str
    fields: dict[str, str]
    columns: tuple[str, ...]
    search: tuple[str, ...]
    looked_up: tuple[str, ...] = ()
    """Columns that the books look for while the history is written: their index comes first."""
    joined: dict[str, str] = field(default_factory=dict)
    """Fields to filter by that other records have: field → SQL."""
    prefix: str = ""
    """What its ids begin with; empty where a record has no id and no address of its own."""
    number_field: str = ""
    number_prefix: str = ""
    date_field: str | None = None
    max_limit: int = 100
    default_limit: int = 50
    is_by_offset: bool = False
    """Whether its list pages by `offset` and `nextOffset`, where all others go by cursor."""
    code: str = "NOT_FOUND"
    aliases: dict[str, tuple[str, str]] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)
    days_of_instant: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Parameters that bound an instant by business days: parameter → (field, gte or lte)."""
    secret_fields: tuple[str, ...] = ()
    """What a record alone shows and its list never does."""
    module: str = ""
    """The optional module that it belongs to; empty for what every company has."""
    harmless_field: str | None = None
    """A text that nothing depends on, of a kind that has updatedAt: tests may have it changed."""
    deletable: str = "1"
    """SQL: which records tests may have deleted, where the books could not go on without others."""
    movements: str | None = None
    """What goes with a deleted record (?1), so that the reports say what the records say."""
    is_in_memory: bool = False
    """Whether there are few, which change often: they stay in memory once read."""
    found: Callable[[Books, random.Random], None] | None = None
    pass_night: Callable[[Books, random.Random], None] | None = None

    def condition(self, parameter: str) -> tuple[str, str] | None:
        """Return the (field, operator) that a parameter of its own spelling stands for."""
        if self.date_field:
            ranges = ("fromDate", "dateFrom"), ("toDate", "dateTo")
            for spellings, operator in zip(ranges, ("gte", "lte"), strict=True):
                if parameter in spellings:
                    return self.date_field, operator
        return self.aliases.get(parameter)


def fields(**kinds: str) -> dict[str, str]:
    """Give each field its kind: ``fields(text="id name", instant="updatedAt")``."""
    return {name: kind for kind, names in kinds.items() for name in names.split()}
