"""The OAuth tokens of each credential, sealed, and who may renew them.

One process at a time renews, under a lease with an end: a request is under way meanwhile, and no
transaction may be held that long.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from blsync.ledger import Ledger
from blsync.ledger.tables import tokens


@dataclass(frozen=True)
class StoredTokens:
    """What the ledger holds of a credential; `renew_at` is in unix seconds."""

    sealed: str | None = None
    renew_at: float = 0


def find(ledger: Ledger, key_id: str) -> StoredTokens:
    """Return what was kept last; an empty one where nothing was."""
    query = select(tokens.c.sealed, tokens.c.renew_at).where(tokens.c.key_id == key_id)
    with ledger.begin() as db:
        row = db.execute(query).first()
    return StoredTokens(row.sealed, row.renew_at) if row else StoredTokens()


def claim(
    ledger: Ledger, key_id: str, holder: str, seen: str | None, now: float, lease: float
) -> bool:
    """Let `holder` alone renew for `lease` seconds; tell whether it may.

    It may not while another's lease runs, nor where other tokens are kept than it has `seen`.
    """
    # A clock that was set back must not make a lease last for ever; `now` may be a minute old,
    # because this may have waited for the ledger, and another machine's clock may be ahead.
    is_over = or_(tokens.c.held_until <= now, tokens.c.held_until > now + 4 * lease)
    with ledger.begin() as db:
        _make_row(db, key_id)
        claimed = db.execute(
            update(tokens)
            .where(tokens.c.key_id == key_id, tokens.c.sealed.is_not_distinct_from(seen), is_over)
            .values(held_by=holder, held_until=now + lease)
        )
    return claimed.rowcount == 1


def keep(ledger: Ledger, key_id: str, seen: str | None, sealed: str, renew_at: float) -> None:
    """Keep new tokens in place of those that were `seen`, unless others came in between."""
    with ledger.begin(durable=True) as db:
        db.execute(
            update(tokens)
            .where(tokens.c.key_id == key_id, tokens.c.sealed.is_not_distinct_from(seen))
            .values(sealed=sealed, renew_at=renew_at)
        )


def release(ledger: Ledger, key_id: str, holder: str) -> None:
    """End the lease of `holder`, where it is still its own."""
    with ledger.begin() as db:
        db.execute(
            update(tokens)
            .where(tokens.c.key_id == key_id, tokens.c.held_by == holder)
            .values(held_by=None, held_until=0)
        )


def _make_row(db: Connection, key_id: str) -> None:
    if db.execute(select(tokens.c.key_id).where(tokens.c.key_id == key_id)).first() is None:
        with suppress(IntegrityError), db.begin_nested():  # another process may be first
            db.execute(insert(tokens).values(key_id=key_id))
