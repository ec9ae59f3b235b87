"""What a sandbox can be told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple

SCOPES = (
    "read:accounts",
    "write:accounts",
    "read:invoices",
    "write:invoices",
    "read:customers",
    "write:customers",
    "read:inventory",
    "write:inventory",
    "read:reports",
)


class Size(NamedTuple):
    """How many there are of a kind of record: one for each so many of another kind."""

    of: str
    each: int
    least: int = 0


SIZES = {
    "suppliers": Size("customers", 10, 4),
    "bills": Size("invoices", 10),
    "sales_orders": Size("invoices", 6),
    "quotes": Size("invoices", 12),
    "transfers": Size("invoices", 100),
    "pos_transactions": Size("invoices", 5),
}
"""What the optional modules hold where nothing is said."""


@dataclass(frozen=True)
class Options:
    """One local BigLedger: its books, its limits, its faults.

    ``seed`` and ``today`` decide the books; instants are relative to the moment of the start.
    ``today`` is a business date in Asia/Kuala_Lumpur; None is the current one.
    ``modules`` adds purchasing, sales orders, quotes, e-invoices, tills and stock transfers, of
    which there are as many as is said, about, or as suits the customers and invoices; without it
    their addresses answer 404, and suppliers are owed and paid in lump sums. ``transit_account``
    gives goods on their way between locations an account of their own.
    ``database`` names a SQLite file that survives the process and is taken up again when it
    already holds books; None keeps them in memory, about 15 kB an invoice.
    ``hour_window`` chooses between the two readings of the hourly limit (bigledger-api.md,
    section 4); ``per_hour`` requests fit into ``window_seconds``. ``permissions`` are the key's
    scopes.
    ``faults`` is a comma list as documented in `blsync.sandbox.faults`, ``readings`` one as in
    `blsync.sandbox.http.readings`.
    The ``oauth_`` values open `/oauth/token`; an access token lives ``token_lifetime``
    seconds. ``refresh_twice`` keeps a used refresh token good until the next refresh, for
    clients whose answer got lost; without it a refresh token serves once.
    """

    seed: int = 1
    customers: int = 400
    items: int = 150
    invoices: int = 5000
    months: int = 24
    modules: bool = True
    transit_account: bool = True
    suppliers: int | None = None
    bills: int | None = None
    sales_orders: int | None = None
    quotes: int | None = None
    transfers: int | None = None
    pos_transactions: int | None = None
    limits: bool = True
    per_hour: int = 1000
    per_second: int = 10
    window_seconds: int = 3600
    hour_window: Literal["sliding", "fixed"] = "sliding"
    faults: str = ""
    readings: str = ""
    database: Path | str | None = None
    api_key: str = "blg_test_sk_sandbox"
    company_id: str = "company_sandbox"
    permissions: tuple[str, ...] = SCOPES
    today: date | None = None
    oauth_client_id: str = "sandbox-client"
    oauth_client_secret: str = "sandbox-secret"  # noqa: S105 - opens nothing but this
    oauth_refresh_token: str = "blg_oauth_rt_sandbox"  # noqa: S105
    token_lifetime: float = 3600
    refresh_twice: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for numbers no company can have."""
        for name, least in (("customers", 1), ("items", 3), ("invoices", 0), ("months", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        for name in SIZES:
            if getattr(self, name) is not None and getattr(self, name) < SIZES[name].least:
                least = SIZES[name].least
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if not self.api_key.startswith("blg_test_sk_"):
            raise ValueError("a sandbox takes test keys only: they start with blg_test_sk_")

    def size(self, name: str) -> int:
        """Return how many records of an optional module's kind there are to be, about."""
        said, usual = getattr(self, name), SIZES[name]
        return int(
            max(usual.least, getattr(self, usual.of) // usual.each) if said is None else said
        )
