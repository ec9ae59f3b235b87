"""Dropping a company: all that is held of it leaves the lake, the ledger and the marts.

Killed at any moment, the same command ends what it began: a note in the data folder tells how far
it came, and while half of a company may be gone no other command runs.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from blsync import marts, push
from blsync.entities import ENTITIES
from blsync.errors import BlsyncError, BuildError, ConfigError, SafetyLimit
from blsync.files.aside import MARK, remove
from blsync.files.atomic import atomic_write, storage_errors
from blsync.files.locks import blocking_file_lock
from blsync.lake.landed import (
    INPUTS,
    OF_NO_COMPANY,
    TABLES_OF_USER,
    company_folders,
    company_of,
    drafts,
    landed_files,
)
from blsync.lake.store import Lake
from blsync.ledger import Ledger, lakes, sqlite_file
from blsync.ledger.lakes import PlanTally
from blsync.orchestration import nightly
from blsync.session import binding, lake_of
from blsync.settings import Settings

Say = Callable[[str], None]


@dataclass
class Holding:
    """An entity's files of a company, landing and quarantine together; `size` in bytes."""

    files: int = 0
    rows: int = 0
    size: int = 0


@dataclass
class Survey:
    """All that is held of a company; `inputs` are rows that a build of the marts reads.

    `others` are the ids of the companies that the marts are left with. `left` are paths of what is
    not the lake's and may hold something of the company all the same: it is told, not removed.
    """

    company_id: str
    name: str
    entities: dict[str, Holding] = field(default_factory=dict)
    loads: list[str] = field(default_factory=list)
    plans: list[PlanTally] = field(default_factory=list)
    inputs: int = 0
    others: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    is_dropped: bool = False

    @property
    def unanswered(self) -> int:
        """Rows that were pushed and of which nobody knows what became of them."""
        return sum(plan.unanswered for plan in self.plans)

    def to_json(self) -> dict[str, Any]:
        """Return {company_id, name, entities: {NAME: {files, rows, size}}, loads, plans, inputs,
        others, left, is_dropped, unanswered}; `loads` is their number.
        """
        return asdict(self) | {"loads": len(self.loads), "unanswered": self.unanswered}


def survey(settings: Settings, name: str) -> Survey:
    """Return what is held of the company with that name or id, also one no longer in the settings.

    Raises ConfigError for a name that is none, StorageError.
    """
    with closing(binding.open_to_drop(settings)) as ledger:
        return _survey(settings, ledger, name)


def drop(
    settings: Settings,
    name: str,
    *,
    allow: bool = False,
    say: Say = lambda _: None,
    on_step: Say = lambda _: None,
) -> Survey:
    """Remove all that is held of a company, then build and publish the marts without it.

    Waits for syncs, pushes and builds that are running. Raises ConfigError for a name that is none,
    SafetyLimit where rows of a push are unanswered and `allow` is not given, StorageError, and
    BuildError where the others' marts cannot be built: the company is out of the lake then.
    `on_step` hears of each step once it is done.
    """
    with closing(binding.open_to_drop(settings)) as ledger:
        company_id = _survey(settings, ledger, name).company_id
        lake = lake_of(settings, ledger)
        with _alone(lake, ledger, company_id, say):
            found = _survey(settings, ledger, name)
            _refuse_unanswered(found, allow)
            _note(settings, found, "removing")
            on_step("noted")
            _empty_lake(lake, found)
            on_step("lake emptied")
            lakes.drop(ledger, company_id)
            on_step("ledger emptied")
            _empty_inputs(lake, company_id, say)
            binding.release(settings, ledger, company_id)
            _note(settings, found, "rebuilding")
            on_step("released")
    _renew_marts(settings, found, say)
    on_step("marts renewed")
    with storage_errors(settings.data):
        (settings.data / binding.DROPPING).unlink(missing_ok=True)
        found.left = _left(settings, found)
    found.is_dropped = True
    return found


