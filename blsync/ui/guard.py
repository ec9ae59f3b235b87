"""What stands in front of Dagster's web server: whatever comes in passes every rule, or goes.

A page of any origin can send requests to loopback from its reader's browser, and so can every user
of the machine. Dagster's web server answers both, and runs a mutation even on a GET.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"([a-z0-9][a-z0-9._-]*|\[[0-9a-f:]+\])(?::([0-9]{1,5}))?")
_ICON = re.compile(r"/favicon[a-z-]*\.(?:ico|png|svg)")
_OWN_SITE = ("same-origin", "none")
"""What Sec-Fetch-Site says of a request by our own page, and of an address that somebody typed."""

HEADERS = (
    ("content-security-policy", "frame-ancestors 'none'"),  # beside Dagster's own; both hold
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
)
"""Set on every answer; a header of the same name is replaced, but for the policy of contents."""


class Refusal(Exception):
    """Why something may not pass: an HTTP status, and a line for a person."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Door:
    """What the guard knows: the token, the path of the UI, and the origin of each host name."""

    token: str
    path: str
    origins: Mapping[str, str]
    cookie: str


@dataclass(frozen=True)
class Visit:
    """A request, or the opening of a websocket."""

    is_websocket: bool
    method: str
    path: str
    query: str
    headers: Mapping[str, list[str]]

    def header(self, name: str) -> str | None:
        """Return a header; one that is there twice is none that can be believed."""
        values = self.headers.get(name, [])
        if len(values) > 1:
            raise Refusal(400, f"The header {name} is there more than once.")
        return values[0] if values else None

    @property
    def is_entry(self) -> bool:
        """Whether it is the address that is told, where a browser gets its cookie."""
        return not self.is_websocket and self.method == "GET" and self.path == "/"

    @property
    def is_icon(self) -> bool:
        """Whether it is the picture beside the page's title, the one thing that needs no token:
        Dagster asks for it outside of the path to which the cookie is bound.
        """
        is_read = not self.is_websocket and self.method in ("GET", "HEAD")
        return is_read and bool(_ICON.fullmatch(self.path))

    @property
    def is_navigation(self) -> bool:
        """Whether a browser opens it as a page of its own, from wherever."""
        return (
            self.method == "GET"
            and self.header("sec-fetch-mode") == "navigate"
            and self.header("sec-fetch-dest") == "document"
            and self.header("origin") is None
        )


def door(token: str, path: str, port: int, hosts: Iterable[str] = ()) -> Door:
    """Return what a guard on a loopback port needs to know.

    `hosts` are further names under which browsers reach it, each with its port where that is not
    https's: through a reverse proxy (https), or at the near end of a tunnel (http on loopback).
    """
    own = [_origin_of(f"{name}:{port}") for name in LOOPBACK]
    origins = {_host_of(origin): origin for origin in (*own, *map(_origin_of, hosts))}
    return Door(token, path, origins, f"blsync_ui_{port}")


def guarded(app: App, known: Door) -> App:
    """Return an ASGI app that lets through to `app` what passes all rules."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        visit = _visit(scope)
        try:
            for rule in RULES:
                rule(visit, known)
        except Refusal as refusal:
            await _refuse(refusal, visit, send)
            return
        if visit.is_entry:
            headers = _entry_headers(visit, known)
            await _answer(send, 200, _ENTRY.format(path=known.path), headers)
            return
        await app(_placed(scope, known), receive, _with_headers(send))

    return guard


def _host_is_ours(visit: Visit, known: Door) -> None:
    """A foreign name that was made to point to loopback (DNS rebinding) is not among ours."""
    if (visit.header("host") or "").lower() not in known.origins:
        raise Refusal(
            421,
            "This address is not served here. Open the address that `blsync ui` printed; for a "
            "reverse proxy or a tunnel start it with --allow-host NAME[:PORT].",
        )


def _origin_is_ours(visit: Visit, known: Door) -> None:
    """Browsers name the origin of the page that posts, fetches or opens a websocket."""
    origin = visit.header("origin")
    if origin is not None and origin != _own_origin(visit, known):
        raise Refusal(403, "Pages of other origins may ask nothing here.")


def _site_is_ours(visit: Visit, known: Door) -> None:
    """Where no origin is named, as for an image tag, browsers name the site that asks."""
    site = visit.header("sec-fetch-site")
    if site not in (None, *_OWN_SITE) and not visit.is_navigation:
        raise Refusal(403, "Pages of other sites may ask nothing here.")


def _method_is_known(visit: Visit, _: Door) -> None:
    if not visit.is_websocket and visit.method not in ("GET", "HEAD", "POST"):
        raise Refusal(405, "Only GET, HEAD and POST are answered here.")


def _post_is_json(visit: Visit, _: Door) -> None:
    """A form of a foreign page can send any other type without asking first."""
    kind = (visit.header("content-type") or "").partition(";")[0].strip().lower()
    if visit.method == "POST" and kind != "application/json":
        raise Refusal(415, "Send it as application/json.")


def _query_is_posted(visit: Visit, _: Door) -> None:
    """Dagster would run a mutation on a GET."""
    is_graphql = visit.path.rstrip("/").endswith("/graphql")
    if not visit.is_websocket and is_graphql and visit.method != "POST" and visit.query:
        raise Refusal(405, "Send GraphQL by POST, as application/json.")


def _token_is_right(visit: Visit, known: Door) -> None:
    if visit.is_icon:
        return
    authorization = visit.header("authorization")
    if authorization is not None:
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "bearer" and _is_equal(given.strip(), known.token):
            return
    elif visit.is_entry and visit.query:
        if any(_is_equal(given, known.token) for given in parse_qs(visit.query).get("token", [])):
            return
    elif any(_is_equal(given, known.token) for given in _cookies(visit, known.cookie)):
        # Whoever comes with a cookie is a browser, and says where a request comes from.
        is_told = visit.header("origin") is not None
        is_foreign = visit.header("sec-fetch-site") not in (None, *_OWN_SITE)
        if not is_foreign and (is_told or (visit.method != "POST" and not visit.is_websocket)):
            return
    raise Refusal(
        401,
        "This is Dagster's UI of blsync. Open it by the address with a token that `blsync ui` "
        "prints when it starts; scripts send the token as `Authorization: Bearer TOKEN`, and read "
        "it from the file ui_token in the Dagster home.",
    )


RULES: tuple[Callable[[Visit, Door], None], ...] = (
    _host_is_ours,
    _origin_is_ours,
    _site_is_ours,
    _method_is_known,
    _post_is_json,
    _query_is_posted,
    _token_is_right,
)
"""Asked in this order of whatever comes in; each raises Refusal or lets it pass."""

_ENTRY = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>blsync</title>
<meta http-equiv="refresh" content="0; url={path}/"></head>
<body><a href="{path}/">Open Dagster's UI</a></body></html>
"""
"""A page and no redirect: the cookie is strict, and after a redirect from a foreign page's link the
browser would not send it.
"""


