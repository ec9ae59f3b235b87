"""Who sent a webhook: the signature over its bytes, as they came."""

from __future__ import annotations

import hashlib
import hmac

HEADER = "X-Signature"
_PREFIX = "sha256="


def is_signed(body: bytes, told: str | None, secret: str) -> bool:
    """Tell whether `told` is the HMAC-SHA256 of the body with the secret, as hex; `sha256=` may
    stand before it. Takes as long for a wrong one as for the right one.
    """
    wanted = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    given = (told or "").strip().removeprefix(_PREFIX).lower()
    return hmac.compare_digest(given.encode(), wanted.encode())
