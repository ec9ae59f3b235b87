"""The plan: what each row of a file would change at BigLedger. Sends nothing."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blsync.client import Client
from blsync.errors import ConfigError
from blsync.ledger import Ledger, plans
from blsync.ledger.plans import SENDS, Operation, Plan
from blsync.push.compare import to_text
from blsync.push.customers import CUSTOMERS
from blsync.push.decide import Decision
from blsync.push.endpoint import Endpoint
from blsync.push.lookup import Known, look_up
from blsync.push.read import read
from blsync.push.rejects import check_target, write_rejects
from blsync.push.report import PlanReport, report_of
from blsync.push.validate import Wanted, validate
from blsync.quota import pace_for
from blsync.settings import Company, Settings, require_credentials

ENDPOINTS = {endpoint.name: endpoint for endpoint in (CUSTOMERS,)}
MODES = ("create", "update", "upsert")
ON_CONFLICT = ("abort", "ours", "theirs")


def endpoint_named(name: str) -> Endpoint:
    """Return the endpoint of that name. Raises ConfigError, naming those there are."""
    if name not in ENDPOINTS:
        raise ConfigError(f"There is no push to {name!r}. Available: {', '.join(ENDPOINTS)}.")
    return ENDPOINTS[name]


def plan(
    settings: Settings,
    company: Company,
    endpoint: str,
    file: Path,
    *,
    mode: str = "upsert",
    on_conflict: str = "abort",
    rejects: Path | None = None,
    wait: bool = True,
    say: Callable[[str], None] = lambda _: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> PlanReport:
    """Compare a file of changes with what BigLedger has now and store what would be sent.

    `mode` create rejects rows whose record exists, update those whose record does not. A record
    that changed since the row's basis is a conflict, unless `on_conflict` says whose version
    holds. `rejects` is written with the rejected rows, to be mended and planned again. The same
    file against the same records is the same plan.

    Raises ConfigError, InputFileError, ApiError, StorageError, or QuotaSpent where `wait` is off.
    """
    kind = endpoint_named(endpoint)
    _check_choice("--mode", mode, MODES)
    _check_choice("--on-conflict", on_conflict, ON_CONFLICT)
    if rejects:
        check_target(rejects, file)
    sheet = read(file)
    rows = validate(kind, sheet)
    require_credentials(company)
    ledger = Ledger(settings.ledger_url)
    try:
        pace = pace_for(settings, ledger, company.key_id)
        pace.wait_for_hour, pace.say = wait, say
        known = asyncio.run(_known(Client(company, pace), kind, rows))
        held = plans.held_elsewhere(ledger, company.company_id, kind.name)
        operations = Decision(kind, mode, on_conflict, known, held).operations(rows)
        stored = _store(ledger, company, kind, mode, file, operations, clock())
        report = report_of(ledger, stored)
    finally:
        ledger.close()
    if rejects:
        write_rejects(rejects, sheet, operations)
    return report


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{option} {value!r} is none of {', '.join(choices)}.")


async def _known(client: Client, endpoint: Endpoint, rows: list[Wanted]) -> Known:
    known = Known()
    async with client:
        for name in endpoint.identifiers:
            values = [r.named[name] for r in rows if name in r.named and not r.problems]
            await look_up(client, endpoint, name, values, known)
    return known


def _store(
    ledger: Ledger,
    company: Company,
    endpoint: Endpoint,
    mode: str,
    file: Path,
    operations: list[Operation],
    at: datetime,
) -> str:
    """Store the plan under the hash of what it does, and return its id.

    A plan of the same content that was applied to its end is history: what is stored then is
    another one, or its rejected rows could never be sent again.
    """
    content: list[Any] = [endpoint.name, company.company_id, company.base_url, mode]
    content += [
        [o.row, o.natural_key, o.action, o.remote_id, o.body, o.changes, o.error]
        for o in operations
    ]
    does_send = any(o.action in SENDS for o in operations)
    for number in range(1_000_000):
        plan_id = hashlib.sha256(to_text([*content, number]).encode()).hexdigest()[:12]
        known = plans.find(ledger, plan_id)
        if not (known and known[0].state == "applied" and does_send):
            break
    plans.put(
        ledger,
        Plan(
            plan_id=plan_id,
            company=company.name,
            company_id=company.company_id,
            base_url=company.base_url,
            endpoint=endpoint.name,
            state="planned",
            source=file.name,
            mode=mode,
            created_at=at,
        ),
        operations,
    )
    return plan_id
