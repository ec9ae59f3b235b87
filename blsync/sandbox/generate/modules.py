"""The optional modules in the history and in a night: what happens in them on which day."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import partial
from itertools import accumulate

from blsync.sandbox.books import tills
from blsync.sandbox.books.company import Books
from blsync.sandbox.generate.agenda import Agenda, Event, spread
from blsync.sandbox.generate.compliance import Compliance
from blsync.sandbox.generate.orders import Orders
from blsync.sandbox.generate.purchases import Purchases, found_suppliers
from blsync.sandbox.generate.shifts import USUAL, Shifts
from blsync.sandbox.generate.trade import Trade
from blsync.sandbox.generate.transit import Transit
from blsync.sandbox.options import Options

ORDERED_AHEAD = 4
"""One in so many of the bills to come is for goods that are ordered ahead."""
ENTERED_BY_HAND = 40
"""The day of the history on which somebody corrects the payable account by hand."""


class Modules:
    """The modules over the days of a history, each with choices of its own from the seed.

    ``slot_us`` is how much of the import a day takes.
    """

    def __init__(
        self, books: Books, options: Options, span: tuple[date, date], trade: Trade, slot_us: int
    ) -> None:
        self.books = books
        self.slot_us = slot_us
        first, last = span
        days = (last - first).days + 1
        self.agenda = Agenda(last)

        def stream(name: str) -> random.Random:
            return random.Random(f"{options.seed} {name}")

        found_suppliers(books, stream("suppliers"), options.size("suppliers"))
        self.purchases = Purchases(books, stream("purchases"), self.agenda, trade.demand)
        self.orders = Orders(books, stream("orders"), self.agenda)
        self.transit = Transit(books, stream("transit"), self.agenda)
        self.shifts = Shifts(books, stream("shifts"), self.agenda, self.purchases.buy)
        trade.purchases, trade.orders = self.purchases, self.orders
        trade.compliance = Compliance(books, stream("compliance"), self.agenda, last)
        bills = options.size("bills")
        planned = {
            self.purchases.order_ahead: bills // ORDERED_AHEAD,
            self.orders.order: options.size("sales_orders"),
            self.orders.quote: options.size("quotes"),
            self.transit.transfer: options.size("transfers"),
        }
        self.plan = {act: spread(count, first, days) for act, count in planned.items()}
        self.bills = list(accumulate(spread(bills, first, days)))
        self.sold = _sessions(options.size("pos_transactions"), days)

    def events(self, day: date, index: int) -> Iterator[Event]:
        """Yield what the modules do on a day, in order."""
        yield from self.agenda.take(day)
        for act, counts in self.plan.items():
            for _ in range(counts[index]):
                yield partial(act, day)
        for _ in range(self.bills[index] - self.books.counters["bill"]):
            yield partial(self.purchases.expense, day)
        sold = self.sold[index]
        pause = min(1_000_000, self.slot_us // (3 * (sum(sold) + 1)))
        for till, count in zip(tills.TILLS, sold, strict=False):
            is_last = index == len(self.sold) - 2
            yield partial(self.shifts.shift, day, till, count, pause_us=pause, stays_open=is_last)
        if index == ENTERED_BY_HAND:
            yield partial(self._correct_by_hand, day)

    def _correct_by_hand(self, day: date) -> None:
        """Post to the payable account without a bill, as happens."""
        books, note, amount = self.books, "Rebate of a supplier, agreed by phone", Decimal("150.00")
        lines = [
            (books.role("payable"), amount, note),
            (books.role("price_variance"), -amount, note),
        ]
        books.write_entry(day.isoformat(), "PAY-ADJ-001", note, lines)


def _sessions(transactions: int, days: int) -> list[list[int]]:
    """Spread sales over the last days and the tills, about `USUAL` a session or more.

    None are of today.
    """
    usable = max(1, days - 1)
    count = max(1, transactions // USUAL) if transactions else 0
    open_tills = len(tills.TILLS) if count > 2 * usable else 2
    count = min(count, usable * open_tills)
    shares = [transactions * (n + 1) // count - transactions * n // count for n in range(count)]
    by_day: list[list[int]] = [[] for _ in range(days)]
    opened = -(-count // open_tills)
    for number, share in enumerate(shares):
        by_day[max(0, days - 1 - opened) + number // open_tills].append(share)
    return by_day
