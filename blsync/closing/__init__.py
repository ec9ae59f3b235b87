"""Closing a month: what stands in its way, the line in period_close.csv, and a certificate.

The certificate has the trial balance of the month's end as the published marts had it, with a hash,
and the request by which BigLedger said the same. What changes the month afterwards contradicts it:
`finance.restatements` lists it, and `verify` tells that the hash is another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from blsync import reconcile, user_tables
from blsync.closing.blockers import CHECKS
from blsync.errors import ConfigError, SafetyLimit, StorageError
from blsync.files.atomic import atomic_write, storage_errors
from blsync.files.locks import blocking_file_lock
from blsync.marts.frames import Marts
from blsync.marts.published import published_file
from blsync.session import Session
from blsync.settings import Company, Settings
from blsync.user_tables import month_end

CERTIFICATES = "certificates"
"""The folder of certificates, among the user's own tables."""
MOST_TOLD = 5
"""Findings of a blocker that are named."""


@dataclass(frozen=True)
class Blocker:
    """What stands in the way of a close: how many there are, the first of them, and what to do."""

    check: str
    count: int
    examples: list[str]
    cure: str

    def __str__(self) -> str:
        named = "; ".join(self.examples)
        more = f" and {self.count - len(self.examples)} more" * (self.count > len(self.examples))
        return f"{self.check}: {named}{more}. {self.cure}"


def close(
    session: Session, company: Company, month: date, *, allow: bool = False
) -> dict[str, Any]:
    """Close a month (its first day) of a company; return its certificate.

    Raises SafetyLimit where something stands in its way, unless the session's actor lets it through
    (`allow`), which the certificate says; ConfigError for a month that has not ended or is closed;
    BuildError where nothing is published; and what a client raises.
    """
    lock = session.settings.data / "close.lock"
    with blocking_file_lock(lock, session.say, "Another process is closing a month; waiting."):
        return _close(session, company, month, allow=allow)


