"""A short token of ours on references, by which a look-up knows what we created.

BigLedger knows no idempotency key, and references are not unique: two documents may well say
`PO-17`. `PO-17~k3v7q2ma` is ours alone. The token is made of the company, the endpoint and the
row's natural key, so whoever pushes the same row again, from whichever machine, finds it.
`BLSYNC_PUSH_REFERENCE_TOKEN=false` leaves it out; look-ups then go by the reference as it is.
"""

from __future__ import annotations

import base64
import hashlib
import re

_TOKEN = re.compile(r"~[a-z2-7]{8}$")


def marked(reference: str, company_id: str, endpoint: str, key: str) -> str:
    """Return the reference with the token of the row whose natural key is `key`."""
    seed = "\n".join((company_id, endpoint, key.casefold()))
    digest = hashlib.sha256(seed.encode()).digest()
    return f"{unmarked(reference)}~{base64.b32encode(digest[:5]).decode().lower()}"


def unmarked(reference: str) -> str:
    """Return the reference as the file gave it."""
    return _TOKEN.sub("", reference)
