"""A sync or a build from the command line: the same Dagster job, run in this process."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from blsync import marts
from blsync.entities import select_pulled, unnamed
from blsync.errors import BlsyncError, ConfigError, SafetyLimit, joined
from blsync.orchestration import upkeep
from blsync.orchestration.parallel import INTERRUPTED
from blsync.pull import FINDINGS, Result
from blsync.session import Progress, open_session
from blsync.session.binding import open_ledger
from blsync.settings import Company, Settings, require_credentials


@dataclass
class SyncReport:
    """What a sync did, company by company; `failed` holds what failed, by company or `build`."""

    companies: list[str]
    results: dict[str, dict[str, Result]]
    failed: dict[str, BlsyncError] = field(default_factory=dict)
    other_requests: int = 0
    other_throttled_ms: int = 0
    published: datetime | None = None

    @property
    def error(self) -> BlsyncError | None:
        """What the command ends with; see `joined` for several companies."""
        if len(self.companies) == 1 or not self.failed:
            return next(iter(self.failed.values()), None)
        if isinstance(error := self.failed.get("build"), SafetyLimit) and len(self.failed) == 1:
            return error
        return joined(self.failed, len(self.companies))

    def to_json(self) -> dict[str, Any]:
        """Return SYNC of interface.md, section 5; the figures of several companies are added up."""
        pairs = [pair for results in self.results.values() for pair in results.items()]
        entities: dict[str, dict[str, Any]] = {}
        for name, result in pairs:
            entities[name] = _added(entities.get(name), result)
        requests = sum(result.requests for _, result in pairs) + self.other_requests
        # Entities wait side by side: the longest wait is what the quota cost.
        throttled = max((r.throttled_ms for _, r in pairs), default=0) + self.other_throttled_ms
        shape: dict[str, Any] = {
            "entities": entities,
            "requests": requests,
            "throttled_s": round(throttled / 1000, 1),
            "published": self.published.isoformat() if self.published else None,
        }
        if len(self.companies) > 1:
            shape["companies"] = {
                name: {
                    "entities": {n: _added(None, r) for n, r in self.results.get(name, {}).items()},
                    "error": str(self.failed[name]) if name in self.failed else None,
                }
                for name in self.companies
            }
        return shape


def _added(sum_so_far: dict[str, Any] | None, result: Result) -> dict[str, Any]:
    before = sum_so_far or {}
    counts = {
        name: before.get(name, 0) + getattr(result, name)
        for name in ("rows", "deleted", "quarantined", "requests")
    }
    window = [at.isoformat() if at else None for at in result.window]
    error = "; ".join(
        text for text in (before.get("error"), str(result.error) if result.error else "") if text
    )
    found = {name: sorted({*before.get(name, []), *getattr(result, name)}) for name in FINDINGS}
    missed = [n for n in (before.get("unannounced"), result.unannounced) if n is not None]
    drifts = [d for d in (before.get("drift"), result.drift) if d is not None]
    return {
        **counts,
        "window": before.get("window") or window,
        "drift": sum(drifts) if drifts else None,
        "unannounced": sum(missed) if missed else None,
        **found,
        "error": error or None,
        "unavailable": before.get("unavailable", False) or result.unavailable is not None,
    }


def sync(
    settings: Settings,
    *,
    companies: Iterable[str] = (),
    entities: Iterable[str] = (),
    days: tuple[date | None, date | None] = (None, None),
    has_build: bool = True,
    allow: bool = False,
    wait: bool = True,
    progress: Progress = lambda *_: None,
    say: Callable[[str], None] = lambda _: None,
) -> SyncReport:
    """Pull what is missing (or `days` again, both included), then build and publish. A night as a
    whole keeps what grows with each night within its term, too (`upkeep`).

    With `allow` what a safety bound holds back is let through, this once and for these companies
    alone: deletes above BLSYNC_DELETE_SHARE, a collapsed reconciliation. Raises ConfigError before
    anything is asked; what fails later is in the report.
    """
    names = [e.name for e in select_pulled(list(entities), settings.entities)]
    if not entities and (needed := unnamed(settings.entities)):
        say(
            f"BLSYNC_ENTITIES does not name {', '.join(needed)}; the marts need them, so they are "
            "pulled all the same."
        )
    chosen = [settings.company(name) for name in companies] or settings.companies()
    for company in chosen:
        require_credentials(company)
    open_ledger(settings).close()  # refuses before Dagster records a run
    chosen_days = days_range(settings, chosen, days)
    dagster = _dagster(settings, say)
    names_of_chosen = [company.name for company in chosen]
    allowed = frozenset(names_of_chosen if allow else ())
    watch = dagster.RunContext(wait=wait, allowed=allowed, progress=progress, say=say)
    report = SyncReport(names_of_chosen, watch.results)
    # One company is one run, pull to publishing; several are pulled side by side, recorded in a run
    # each, and built once.
    is_one = len(chosen) == 1
    with contextlib.redirect_stdout(io.StringIO()):  # what libraries print is no result of ours
        if not is_one:
            try:
                dagster.pull_ahead(report.companies, watch, names, chosen_days)
            except KeyboardInterrupt:
                raise BlsyncError(INTERRUPTED) from None
        for company in chosen:
            try:
                dagster.run(
                    company.name,
                    watch,
                    entities=names,
                    days_range=chosen_days,
                    has_build=has_build and is_one,
                )
            except BlsyncError as error:
                report.failed[company.name] = error
        is_built = has_build and is_one and not report.failed
        if has_build and not is_one and len(report.failed) < len(chosen):
            try:
                dagster.run(None, watch)
                is_built = True
            except BlsyncError as error:
                report.failed["build"] = error
    report.published = datetime.now(UTC) if is_built else None
    if has_build and not (entities or companies or chosen_days):  # a whole night, well or not
        upkeep.prune_after_night(settings, say)
    report.failed |= {n: e for n, e in watch.held_back.items() if n not in report.failed}
    report.other_requests = watch.other_requests
    report.other_throttled_ms = watch.other_throttled_ms
    return report


def build(
    settings: Settings,
    say: Callable[[str], None] = lambda _: None,
    *,
    is_full: bool = False,
    allow: bool = False,
) -> None:
    """Build, check and publish from what has landed, where `is_full` from that alone; with `allow`
    also where the reconciliation collapsed.

    Raises BuildError, SafetyLimit and others.
    """
    with open_session(settings, say=say) as session:
        marts.refresh_inputs(session)
    if is_full:
        marts.ask_for_full_build(settings)
    dagster = _dagster(settings, say)
    allowed = frozenset(company.name for company in settings.companies() if allow)
    with contextlib.redirect_stdout(io.StringIO()):
        dagster.run(None, dagster.RunContext(say=say, allowed=allowed), has_inputs=False)


def _dagster(settings: Settings, say: Callable[[str], None]) -> Any:
    """Import Dagster only where it is needed: it takes seconds, and compiled models."""
    marts.prepare(settings, say)
    from blsync.orchestration import run

    return run


def days_range(
    settings: Settings, companies: list[Company], days: tuple[date | None, date | None]
) -> tuple[str, str] | None:
    """Return first and last day to pull again (ISO, both included), None where none were given.

    Raises ConfigError where they are no range of days that can be pulled.
    """
    if days == (None, None):
        return None
    today = datetime.now(settings.zone).date()
    start = min(company.start for company in companies)
    first, last = days[0] or start, days[1] or today
    if first > last:
        raise ConfigError(f"--from {first} is after --to {last}. Swap them.")
    if first < start:
        raise ConfigError(
            f"--from {first} is before the first day partition, {start}, which holds everything "
            f"older too. Use --from {start}, or set BLSYNC_START."
        )
    if last > today:
        raise ConfigError(f"--to {last} lies in the future; today is {today}.")
    return first.isoformat(), last.isoformat()