def _close(session: Session, company: Company, month: date, *, allow: bool) -> dict[str, Any]:
    seeds, now = session.settings.seeds, session.clock()
    _refuse(session, company, month, now)
    found, lines, report = _examined(session, company, month)
    if found and not allow:
        listed = "\n".join(f"- {blocker}" for blocker in found)
        raise SafetyLimit(
            f"{month:%Y-%m} of {company.name} is not closed; in its way:\n{listed}\nMend them, "
            f"`blsync sync`, and close again; or let them stand: `blsync close {month:%Y-%m} "
            "--allow`, and the certificate names them."
        )
    certificate = {
        "company_id": company.company_id,
        "company": company.name,
        "period": f"{month:%Y-%m}",
        "period_end": str(month_end(month)),
        "closed_at": _text_of(now),
        "closed_by": session.actor,
        "marts_built_at": lines[0]["built_at"] if lines else None,
        "trial_balance_sha256": _hash(lines),
        "trial_balance": [_told(line) for line in lines],
        "reports": [report] if report else [],
        "allowed": [asdict(blocker) for blocker in found],
    }
    path = certificate_file(seeds, company, month)
    with storage_errors(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic_write(path) as draft:
            draft.write_text(json.dumps(certificate, indent=1, default=str) + "\n", "utf-8")
    user_tables.add_close(seeds, company.company_id, month, now)
    return certificate


def examine(session: Session, company: Company, month: date) -> list[Blocker]:
    """Return what stands in the way of closing a month, in the order in which to mend it.

    BigLedger is asked for its trial balance of the month's end. Raises as `close`.
    """
    _refuse(session, company, month, session.clock())
    return _examined(session, company, month)[0]


def _examined(
    session: Session, company: Company, month: date
) -> tuple[list[Blocker], list[dict[str, Any]], dict[str, Any] | None]:
    """Return what is in the way, the trial balance, and the report that it was compared with."""
    marts = Marts(published_file(session.settings))
    values = {"company": company.company_id, "month": month, "month_end": month_end(month)}
    known = {*marts.tables()}
    found = []
    for check in CHECKS:
        if check.table in known:
            rows = [str(row["found"]) for row in marts.rows(check.query, values)]
            if rows:
                found.append(Blocker(check.name, len(rows), rows[:MOST_TOLD], check.cure))
    if before := _open_before(session, company, month):
        cure = f"Close {before:%Y-%m} first."
        found.append(Blocker("earlier_month_open", 1, [f"{before:%Y-%m} is open"], cure))
    lines = _trial_balance(marts, company, month)
    report, differing = _compared(session, company, month, lines)
    if differing:
        cure = "Sync and build again; what is left is in finance.reconciliation, or changed since."
        told = differing[:MOST_TOLD]
        found.append(Blocker("trial_balance_differs", len(differing), told, cure))
    return found, lines, report


def verify(settings: Settings, company: Company, month: date) -> list[str]:
    """Return what contradicts the certificate of a closed month, a line an account; none where the
    trial balance is as it was. Raises ConfigError where there is no certificate.
    """
    path = certificate_file(settings.seeds, company, month)
    if not path.exists():
        raise ConfigError(
            f"There is no certificate of {month:%Y-%m} of {company.name} at {path}. `blsync close` "
            "writes one."
        )
    try:
        with storage_errors(path):
            certificate = json.loads(path.read_text("utf-8"))
        then = {line["account_id"]: line for line in certificate["trial_balance"]}
        told = certificate["trial_balance_sha256"]
    except (ValueError, KeyError, TypeError):
        raise StorageError(f"{path} is damaged: it is no certificate. Restore a backup.") from None
    if told != _hash(then.values()):
        raise StorageError(
            f"{path} was changed after it was written: its hash is not that of its trial balance."
        )
    lines = _trial_balance(Marts(published_file(settings)), company, month)
    now = {line["account_id"]: _told(line) for line in lines}
    changed = [key for key in {**then, **now} if _balance(then, key) != _balance(now, key)]
    return [
        f"account {(now.get(key) or then[key])['account_number']}: {_balance(then, key)} at the "
        f"close, {_balance(now, key)} now"
        for key in sorted(changed)
    ]


def certified_months(settings: Settings, company: Company, now: datetime) -> list[date]:
    """Return the first days of a company's closed months of which there are certificates.

    `now` is UTC. Raises ConfigError.
    """
    closed = user_tables.closed_months(settings.seeds, company.company_id, now)
    return [
        month
        for month in sorted(closed)
        if certificate_file(settings.seeds, company, month).exists()
    ]


def certificate_file(seeds: Path, company: Company, month: date) -> Path:
    """Return where the certificate of a closed month lies."""
    return seeds / CERTIFICATES / f"{company.name}-{month:%Y-%m}.json"


def _refuse(session: Session, company: Company, month: date, now: datetime) -> None:
    today = now.astimezone(session.settings.zone).date()
    if month_end(month) >= today:
        raise ConfigError(
            f"{month:%Y-%m} has not ended: today is {today} in {session.settings.timezone}."
        )
    closed = user_tables.closed_months(session.settings.seeds, company.company_id, now)
    if month in closed:
        raise ConfigError(
            f"{month:%Y-%m} of {company.name} was closed at {closed[month]}. To open it, take its "
            f"line out of {session.settings.seeds / user_tables.PERIOD_CLOSE}."
        )


def _open_before(session: Session, company: Company, month: date) -> date | None:
    """Return the month before where it is open though an earlier one was closed."""
    seeds = session.settings.seeds
    closed = user_tables.closed_months(seeds, company.company_id, session.clock())
    before = (month - timedelta(days=1)).replace(day=1)
    return before if closed and min(closed) < before and before not in closed else None


def _trial_balance(marts: Marts, company: Company, month: date) -> list[dict[str, Any]]:
    query = (
        "select account_id, account_number, closing_balance, "
        "strftime(built_at, '%Y-%m-%dT%H:%M:%SZ') as built_at from finance.trial_balance "
        "where company_id = $company and period = $month and closing_balance <> 0 "
        "order by account_id"
    )
    return marts.sql(query, company=company.company_id, month=month).rows()


def _compared(
    session: Session, company: Company, month: date, lines: list[dict[str, Any]]
) -> tuple[dict[str, Any] | None, list[str]]:
    """Ask BigLedger for the trial balance; return what it was asked, and where it differs."""
    figures = reconcile.trial_balance(session, company, month_end(month))
    theirs: dict[str, Decimal] = {}
    for row in figures:
        if key := row["entity_key"]:
            sign = 1 if row["measure"] == "debit" else -1
            theirs[key] = theirs.get(key, Decimal(0)) + sign * row["value"]
    if not figures:
        return None, ["BigLedger could not be asked for it"]
    told = figures[0]["told_dates"]
    if told:
        return None, [f"BigLedger's report is of {told}, not of {month_end(month)}"]
    ours = {line["account_id"]: line["closing_balance"] for line in lines}
    numbers = {line["account_id"]: line["account_number"] for line in lines}
    differing = [
        f"account {numbers.get(key, key)}: {ours.get(key, 0)} here, {theirs.get(key, 0)} there"
        for key in sorted({*ours, *theirs})
        if ours.get(key, Decimal(0)) != theirs.get(key, Decimal(0))
    ]
    asked = {
        "report": "trial_balance",
        "as_of_date": str(month_end(month)),
        "request_id": figures[0]["request_id"],
        "fetched_at": _text_of(figures[0]["fetched_at"]),
        "accounts": len(theirs),
        "is_equal": not differing,
    }
    return asked, differing


def _hash(lines: Iterable[dict[str, Any]]) -> str:
    """Return the hash of a trial balance: a line `account id, a tab, balance` each, by id."""
    told = sorted(f"{line['account_id']}\t{line['closing_balance']}\n" for line in lines)
    return hashlib.sha256("".join(told).encode()).hexdigest()


def _told(line: dict[str, Any]) -> dict[str, str]:
    names = ("account_id", "account_number", "closing_balance")
    return {name: str(line[name]) for name in names}


def _balance(lines: dict[str, dict[str, str]], key: str) -> Decimal:
    return Decimal(lines[key]["closing_balance"]) if key in lines else Decimal(0)


def _text_of(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
