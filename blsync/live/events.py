"""What an event says, whichever way it came: its id, its name, and which record changed.

    {id, event, timestamp, data: {object: {id, …}}, context: {companyId}}   a webhook
    {batch: true, events: [those]}                                          several in one
    {type: "event", channel, data, meta: {companyId, timestamp, eventId}}   the stream

`data.object` looks like a record of a list and is not one, so nothing of it is used but its id. A
payment is the exception: no list has it (docs/reference/bigledger-api.md, the section on events).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from blsync.api.exchange import said
from blsync.entities import ENTITIES
from blsync.errors import BlsyncError
from blsync.ledger.events import Event
from blsync.settings import Company

OLDEST = timedelta(hours=24)
"""BigLedger tries to deliver an event for so long; what is older was recorded and sent again."""
FURTHEST_AHEAD = timedelta(hours=1)
"""What is dated further ahead could be sent again for longer than that."""
MOST_IN_A_BATCH = 1000
"""Events of one body."""
LONGEST_NAME = 128
LONGEST_ID = 255
PAYMENT_RECEIVED = "payment.received"
UNREADABLE = (msgspec.DecodeError, RecursionError)
"""What the decoder raises on JSON that is none, or that is nested too deep."""
WEBHOOK, STREAM = "webhook", "stream"

_SALES = ("invoices", "journal_entries", "customers")
_STOCK = ("stock", "stock_adjustments", "stock_transfers")
_BY_NAME: dict[str, tuple[str, ...]] = {
    "inventory.adjustment": ("stock_adjustments", "stock", "stock_transfers"),
    "inventory.transfer": ("stock_transfers", "stock", "stock_adjustments"),
}
_BY_PREFIX: dict[str, tuple[str, ...]] = {
    "invoice": _SALES,
    "payment": _SALES,
    "customer": ("customers",),
    "inventory": _STOCK,
    "stock": _STOCK,
    "einvoice": ("einvoices", "invoices"),
    "sales_order": ("sales_orders",),
    "order": ("sales_orders",),
    "purchase_order": ("purchase_orders",),
    "bill": ("bills", "journal_entries", "suppliers"),
    "supplier": ("suppliers",),
    "quote": ("quotes",),
    "sale": ("pos_transactions",),
    "return": ("pos_transactions",),
    "shift": ("pos_sessions",),
}
"""What a change of which an event tells, by its name or the first word of it, shows in: first the
record itself, then what changes with it."""
SUBSCRIBED = (
    *("invoice.created", "invoice.updated", "invoice.sent", "invoice.paid"),
    *("invoice.partially_paid", "invoice.overdue", "invoice.cancelled", PAYMENT_RECEIVED),
    *("customer.created", "customer.updated", "customer.status_changed"),
    *("inventory.low_stock", "inventory.out_of_stock", "inventory.adjustment"),
    *("inventory.transfer", "stock.updated", "einvoice.created", "einvoice.validated"),
    *("einvoice.submitted", "einvoice.accepted", "einvoice.rejected", "einvoice.cancelled"),
    *("sales_order.created", "sales_order.confirmed", "sales_order.shipped"),
    *("sales_order.delivered", "sales_order.cancelled", "purchase_order.created"),
    *("purchase_order.sent", "purchase_order.approved", "purchase_order.confirmed"),
    *("purchase_order.received", "purchase_order.cancelled", "bill.created", "bill.approved"),
    *("bill.paid", "supplier.created", "supplier.updated"),
)
"""The events that a subscription asks for, of those that tell of an entity of this installation."""
CHANNELS = (
    *("invoice.created", "invoice.updated", "invoice.sent", PAYMENT_RECEIVED, "stock.updated"),
    *("customer.created", "order.status_changed", "einvoice.submitted"),
)
"""Channels of the stream, as documented, but for that of reports."""


_NOTHING = msgspec.Raw(b"null")


class _Told(msgspec.Struct, rename="camel"):
    """What is read of JSON; whatever else it has is left alone."""


class _Meta(_Told):
    company_id: str | None = None
    timestamp: str | None = None
    event_id: str | None = None


class _Webhook(_Told):
    id: str | None = None
    event: str | None = None
    timestamp: str | None = None
    data: msgspec.Raw = _NOTHING
    context: _Meta | None = None


class _Body(_Told):
    batch: Any = None
    events: list[msgspec.Raw] | None = None


class _Object(_Told):
    id: str | None = None
    invoice_id: str | None = None
    """What a payment is for; of all else this is not the record itself."""


class _Data(_Told):
    object: msgspec.Raw = _NOTHING
    id: str | None = None
    einvoice_id: str | None = None


class StreamMessage(_Told):
    """A message of the stream; `type` tells what it is."""

    type: str | None = None
    channel: str | None = None
    data: msgspec.Raw = _NOTHING
    meta: _Meta | None = None
    status: str | None = None
    message: Any = None
    code: Any = None

    @property
    def told(self) -> str:
        """What an error says, as it can be shown."""
        text = " ".join(str(part) for part in (self.code, self.message) if part)
        return said(text or "that something is wrong", 200)


class UnusableEvent(BlsyncError):
    """What came is no event that can be kept; the message says why."""


@dataclass(frozen=True)
class Received:
    """The events of one body that can be kept, and why others of it cannot."""

    events: list[Event]
    refused: list[str]


def entities_of(event: str, pulled: Collection[str] = ENTITIES) -> tuple[str, ...]:
    """Return the entities in which a change shows that an event of that name tells of, the record's
    own first; those alone that are pulled here.
    """
    found = _BY_NAME.get(event) or _BY_PREFIX.get(event.partition(".")[0], ())
    return tuple(name for name in found if name in pulled)


def names_about(entity: str, names: Collection[str]) -> set[str]:
    """Return those names of events after which an entity has to be pulled."""
    return {name for name in names if entity in entities_of(name)}


def subscribed(pulled: Collection[str]) -> list[str]:
    """Return the names of the events that are worth a subscription, by what is pulled."""
    return [name for name in SUBSCRIBED if entities_of(name, pulled)]


def channels(pulled: Collection[str]) -> list[str]:
    """Return the channels that are worth a subscription, by what is pulled."""
    return [name for name in CHANNELS if entities_of(name, pulled)]


def read_webhook(
    body: bytes,
    companies: list[Company],
    now: datetime,
    pulled: Collection[str] = ENTITIES,
) -> Received:
    """Return what is in a webhook's body, about entities that are `pulled`. Raises UnusableEvent
    where it is none at all.
    """
    try:
        told = msgspec.json.decode(body, type=_Body)
    except UNREADABLE as error:
        raise UnusableEvent(f"The body is no event: {error}.") from None
    if not told.batch and told.events is None:
        return _received([body], companies, now, pulled)
    listed = told.events or []
    if len(listed) > MOST_IN_A_BATCH:
        raise UnusableEvent(f"The body has more than {MOST_IN_A_BATCH} events.")
    return _received([bytes(raw) for raw in listed], companies, now, pulled)


def _received(
    bodies: list[bytes], companies: list[Company], now: datetime, pulled: Collection[str]
) -> Received:
    found: dict[tuple[str, str], Event] = {}
    refused = []
    for body in bodies:
        try:
            event = _event(msgspec.json.decode(body, type=_Webhook), companies, now, pulled)
        except UNREADABLE as error:
            refused.append(f"The body is no event: {error}.")
        except UnusableEvent as error:
            refused.append(str(error))
        else:
            found.setdefault((event.company_id, event.event_id), event)
    return Received([*found.values()], refused)


def read_message(
    message: StreamMessage, company: Company, now: datetime, pulled: Collection[str]
) -> Event:
    """Return the event of a message of the stream, about entities that are `pulled`. Raises
    UnusableEvent.
    """
    meta = message.meta or _Meta()
    return _checked(
        Event(
            _company_id(meta.company_id, [company]),
            meta.event_id or "",
            message.channel or "",
            next(iter(entities_of(message.channel or "", pulled)), None),
            _id_in(message.channel or "", message.data),
            _instant(meta.timestamp, now),
            STREAM,
            _payment(message.channel, message.data),
        ),
        now,
    )


def _event(
    told: _Webhook, companies: list[Company], now: datetime, pulled: Collection[str]
) -> Event:
    return _checked(
        Event(
            _company_id(told.context.company_id if told.context else None, companies),
            told.id or "",
            told.event or "",
            next(iter(entities_of(told.event or "", pulled)), None),
            _id_in(told.event or "", told.data),
            _instant(told.timestamp, now),
            WEBHOOK,
            _payment(told.event, told.data),
        ),
        now,
    )


def _checked(event: Event, now: datetime) -> Event:
    if not _is_name(event.event_id, LONGEST_ID):
        raise UnusableEvent("It has no id, or one that is none.")
    if not _is_name(event.event, LONGEST_NAME):
        raise UnusableEvent(f"Event {event.event_id} has no name, or one that is none.")
    if not _is_name(event.company_id or "-", LONGEST_NAME):
        raise UnusableEvent(f"Event {event.event_id} names a company by what is no id.")
    if event.sent_at < now - OLDEST:
        raise UnusableEvent(f"Event {event.event_id} is older than 24 hours.")
    if event.sent_at > now + FURTHEST_AHEAD:
        raise UnusableEvent(f"Event {event.event_id} is dated more than an hour ahead.")
    return event


def _is_name(text: str, most: int) -> bool:
    return 0 < len(text) <= most and text.isprintable()


def _company_id(told: str | None, companies: list[Company]) -> str:
    """Return the company that an event is of: the one that it names, or the only one there is.

    One of a company that the settings do not list is kept under the id that it names; one that
    names none where there are several is kept under none, and the next sync brings what it meant.
    """
    if told:
        return told
    return companies[0].company_id if len(companies) == 1 else ""


def _id_in(name: str, data: msgspec.Raw) -> str | None:
    """Return the id of the record that an event is about, whichever way it is written: of a payment
    the invoice that was paid.
    """
    try:
        told = msgspec.json.decode(data, type=_Data | None) or _Data()
        about = msgspec.json.decode(told.object, type=_Object | None) or _Object()
        found = about.id or told.id or told.einvoice_id
        if name.startswith("payment."):
            found = about.invoice_id or found
    except UNREADABLE:
        return None
    return found[:LONGEST_ID] if found and found.isprintable() else None


def _payment(name: str | None, data: msgspec.Raw) -> str | None:
    """Return a payment as it came, exactly."""
    if name != PAYMENT_RECEIVED or data == _NOTHING:
        return None
    try:
        told = msgspec.json.decode(data, type=_Data)
        return bytes(data if told.object == _NOTHING else told.object).decode()
    except (*UNREADABLE, UnicodeDecodeError):
        return None


def _instant(text: str | None, now: datetime) -> datetime:
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        raise UnusableEvent(
            "It has no time at which it was sent, so nobody can tell whether it is old."
        ) from None
    try:
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        return now - 2 * OLDEST


def message_of(text: str | bytes) -> StreamMessage:
    """Read a message of the stream. Raises UnusableEvent."""
    try:
        return msgspec.json.decode(text, type=StreamMessage)
    except UNREADABLE as error:
        raise UnusableEvent(f"The stream sent what is no message: {error}.") from None
