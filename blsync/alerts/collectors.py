"""The addresses that are told, and the one that is pinged."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from typing import Any

import httpx

from blsync.redaction import redact
from blsync.settings import Settings

SECONDS = 5.0
"""How long an address may take to connect, and to answer."""
HEARTBEAT = "heartbeat"
"""The name of BLSYNC_HEARTBEAT_URL among the addresses."""


@dataclass(frozen=True)
class Collector:
    """An address of BLSYNC_ALERTS. `place` counts from 1; `name` says which it is and nothing of
    the secret that it holds.
    """

    place: int
    address: str = field(repr=False)

    @property
    def name(self) -> str:
        """By what it is known, wherever in the list it stands."""
        scheme = self.address.partition("://")[0].lower()
        return f"{scheme} {hashlib.sha256(self.address.encode()).hexdigest()[:12]}"

    def send(self, title: str, body: str, weight: str) -> bool:
        """Send a message, shown as info, success, warning or failure; tell whether it was taken."""
        service = self._service()
        if service is None:
            return False
        try:
            return bool(service.notify(title=redact(title), body=redact(body), notify_type=weight))
        except Exception:  # a service's own fault, in any library that it uses
            return False

    @property
    def is_known(self) -> bool:
        """Whether Apprise knows a service by such an address."""
        return self._service() is not None

    def _service(self) -> Any:
        import apprise  # here, because hardly any process sends a message

        logging.getLogger("apprise").disabled = True  # it would write addresses, which are secrets
        service = apprise.Apprise.instantiate(self.address, suppress_exceptions=True)
        if service is not None:
            service.socket_connect_timeout = service.socket_read_timeout = SECONDS
        return service


def collectors(settings: Settings) -> list[Collector]:
    """Return the addresses of BLSYNC_ALERTS."""
    return [Collector(place, address) for place, address in enumerate(settings.alerts, start=1)]


def ping(address: str) -> bool:
    """Ask for the heartbeat's address; tell whether it was answered well."""
    try:
        with httpx.Client(timeout=SECONDS, follow_redirects=True) as client:
            return client.get(address).is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
