"""Days at the tills: sales, returns, voids, the count, and what comes to light afterwards."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from functools import partial

from blsync.sandbox.books import tills
from blsync.sandbox.books.chart import TAX_RATES
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.tills import Sold
from blsync.sandbox.books.values import KUALA_LUMPUR, Record, to_cents
from blsync.sandbox.generate.agenda import Agenda

Buy = Callable[[date, list[tuple[str, str, int]]], None]

METHODS = ("cash", "cash", "cash", "card", "card", "e_wallet")
USUAL = 12
"""Transactions of a session where there are few; where there are many, the tills are busier."""
SECOND_US = 1_000_000


class Shifts:
    """The shops' habits; every choice comes from ``rng``. ``buy`` brings what a shop lacks."""

    def __init__(self, books: Books, rng: random.Random, agenda: Agenda, buy: Buy) -> None:
        self.books = books
        self.rng = rng
        self.agenda = agenda
        self.buy = buy
        self.now = datetime.now(KUALA_LUMPUR)
        self.banked: dict[str, Counter[str]] = {}
        self.goods = [
            (
                *(item["id"], item["itemCode"], item["name"]),
                to_cents(item["pricing"]["sellingPrice"]),
                item["tax"]["salesTaxCode"],
                int(TAX_RATES[item["tax"]["salesTaxCode"]]),
            )
            for item in books.store.all("items")
            if item["isActive"] and item["type"] != "service"
        ]

    def _moment(self, day: date, minutes: float) -> str:
        """Write a moment of a day, so many minutes after nine in the morning, but not ahead."""
        seconds = 9 * 3600 + int(minutes * 60)
        if day >= self.now.date():
            reached = self.now - datetime.combine(day, time(), KUALA_LUMPUR)
            seconds = min(seconds, max(int(reached.total_seconds()), 0))
        hour, minute, second = seconds // 3600, seconds // 60 % 60, seconds % 60
        return f"{day.isoformat()}T{hour:02}:{minute:02}:{second:02}+08:00"

    def shift(
        self,
        day: date,
        till: tuple[str, str],
        count: int,
        *,
        pause_us: int = SECOND_US,
        stays_open: bool = False,
    ) -> Record:
        """Keep a till open for a day and so many transactions, then close it."""
        rng, books = self.rng, self.books
        cashier = tills.CASHIERS[rng.randrange(len(tills.CASHIERS))]
        opened = self._moment(day, rng.randint(0, 30))
        session = tills.open_session(books, till, cashier, day.isoformat(), opened)
        done: list[Record] = []
        late = int(count > 3 and rng.random() < 0.15)
        for number in range(count - late):
            books.pass_time(pause_us)
            done.append(self._transaction(session, day, 40 + number * 700 / count, done))
        if count > 5 and rng.random() < 0.3:
            tills.void(books, rng.choice(done))
        if late:
            minutes = 40 + rng.randint(0, 600)
            waits = day + timedelta(days=rng.randint(1, 6))
            self.agenda.on(waits, partial(self.deliver_late, session["id"], minutes))
        if not stays_open:
            self.close(session, done)
            if count > 3 and rng.random() < 0.15:
                chosen = rng.choice(done)["id"]
                act = rng.choice((self.void_late, self.correct))
                self.agenda.on(day + timedelta(days=rng.randint(1, 5)), partial(act, chosen))
        return session

    def _transaction(
        self, session: Record, day: date, minutes: float, done: list[Record]
    ) -> Record:
        """Ring up a sale, or now and then a return of part of an earlier one."""
        rng = self.rng
        chance, occurred = rng.random(), self._moment(day, minutes)
        if chance < 0.04 and done:
            original = done[int(rng.random() * len(done))]
            if original["type"] == "sale" and original["status"] == "completed":
                back = [tills.sold_again(original["items"][0], -1)]
                method = original["payments"][0]["method"]
                return tills.ring_up(self.books, session, back, method, occurred, original)
        sold = []
        for _ in range(1 if chance < 0.5 else 2 if chance < 0.85 else 3):
            item_id, code, name, price, tax_code, rate = self.goods[
                int(rng.random() * len(self.goods))
            ]
            pieces = 1 if rng.random() < 0.7 else 2
            discount = pieces * price // 20 if rng.random() < 0.1 else 0
            sold.append(Sold(item_id, code, name, pieces, price, discount, tax_code, rate))
        method = METHODS[int(rng.random() * len(METHODS))]
        return tills.ring_up(self.books, session, sold, method, occurred)

    def close(self, session: Record, done: list[Record]) -> None:
        """Close a till, post it, and plan when its takings reach the bank."""
        rng, day = self.rng, date.fromisoformat(session["businessDate"])
        self._restock(session, done)
        miscount = rng.choice((-500, -130, 40, 200)) if rng.random() < 0.1 else 0
        tills.close_session(self.books, session, done, self._moment(day, 760), miscount)
        self.banked[session["id"]] = Counter()
        for method, tender in tills.TENDERS.items():
            days = day + timedelta(days=tender.days)
            self.agenda.on(days, partial(self.bank, session["id"], method))

    def _restock(self, session: Record, done: list[Record]) -> None:
        short = tills.wanted(self.books, session["locationId"], done)
        if short:
            place = session["locationId"]
            day = date.fromisoformat(session["businessDate"])
            self.buy(day, [(item_id, place, count + 10) for item_id, count in short.items()])

    def bank(self, session_id: str, method: str) -> None:
        """Bank what a session took in one tender and has not banked yet."""
        session = self.books.find("pos_sessions", session_id)
        taken = {tender["method"]: to_cents(tender["expected"]) for tender in session["tenders"]}
        banked = self.banked[session_id]
        cents = taken.get(method, 0) - banked[method]
        if cents:
            banked[method] += cents
            day = self.books.today.isoformat()
            tills.bank_takings(self.books, session, method, cents, day)

    def deliver_late(self, session_id: str, minutes: int) -> Record:
        """Take in a sale that a till kept to itself for days."""
        session = self.books.find("pos_sessions", session_id)
        day = date.fromisoformat(session["businessDate"])
        late = self._transaction(session, day, minutes, [])
        if session["status"] == "closed":
            self._restock(session, [late])
            tills.deliver_late(self.books, session, late)
            self._bank_again(session)
        return late

    def void_late(self, transaction_id: str) -> None:
        """Void a transaction after its session was closed."""
        transaction = self.books.find("pos_transactions", transaction_id)
        if transaction["status"] == "completed":
            tills.void(self.books, transaction)
            self._bank_again(self.books.find("pos_sessions", transaction["sessionId"]))

    def correct(self, transaction_id: str) -> None:
        """Correct the tender of a sale that was not rounded."""
        transaction = self.books.find("pos_transactions", transaction_id)
        method = transaction["payments"][0]["method"]
        if transaction["status"] == "completed" and not transaction["rounding"]:
            corrected = {"cash": "card", "card": "e_wallet", "e_wallet": "card"}[method]
            tills.correct_tender(self.books, transaction, corrected)
            self._bank_again(self.books.find("pos_sessions", transaction["sessionId"]))

    def _bank_again(self, session: Record) -> None:
        """Plan to bank, or take back, what has come to light since."""
        for method, tender in tills.TENDERS.items():
            day = self.books.today + timedelta(days=tender.days)
            self.agenda.on(day, partial(self.bank, session["id"], method))
