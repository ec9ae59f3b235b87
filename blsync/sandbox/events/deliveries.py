"""Deliveries of webhooks: signed, tried again, in no order that anybody may rely on."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
import uuid
from collections import deque
from datetime import UTC, datetime, timedelta

import httpx

from blsync.sandbox.books.values import Record, dumps
from blsync.sandbox.faults.faults import Faults

SECONDS_TO_ANSWER = 10.0
RETRIES, FIRST_RETRY, BACKOFF = 5, 5.0, 2.0
"""How often a delivery is tried again, after how many seconds first, and how much longer each time;
a subscription's retryPolicy may say otherwise."""
AT_ONCE = 20
"""Deliveries of a subscription that are under way at once."""
REMEMBERED = 500
"""Deliveries that the logs tell."""
LATE_UP_TO = 0.3
"""Seconds by which `events-shuffled` holds deliveries back, each by another part of them."""


class Subscriber:
    """A subscription, and what is on its way to it."""

    def __init__(self, about: Record, faults: Faults) -> None:
        """`about` is the subscription as it was asked for, with its id and secret."""
        self.about, self.faults = about, faults
        self.delivered = self.failed = 0
        self.last_at: str | None = None
        self.took: deque[float] = deque(maxlen=REMEMBERED)
        self.log: deque[Record] = deque(maxlen=REMEMBERED)
        self._waiting: list[Record] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)

    def open(self) -> None:
        """Begin to deliver."""
        self._http = httpx.AsyncClient(timeout=SECONDS_TO_ANSWER, trust_env=False)

    def close(self) -> None:
        """Deliver no more, what is on its way included."""
        for task in self._tasks:
            task.cancel()

    def wants(self, name: str) -> bool:
        """Tell whether the subscription is for events of that name."""
        asked = self.about["events"]
        return bool(self.about["active"]) and (name in asked or "*" in asked)

    def put(self, event: Record) -> None:
        """Deliver an event, at once or with others, as the subscription asks for."""
        if self.faults.strikes("lose-events"):
            return
        batch = self.about.get("batchSettings") or {}
        if not batch.get("enabled"):
            self._start(event, [event])
            return
        self._waiting.append(event)
        if len(self._waiting) >= (batch.get("maxEvents") or 100) or event["event"] in (
            batch.get("flushOnEvent") or []
        ):
            self._flush()
        elif len(self._waiting) == 1:
            self._run(self._flush_after(float(batch.get("maxWaitTime") or 5)))

    async def _flush_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._flush()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            body = {
                "batch": True,
                "events": waiting,
                "batchId": f"batch_{uuid.uuid4().hex[:16]}",
                "batchTimestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
            }
            self._start(body, waiting)

    def _start(self, body: Record, events: list[Record]) -> None:
        for _ in range(2 if self.faults.strikes("double-events") else 1):
            self._run(self._deliver(dumps(body).encode(), events))

    def _run(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, body: bytes, events: list[Record]) -> None:
        policy = self.about.get("retryPolicy") or {}
        retries = min(int(policy.get("maxRetries", RETRIES)), RETRIES)
        pause = float(policy.get("retryDelay", FIRST_RETRY))
        if self.faults["late-events"]:
            await asyncio.sleep(self.faults["late-events"])
        if self.faults["shuffle-events"]:
            await asyncio.sleep(self.faults.random.random() * LATE_UP_TO)
        for attempt in range(retries + 1):
            async with self._slots:
                status, took = await self._send(body)
            is_done = 200 <= status < 300
            is_last = attempt == retries
            next_at = None if is_done or is_last else datetime.now(UTC) + timedelta(seconds=pause)
            self._note(events, status, took, attempt, next_at)
            if is_done or is_last:
                return
            await asyncio.sleep(pause)
            pause *= float(policy.get("backoffMultiplier", BACKOFF))

    async def _send(self, body: bytes) -> tuple[int, float]:
        """Send once; return the status, 0 for none, and the seconds that it took."""
        secret = str(self.about.get("secret") or "").encode()
        signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
        if self.faults.strikes("forge-events"):
            signature = "0" * len(signature)
        headers = {"Content-Type": "application/json", "X-Signature": f"sha256={signature}"}
        began = time.perf_counter()
        try:
            response = await self._http.post(self.about["url"], content=body, headers=headers)
            return response.status_code, time.perf_counter() - began
        except httpx.HTTPError:
            return 0, time.perf_counter() - began

    def _note(
        self, events: list[Record], status: int, took: float, tries: int, next_at: datetime | None
    ) -> None:
        is_done = 200 <= status < 300
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.took.append(took)
        self.last_at = now
        self.delivered += len(events) if is_done else 0
        self.failed += len(events) if not is_done and next_at is None else 0
        for event in events:
            self.log.append(
                {
                    "id": f"whl_{uuid.uuid4().hex[:16]}",
                    "eventId": event["id"],
                    "event": event["event"],
                    "deliveredAt": now,
                    "responseCode": status or None,
                    "responseTime": round(took * 1000),
                    "responseBody": None,
                    "retryCount": tries,
                    "status": "success" if is_done else "pending" if next_at else "failed",
                    "nextRetryAt": next_at.isoformat() if next_at else None,
                }
            )
