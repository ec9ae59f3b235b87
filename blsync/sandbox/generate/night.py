"""A night of business: everything a nightly pull has to notice, in one go."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial

from blsync.sandbox.books.adjustments import post_adjustment
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.entities import ENTITIES
from blsync.sandbox.books.errors import ApiError
from blsync.sandbox.books.sales import cancel_invoice, mark_overdue
from blsync.sandbox.books.values import money
from blsync.sandbox.generate.module_night import ModuleNight
from blsync.sandbox.generate.trade import Trade


class Night:
    """One night, dated today; every choice comes from ``seed``. Each step has its own instant.

    A step that lacks what was deleted behind the books' back is given up without a trace.
    """

    def __init__(self, books: Books, seed: int, invoices: int) -> None:
        self.books = books
        self.seed = seed
        self.rng = random.Random(f"night {seed}")
        self.trade = Trade(books, self.rng)
        self.invoices = invoices
        self.counts: Counter[str] = Counter()
        self.modules: ModuleNight | None = None
        if books.modules:
            rng = random.Random(f"night of the modules {seed}")
            self.modules = ModuleNight(books, rng, self.trade, self.counts)

    def pass_by(self) -> dict[str, int]:
        """Let the night happen and return what happened how often."""
        steps: list[Callable[[], object]] = [
            *(self.modules.steps() if self.modules else ()),
            *[self._join] * (1 + self.invoices // 10),
            *[self._sell] * self.invoices,
            *[self._pay] * max(1, self.invoices * 2 // 3),
            *[self._change_customer] * 3,
            *[self._reprice] * 2,
            *[self._adjust] * 2,
            self._leave,
            self._cancel,
            self._accrue,
            self._post_entry,
            self._void_entry,
            self._post_adjustment,
            self._remind,
            *[
                partial(entity.pass_night, self.books, random.Random(f"{self.seed} {entity.name}"))
                for entity in ENTITIES.values()
                if entity.pass_night
            ],
        ]
        for step in steps:
            self.books.save()
            self.books.tick()
            try:
                step()
            except ApiError:
                self.books.store.discard()
                self.counts["given_up"] += 1
        self.books.save()
        return dict(sorted(self.counts.items()))

    def _pick(self, sql: str) -> str | None:
        """Choose one of the ids that a query finds."""
        self.books.save()
        found = self.books.store.query(sql)
        return str(self.rng.choice(found)[0]) if found else None

    def _join(self) -> None:
        self.trade.customer()
        self.counts["customers_created"] += 1

    def _sell(self) -> None:
        """Every fifth invoice is back-dated, every tenth stays a draft."""
        number = self.counts["invoices_created"]
        day = self.books.today
        if number % 5 == 1:
            day -= timedelta(days=self.rng.randint(2, 45))
            self.counts["invoices_backdated"] += 1
        self.trade.invoice(day, draft=number % 10 == 9)
        self.counts["invoices_created"] += 1

    def _pay(self) -> None:
        invoice_id = self._pick("select id from invoices where status in ('sent', 'overdue')")
        if invoice_id:
            share = self.rng.choice((Decimal(1), Decimal(1), Decimal("0.5")))
            back = self.rng.choice((0, 0, 0, 3))
            paid = self.trade.payment(invoice_id, self.books.today - timedelta(days=back), share)
            self.counts["payments"] += paid

    def _change_customer(self) -> None:
        customer = self.books.find("customers", self.rng.choice(self.trade.buyers))
        customer["creditLimit"] = money(customer["creditLimit"] + 500)
        customer["phone"] = f"+601{self.rng.randint(10_000_000, 99_999_999)}"
        self.books.touch("customers", customer["id"], customer)
        self.counts["customers_updated"] += 1

    def _leave(self) -> None:
        if len(self.trade.buyers) < 2:
            return
        customer_id = self.trade.buyers.pop(self.rng.randrange(len(self.trade.buyers)))
        customer = self.books.find("customers", customer_id)
        customer["status"] = "inactive"
        self.books.touch("customers", customer_id, customer)
        self.counts["customers_deactivated"] += 1

    def _reprice(self) -> None:
        item = self.books.find("items", self.rng.choice(self.trade.stocked))
        item["pricing"]["sellingPrice"] = money(item["pricing"]["sellingPrice"] * Decimal("1.01"))
        self.books.touch("items", item["id"], item)
        self.counts["items_repriced"] += 1

    def _adjust(self) -> None:
        """One adjustment is posted at once, the next stays a draft for a later night."""
        draft = self.counts["adjustments_created"] % 2 == 1
        if self.trade.adjustment(self.books.today, draft=draft):
            self.counts["adjustments_created"] += 1

    def _post_adjustment(self) -> None:
        adjustment_id = self._pick(
            "select id from stock_adjustments where status = 'draft' order by createdAt limit 1"
        )
        if adjustment_id:
            adjustment = self.books.find("stock_adjustments", adjustment_id)
            with contextlib.suppress(ApiError):  # the goods may be sold by now: it stays a draft
                post_adjustment(self.books, adjustment)
                self.counts["adjustments_posted"] += 1

    def _cancel(self) -> None:
        invoice_id = self._pick(
            "select id from invoices where status in ('sent', 'overdue')"
            " and json_extract(doc, '$.paymentStatus') = 'unpaid'"
        )
        if invoice_id:
            invoice = self.books.find("invoices", invoice_id)
            cancel_invoice(self.books, invoice, self.books.today.isoformat())
            self.counts["invoices_cancelled"] += 1

    def _accrue(self) -> None:
        """Enter two drafts, one of them back-dated."""
        for days in (0, 20):
            self.trade.manual_entry(self.books.today - timedelta(days=days), 200_000, draft=True)
            self.counts["entries_drafted"] += 1

    def _post_entry(self) -> None:
        entry_id = self._pick(
            "select id from journal_entries where status = 'draft' order by createdAt limit 1"
        )
        if entry_id:
            self.books.post_entry(self.books.find("journal_entries", entry_id))
            self.counts["entries_posted"] += 1

    def _void_entry(self) -> None:
        entry_id = self._pick(
            "select id from journal_entries where status = 'posted' and reversesId is null"
            " and json_extract(doc, '$.createdBy') in ('user_farah', 'user_weijie', 'user_kavitha')"
        )
        if entry_id:
            entry = self.books.find("journal_entries", entry_id)
            self.books.void_entry(entry, self.books.today.isoformat(), "entered twice")
            self.counts["entries_voided"] += 1

    def _remind(self) -> None:
        self.books.save()
        day = self.books.today.isoformat()
        rows = self.books.store.query(
            "select id from invoices where status = 'sent' and dueDate < ?", day
        )
        for (invoice_id,) in rows:
            invoice = self.books.find("invoices", invoice_id)
            if mark_overdue(self.books, invoice):
                self.books.touch("invoices", invoice_id, invoice)
                self.counts["invoices_overdue"] += 1
