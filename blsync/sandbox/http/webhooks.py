"""Subscriptions of webhooks (bigledger-api.md, sections 7 and 17)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import Response

from blsync.sandbox.books.errors import not_found
from blsync.sandbox.books.values import Record
from blsync.sandbox.events.deliveries import Subscriber
from blsync.sandbox.events.hub import Hub
from blsync.sandbox.writes.request_fields import Form, read_body

LOOPBACK = ("127.0.0.1", "::1", "localhost")
BODY = {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}}
Answer = Callable[..., Response]


def webhook_routes(hub: Hub, answer: Answer) -> APIRouter:
    """Build the routes of one prefix; `answer` wraps data in the envelope."""
    router = APIRouter(prefix="/webhooks")

    @router.post("/subscribe", status_code=201, summary="Subscribe to events", openapi_extra=BODY)
    async def subscribe(request: Request) -> Response:
        asked = _read(read_body(await request.body()), {})
        asked |= {
            "id": f"webhook_{uuid.uuid4().hex[:12]}",
            "createdAt": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        return answer(request, _told(hub.add(asked), has_secret=True), 201)

    @router.get("", summary="List subscriptions")
    async def listed(request: Request) -> Response:
        return answer(request, [_told(one) for one in hub.subscribers.values()])

    @router.put("/{webhook_id}", summary="Change a subscription", openapi_extra=BODY)
    async def change(request: Request, webhook_id: str) -> Response:
        before = _found(hub, webhook_id).about
        asked = _read(read_body(await request.body()), before)
        return answer(request, _told(hub.add({**before, **asked}), has_secret=True))

    @router.delete("/{webhook_id}", summary="End a subscription")
    async def end(request: Request, webhook_id: str) -> Response:
        _found(hub, webhook_id)
        hub.remove(webhook_id)
        return answer(request, {"id": webhook_id, "deleted": True})

    @router.post("/{webhook_id}/test", summary="Send an event to try it", openapi_extra=BODY)
    async def test(request: Request, webhook_id: str) -> Response:
        subscriber = _found(hub, webhook_id)
        data = read_body(await request.body())
        form = Form(data)
        name = form.text("event", required=True, most=200)
        form.check()
        event = hub.event(name or "", data.get("testData") or {"id": "test_object"})
        subscriber.put(event)
        return answer(request, {"eventId": event["id"], "event": name})

    @router.get("/{webhook_id}/statistics", summary="Tell what was delivered")
    async def statistics(request: Request, webhook_id: str) -> Response:
        one = _found(hub, webhook_id)
        tries = one.delivered + one.failed
        more = {
            "successRate": round(one.delivered / tries, 4) if tries else None,
            "averageResponseTime": round(sum(one.took) / len(one.took) * 1000) if one.took else 0,
            "recentDeliveries": list(one.log)[-10:],
        }
        return answer(request, {**_statistics(one), **more})

    @router.get("/{webhook_id}/logs", summary="Tell each delivery")
    async def logs(request: Request, webhook_id: str) -> Response:
        asked = request.query_params
        rows = [
            row
            for row in reversed(_found(hub, webhook_id).log)
            if asked.get("event") in (None, row["event"])
            and asked.get("status") in (None, row["status"])
        ]
        limit = asked.get("limit", "50")
        return answer(request, rows[: int(limit) if limit.isdigit() else 50])

    return router


def _read(data: Record, before: Record) -> Record:
    """Read what a subscription is to be; what is not said stays as before. Raises ApiError 422."""
    form = Form(data, partial=bool(before))
    url = form.text("url", required=True, most=2000)
    if url and not _is_reachable(url):
        # The vendor's would refuse http on loopback too; a sandbox is for trying.
        form.refuse("url", "INVALID_FORMAT", "must be an https address, or loopback", url)
    events = data.get("events", before.get("events"))
    if not isinstance(events, list) or not events or not all(isinstance(e, str) for e in events):
        form.refuse("events", "REQUIRED_FIELD", "must be a list of event names", events)
    form.check()
    asked: Record = {"url": url or before.get("url"), "events": events}
    for name, default in (
        ("secret", None),
        ("description", None),
        ("active", True),
        ("retryPolicy", None),
        ("filters", None),
        ("batchSettings", None),
    ):
        asked[name] = data.get(name, before.get(name, default))
    return asked


def _is_reachable(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def _found(hub: Hub, webhook_id: str) -> Subscriber:
    if webhook_id not in hub.subscribers:
        raise not_found("webhook", webhook_id)
    return hub.subscribers[webhook_id]


def _statistics(one: Subscriber) -> Record:
    return {
        "totalDelivered": one.delivered,
        "totalFailed": one.failed,
        "lastDelivery": one.last_at,
    }


def _told(one: Subscriber, *, has_secret: bool = False) -> Record:
    """Tell of a subscription; as the vendor's does, with its secret where it was just given."""
    names = ("id", "url", "events", "description", "active", "createdAt")
    told = {name: one.about[name] for name in names} | {"statistics": _statistics(one)}
    return {**told, "secret": one.about["secret"]} if has_secret else told