def _visit(scope: Scope) -> Visit:
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    is_websocket = scope["type"] == "websocket"
    method = "GET" if is_websocket else str(scope["method"])
    query = scope["query_string"].decode("latin-1")
    return Visit(is_websocket, method, scope["path"], query, headers)


def _own_origin(visit: Visit, known: Door) -> str:
    return known.origins[(visit.header("host") or "").lower()]


def _origin_of(host: str) -> str:
    """Return the origin of a host name with its port. Raises ValueError for what is none."""
    named = _HOST.fullmatch(host.lower())
    if not named:
        raise ValueError(f"{host!r} is no host name with a port")
    name, port = named[1], int(named[2] or 0)
    scheme = "http" if name in LOOPBACK else "https"
    has_port = port not in (0, _DEFAULT_PORTS[scheme])
    return f"{scheme}://{name}:{port}" if has_port else f"{scheme}://{name}"


def _host_of(origin: str) -> str:
    return urlsplit(origin).netloc


def _cookies(visit: Visit, name: str) -> list[str]:
    """Return every cookie of a name; another server of the same host may have set one too."""
    found = []
    for line in visit.headers.get("cookie", []):
        for part in line.split(";"):
            try:
                cookie = SimpleCookie(part.strip())
            except CookieError:
                continue
            found += [morsel.value for morsel in cookie.values() if morsel.key == name]
    return found


def _is_equal(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top}/")


def _placed(scope: Scope, known: Door) -> Scope:
    """Put a path below the UI's own: a script with the token asks /graphql."""
    if _is_below(scope["path"], known.path):
        return scope
    path = known.path + scope["path"]
    return {**scope, "path": path, "raw_path": path.encode()}


def _entry_headers(visit: Visit, known: Door) -> list[tuple[str, str]]:
    is_https = _own_origin(visit, known).startswith("https:")
    attributes = f"Path={known.path}; HttpOnly; SameSite=Strict; Max-Age=31536000"
    return [
        ("set-cookie", f"{known.cookie}={known.token}; {attributes}{'; Secure' * is_https}"),
        ("content-type", "text/html; charset=utf-8"),
    ]


async def _refuse(refusal: Refusal, visit: Visit, send: Send) -> None:
    if visit.is_websocket:
        await send({"type": "websocket.close", "code": 1008})  # before it is accepted: a 403
        return
    kind = ("content-type", "text/plain; charset=utf-8")
    await _answer(send, refusal.status, f"{refusal}\n", [kind])


async def _answer(send: Send, status: int, text: str, headers: list[tuple[str, str]]) -> None:
    body = text.encode()
    length = ("content-length", str(len(body)))
    given = [*headers, length, ("cache-control", "no-store"), *HEADERS]
    encoded = [(name.encode(), value.encode()) for name, value in given]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def _with_headers(send: Send) -> Send:
    replaced = {name.encode() for name, _ in HEADERS if name != "content-security-policy"}
    added = [(name.encode(), value.encode()) for name, value in HEADERS]

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in replaced]
            message = {**message, "headers": [*kept, *added]}
        await send(message)

    return sending
