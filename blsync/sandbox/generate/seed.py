"""Two years of a Malaysian trading company, imported over the last 45 days.

The same seed and the same day give the same books; instants are relative to the start.
"""

from __future__ import annotations

import contextlib
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from functools import partial

from blsync.sandbox.books.adjustments import post_adjustment
from blsync.sandbox.books.chart import LOCATIONS
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.entities import ENTITIES
from blsync.sandbox.books.errors import ApiError
from blsync.sandbox.books.masters import open_accounts
from blsync.sandbox.books.sales import cancel_invoice, mark_overdue
from blsync.sandbox.books.values import Record, business_today, money, now_us
from blsync.sandbox.generate.agenda import Event, spread
from blsync.sandbox.generate.catalogue import SECOND_US, stock_the_shop
from blsync.sandbox.generate.modules import Modules
from blsync.sandbox.generate.months import Months
from blsync.sandbox.generate.trade import Trade
from blsync.sandbox.options import Options

IMPORT_US = 45 * 86_400 * 1_000_000
"""The import took 45 days, and ended a minute before the start."""
MINUTE_US = 60 * SECOND_US
USUAL_INVOICE = Decimal(1300)
"""What an invoice comes to, about, in ringgit; scales rent and payroll."""
LINES_TIMES_PIECES = 16
PAYERS = ((0.88, ("1",)), (0.95, ("0.4", "1")), (0.97, ("0.5",)))
"""Share of the invoices below which they are paid in these parts; above, never."""
HELD_AT_MOST = 20_000
"""Records kept in memory before they are written."""


