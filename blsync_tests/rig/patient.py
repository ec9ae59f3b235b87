"""Requests of the tests' own, as httpx's functions make them, with a minute for the answer.

httpx waits five seconds unless told, and a busy machine may stand still for longer.
"""

from __future__ import annotations

from functools import partial

import httpx

SECONDS = 60.0

get = partial(httpx.get, timeout=SECONDS)
post = partial(httpx.post, timeout=SECONDS)
