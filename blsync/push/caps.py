"""How large a plan may be that is sent: the caps of the settings, and those of a policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from blsync.ledger.states import Action
from blsync.push.report import PlanReport


@dataclass(frozen=True)
class Caps:
    """The most records that a plan may create, update and delete, and the most money that it may
    move, in the company's currency. None: as much as it likes.
    """

    creates: int | None
    updates: int | None
    money: Decimal | None
    deletes: int | None = 0


def over_cap(report: PlanReport, caps: Caps, name: Callable[[str], str]) -> str:
    """Tell what of a plan is above its cap, in the words of whoever set it; empty: nothing is.

    `name` returns what the cap of `creates`, `updates`, `deletes` or `money` is called there.
    """
    found: dict[str, tuple[int | Decimal, int | Decimal | None]] = {
        "creates": (report.counts[Action.CREATE], caps.creates),
        "updates": (report.counts[Action.UPDATE], caps.updates),
        "deletes": (report.counts[Action.DELETE], caps.deletes),
        "money": (report.money, caps.money),
    }
    return ", ".join(
        f"{value} {what} ({name(what)} is {cap})"
        for what, (value, cap) in found.items()
        if cap is not None and value > cap
    )
