"""The envelope of success."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from blsync.sandbox.books.values import encode
from blsync.sandbox.http.gateway import meta

BODY = {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}}


def answer(request: Request, data: object, status: int = 200) -> Response:
    """Wrap data in the envelope of success."""
    return envelope(request, encode(data), status=status)


def envelope(request: Request, data: bytes, more: bytes = b"", status: int = 200) -> Response:
    """Wrap JSON in the envelope of success."""
    about = encode(meta(request.scope["request_id"]))
    text = b'{"success":true,"data":%s%s,"meta":%s}' % (data, more, about)
    return Response(text, status, media_type="application/json")
