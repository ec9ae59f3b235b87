"""Requests of the tests' own, as httpx's functions make them, with a minute for the answer.

httpx waits five seconds unless told, and a busy machine may stand still for longer. For each
request it would read the certificates of all authorities, too; here that is done once.
"""

from __future__ import annotations

from functools import partial

import httpx

SECONDS = 60.0
TLS = httpx.create_ssl_context()

get = partial(httpx.get, timeout=SECONDS, verify=TLS)
client = partial(httpx.Client, timeout=SECONDS, verify=TLS)
post = partial(httpx.post, timeout=SECONDS, verify=TLS)
