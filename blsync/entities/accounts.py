"""The chart of accounts (bigledger-api.md, section 5)."""

from __future__ import annotations

from datetime import datetime

import msgspec

from blsync.entity import Entity, Feed, Key, Money, Record


class Balance(Record):
    """The balance as BigLedger holds it: `net` is debit less credit."""

    debit: Money | None = None
    credit: Money | None = None
    net: Money | None = None


class Account(Record):
    """A ledger account; `type` tells the statement it belongs to, `category` the section."""

    id: Key
    account_number: str | None = None
    name: str | None = None
    type: str | None = None
    category: str | None = None
    parent_id: str | None = None
    level: int | None = None
    currency: str | None = None
    description: str | None = None
    is_active: bool | None = None
    is_system_account: bool | None = None
    balance: Balance | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


class _State(Record):
    is_active: bool | None = None


_STATE = msgspec.json.Decoder(_State)


def _may_be_inactive(record: msgspec.Raw) -> bool:
    try:
        return _STATE.decode(record).is_active is not True
    except msgspec.MsgspecError:
        return True


# The list leaves inactive accounts out unless asked for them, and they may have postings. How to
# ask is not documented in one place alone, so a server that refuses the first way is asked again.
ENTITY = Entity(
    name="accounts",
    model=Account,
    path="/accounts",
    description="The chart of accounts with BigLedger's own balances, inactive ones included.",
    scope="read:accounts",
    feeds=(
        Feed("updatedAt", "updatedAt"),
        Feed(
            "updatedAt of inactive",
            "updatedAt",
            ({"active": "false"}, {"isActive": "false"}),
            is_meant=_may_be_inactive,
        ),
    ),
)
