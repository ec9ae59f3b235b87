"""OAuth access tokens: renewed once per expiry over all processes, kept sealed in the ledger.

The server may give another refresh token with each access token (bigledger-api.md, section 1); the
last one is kept, and used next. Tokens are encrypted with what only the settings hold, so whoever
reads the ledger reads none; a credential that is signed in anew has another `key_id` and starts
afresh.
"""

from __future__ import annotations

import asyncio
import base64
import random
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from blsync import redaction
from blsync.api.exchange import NoResponse, Response, exchange, opened
from blsync.errors import ApiError, BlsyncError, Unanswered, Unauthorized
from blsync.ledger import Ledger, tokens
from blsync.ledger.tokens import StoredTokens
from blsync.settings import OAuth

MARGIN = 60.0
"""Seconds before its end at which a token is renewed; a tenth of its life where that is shorter."""
LIFETIME = 3600.0
"""Seconds that a token lives where the server does not say (bigledger-api.md, section 1)."""
LONGEST_LIFE = 86_400.0
"""Seconds for which a token is taken to be good, at most: one that is kept for longer than that
from now on was dated by a clock that was wrong, and is renewed."""
LEASE = 30.0
"""Seconds after which a process that is renewing is taken for dead, and another one tries."""
TRIES = 5
POLL = 0.2
"""Seconds between looks while another process renews."""
_DEADLINE = 25.0  # within the lease
_UNUSABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Tokens(msgspec.Struct, frozen=True):
    access: str
    refresh: str

    def __post_init__(self) -> None:
        redaction.register(self.access)
        redaction.register(self.refresh)


class _Granted(msgspec.Struct):
    access_token: str
    refresh_token: str | None = None
    expires_in: float | None = None


class _Refusal(msgspec.Struct):
    error: Any = None


@dataclass(frozen=True)
class _Held:
    tokens: _Tokens
    renew_at: float


