"""Stock on its way between the locations; now and then some of it does not arrive."""

from __future__ import annotations

import random
from datetime import date, timedelta
from functools import partial

from blsync.sandbox.books import transfers
from blsync.sandbox.books.chart import LOCATIONS
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import ApiError
from blsync.sandbox.books.stock import stock_row
from blsync.sandbox.books.values import Record
from blsync.sandbox.generate.agenda import Agenda

LEAST = 12
"""Pieces that a location must hold before some are sent elsewhere."""
MOST = 40
"""Pieces on one line, at most: up to a hundred the unit cost's four decimals tell the cents."""
METHODS = ("own_lorry", "courier")


class Transit:
    """Sends stock about; every choice comes from ``rng``."""

    def __init__(self, books: Books, rng: random.Random, agenda: Agenda) -> None:
        self.books = books
        self.rng = rng
        self.agenda = agenda
        self.tracked = [
            item["id"] for item in books.store.all("items") if item["inventory"]["tracked"]
        ]

    def transfer(self, day: date) -> Record | None:
        """Ask for stock from another location, if one has enough."""
        rng, books = self.rng, self.books
        source, target = rng.sample(list(LOCATIONS), 2)
        lines = []
        for item_id in rng.sample(self.tracked, min(8, len(self.tracked))):
            row = stock_row(books, item_id, source)
            if row and row["currentStock"] >= LEAST:
                count = min(MOST, int(row["currentStock"]) // 3)
                lines.append({"itemId": item_id, "quantity": rng.randint(2, count)})
        if not lines:
            return None
        transfer = transfers.draft_transfer(
            *(books, day.isoformat(), source, target, lines[:3]),
            reference=f"REQ-{rng.randint(1000, 9999)}" if rng.random() < 0.5 else None,
        )
        if rng.random() < 0.95:
            self.agenda.on(day + timedelta(days=1), partial(self.go_on, transfer["id"]))
        return transfer

    def go_on(self, transfer_id: str) -> str:
        """Take a transfer one step on and plan the next; return where it stands then."""
        rng, books, today = self.rng, self.books, self.books.today
        transfer = books.find("stock_transfers", transfer_id)
        following = transfers.STEPS.get(transfer["status"], ())
        if not following:
            return str(transfer["status"])
        status = following[0]
        received: dict[str, int] = {}
        shipping: Record = {}
        if status == "approved" and rng.random() < 0.06:
            status = rng.choice(("cancelled", "rejected"))
        if status == "shipped":
            shipping = {
                "method": rng.choice(METHODS),
                "trackingNumber": f"TRK{rng.randint(10**8, 10**9 - 1)}",
                "estimatedDelivery": (today + timedelta(days=3)).isoformat(),
            }
        if status == "received" and rng.random() < 0.2:
            line = rng.choice(transfer["items"])
            received = {line["id"]: max(0, line["quantityShipped"] - rng.randint(1, 2))}
        try:
            transfers.step(
                *(books, transfer, status, today.isoformat()), received=received, **shipping
            )
        except ApiError:  # the goods have been sold meanwhile
            transfers.step(books, transfer, "cancelled", today.isoformat())
        wait = rng.randint(2, 6) if transfer["status"] == "shipped" else 1
        self.agenda.on(today + timedelta(days=wait), partial(self.go_on, transfer_id))
        return str(transfer["status"])
