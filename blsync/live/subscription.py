"""The subscription at BigLedger: made once, changed in place, ended.

What is there is looked up first, and again where an answer was lost, so that no address is ever
subscribed twice. BigLedger repeats the secret in its answers: nothing of them is shown but what is
taken out here by name.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from blsync.api.client import Client
from blsync.entities import pulled_names
from blsync.errors import ApiError, ConfigError, Unanswered
from blsync.live.events import subscribed
from blsync.session import Session
from blsync.settings import Company, require_credentials

DESCRIPTION = "blsync"
"""By it we know which subscriptions are ours."""
T = TypeVar("T")


class Subscription(msgspec.Struct, rename="camel", frozen=True):
    """A subscription as BigLedger lists it, without its secret."""

    id: str
    url: str = ""
    events: list[str] = []
    description: str | None = None
    active: bool | None = None
    statistics: dict[str, Any] | None = None

    @property
    def is_ours(self) -> bool:
        """Whether blsync has made it."""
        return (self.description or "").startswith(DESCRIPTION)


@dataclass(frozen=True)
class Subscribed:
    """What was made or changed. `made_secret` is a secret that was made, to be shown this once."""

    subscription: Subscription
    is_new: bool
    made_secret: str | None


def subscribe(
    session: Session, company: Company, url: str, events: list[str] | None = None
) -> Subscribed:
    """Have BigLedger send events to that address, those that are worth it where none are named.

    Signed with BLSYNC_WEBHOOK_SECRET, or with a secret that is made. Raises ConfigError for an
    address that it cannot send to, ApiError.
    """
    if urlsplit(url).scheme != "https" or not urlsplit(url).hostname:
        raise ConfigError(
            f"{url!r} is no https address. BigLedger sends events to https alone: name the address "
            "of the proxy that stands before `blsync listen`, as in https://books.example.com/webhooks."
        )
    given = session.settings.webhook_secret
    made = None if given else secrets.token_urlsafe(32)
    body = {
        "url": url,
        "events": events or subscribed(pulled_names(session.settings.entities)),
        "secret": given.get_secret_value() if given else made,
        "description": DESCRIPTION,
        "active": True,
    }

    async def put(client: Client) -> Subscribed:
        there = await _at(client, url)
        if there is None:
            try:
                answer = await client.post("/webhooks/subscribe", body)
                return Subscribed(_decoded(answer.data, Subscription), True, made)
            except Unanswered:
                there = await _at(client, url)  # it may have been made, and then only once
                if there is None:
                    raise
        answer = await client.put(f"/webhooks/{quote(there.id, safe='')}", body)
        return Subscribed(_decoded(answer.data, Subscription), False, made)

    return _run(session, company, put)


def unsubscribe(session: Session, company: Company, which: str | None = None) -> list[str]:
    """End the subscription of that id or address, or all that blsync has made; return the ids.

    Raises ConfigError where there is none such, ApiError.
    """

    async def end(client: Client) -> list[str]:
        listed = await _listed(client)
        chosen = [
            one for one in listed if (one.is_ours if which is None else which in (one.id, one.url))
        ]
        if which is not None and not chosen:
            known = ", ".join(f"{one.id} ({one.url})" for one in listed) or "none"
            raise ConfigError(f"There is no subscription {which!r}. BigLedger has: {known}.")
        for one in chosen:
            try:
                await client.delete(f"/webhooks/{quote(one.id, safe='')}")
            except ApiError as error:
                if error.status != 404:  # gone already
                    raise
        return [one.id for one in chosen]

    return _run(session, company, end)


def subscriptions(session: Session, company: Company) -> list[Subscription]:
    """Return what BigLedger has subscribed for the company. Raises ApiError."""
    return _run(session, company, _listed)


async def _at(client: Client, url: str) -> Subscription | None:
    return next((one for one in await _listed(client) if one.url == url), None)


async def _listed(client: Client) -> list[Subscription]:
    answer = await client.get("/webhooks")
    return _decoded(answer.data, list[Subscription])


def _decoded(data: msgspec.Raw | None, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data or b"null", type=kind)
    except msgspec.DecodeError:  # its words may quote the secret
        raise ApiError("BigLedger's answer about webhooks is not as documented.") from None


def _run(session: Session, company: Company, work: Callable[[Client], Awaitable[T]]) -> T:
    require_credentials(company)

    async def run() -> T:
        async with session.client(company) as client:
            return await work(client)

    return asyncio.run(run())
