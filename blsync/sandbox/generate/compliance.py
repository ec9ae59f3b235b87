"""E-invoices as they are filed: accepted, rejected and sent again, still on their way."""

from __future__ import annotations

import random
from datetime import date, timedelta
from functools import partial

from blsync.sandbox.books import einvoices
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.values import Record
from blsync.sandbox.generate.agenda import Agenda

RECENT_DAYS = 3
"""So long an e-invoice may be on its way."""
WAYS = {
    "accepted": ("validated", "submitted", "accepted"),
    "rejected": ("validated", "submitted", "rejected"),
    "submitted": ("validated", "submitted"),
    "validated": ("validated",),
    "created": (),
}
"""Where an e-invoice stands → the steps that led there."""


class Compliance:
    """Files e-invoices for a company; every choice comes from ``rng``."""

    def __init__(self, books: Books, rng: random.Random, agenda: Agenda, last: date) -> None:
        self.books = books
        self.rng = rng
        self.agenda = agenda
        self.last = last

    def file(self, invoice: Record, outcome: str, uuid: str | None) -> None:
        """File an invoice's e-invoice with the given outcome; most rejected ones are sent again."""
        rng, today = self.rng, self.books.today
        if (self.last - today).days < RECENT_DAYS and rng.random() < 0.3:
            outcome = rng.choice(("created", "validated", "submitted"))
        format_ = "UBL21" if rng.random() < 0.9 else "PEPPOL_UBL"
        einvoice = einvoices.create_einvoice(self.books, invoice, format_, uuid)
        self._go(einvoice, *WAYS[outcome])
        if outcome == "rejected" and rng.random() < 0.75:
            again = today + timedelta(days=rng.randint(1, 6))
            self.agenda.on(again, partial(self.send_again, invoice["id"]))
        elif outcome in ("created", "validated", "submitted"):
            self.agenda.on(today + timedelta(days=1), partial(self.move_on, einvoice["id"]))

    def _go(self, einvoice: Record, *steps: str) -> None:
        for status in steps:
            einvoices.step(self.books, einvoice, status, is_told=status == steps[-1])

    def send_again(self, invoice_id: str) -> None:
        """Replace a rejected e-invoice by a new one, which the portal takes."""
        invoice = self.books.find("invoices", invoice_id)
        if invoice["einvoice"]["status"] == "rejected" and invoice["status"] != "cancelled":
            again = einvoices.create_einvoice(self.books, invoice)
            self._go(again, *WAYS["accepted"])

    def move_on(self, einvoice_id: str) -> None:
        """Bring an e-invoice that is on its way to its end."""
        einvoice = self.books.find("einvoices", einvoice_id)
        way = WAYS["accepted" if self.rng.random() < 0.95 else "rejected"]
        if einvoice["status"] in ("created", *way[:-1]):
            done = way.index(einvoice["status"]) + 1 if einvoice["status"] != "created" else 0
            self._go(einvoice, *way[done:])
