"""Where events come from and go to: the books tell of changes, subscribers and streams hear."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from blsync.sandbox.books.company import Books
from blsync.sandbox.books.values import Record
from blsync.sandbox.events.changes import events_of
from blsync.sandbox.events.deliveries import Subscriber
from blsync.sandbox.faults.faults import Faults

API_VERSION = "v1"
NAMES_OF_CHANNELS = {"sales_order": "order.status_changed"}
"""Channels of the stream that are named otherwise than the events, by how those begin."""


class Hub:
    """One company's events. Subscriptions outlive the process where the books do."""

    def __init__(self, books: Books, company_id: str, faults: Faults) -> None:
        self.company_id, self.faults = company_id, faults
        self._store = store = books.store
        self.subscribers: dict[str, Subscriber] = {}
        self.streams: set[Callable[[Record], None]] = set()
        self._is_open = False
        books.on_payment = self._paid
        store.watch = self._changed
        store.is_watched = lambda: self.is_heard

    def open(self) -> None:
        """Begin to deliver; there has to be an event loop."""
        self._is_open = True
        for about in self._store.recall("webhooks") or []:
            self.add(about)

    def close(self) -> None:
        """Deliver no more."""
        self._is_open = False
        for subscriber in self.subscribers.values():
            subscriber.close()

    @property
    def is_heard(self) -> bool:
        """Whether anybody would hear of a change."""
        return self._is_open and bool(self.subscribers or self.streams)

    def add(self, about: Record) -> Subscriber:
        """Add a subscription, or put another in the place of the one with its id."""
        if before := self.subscribers.get(about["id"]):
            before.close()
        subscriber = self.subscribers[about["id"]] = Subscriber(about, self.faults)
        subscriber.open()
        self._remember()
        return subscriber

    def remove(self, webhook_id: str) -> None:
        """End a subscription."""
        self.subscribers.pop(webhook_id).close()
        self._remember()

    def _remember(self) -> None:
        self._store.remember("webhooks", [one.about for one in self.subscribers.values()])

    def _paid(self, payment: Record) -> None:
        if self.is_heard:
            self.tell("payment.received", payment)

    def _changed(self, entity: str, before: Record | None, record: Record) -> None:
        for name, shown, earlier in events_of(entity, before, record):
            self.tell(name, shown, earlier)

    def tell(self, name: str, shown: Record, earlier: Record | None = None) -> None:
        """Tell whoever listens."""
        event = self.event(name, shown, earlier)
        for subscriber in self.subscribers.values():
            if subscriber.wants(name):
                subscriber.put(event)
        channel = NAMES_OF_CHANNELS.get(name.partition(".")[0], name)
        message = {
            "type": "event",
            "channel": channel,
            "data": shown,
            "meta": {
                "companyId": self.company_id,
                "timestamp": event["timestamp"],
                "eventId": event["id"],
            },
        }
        for hear in [*self.streams]:
            hear(message)

    def event(self, name: str, shown: Any, earlier: Record | None = None) -> Record:
        """Make an event of now."""
        return {
            "id": f"evt_{uuid.uuid4().hex[:20]}",
            "event": name,
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "livemode": False,
            "api_version": API_VERSION,
            "data": {"object": shown, "previous_attributes": earlier or {}},
            "context": {"companyId": self.company_id},
        }
