"""What a night brings in the optional modules; what is due is found in the books."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

from blsync.sandbox.books import pipeline, purchasing, tills
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.values import Record
from blsync.sandbox.generate.agenda import NoAgenda
from blsync.sandbox.generate.compliance import Compliance
from blsync.sandbox.generate.orders import Orders
from blsync.sandbox.generate.purchases import Purchases, add_supplier
from blsync.sandbox.generate.shifts import Shifts
from blsync.sandbox.generate.trade import Trade
from blsync.sandbox.generate.transit import Transit

LOOKED_AT = 40
"""So many of the latest records are looked through for what is due."""
SALES = 10
"""Transactions of a till in a night."""


class ModuleNight:
    """One night of the modules; every choice comes from ``rng``, what is done is counted."""

    def __init__(
        self, books: Books, rng: random.Random, trade: Trade, counts: Counter[str]
    ) -> None:
        self.books = books
        self.rng = rng
        self.counts = counts
        agenda = NoAgenda()
        self.purchases = Purchases(books, rng, agenda, trade.demand)
        self.orders = Orders(books, rng, agenda)
        self.transit = Transit(books, rng, agenda)
        self.shifts = Shifts(books, rng, agenda, self.purchases.buy)
        self.compliance = Compliance(books, rng, agenda, books.today)
        trade.purchases, trade.orders = self.purchases, self.orders
        trade.compliance = self.compliance

    def steps(self) -> list[Callable[[], object]]:
        """Return what happens, in order; each step finds what it is about in the books."""
        return [
            self.orders.find_waiting,
            self._join,
            self._change_supplier,
            *[self._order] * 2,
            self._confirm,
            *[self._receive] * 2,
            *[self._bill] * 3,
            self._expense,
            self._approve,
            *[self._pay] * 4,
            self._remind,
            *[self._sell] * 3,
            self._cancel_sale,
            *[self._deliver] * 3,
            *[self._quote] * 2,
            self._answer,
            self._expire,
            self._convert,
            *[self._move_on] * 4,
            self._send_again,
            self._transfer,
            *[self._go_on] * 4,
            self._bank,
            *[self._deliver_late, self._void, self._correct],
            *[self._close] * 2,
            *[self._open] * 2,
        ]

    def _pick(self, entity: str, where: str, order: str = "") -> Record | None:
        """Choose one of the records that a condition finds: any, or the first in an order."""
        self.books.save()
        sql = f"select id from {entity} where {where}"  # noqa: S608 - of our own
        found = self.books.store.query(sql + (f" order by {order}" if order else ""))
        if not found:
            return None
        return self.books.find(entity, found[0][0] if order else self.rng.choice(found)[0])

    def _join(self) -> None:
        if self.rng.random() < 0.3:
            add_supplier(self.books, self.rng)
            self.counts["suppliers_created"] += 1

    def _change_supplier(self) -> None:
        supplier = self.books.find("suppliers", self.rng.choice(self.purchases.suppliers))
        supplier["phone"] = f"+603{self.rng.randint(10_000_000, 99_999_999)}"
        self.books.touch("suppliers", supplier["id"], supplier)
        self.counts["suppliers_updated"] += 1

    def _order(self) -> None:
        self.purchases.order_ahead(self.books.today)
        self.counts["purchase_orders_placed"] += 1

    def _confirm(self) -> None:
        order = self._pick("purchase_orders", "status = 'sent'")
        if order:
            purchasing.confirm_order(self.books, order)
            self.counts["purchase_orders_confirmed"] += 1

    def _receive(self) -> None:
        order = self._pick(
            "purchase_orders", "status in ('sent', 'confirmed', 'partially_received')"
        )
        if order:
            self.purchases.deliver(order["id"], is_part=self.rng.random() < 0.4)
            self.counts["goods_received"] += 1

    def _bill(self) -> None:
        """Enter the bill of an order that has something received and not billed."""
        self.books.save()
        rows = self.books.store.query(
            "select id from purchase_orders where status in ('partially_received', 'received')"
            " order by updatedAt desc, id limit ?",
            LOOKED_AT,
        )
        for (order_id,) in rows:
            order = self.books.find("purchase_orders", order_id)
            left = purchasing.unbilled(self.books, order)
            if left:
                self.purchases.bill(order_id, left)
                self.counts["bills_entered"] += 1
                return

    def _expense(self) -> None:
        self.purchases.expense(self.books.today)
        self.counts["bills_entered"] += 1

    def _approve(self) -> None:
        bill = self._pick("bills", "status = 'draft'", "createdAt, id")
        if bill:
            self.purchases.approve(bill["id"])
            self.counts["bills_approved"] += 1

    def _pay(self) -> None:
        bill = self._pick("bills", f"status in {purchasing.PAYABLE}")
        if bill:
            share = self.rng.choice((Decimal(1), Decimal(1), Decimal("0.4")))
            self.counts["bills_paid"] += self.purchases.pay(bill["id"], share)

    def _remind(self) -> None:
        day = self.books.today.isoformat()
        for _ in range(5):
            bill = self._pick("bills", f"status = 'open' and dueDate < '{day}'", "dueDate, id")
            if bill and purchasing.mark_late(self.books, bill):
                self.books.touch("bills", bill["id"], bill)
                self.counts["bills_overdue"] += 1

    def _sell(self) -> None:
        self.orders.order(self.books.today)
        self.counts["sales_orders_entered"] += 1

    def _cancel_sale(self) -> None:
        order = self._pick(
            "sales_orders",
            "status = 'confirmed' and json_extract(doc, '$.fulfillment.shippedQuantity') = 0",
        )
        if order:
            pipeline.set_order_status(self.books, order, "cancelled")
            self.counts["sales_orders_cancelled"] += 1

    def _deliver(self) -> None:
        order = self._pick("sales_orders", "status = 'shipped'")
        if order:
            pipeline.set_order_status(self.books, order, "delivered")
            self.counts["sales_orders_delivered"] += 1

    def _quote(self) -> None:
        self.orders.quote(self.books.today)
        self.counts["quotes_made"] += 1

    def _answer(self) -> None:
        quote = self._pick("quotes", "status = 'sent'")
        if quote:
            answer = self.rng.choice(("accepted", "accepted", "rejected"))
            self.orders.answer(quote["id"], answer)
            self.counts[f"quotes_{answer}"] += 1

    def _expire(self) -> None:
        day = self.books.today.isoformat()
        late = f"status = 'sent' and json_extract(doc, '$.validUntil') < '{day}'"
        quote = self._pick("quotes", late)
        if quote:
            self.orders.answer(quote["id"], "expired")
            self.counts["quotes_expired"] += 1

    def _convert(self) -> None:
        quote = self._pick("quotes", "status = 'accepted'", "updatedAt, id")
        if quote:
            self.orders.convert(quote["id"])
            self.counts["quotes_converted"] += 1

    def _move_on(self) -> None:
        on_its_way = "status in ('created', 'validated', 'submitted')"
        einvoice = self._pick("einvoices", on_its_way, "updatedAt, id")
        if einvoice:
            self.compliance.move_on(einvoice["id"])
            self.counts["einvoices_moved_on"] += 1

    def _send_again(self) -> None:
        einvoice = self._pick(
            "einvoices",
            "status = 'rejected' and exists (select 1 from invoices i"
            " where i.id = einvoices.invoiceId and i.status <> 'cancelled'"
            " and json_extract(i.doc, '$.einvoice.status') = 'rejected')",
        )
        if einvoice:
            self.compliance.send_again(einvoice["invoiceId"])
            self.counts["einvoices_sent_again"] += 1

    def _transfer(self) -> None:
        if self.transit.transfer(self.books.today):
            self.counts["transfers_asked_for"] += 1

    def _go_on(self) -> None:
        transfer = self._pick(
            "stock_transfers", "status in ('draft', 'approved', 'shipped', 'received')"
        )
        if transfer:
            self.counts[f"transfers_{self.transit.go_on(transfer['id'])}"] += 1

    def _closed_sessions(self) -> list[Record]:
        self.books.save()
        rows = self.books.store.query(
            "select id from pos_sessions where status = 'closed'"
            " order by businessDate desc, id limit ?",
            LOOKED_AT // 2,
        )
        return [self.books.find("pos_sessions", key) for (key,) in rows]

    def _bank(self) -> None:
        """Bring to the bank what lies in the shops, all tenders of up to four sessions."""
        methods = {self.books.role(t.role): name for name, t in tills.TENDERS.items()}
        banked = 0
        for session in self._closed_sessions():
            for account, cents in tills.unbanked(self.books, session).items():
                day = self.books.today.isoformat()
                tills.bank_takings(self.books, session, methods[account], cents, day)
                banked += 1
            if banked >= 8:
                break
        self.counts["takings_banked"] += banked

    def _of_closed(self, more: str) -> Record | None:
        """Choose a completed transaction of one of the latest closed sessions."""
        sessions = self._closed_sessions()[:6]
        if not sessions:
            return None
        listed = ", ".join(f"'{session['id']}'" for session in sessions)
        return self._pick(
            "pos_transactions",
            f"sessionId in ({listed}) and json_extract(doc, '$.status') = 'completed' and {more}",
        )

    def _deliver_late(self) -> None:
        sessions = self._closed_sessions()[:6]
        if sessions:
            session = self.rng.choice(sessions)
            self.shifts.deliver_late(session["id"], self.rng.randint(40, 700))
            self.counts["sales_delivered_late"] += 1

    def _void(self) -> None:
        transaction = self._of_closed("json_extract(doc, '$.type') = 'sale'")
        if transaction:
            tills.void(self.books, transaction)
            self.counts["sales_voided_late"] += 1

    def _correct(self) -> None:
        transaction = self._of_closed("json_extract(doc, '$.rounding') = 0")
        if transaction:
            self.shifts.correct(transaction["id"])
            self.counts["tenders_corrected"] += 1

    def _close(self) -> None:
        session = self._pick("pos_sessions", "status = 'open'", "createdAt, id")
        if session:
            rows = self.books.store.query(
                "select id from pos_transactions where sessionId = ? order by id", session["id"]
            )
            done = [self.books.find("pos_transactions", key) for (key,) in rows]
            self.shifts.close(session, done)
            self.counts["tills_closed"] += 1

    def _open(self) -> None:
        till = tills.TILLS[self.counts["tills_opened"] % len(tills.TILLS)]
        self.shifts.shift(self.books.today, till, SALES, pause_us=1, stays_open=True)
        self.counts["tills_opened"] += 1
