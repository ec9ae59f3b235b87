"""What a sandbox can be told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

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


@dataclass(frozen=True)
class Options:
    """One local BigLedger: its books, its limits, its faults.

    ``seed`` and ``today`` decide the books; instants are relative to the moment of the start.
    ``today`` is a business date in Asia/Kuala_Lumpur; None is the current one.
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
        if not self.api_key.startswith("blg_test_sk_"):
            raise ValueError("a sandbox takes test keys only: they start with blg_test_sk_")