class TokenSource:
    """Hands out access tokens of one credential; `clock` tells unix seconds."""

    def __init__(
        self,
        oauth: OAuth,
        ledger: Ledger,
        key_id: str,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._oauth = oauth
        self._ledger = ledger
        self._key_id = key_id
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._holder = uuid.uuid4().hex
        self._seal = _seal(oauth)
        self._lock = asyncio.Lock()
        self._held = self._opened(StoredTokens())
        self._failure: BlsyncError | None = None

    async def access_token(self, refused: str = "") -> str:
        """Return a token that is valid for a while yet, and is not the `refused` one.

        Raises Unauthorized where no new one is granted, ApiError where the server does not answer,
        StorageError where the ledger cannot be used.
        """
        if self._serves(self._held, refused):
            return self._held.tokens.access
        has_waited = self._lock.locked()
        async with self._lock:
            if not self._serves(self._held, refused):
                if has_waited and self._failure:
                    raise self._failure
                await self._renew(refused)
        return self._held.tokens.access

    async def _renew(self, refused: str) -> None:
        self._failure = None
        try:
            self._held = await self._newer(refused)
        except BlsyncError as error:
            self._failure = error
            raise

    async def _newer(self, refused: str) -> _Held:
        """Take what another process has renewed, or renew; wait while another one does."""
        failures = 0
        while True:
            kept = tokens.find(self._ledger, self._key_id)
            held = self._opened(kept)
            if self._serves(held, refused):
                return held
            if not tokens.claim(
                self._ledger, self._key_id, self._holder, kept.sealed, self._clock(), LEASE
            ):
                await self._sleep(POLL)
                continue
            try:
                # In a thread of its own: a cancelled sync must not lose a refresh token that the
                # server has already put in the place of the one it was asked with.
                return await asyncio.to_thread(self._exchange, kept.sealed, held.tokens.refresh)
            except Unauthorized:
                if tokens.find(self._ledger, self._key_id) == kept:
                    raise
            except Unanswered as error:
                failures += 1
                if failures == TRIES:
                    raise _unreachable(error) from None
                await self._sleep(0.5 * 2**failures * (0.5 + self._jitter() / 2))

    def _exchange(self, seen: str | None, refresh: str) -> _Held:
        try:
            at = self._clock()
            try:
                granted = _ask(self._oauth, refresh)
            except Unauthorized:
                given = self._oauth.refresh_token.get_secret_value()
                if refresh == given:
                    raise
                # A server that began anew (a sandbox) knows only the one from the settings.
                refresh, granted = given, _ask(self._oauth, given)
            new = _Tokens(granted.access_token, granted.refresh_token or refresh)
            life = LIFETIME if granted.expires_in is None else max(0.0, granted.expires_in)
            life = min(life, LONGEST_LIFE)
            renew_at = at + life - min(MARGIN, life / 10)
            sealed = self._seal.encrypt(msgspec.json.encode(new)).decode()
            tokens.keep(self._ledger, self._key_id, seen, sealed, renew_at)
            return _Held(new, renew_at)
        finally:
            tokens.release(self._ledger, self._key_id, self._holder)

    def _opened(self, kept: StoredTokens) -> _Held:
        try:
            text = self._seal.decrypt(kept.sealed or "")
            return _Held(msgspec.json.decode(text, type=_Tokens), kept.renew_at)
        except (InvalidToken, msgspec.MsgspecError):  # nothing yet, or of another client secret
            return _Held(_Tokens("", self._oauth.refresh_token.get_secret_value()), 0)

    def _serves(self, held: _Held, refused: str) -> bool:
        left = held.renew_at - self._clock()
        return held.tokens.access not in ("", refused) and 0 < left <= LONGEST_LIFE


def _seal(oauth: OAuth) -> Fernet:
    secrets = (oauth.client_secret, oauth.refresh_token)
    material = "\0".join(secret.get_secret_value() for secret in secrets).encode()
    key = HKDF(SHA256(), length=32, salt=None, info=b"blsync tokens").derive(material)
    return Fernet(base64.urlsafe_b64encode(key))


def _ask(oauth: OAuth, refresh: str) -> _Granted:
    """Ask for new tokens. Raises Unauthorized, or Unanswered where it may be tried again."""
    what = f"POST {oauth.token_url}"
    try:
        response = asyncio.run(_posted(oauth, refresh))
    except NoResponse as error:
        raise Unanswered(f"{what}: no answer ({error}).") from None
    status = response.status
    if status in (408, 429) or status >= 500:
        raise Unanswered(f"{what}: {status}.", status=status)
    if not response.is_success:
        raise Unauthorized(_refusal(what, oauth, response))
    try:
        granted = msgspec.json.decode(response.body, type=_Granted, strict=False)
    except _UNUSABLE:
        granted = None
    if granted is None or not re.fullmatch(r"[!-~]+", granted.access_token):
        raise Unanswered(f"{what}: {status} with a body that holds no access token.", status=status)
    return granted


async def _posted(oauth: OAuth, refresh: str) -> Response:
    body = {
        "grant_type": "refresh_token",
        "client_id": oauth.client_id.get_secret_value(),
        "client_secret": oauth.client_secret.get_secret_value(),
        "refresh_token": refresh,
    }
    headers = {"Content-Type": "application/json"}
    async with opened(oauth.token_url, {}) as http:
        content = msgspec.json.encode(body)
        return await exchange(http, "POST", oauth.token_url, headers, content, deadline=_DEADLINE)


def _refusal(what: str, oauth: OAuth, response: Response) -> str:
    try:
        error = msgspec.json.decode(response.body, type=_Refusal).error
    except _UNUSABLE:
        error = None
    told = error.get("code") if isinstance(error, dict) else error
    code = told if isinstance(told, str) and re.fullmatch(r"[A-Za-z_]{1,40}", told) else ""
    came = f"{response.status} {code}".strip()
    client_id, client_secret, refresh_token = oauth.names
    if code.lower() == "invalid_grant":
        cure = (
            "The refresh token was used up, revoked or has expired: sign in to BigLedger again and "
            f"put the new refresh token into {refresh_token}. Where several machines pull, each "
            "needs a sign-in of its own."
        )
    elif response.status == 401 or code.lower() in ("invalid_client", "unauthorized_client"):
        cure = f"Check {client_id} and {client_secret}."
    else:
        cure = f"Check BIGLEDGER_TOKEN_URL, {client_id} and {client_secret}."
    return f"{what} granted no access token: {came}. {cure}"


def _unreachable(error: Unanswered) -> ApiError:
    # Not Unanswered: the request that the token was for was not sent, and nothing is in doubt.
    return ApiError(
        f"{error} No access token after {TRIES} tries; run the same command again, it goes on from "
        "here."
    )
