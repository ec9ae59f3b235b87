"""What stands in the way of a sync, and what to do about it: three requests a company at most."""

from __future__ import annotations

import asyncio
import csv
import io
import platform
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import msgspec

from blsync import __version__, alerts, marts, push, settings, user_tables
from blsync.alerts import lineage
from blsync.api import dialect
from blsync.api.client import Client
from blsync.api.envelope import UNUSABLE
from blsync.api.exchange import said
from blsync.clock import LARGEST_SKEW
from blsync.entities import ENTITIES, pulled, unnamed
from blsync.errors import (
    ApiError,
    BlsyncError,
    BuildError,
    ConfigError,
    StorageError,
    WrongClock,
)
from blsync.files import permissions
from blsync.lake.store import Lake
from blsync.ledger import Ledger, dialects
from blsync.orchestration import database
from blsync.session import Session, binding
from blsync.settings import Company, Settings

NOTED_SKEW = timedelta(seconds=60)
"""A clock that is further off is worth setting, long before a sync refuses it."""
ROOM_BYTES = 1_000_000_000
WELL = ("ok", "healthy", "up", "pass", "operational")
"""Words by which a server says that it is well."""
LIBRARIES = ("dagster", "dbt-core", "dbt-duckdb", "duckdb", "pyarrow")


@dataclass(frozen=True)
class Check:
    """One finding; `message` says what to do where it is not ok."""

    name: str
    is_ok: bool
    message: str
    exit_code: int = 1


@dataclass
class Report:
    """All findings."""

    checks: list[Check] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 where all is well, else the gravest finding's code."""
        return max((check.exit_code for check in self.checks if not check.is_ok), default=0)

    def to_json(self) -> dict[str, Any]:
        """Return {ok, checks: [{name, ok, message}]}."""
        checks = [{"name": c.name, "ok": c.is_ok, "message": c.message} for c in self.checks]
        return {"ok": self.exit_code == 0, "checks": checks}

    def failed(self, name: str, error: BlsyncError) -> None:
        """Add a finding from an error."""
        self.checks.append(Check(name, False, str(error), error.exit_code))


def examine() -> Report:
    """Look at everything that a sync needs. Raises nothing of ours: it is in the report."""
    report = Report()
    try:
        current = settings.load()
        companies = current.companies()
    except ConfigError as error:
        report.failed("settings", error)
        return report
    try:
        pulled(current.entities)
    except ConfigError as error:
        report.failed("settings", error)
        return report
    report.checks.append(Check("settings", True, _places(current)))
    _alerts(report, current)
    _lineage(report, current)
    _engine(report, current)
    _files(report, current)
    _user_tables(report, current)
    _versions(report)
    try:
        Lake(current.data)
    except BlsyncError as error:
        report.failed("disk", error)
        return report
    _disk(report, current)
    ledger = _ledger(report, current)
    _store(report, current)
    _database(report, current)
    _strays(report, current)
    if ledger is None:
        return report
    for company in companies:
        try:
            report.checks.append(_dialect(ledger, company))
            report.checks.append(_modules(ledger, company, current))
            asyncio.run(_company(report, current, ledger, company))
        except WrongClock as error:
            report.failed(f"{company.name}: clock", error)
        except StorageError as error:
            report.failed("ledger", error)
        except BlsyncError as error:
            report.failed(f"{company.name}: access", error)
    try:
        _push_evidence(report, ledger, companies)
    except StorageError as error:
        report.failed("ledger", error)
    ledger.close()
    _guessed_roles(report, current, companies)
    return report


def _places(current: Settings) -> str:
    """Tell where settings come from and where data goes."""
    file = settings.env_file()
    source = f"settings from {file}" if file.is_file() else "settings from the environment alone"
    _, version = binding.version_of(current.data)
    written = f", last written by blsync {version}" if version else ""
    return f"data in {current.data}{written}; {source}; your tables in {current.seeds}"


def _engine(report: Report, current: Settings) -> None:
    """Tell whether Spark can be started, where it is to build."""
    if current.engine == "spark":
        try:
            marts.ensure_spark(current)
            report.checks.append(Check("engine", True, f"Spark builds: {current.spark}"))
        except ConfigError as error:
            report.failed("engine", error)


def _alerts(report: Report, current: Settings) -> None:
    """Tell which addresses of BLSYNC_ALERTS no message can be sent to; nothing is sent."""
    found = alerts.collectors(current)
    unknown = [str(one.place) for one in found if not one.is_known]
    if unknown:
        places = ", ".join(unknown)
        text = f"Apprise knows no address like number {places} of BLSYNC_ALERTS. Write it anew."
        report.checks.append(Check("alerts", False, text, ConfigError.exit_code))
    elif found:
        text = f"{len(found)} addresses are told; `blsync alerts try` sends each a message"
        report.checks.append(Check("alerts", True, text))


def _lineage(report: Report, current: Settings) -> None:
    """Tell whether a collector of lineage can be spoken to; nothing is sent."""
    if current.openlineage_url is None:
        return
    is_ok = lineage.is_installed()
    text = f"told to {current.openlineage_url}" if is_ok else lineage.MISSING
    report.checks.append(Check("lineage", is_ok, text, ConfigError.exit_code))