class History:
    """The days from the founding to today, each with its events at their instants."""

    def __init__(self, books: Books, options: Options) -> None:
        self.books = books
        self.options = options
        self.rng = random.Random(f"{options.seed}")
        self.today = options.today or business_today()
        self.first = _months_before(self.today, options.months)
        self.days = (self.today - self.first).days + 1
        self.start_us = (now_us() - MINUTE_US - IMPORT_US) // SECOND_US * SECOND_US
        self.later: dict[date, list[Event]] = defaultdict(list)
        weeks = max(1, self.days // 7)
        pieces = options.invoices * LINES_TIMES_PIECES
        self.demand = max(10, pieces // (weeks * options.items * 3))
        revenue = money(USUAL_INVOICE * options.invoices / options.months)
        self.months = Months(books, self.rng, revenue)
        self.modules: Modules | None = None

    def write(self) -> None:
        """Write the whole history."""
        self._found()
        per_day = spread(self.options.invoices, self.first, self.days)
        newcomers = self.options.customers - self.options.customers * 7 // 10
        joining = spread(newcomers, self.first, self.days)
        for index in range(self.days):
            day = self.first + timedelta(days=index)
            self.books.day = day
            events = [*self._month(day, index), *self.later.pop(day, [])]
            events += [self.trade.customer] * joining[index]
            events += [partial(self._sell, day)] * per_day[index]
            self.rng.shuffle(events)
            if self.modules:
                events = [*self.modules.events(day, index), *events]
            self._run(events, index)
            if self.books.store.waiting > HELD_AT_MOST:
                self.books.save()
        self._finish()
        self._found_other_kinds()

    def _found(self) -> None:
        books, options = self.books, self.options
        books.day = self.first
        books.tick(self.start_us)
        books.choose(modules=options.modules, transit_account=options.transit_account)
        open_accounts(books)
        stock_the_shop(books, self.rng, options.items, self.demand, self.start_us)
        self.trade = Trade(books, self.rng, self.demand)
        if options.modules:
            span = (self.first, self.today)
            self.modules = Modules(books, options, span, self.trade, IMPORT_US // self.days)
        for number in range(options.customers * 7 // 10 or 1):
            if number % 40 == 0:
                books.tick(self.start_us + (options.items + number) * SECOND_US)
            self.trade.customer()
        wanted = [
            (item_id, place, self.demand * 6)
            for item_id in self.trade.stocked
            for place in LOCATIONS
            if place == "loc_shah_alam" or self.rng.random() < 0.6
        ]
        self.trade.purchase(self.first, wanted)
        self.months.open(self.first)

    def _run(self, events: list[Event], index: int) -> None:
        """Give each event its instant; one in ten shares the one before it."""
        slot = IMPORT_US // self.days
        for number, event in enumerate(events):
            moment = self.start_us + index * slot + (number + 1) * slot // (len(events) + 1)
            grain = self.rng.choice((1_000_000,) * 7 + (1_000,) * 2 + (1,))
            if number % 10 != 9:
                self.books.tick(moment // grain * grain)
            event()

    def _month(self, day: date, index: int) -> Iterator[Event]:
        """Yield the month's own events of this day."""
        trade, size = self.trade, int(self.months.revenue)
        for event in self.months.events(day):
            yield partial(event, day)
        if day.weekday() == 0 and index:
            yield lambda: trade.restock(day)
        if day.day in (8, 18):
            yield lambda: self._adjust(day, trade.adjustment(day, draft=day.day == 18))
        if day.day == 12:
            yield lambda: self._accrue(day, trade.manual_entry(day, size, draft=True))
            yield lambda: trade.manual_entry(day - timedelta(days=self.rng.randint(5, 30)), size)
        if index == 50:
            yield lambda: self.months.close_bank(day)
        if day.day == 16 and index:
            yield self._reprice

    def _sell(self, day: date) -> None:
        """Sell, now and then back-dated, and plan what follows: a cancellation, or payments."""
        rng, chance = self.rng, self.rng.random()
        number = self.books.counters["inv"]
        dated = day
        if rng.random() < 0.02:
            dated = max(self.first, day - timedelta(days=rng.randint(2, 40)))
        invoice = self.trade.invoice(dated, draft=number % 90 == 40)
        if invoice["status"] == "draft":
            return
        due = date.fromisoformat(invoice["dueDate"])
        invoice_id = invoice["id"]
        if number % 70 == 20:
            self._on(day + timedelta(days=rng.randint(1, 6)), lambda: self._cancel(invoice_id))
            return
        self._on(max(day, due) + timedelta(days=1), lambda: self._remind(invoice_id))
        paid_on = max(day, due + timedelta(days=round(rng.gauss(2, 9))))
        for bound, shares in PAYERS:
            if chance < bound:
                for share in shares:
                    self._on(paid_on, partial(self._pay, invoice_id, Decimal(share)))
                    paid_on += timedelta(days=rng.randint(5, 30))
                break

    def _on(self, day: date, event: Event) -> None:
        if day <= self.today:
            self.later[max(day, self.books.today + timedelta(days=1))].append(event)

    def _pay(self, invoice_id: str, share: Decimal) -> None:
        back = self.rng.randint(2, 10) if self.rng.random() < 0.02 else 0
        self.trade.payment(invoice_id, self.books.today - timedelta(days=back), share)

    def _cancel(self, invoice_id: str) -> None:
        invoice = self.books.find("invoices", invoice_id)
        cancel_invoice(self.books, invoice, self.books.today.isoformat())

    def _remind(self, invoice_id: str) -> None:
        invoice = self.books.find("invoices", invoice_id)
        if mark_overdue(self.books, invoice):
            self.books.touch("invoices", invoice_id, invoice)

    def _adjust(self, day: date, adjustment: Record | None) -> None:
        """Post a draft adjustment some days later, most of the time."""
        if adjustment and adjustment["status"] == "draft" and self.rng.random() < 0.8:
            adjustment_id = adjustment["id"]
            self._on(day + timedelta(days=4), lambda: self._post_adjustment(adjustment_id))

    def _post_adjustment(self, adjustment_id: str) -> None:
        with contextlib.suppress(ApiError):  # the goods may be sold by now: it stays a draft
            post_adjustment(self.books, self.books.find("stock_adjustments", adjustment_id))

    def _accrue(self, day: date, entry: Record) -> None:
        """Post a draft entry a week later, most of the time; void one now and then."""
        entry_id, chance = entry["id"], self.rng.random()
        if chance < 0.85:
            self._on(day + timedelta(days=7), lambda: self._post_entry(entry_id))
        if chance < 0.2:
            self._on(day + timedelta(days=20), lambda: self._void(entry_id))

    def _post_entry(self, entry_id: str) -> None:
        self.books.post_entry(self.books.find("journal_entries", entry_id))

    def _void(self, entry_id: str) -> None:
        entry = self.books.find("journal_entries", entry_id)
        self.books.void_entry(entry, self.books.today.isoformat(), "entered twice")

    def _reprice(self) -> None:
        """Put up a few prices at one instant."""
        books = self.books
        for item_id in self.rng.sample(self.trade.stocked, min(8, len(self.trade.stocked))):
            item = books.find("items", item_id)
            item["pricing"]["sellingPrice"] = money(
                item["pricing"]["sellingPrice"] * Decimal("1.02")
            )
            books.touch("items", item_id, item)

    def _finish(self) -> None:
        """Let a few customers go, and count the days that open invoices are late."""
        books, rng = self.books, self.rng
        books.tick(self.start_us + IMPORT_US)
        for customer in books.store.all("customers"):
            if rng.random() < 0.04:
                customer["status"] = rng.choice(("inactive", "inactive", "blocked"))
                books.touch("customers", customer["id"], customer)
        books.save()
        late = books.store.query("select id from invoices where status = 'overdue'")
        for (invoice_id,) in late:
            invoice = books.find("invoices", invoice_id)
            mark_overdue(books, invoice)
            books.store.put("invoices", invoice_id, invoice)
        books.day = self.options.today
        books.save()

    def _found_other_kinds(self) -> None:
        """Write the records that are no part of the trade in goods."""
        for entity in ENTITIES.values():
            if entity.found:
                self.books.tick()
                entity.found(self.books, random.Random(f"{self.options.seed} {entity.name}"))
        self.books.save()


def _months_before(day: date, months: int) -> date:
    """Return the first of the month that begins so many months of history."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, 1)