def _survey(settings: Settings, ledger: Ledger, name: str) -> Survey:
    company_id, known_as = _resolved(settings, ledger, name)
    found = Survey(company_id, known_as)
    for folder in _folders(settings.data, company_id):
        holding = found.entities.setdefault(folder.parent.name, Holding())
        with storage_errors(folder):
            for path in landed_files(folder):
                holding.files += 1
                holding.rows += _rows_of(path)
                holding.size += path.stat().st_size
    found.loads = lakes.loads_of(ledger, company_id)
    found.plans = lakes.plans_of(ledger, company_id)
    # Each of the inputs may be lost; whoever has landed is in the next marts in any case.
    others, lake = binding.landed_companies(settings.data), Lake(settings.data)
    for name in INPUTS:
        if (table := _input(lake.input_file(name))) is not None:
            ids = table["company_id"].to_pylist()
            found.inputs += ids.count(company_id)
            others.update(filter(None, ids if name not in TABLES_OF_USER else ()))
    found.others = sorted(others - {company_id})
    with storage_errors(settings.data):
        found.left = _left(settings, found)
    return found


def _resolved(settings: Settings, ledger: Ledger, name: str) -> tuple[str, str]:
    """Return the id and the name of the company that is meant."""
    bound = binding.read(settings.data)
    names = {id_: origin.name for id_, origin in bound.companies.items()} if bound else {}
    ids_in_lake = set(map(company_of, company_folders(settings.data)))
    for company_id in lakes.held_companies(ledger) | ids_in_lake:
        names.setdefault(company_id, company_id)
    if note := binding.dropping(settings.data):
        names.setdefault(note["company_id"], note["name"])
    for company in settings.companies():
        if company.company_id in names:
            names[company.company_id] = company.name
    meant = [id_ for id_, known_as in names.items() if name in (id_, known_as)]
    if len(meant) > 1:
        raise ConfigError(f"{name!r} is {' and '.join(sorted(meant))}; give the company id.")
    if not meant:
        known = ", ".join(sorted({*names, *names.values()})) or "none"
        raise ConfigError(f"{settings.data} holds no company {name!r}. It holds: {known}.")
    return meant[0], names[meant[0]]


def _refuse_unanswered(found: Survey, allow: bool) -> None:
    if not found.unanswered or allow:
        return
    plans = ", ".join(plan.plan_id for plan in found.plans if plan.unanswered)
    raise SafetyLimit(
        f"{found.unanswered} rows that were pushed for {found.name} are not answered yet (plans "
        f"{plans}): what became of them at BigLedger would never be known here. Run `blsync push "
        "settle` first, with the company in the settings; or, where that cannot be, "
        f"`blsync company drop {found.company_id} --yes --allow`. Nothing was removed."
    )


@contextmanager
def _alone(lake: Lake, ledger: Ledger, company_id: str, say: Say) -> Iterator[None]:
    """Hold everything of the company: its entities, its pushes, and the build of the marts."""
    locks = [lake.lock_of(entity, company_id) for entity in ENTITIES.values()]
    locks += [lake.data / "push" / f"{name}.{company_id}.lock" for name in push.EVERY]
    # In the order in which everybody takes several, or two would wait for each other. The build's
    # comes last, as everywhere: whoever holds it waits for nothing else.
    with ExitStack() as held:
        for lock in sorted(locks):
            held.enter_context(ledger.blocking_lock(lock, say, _held(lock)))
        held.enter_context(blocking_file_lock(lake.build_lock, say, _held(lake.build_lock)))
        held.enter_context(ledger.blocking_lock(lake.inputs_lock, say, _held(lake.inputs_lock)))
        if lake.mirror:
            lake.mirror.bring_inputs()
        yield


def _held(lock: Path) -> str:
    return f"{lock.name} is held by a running command; waiting for it."


def _empty_lake(lake: Lake, found: Survey) -> None:
    for load_id in found.loads:
        lake.drop_spool(load_id)
    if lake.mirror:
        lake.mirror.drop(found.company_id)
    for folder in _folders(lake.data, found.company_id):
        with storage_errors(folder):
            for path in [*landed_files(folder), *drafts(folder)]:
                path.unlink()
            with suppress(OSError):  # what strayed into it stays, and is told
                folder.rmdir()


