"""What is going to happen on which day of the history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta

Event = Callable[[], object]


class Agenda:
    """Events by day. What is put off beyond ``last`` has not happened yet."""

    def __init__(self, last: date) -> None:
        self.last = last
        self._events: dict[date, list[Event]] = defaultdict(list)

    def on(self, day: date, event: Event) -> None:
        """Plan an event for a day; beyond the last day it never happens."""
        if day <= self.last:
            self._events[day].append(event)

    def take(self, day: date) -> list[Event]:
        """Return what falls on a day, and forget it."""
        return self._events.pop(day, [])


class NoAgenda(Agenda):
    """For a night, which does what is due by looking at the books: nothing is put off."""

    def __init__(self) -> None:
        super().__init__(date.min)


def spread(count: int, first: date, days: int) -> list[int]:
    """Spread documents over days: few on Sundays, growing over the years."""
    weights = []
    for index in range(days):
        weekday = (first + timedelta(days=index)).weekday()
        weights.append((0.15 if weekday == 6 else 0.6 if weekday == 5 else 1) * (1 + index / days))
    total, so_far, given, result = sum(weights), 0.0, 0, []
    for weight in weights:
        so_far += weight
        upto = round(count * so_far / total)
        result.append(upto - given)
        given = upto
    return result
