"""A short token of ours on references, by which a look-up knows what we created.

BigLedger knows no idempotency key, and references are not unique: two documents may well say
`PO-17`. `PO-17~k3v7q2ma` is ours alone. The token is made of the company, the endpoint and the
row's natural key, so whoever pushes the same row again, from whichever machine, finds it.
`BLSYNC_PUSH_REFERENCE_TOKEN=false` leaves it out; look-ups then go by the reference as it is.

What looks like a token need not be one: `PO-17~deadbeef` may be somebody's own reference. A token
is ours where the ledger knows that we sent it, or where it is the one that its row's key has.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Mapping

from blsync.text.natural_keys import normal_form

_TOKEN = re.compile(r"~[a-z2-7]{8}$")


def marked(reference: str, company_id: str, endpoint: str, key: str) -> str:
    """Return the reference with the token of the row whose natural key is `key`."""
    seed = "\n".join((company_id, endpoint, normal_form(key)))
    digest = hashlib.sha256(seed.encode()).digest()
    return f"{reference}~{base64.b32encode(digest[:5]).decode().lower()}"


def unmarked(reference: str) -> str:
    """Return a reference without what looks like a token at its end."""
    return _TOKEN.sub("", reference)


def is_marked(
    reference: str, company_id: str, endpoint: str, key: str, sent: Mapping[str, Collection[str]]
) -> bool:
    """Tell whether a reference ends with a token of ours.

    `key` is the natural key that its row has without the token; `sent` are natural keys, in normal
    form, and the references with which they were sent.
    """
    own = unmarked(reference)
    return own != reference and (
        reference in sent.get(normal_form(key), ())
        or reference == marked(own, company_id, endpoint, key)
    )