def _empty_inputs(lake: Lake, company_id: str, say: Say) -> None:
    with storage_errors(lake.data / "inputs"):
        for path in drafts(lake.data / "inputs"):
            path.unlink(missing_ok=True)  # nobody writes while the build's lock is held
    for name in INPUTS:
        path = lake.input_file(name)
        if not os.path.lexists(path):
            continue
        table = _input(path)
        with storage_errors(path):
            if name in OF_NO_COMPANY:  # the user's, written anew by each build
                remove(path)
                continue
            if table is None:
                remove(path)
                say(f"{path} was damaged and is removed; the next `blsync sync` makes it anew.")
                continue
            with atomic_write(path) as draft:
                kept = pc.invert(pc.fill_null(pc.equal(table["company_id"], company_id), False))
                pq.write_table(table.filter(kept), draft)
                if lake.mirror:
                    lake.mirror.put(draft, path)


def _input(path: Path) -> pa.Table | None:
    """Return an input as it is; None where it was never written, or is damaged.

    Damage holds up no removal: what is damaged goes as well.
    """
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (OSError, pa.ArrowException):
        return None
    types = dict(zip(table.column_names, table.schema.types, strict=True))
    return table if types.get("company_id") == pa.string() else None


def _renew_marts(settings: Settings, found: Survey, say: Say) -> None:
    """Publish the marts without the company; where no other is left, take them away."""
    target = marts.published_file(settings)
    if found.others and target.exists():
        say(f"Building the marts without {found.name} …")
        try:
            nightly.build(settings, say, is_full=True, allow=True)
        except BlsyncError as error:
            raise BuildError(
                f"{found.name} is out of the lake and the ledger, but the marts cannot be built "
                f"without it, so the published ones still show it: {error} Then run `blsync "
                f"company drop {found.company_id} --yes` again."
            ) from error
        gone = [target.with_name(marts.MARTS_BEFORE)]
    else:
        gone = [target.with_name(name) for name in marts.PUBLISHED]
        gone += settings.data.glob("build.duckdb*")
        gone += [settings.data / name for name in ("build.whole", "build.models")]
    busy = "A build is running; waiting for it."
    with blocking_file_lock(Lake(settings.data).build_lock, say, busy):
        for path in [*gone, *_old_marts(settings)]:
            with storage_errors(path):
                remove(path)


def _old_marts(settings: Settings) -> list[Path]:
    """Return what shows the company beside the marts: those from before BLSYNC_PUBLISH_TO was set,
    what was moved aside as damaged, what a killed process was writing, the list of a build's files.
    """
    places = {settings.data, settings.publish_to}
    found = [settings.data / "build.files", *settings.data.glob(f"build.*{MARK}*Z")]
    for name in marts.PUBLISHED:
        found += [place / name for place in places - {settings.publish_to}]
        for place in places:
            found += place.glob(f"{name}{MARK}*Z")
            # A report may be under way, and its draft goes with the next one.
            found += place.glob(f".{name}.*.draft") if name != marts.REPORT else ()
    return found


def _left(settings: Settings, found: Survey) -> list[str]:
    """Return what strayed into the company's folders; and what was moved aside as damaged, of
    which nobody knows whose it was: a ledger, other plans than the company's own.
    """
    data, left = settings.data, []
    for folder in _folders(data, found.company_id):
        removed = {*landed_files(folder), *drafts(folder)}
        left += [path for path in folder.iterdir() if path not in removed]
    if ledger := sqlite_file(settings.ledger_url):
        left += ledger.parent.glob(f"{glob.escape(ledger.name)}*{MARK}*")
    own = tuple(f"{plan.plan_id}." for plan in found.plans)
    left += [path for path in data.glob(f"plans/*{MARK}*") if not path.name.startswith(own)]
    left += data.glob(f"inputs/*{MARK}*")
    return sorted(map(str, left))


def _note(settings: Settings, found: Survey, state: str) -> None:
    path = settings.data / binding.DROPPING
    told = {"company_id": found.company_id, "name": found.name, "state": state}
    with storage_errors(path), atomic_write(path) as draft:
        draft.write_text(json.dumps(told))


def _folders(data: Path, company_id: str) -> list[Path]:
    return [folder for folder in company_folders(data) if company_of(folder) == company_id]


def _rows_of(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException):  # a damaged file goes as well
        return 0