def _push_evidence(report: Report, ledger: Ledger, companies: list[Company]) -> None:
    """Tell what was seen of the look-ups by which pushes are settled; a warning stops no sync."""
    for company in companies:
        seen = push.seen_of_look_ups(ledger, company)
        if seen:
            lines = [f"{name}: {meaning}" for name, (_, meaning) in seen.items()]
            report.checks.append(Check(f"{company.name}: push", True, "; ".join(lines)))


def _ledger(report: Report, current: Settings) -> Ledger | None:
    """Return the ledger where there is one to be used, whether it belongs to the rest or not."""
    ledger: Ledger | None = None
    problem: BlsyncError | None
    try:
        ledger, problem = binding.inspect(current)
    except ConfigError as error:
        problem = error
    if problem is None:
        told = "folder, ledger and settings belong together"
        report.checks.append(Check("binding", True, told))
    else:
        report.failed("binding" if ledger else "ledger", problem)
    return ledger


def _store(report: Report, current: Settings) -> None:
    """Tell where the lake is that several machines share, and whether it can be read."""
    if not current.store:
        return
    try:
        bucket = binding.store_of(current)
        names = bucket.names("") if bucket else set()
    except BlsyncError as error:
        report.failed("store", error)
    else:
        report.checks.append(Check("store", True, f"{current.store} holds {len(names)} objects"))


def _database(report: Report, current: Settings) -> None:
    """Tell whether the database of Dagster's runs can be used, where one is named."""
    try:
        database.look(current)
    except BlsyncError as error:
        report.failed("Dagster's runs", error)
    else:
        if current.dagster_storage:
            report.checks.append(Check("Dagster's runs", True, "kept in PostgreSQL"))


def _versions(report: Report) -> None:
    found = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    found = f"blsync {__version__}, {found}"
    report.checks.append(Check("versions", True, f"Python {platform.python_version()}, {found}"))


def _files(report: Report, current: Settings) -> None:
    """Look who else can read what is secret; what others can write was refused before."""
    findings = []
    if warning := permissions.readable_by_others(settings.env_file()):
        findings.append(warning)
    if is_open := permissions.open_to_others([current.data]):
        findings.append(f"others can look into {is_open[0]}; close it: chmod 700 '{current.data}'")
    if left := marts.left_behind(current):
        findings.append(left)
    text = "; ".join(findings) or "closed to others"
    report.checks.append(Check("files", not findings, text))


def _user_tables(report: Report, current: Settings) -> None:
    """Tell what is wrong with the user's own tables, and which rates the published groups lack;
    tables that are not there are made, or asked for, by a sync.
    """
    try:
        user_tables.rows_of_tables(current.seeds)
    except ConfigError as error:
        report.failed("your tables", error)
        return
    lacking = _missing_rates(current)
    told = f"those in {current.seeds} can be read"
    if lacking:
        told += (
            f"; {user_tables.EXCHANGE_RATES} lacks {'; '.join(lacking)}: the group ends with the "
            "month before. Add each, then run `blsync build`"
        )
    report.checks.append(Check("your tables", True, told))


def _missing_rates(current: Settings) -> list[str]:
    """Return the first rate that each company of a published group lacks for months that ended."""
    try:
        _, rows = marts.fetch_rows(
            current,
            "select group_id, any_value(missing_rate order by period) from finance.group_companies "
            "where missing_rate is not null and period_end < cast(built_at as date) "
            "group by group_id, company_id order by all",
        )
    except (BuildError, ConfigError, StorageError):  # nothing published, or by an earlier version
        return []
    return [f"{rate} (group {said(group)})" for group, rate in rows]


def _strays(report: Report, current: Settings) -> None:
    try:
        told = marts.strays_told(current)
    except BlsyncError as error:
        report.failed("stray files", error)
        return
    report.checks.append(Check("stray files", True, told or "none"))


def _disk(report: Report, current: Settings) -> None:
    free = shutil.disk_usage(current.data).free
    text = f"{free / 1e9:.1f} GB free at {current.data}"
    if free < ROOM_BYTES:
        text += "; free some, a build needs about twice the size of the books"
    report.checks.append(Check("disk", free >= ROOM_BYTES, text))


def _guessed_roles(report: Report, current: Settings, companies: list[Company]) -> None:
    """List the roles that a word of a name alone tells, as the published marts have them."""
    try:
        _, rows = marts.fetch_rows(
            current,
            "select exceptions.company_id, account_number, account_role, account_name "
            "from finance.exceptions inner join finance.accounts "
            "on accounts.company_id = exceptions.company_id and account_id = record_id "
            "where rule = 'guessed_role' and not is_accepted order by all",
        )
    except (BuildError, ConfigError, StorageError):  # nothing published, or by an earlier version
        return
    for company in companies:
        guessed = [row for row in rows if row[0] == company.company_id]
        told = "every account with a balance has a role that more than a word of its name tells"
        if guessed:
            lines = [f"{_csv_line(row[:3])} ({said(row[3] or '')})" for row in guessed]
            told = (
                f"{len(guessed)} accounts with a balance have a role that a word of their name "
                f"alone tells. Put each that is right into {user_tables.ACCOUNT_ROLES} (in "
                "BLSYNC_SEEDS) as it stands here, and the others with their own role: "
                f"{'; '.join(lines)}"
            )
        report.checks.append(Check(f"{company.name}: account roles", True, told))


