"""Repair: the ledger's loads brought back in line with the lake, whose footers know them all; and
what a clock that was wrong has frozen, set free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from blsync.entity import Entity
from blsync.errors import (
    ApiError,
    BlsyncError,
    LedgerDamaged,
    Unanswered,
    Unauthorized,
    WrongClock,
)
from blsync.files.aside import move_aside
from blsync.files.atomic import storage_errors
from blsync.files.locks import blocking_file_lock
from blsync.lake.landed import LAYERS
from blsync.lake.store import Lake
from blsync.ledger import Ledger, loads, requests, sqlite_file
from blsync.maintenance import dating
from blsync.maintenance.dating import Redating
from blsync.maintenance.files import PART, about, parquet_files
from blsync.maintenance.site import Failures, Site, site_of
from blsync.session import Say, Session, open_session
from blsync.session.binding import take_over
from blsync.session.loss import back_up_plans, restore_plans
from blsync.settings import Company, Settings

_NEEDED = {"load_id", "company_id", "entity", "window_end", "started_at"}


@dataclass
class Repair:
    """Loads entered into the ledger, loads taken out of it, spool folders removed; and what a
    clock that ran ahead has left: loads dated anew, those among them that cover nothing any more,
    comparisons with BigLedger's totals that were dropped, and companies whose key was held back;
    plans brought back, and plans that could not be. `moved_aside` is the damaged ledger, None where
    it was sound.
    """

    adopted: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    spools: list[str] = field(default_factory=list)
    dated_anew: list[str] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)
    comparisons: list[str] = field(default_factory=list)
    unblocked: list[str] = field(default_factory=list)
    plans: list[str] = field(default_factory=list)
    lost_plans: list[str] = field(default_factory=list)
    moved_aside: str | None = None


def repair(
    settings: Settings,
    companies: Collection[Company],
    entities: Collection[Entity],
    *,
    is_taken_over: bool = False,
    say: Say = lambda _: None,
    on_step: Say = lambda _: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Repair:
    """Enter the lake's loads into the ledger, and take out what the lake has lost.

    Where `is_taken_over`, the ledger belongs to this lake from now on, whatever lake it belonged
    to; a load that landed nothing is then taken out too, because it was of the other lake.

    A load whose rows are in no file any more is taken out of the coverage: the next sync pulls its
    window again. A ledger that is damaged is moved aside, and a new one takes its place. Plans of
    pushes come back from their backups. What is right already stays as it is. Whatever holds the
    companies' keys back (a refusal's wait, the server's word) is cleared: what still holds comes
    back with the next answer. What is dated ahead of now (`clock`, UTC) is dated anew; whether this
    clock is right is asked of the server first, for one request, and only where there is such. An
    entity that fails keeps back no other one: raises what it failed with, PartlyFailed where others
    are done, and WrongClock at once where it is this clock that is wrong.
    """
    lake = Lake(settings.data)
    done = Repair()
    _replace_if_damaged(settings, lake, done, say)
    if is_taken_over:
        take_over(settings)
    pairs = [(company, entity) for company in companies for entity in entities]
    failures = Failures(settings.data)

    async def all_of_them(session: Session) -> None:
        _unblock(session, companies, done)
        clocks = {company.name: _Clock(session, company) for company in companies}
        for company, entity in pairs:
            with failures.apart(entity, company.name):
                async with site_of(session, entity, company.company_id, on_step) as site:
                    ledger = session.ledger
                    known = await _date_anew(site, ledger, clocks[company.name], done)
                    _mend(site, ledger, done, dating.latest_stamps(known), is_taken_over)

    # The server is asked its time without waiting for another hour.
    opened = open_session(
        settings,
        say=say,
        clock=clock,
        limiter_clock=lambda: clock().timestamp(),
        waits=False,
        is_mended=True,
    )
    with opened as session:
        _bring_plans_back(session.ledger, done, is_taken_over, say)
        asyncio.run(all_of_them(session))
        done.spools = lake.drop_left_spools(partial(loads.open_ids, session.ledger))
    failures.raise_any()
    return done


def _bring_plans_back(ledger: Ledger, done: Repair, is_taken_over: bool, say: Say) -> None:
    restored = restore_plans(ledger, is_taken_over=is_taken_over)
    done.plans, done.lost_plans = restored.plans, sorted(restored.lost)
    for plan_id, why in restored.lost.items():
        say(f"Plan {plan_id} cannot be brought back: {why}")
    for note in restored.notes:
        say(note)
    back_up_plans(ledger, is_anew=is_taken_over)


def _replace_if_damaged(settings: Settings, lake: Lake, done: Repair, say: Say) -> None:
    """Move a damaged SQLite file aside; what a server's database has lost is made anew in it."""
    file = sqlite_file(settings.ledger_url)
    if file is None or not file.exists() or _damage_of(settings) is None:
        return
    with blocking_file_lock(lake.data / "repair.lock", say, "Another repair is running; waiting."):
        # By now another repair may have made a new ledger, which is sound.
        why = _damage_of(settings) if file.exists() else None
        if why is None:
            return
        with _unused(lake, say), storage_errors(file):
            aside = move_aside(file, companions=("-wal", "-shm"), most_kept=None)
    done.moved_aside = str(aside)
    say(f"{why} It is now {aside}.")


