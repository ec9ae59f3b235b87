"""OAuth: access tokens for a refresh token, which turns into another each time (section 1)."""

from __future__ import annotations

import hmac
import secrets
import time

from fastapi import APIRouter, Request
from fastapi.responses import Response

from blsync.sandbox.books.errors import ApiError
from blsync.sandbox.books.values import Record, dumps
from blsync.sandbox.http.limits import Clock, Stats
from blsync.sandbox.options import Options
from blsync.sandbox.writes.request_fields import read_body


class Tokens:
    """The tokens in force; ``clock`` gives seconds. They do not outlive the process."""

    def __init__(self, options: Options, clock: Clock = time.monotonic) -> None:
        self.options = options
        self.clock = clock
        self._expires_at: dict[str, float] = {}
        self._refresh = {options.oauth_refresh_token}

    def accepts(self, token: str) -> bool:
        """Tell whether an access token is one of ours and has not expired."""
        return self._expires_at.get(token, 0) > self.clock()

    def grant(self, form: Record) -> tuple[int, Record]:
        """Answer a request for tokens: HTTP status and body (RFC 6749, sections 5 and 6)."""
        options = self.options
        if form.get("grant_type") != "refresh_token":
            return 400, {"error": "unsupported_grant_type"}
        theirs = f"{form.get('client_id')} {form.get('client_secret')}"
        ours = f"{options.oauth_client_id} {options.oauth_client_secret}"
        if not hmac.compare_digest(theirs.encode(), ours.encode()):
            return 401, {"error": "invalid_client"}
        used = form.get("refresh_token")
        if used not in self._refresh:
            return 400, {"error": "invalid_grant"}
        access = f"blg_oauth_at_{secrets.token_hex(16)}"
        refresh = f"blg_oauth_rt_{secrets.token_hex(16)}"
        self._expires_at[access] = self.clock() + options.token_lifetime
        self._refresh = {refresh, used} if options.refresh_twice else {refresh}
        return 200, {
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": options.token_lifetime,
        }


def oauth_routes(tokens: Tokens, stats: Stats) -> APIRouter:
    """Build `/oauth/token`: no key, no limits, no faults."""
    router = APIRouter(prefix="/oauth", tags=["oauth"])

    @router.post("/token", summary="Get an access token for a refresh token")
    async def token(request: Request) -> Response:
        stats.routes["POST /oauth/token"] += 1
        try:
            status, body = tokens.grant(read_body(await request.body()))
        except ApiError:
            status, body = 400, {"error": "invalid_request"}
        headers = {"Cache-Control": "no-store"}
        return Response(dumps(body), status, headers, media_type="application/json")

    return router
