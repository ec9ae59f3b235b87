"""What can be made to go wrong, as a comma list ``name=value``.

================  ====================================================================
latency=50ms      every answer waits so long first (``ms`` or ``s``)
error=0.02        that share of requests is answered 503 and does nothing
error-after=0.02  that share of requests is carried out, then answered 500
html=0.01         that share is answered 502 with a gateway's HTML page, nothing done
truncate=0.01     that share of answers breaks off in the middle of the body
drop-after=0.01   that share of requests is carried out, then the connection closes
forbid=A+B        403 for the routes of these entities, as in ``forbid=journal_entries``
expire-cursors=N  a walk's cursor is refused once N pages have been fetched with cursors
odd-records=N     N more customers that cannot be typed: bad date, text for a number, no id
================  ====================================================================

Shares are drawn from the sandbox's seed. Every fault is off unless named.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

from blsync.sandbox.fields import ENTITIES

FORBIDDABLE = (*ENTITIES, "reports")


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError("a share lies between 0 and 1")
    return value


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)", text)
    if not match:
        raise ValueError("a duration is written 50ms or 0.5s")
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


def _count(text: str) -> int:
    if not text.isdigit():
        raise ValueError("a count is a whole number")
    return int(text)


def _entities(text: str) -> frozenset[str]:
    chosen = frozenset(text.split("+"))
    if unknown := chosen.difference(FORBIDDABLE):
        raise ValueError(f"no entity {', '.join(sorted(unknown))}; there are {FORBIDDABLE}")
    return chosen


FAULTS: dict[str, tuple[Callable[[str], Any], Any]] = {
    "latency": (_seconds, 0.0),
    "error": (_share, 0.0),
    "error-after": (_share, 0.0),
    "html": (_share, 0.0),
    "truncate": (_share, 0.0),
    "drop-after": (_share, 0.0),
    "forbid": (_entities, frozenset()),
    "expire-cursors": (_count, 0),
    "odd-records": (_count, 0),
}
"""Fault → how its value is read, and what it is while it is off."""


class Faults:
    """The faults in force. Raises ValueError for a list it cannot read."""

    def __init__(self, text: str = "", seed: int = 1) -> None:
        self._random = random.Random(f"faults {seed}")
        self.set(text)

    def set(self, text: str) -> None:
        """Put another list in force; what it does not name is off."""
        values = {name: off for name, (_, off) in FAULTS.items()}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = part.partition("=")
            if name not in FAULTS:
                raise ValueError(f"no fault {name!r}; there are {', '.join(FAULTS)}")
            try:
                values[name] = FAULTS[name][0](value)
            except ValueError as error:
                raise ValueError(f"fault {part!r}: {error}") from error
        self.text, self._values = text, values

    def __getitem__(self, name: str) -> Any:
        """Return a fault's value."""
        return self._values[name]

    def strikes(self, name: str) -> bool:
        """Draw whether a fault with a share strikes this time."""
        share = self._values[name]
        return bool(share) and self._random.random() < share


def odd_customers(count: int, good: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Make customers (key in the table, record) that no client can type, from a good one."""
    oddities: tuple[dict[str, Any], ...] = (
        {"lastSaleDate": "2026-02-31"},
        {"creditLimit": "fifty thousand"},
        {"id": None},
        {"createdAt": "last Tuesday", "paymentTerms": "thirty"},
    )
    result = []
    for number in range(count):
        key = f"cust_odd{number:05d}"
        names = {"id": key, "customerNumber": f"ODD-{number:04d}", "email": f"{key}@example.my"}
        record = {**good, **names, **oddities[number % len(oddities)]}
        if record["id"] is None:
            del record["id"]
        result.append((key, record))
    return result