@contextmanager
def _unused(lake: Lake, say: Say) -> Iterator[None]:
    """Hold all that pulls or pushes: it would write on into the file that is moved."""
    busy = "Another process is using the ledger; waiting for it."
    locks = [path for folder in ("spool", "push") for path in (lake.data / folder).glob("*.lock")]
    with ExitStack() as stack:
        for path in sorted(locks):  # in the order in which everybody takes several
            stack.enter_context(blocking_file_lock(path, say, busy))
        yield


def _damage_of(settings: Settings) -> str | None:
    try:
        ledger = Ledger(settings.ledger_url)
        try:
            ledger.check()
        finally:
            ledger.close()
    except LedgerDamaged as error:
        return str(error).partition(" Nothing is pulled")[0]
    return None


def _unblock(session: Session, companies: Iterable[Company], done: Repair) -> None:
    now = session.clock().timestamp()
    for company in companies:
        limits = session.rate_limiter(company).limits
        if requests.clear(session.ledger, company.key_id, limits, now):
            done.unblocked.append(company.name)


@dataclass
class _Clock:
    """The machine's clock, and what the company's server says of it: asked once, if at all."""

    session: Session
    company: Company
    doubt: str | None = None
    """Why the server could not be asked; empty where it answered."""

    async def is_confirmed(self, say: Say) -> bool:
        """Tell whether the server's time, if it tells one, is this clock's. Raises WrongClock."""
        if self.doubt is None:
            self.doubt = await self._asked(say)
        return not self.doubt

    async def _asked(self, say: Say) -> str:
        try:
            async with self.session.client(self.company) as client:
                try:
                    await client.get("/auth/verify")
                except (ApiError, Unauthorized) as error:
                    if isinstance(error, Unanswered) and not error.status:
                        return str(error)
                if client.skew is None:
                    say(
                        f"{self.company.base_url} tells no time, so nobody but you can know that "
                        f"this clock is right: it says {self.session.clock():%Y-%m-%d %H:%M} UTC."
                    )
        except WrongClock:
            raise
        except BlsyncError as error:
            return str(error)
        return ""


async def _date_anew(
    site: Site, ledger: Ledger, clock: _Clock, done: Repair
) -> Mapping[str, Redating]:
    """Date anew what a clock that ran ahead has dated; return all loads with their times."""
    company_id, entity, now = site.company_id, site.entity, clock.session.clock()
    found = dating.found_in(site, ledger)
    if not any(dated.is_ahead(now) for dated in found.values()):
        if loads.drop_drift_ahead(ledger, company_id, entity.name, now):
            done.comparisons.append(f"{entity.name} of {company_id}")
        return found
    if not await clock.is_confirmed(site.say):
        site.say(
            f"{entity.name}: loads are dated ahead of this clock and stay so, because the server "
            f"cannot be asked whether it is right: {clock.doubt} Run `blsync repair` again then."
        )
        return found
    for load_id in loads.open_ahead(ledger, company_id, entity.name, now):
        if not site.lake.file_of(entity, company_id, load_id).exists():
            loads.forget(ledger, load_id)  # its spool goes with those that belong to no load
            found.pop(load_id, None)
    moves = dating.moves_of(found, clock.session.settings.zone, now)
    await dating.rewrite(site, moves)
    dating.write_times(ledger, moves)
    if loads.drop_drift_ahead(ledger, company_id, entity.name, now):
        done.comparisons.append(f"{entity.name} of {company_id}")
    done.dated_anew += sorted(moves.times)
    done.uncovered += sorted(moves.uncovered)
    if moves.times:
        site.say(
            f"{entity.name}: {len(moves.times)} loads were dated ahead of now and are dated anew; "
            f"{len(moves.uncovered)} of them covered the time to come, so the next sync pulls "
            "again what they may have missed. The next build starts from the landing."
        )
    return dating.found_in(site, ledger)


def _mend(
    site: Site,
    ledger: Ledger,
    done: Repair,
    pulled_at: Mapping[str, datetime],
    is_taken_over: bool,
) -> None:
    in_landing: set[str] = set()
    known: dict[str, dict[str, Any]] = {}
    for layer in LAYERS:
        for path in parquet_files(site.folder(layer)):
            found = about(path)
            for facts in found.facts:
                if facts.keys() >= _NEEDED and (facts["company_id"], facts["entity"]) == (
                    site.company_id,
                    site.entity.name,
                ):
                    known.setdefault(facts["load_id"], facts)
            if layer == "landing":
                parts = {facts["load_id"] for facts in found.facts if PART in facts}
                in_landing |= found.load_ids - parts
    for load_id, facts in sorted(known.items()):
        is_whole = load_id in in_landing or not _rows(facts)
        if load_id in pulled_at:  # what follows has to be dated later than that
            facts = {"committed_at": pulled_at[load_id].isoformat(), **facts}
        if load_id not in site.landed and is_whole and loads.adopt(ledger, facts):
            done.adopted.append(load_id)
    for load_id, row in site.landed.items():
        if load_id in in_landing or not (_rows(row) or is_taken_over):
            continue
        loads.forget(ledger, load_id)
        done.forgotten.append(load_id)
        if _rows(row):
            site.say(
                f"{load_id}: its {_rows(row)} {site.entity.name} are in no file any more. The next "
                "sync pulls its window again; older versions of these records are lost."
            )


def _rows(facts: dict[str, Any]) -> int:
    return int(facts.get("rows") or 0) + int(facts.get("deleted") or 0)
