"""Quotes and sales orders: how they come about, and which of them wait for an invoice."""

from __future__ import annotations

import contextlib
import random
from collections import deque
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from blsync.sandbox.books import pipeline
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import ApiError
from blsync.sandbox.books.values import ZERO, Record, from_cents
from blsync.sandbox.generate.agenda import Agenda

PRIORITIES = ("normal", "normal", "normal", "low", "high", "urgent")
TITLES = ("Office fit-out", "Yearly supply", "New branch", "Replacement stock", "Site equipment")


class Waiting(NamedTuple):
    """So much of each line of an order, to be invoiced from a day on."""

    ready: date
    order_id: str
    parts: dict[str, Decimal | int]


class Orders:
    """Customers' habits of asking and ordering; every choice comes from ``rng``."""

    def __init__(self, books: Books, rng: random.Random, agenda: Agenda) -> None:
        self.books = books
        self.rng = rng
        self.agenda = agenda
        self.waiting: deque[Waiting] = deque()
        items = [item for item in books.store.all("items") if item["isActive"]]
        self.items = [item["id"] for item in items]

    def _customer(self) -> Record:
        customers = self.books.store.all("customers")
        while True:
            customer = self.rng.choice(customers)
            if customer["status"] == "active":
                return customer

    def _lines(self, most: int) -> list[Record]:
        rng = self.rng
        return [
            {
                "itemId": item_id,
                "quantity": rng.choice((1, 2, 4, 6, 10, 12)),
                "discountPercent": rng.choice((0, 0, 0, 5, 10)),
            }
            for item_id in rng.sample(self.items, min(rng.randint(1, most), len(self.items)))
        ]

    def order(self, day: date) -> Record:
        """Enter an order: most are invoiced when they are due, some wait, some are cancelled."""
        rng, books = self.rng, self.books
        promised = day + timedelta(days=rng.randint(1, 21))
        order = pipeline.draft_sales_order(
            *(books, self._customer(), day.isoformat(), promised.isoformat(), self._lines(4)),
            reference=f"PO-{rng.randint(1000, 99999)}" if rng.random() < 0.6 else None,
            promisedDate=(promised + timedelta(days=rng.choice((0, 0, 0, 3)))).isoformat(),
            priority=rng.choice(PRIORITIES),
            shippingCost=from_cents(rng.choice((0, 0, 1500, 2500))) or ZERO,
            shippingMethod=rng.choice(pipeline.SHIPPING_METHODS),
        )
        if rng.random() < 0.95:
            self.confirm(order, promised)
        return order

    def confirm(self, order: Record, promised: date) -> None:
        """Confirm an order and plan what becomes of it."""
        chance = self.rng.random()
        pipeline.set_order_status(self.books, order, "confirmed")
        if chance < 0.06:
            day = promised - timedelta(days=1)
            self.agenda.on(day, partial(self.step, order["id"], "cancelled"))
        elif chance > 0.13:
            self._wait(order, promised)

    def _wait(self, order: Record, promised: date) -> None:
        """Let an order wait for its invoice, or its two halves for one each."""
        whole = {line["id"]: line["quantity"] for line in order["items"]}
        first: dict[str, Decimal | int] = {
            key: (int(count) + 1) // 2 for key, count in whole.items()
        }
        if self.rng.random() < 0.2 and first != whole:
            rest = {key: whole[key] - first[key] for key in whole}
            self.waiting.append(Waiting(promised, order["id"], first))
            self.waiting.append(Waiting(promised + timedelta(days=12), order["id"], rest))
        else:
            self.waiting.append(Waiting(promised, order["id"], dict(whole)))

    def ready(self, day: date) -> Waiting | None:
        """Return what of an order is to be invoiced by a day, if there is any."""
        for _ in range(min(len(self.waiting), 5)):
            part = self.waiting.popleft()
            if part.ready <= day and self._is_open(part):
                return part
            if part.ready > day:
                self.waiting.append(part)
        return None

    def _is_open(self, part: Waiting) -> bool:
        order = self.books.store.get("sales_orders", part.order_id)
        return order is not None and order["status"] == "confirmed"

    def find_waiting(self) -> None:
        """Let confirmed orders that are due wait, as the books have them."""
        self.books.save()
        rows = self.books.store.query(
            "select id from sales_orders where status = 'confirmed'"
            " and json_extract(doc, '$.promisedDate') <= ? order by orderDate, id limit 20",
            self.books.today.isoformat(),
        )
        for (order_id,) in rows:
            order = self.books.find("sales_orders", order_id)
            parts = pipeline.uninvoiced(self.books, order)
            if any(parts.values()):
                self.waiting.append(Waiting(self.books.today, order_id, parts))

    def invoice(self, part: Waiting, day: date) -> Record:
        """Invoice what is ready of an order; most goods are there some days later."""
        order = self.books.find("sales_orders", part.order_id)
        invoice = pipeline.invoice_order(self.books, order, day.isoformat(), None, part.parts)
        if self.rng.random() < 0.3:  # the other reading: only the reference leads to the order
            invoice["salesOrderId"] = None
            self.books.store.put("invoices", invoice["id"], invoice)
        if order["status"] == "shipped" and self.rng.random() < 0.9:
            arrives = day + timedelta(days=self.rng.randint(1, 5))
            self.agenda.on(arrives, partial(self.step, order["id"], "delivered"))
        return invoice

    def step(self, order_id: str, status: str) -> None:
        """Take an order one step on, if it still can go there."""
        with contextlib.suppress(ApiError):
            order = self.books.find("sales_orders", order_id)
            pipeline.set_order_status(self.books, order, status)

    def quote(self, day: date) -> Record:
        """Make an offer; half of them are accepted and become orders."""
        rng, books, chance = self.rng, self.books, self.rng.random()
        valid = day + timedelta(days=rng.choice((14, 30, 30, 60)))
        quote = pipeline.draft_quote(
            *(books, self._customer(), day.isoformat(), valid.isoformat(), self._lines(5)),
            reference=f"RFQ-{rng.randint(100, 9999)}" if rng.random() < 0.5 else None,
            title=rng.choice(TITLES),
            terms="Prices hold while stocks last",
        )
        if chance < 0.05:
            return quote
        pipeline.answer_quote(books, quote, "sent")
        answered = day + timedelta(days=rng.randint(2, 13))
        if chance < 0.5:
            self.agenda.on(answered, partial(self.accept, quote["id"]))
        elif chance < 0.7:
            self.agenda.on(answered, partial(self.answer, quote["id"], "rejected"))
        elif chance < 0.85:  # the others expire by the calendar alone, and say `sent` for ever
            expires = valid + timedelta(days=1)
            self.agenda.on(expires, partial(self.answer, quote["id"], "expired"))
        return quote

    def answer(self, quote_id: str, status: str) -> None:
        """Have a quote answered, if it still can be."""
        with contextlib.suppress(ApiError):
            quote = self.books.find("quotes", quote_id)
            pipeline.answer_quote(self.books, quote, status, "customer")

    def accept(self, quote_id: str) -> None:
        """Accept a quote; most become orders at once, some a few days later or never."""
        rng, today = self.rng, self.books.today
        self.answer(quote_id, "accepted")
        if rng.random() < 0.9:
            self.agenda.on(
                today + timedelta(days=rng.randint(1, 4)), partial(self.convert, quote_id)
            )

    def convert(self, quote_id: str) -> None:
        """Make an order of an accepted quote."""
        quote, today = self.books.find("quotes", quote_id), self.books.today
        promised = today + timedelta(days=self.rng.randint(3, 14))
        with contextlib.suppress(ApiError):
            order = pipeline.convert_quote(
                self.books, quote, today.isoformat(), promised.isoformat()
            )
            self._wait(order, promised)