def _dialect(ledger: Ledger, company: Company) -> Check:
    """Tell what the company's server was seen not to take as it is documented first."""
    now = datetime.now(UTC)
    learnt = [
        f"{name}: {dialect.told(fact)}"
        for name in ENTITIES
        for fact in dialects.facts_of(ledger, company.company_id, name, now)
        if fact.parameter != dialects.LIST
    ]
    told = "; ".join(learnt) or "the server takes all as it is documented first"
    return Check(f"{company.name}: dialect", True, told)


def _modules(ledger: Ledger, company: Company, current: Settings) -> Check:
    """Tell which optional entities are not pulled: the company has none, or they are left out."""
    now, chosen = datetime.now(UTC), pulled(current.entities)
    told = [
        f"{entity.name}: unavailable when it was asked for at {fact.learnt_at:%Y-%m-%d %H:%M} UTC, "
        f"the next time is a day later. {fact.reason}"
        for entity in chosen
        if (fact := dialects.unavailable(ledger, company.company_id, entity.name, now))
    ]
    left_out = [name for name, entity in ENTITIES.items() if entity not in chosen]
    if left_out:
        told.append(f"BLSYNC_ENTITIES leaves out {', '.join(left_out)}")
    if needed := unnamed(current.entities):
        told.append(
            f"BLSYNC_ENTITIES does not name {', '.join(needed)}, which are pulled all the same: "
            "the marts need them"
        )
    return Check(f"{company.name}: modules", True, "; ".join(told) or "all are pulled")


def _csv_line(cells: tuple[str | None, ...]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


async def _company(report: Report, current: Settings, ledger: Ledger, company: Company) -> None:
    session = Session(current, ledger, Lake(current.data), waits=False)
    async with session.client(company) as client:
        verified = await client.get("/auth/verify")
        facts = _object(verified.read())
        about = _object(facts.get("company"))
        name = f"{company.name}: "
        told = f"{_name(about) or 'a company without a name'} at {company.base_url}"
        report.checks.append(Check(f"{name}access", True, told))
        _permissions(report, name, facts.get("permissions"))
        report.checks.append(_clock(name, client.skew))
        left = client.limiter.left()
        text = f"{left} requests left in this hour"
        if not left:
            text += "; a sync waits for the next hour"
        report.checks.append(Check(f"{name}quota", left > 0, text))
        try:
            await client.get("/company")
        except ApiError as error:
            report.failed(f"{name}company", error)
        report.checks.append(await _health(client, f"{name}health"))


async def _health(client: Client, name: str) -> Check:
    """Tell what the server says of itself; one that says nothing is none the worse for it."""
    try:
        answer = await client.get("/health")
    except ApiError as error:
        if error.status in (404, 403, 405, 410):
            return Check(name, True, "the server does not tell")
        return Check(name, False, str(error), error.exit_code)
    try:
        told = _object(msgspec.json.decode(answer.body))
    except UNUSABLE:
        told = {}
    about = {**told, **_object(told.get("data"))}
    status = about.get("status")
    if not isinstance(status, str):
        return Check(name, True, "the server does not tell")
    known = (about.get(part) for part in ("version", "region"))
    more = ", ".join(said(part, 40) for part in known if isinstance(part, str))
    text = f"the server says {said(status, 40)!r}" + (f" ({more})" if more else "")
    is_well = status.strip().lower() in WELL
    return Check(name, is_well, text if is_well else f"{text}; ask the vendor, or sync later")


def _clock(name: str, skew: timedelta | None) -> Check:
    """Tell how far this clock is off; one that is further off than a sync bears fails before."""
    if skew is None:
        return Check(f"{name}clock", True, "the server tells no time to compare this clock with")
    is_near = abs(skew) <= NOTED_SKEW
    text = f"this clock is {skew.total_seconds():+.0f} s off the server's"
    if not is_near:
        text += "; set it by a time server: the day of a record is told by it, and a sync refuses "
        text += f"more than {LARGEST_SKEW.total_seconds():.0f} s"
    return Check(f"{name}clock", is_near, text)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _name(about: dict[str, Any]) -> str:
    name = about.get("name")
    return said(name) if isinstance(name, str) else ""


def _permissions(report: Report, name: str, granted: Any) -> None:
    needed = {e.scope for e in ENTITIES.values() if not e.is_optional} | {"read:reports"}
    if not isinstance(granted, list):
        report.checks.append(Check(f"{name}permissions", True, "the server does not list them"))
        return
    missing = [] if "admin" in granted else sorted(needed - set(map(str, granted)))
    text = f"missing: {', '.join(missing)}; give them to the key" if missing else "all there"
    report.checks.append(Check(f"{name}permissions", not missing, text))
