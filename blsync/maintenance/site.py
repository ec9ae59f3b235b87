"""An entity's files of one company, held against loads while they are built anew and exchanged."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blsync.entity import Entity
from blsync.errors import BlsyncError, PartlyFailed, StorageError, WrongClock
from blsync.files.atomic import storage_errors, sync_folder
from blsync.files.exchanging import able, exchange
from blsync.files.locks import file_lock
from blsync.files.unexpected import apart
from blsync.lake.landed import DRAFT
from blsync.lake.store import Lake
from blsync.ledger import Ledger, lakes, loads
from blsync.session import Say, Session

Contents = dict[str, tuple[int, int, int]]


@dataclass(frozen=True)
class Site:
    """What upkeep works on; `landed` are the loads that the ledger says are landed, by id, `origin`
    is what footers say of the lake and the server.

    `on_step` hears of each step once it is done.
    """

    lake: Lake
    entity: Entity
    company_id: str
    landed: dict[str, dict[str, Any]]
    origin: dict[str, str]
    say: Say
    on_step: Say

    @property
    def work(self) -> Path:
        """Where folders are built: on the lake's file system, outside what readers list."""
        return self.lake.data / "spool" / f"{self.entity.name}.{self.company_id}.upkeep"

    def folder(self, layer: str) -> Path:
        """Return the folder of a layer (landing, quarantine); it need not exist."""
        return self.lake.folder(layer, self.entity, self.company_id)

    def draft(self, layer: str) -> Path:
        """Return the folder that is to take the layer's place."""
        return self.work / layer

    def contents(self, layer: str) -> Contents:
        """Return what the layer's folder has, strays too, with what tells one content from
        another.
        """
        found = {}
        with storage_errors(self.folder(layer)):
            for path in self.folder(layer).iterdir():
                if not DRAFT.fullmatch(path.name):
                    about = path.lstat()
                    found[path.name] = (about.st_ino, about.st_size, about.st_mtime_ns)
        return found

    def keep(self, layer: str, name: str) -> None:
        """Take a file over into the draft as it is, or a stray folder with all that it has."""
        source, target = self.folder(layer) / name, self.draft(layer) / name
        with able(self.folder(layer)):
            self.draft(layer).mkdir(parents=True, exist_ok=True)
            if source.is_dir() and not source.is_symlink():
                shutil.copytree(source, target, symlinks=True, copy_function=_link)
            else:
                _link(source, target)

    async def put_in_place(self, layer: str, before: Contents) -> None:
        """Exchange the layer's folder for its draft, which was built from what it had `before`.

        Waits for a running build of the marts. Raises StorageError, and has changed nothing then.
        """
        folder, draft = self.folder(layer), self.draft(layer)
        with storage_errors(draft):
            sync_folder(draft)
            sync_folder(self.work)
        self.on_step(f"{layer} built")
        # A build that lists the landing twice has to find the same files. Whoever holds its lock
        # waits for no pull, so that holding the pull's is no deadlock.
        busy = "The marts are being built; waiting for it."
        async with file_lock(self.lake.build_lock, self.say, busy):
            if self.contents(layer) != before:
                raise StorageError(
                    f"{folder} was changed by something other than blsync meanwhile, so it was "
                    "left as it is. Run the same command again."
                )
            published = self.lake.mirror.publish(folder, draft) if self.lake.mirror else None
            exchange(draft, folder)
            if published:
                published()
            self.on_step(f"{layer} exchanged")
            with storage_errors(folder):
                sync_folder(folder.parent)
                sync_folder(self.work)
        shutil.rmtree(draft, ignore_errors=True)  # what is left goes the next time
        self.on_step(f"{layer} cleared")


@dataclass
class Failures:
    """What failed while each entity of each company was looked after, by their names.

    `data` is the folder that keeps the details of what nobody foresaw.
    """

    data: Path
    errors: dict[str, BlsyncError] = field(default_factory=dict)
    done: int = 0

    @contextmanager
    def apart(self, entity: Entity, company: str) -> Iterator[None]:
        """Keep an entity's error from the others."""
        what = f"{entity.name} of {company}"
        try:
            yield
            self.done += 1
        except WrongClock:  # it is wrong for all of them
            raise
        except Exception as error:
            self.errors[what] = apart(error, f"The upkeep of {what}", self.data)

    def raise_any(self) -> None:
        """Raise what failed: PartlyFailed where others are done."""
        if not self.errors:
            return
        errors = [*self.errors.values()]
        if len(errors) == 1 and not self.done:
            raise errors[0]
        told = " ".join(f"{what} failed: {error}" for what, error in self.errors.items())
        if not self.done:
            raise BlsyncError(told) from errors[0]
        raise PartlyFailed(f"{told} The others are done.") from errors[0]


@asynccontextmanager
async def site_of(
    session: Session, entity: Entity, company_id: str, on_step: Say
) -> AsyncIterator[Site]:
    """Hold an entity's files of a company: no load lands meanwhile. Raises StorageError."""
    lake, ledger = session.lake, session.ledger
    busy = f"A sync is pulling {entity.name}; waiting for it."
    async with session.hold(entity, company_id, busy):
        landed = {
            row["load_id"]: row
            for row in loads.history(ledger)
            if (row["company_id"], row["entity"]) == (company_id, entity.name)
        }
        site = Site(
            lake, entity, company_id, landed, _origin(ledger, company_id), session.say, on_step
        )
        shutil.rmtree(site.work, ignore_errors=True)  # of a killed process
        if site.folder("landing").exists():
            lake.ensure_schema(entity, company_id)
        try:
            with storage_errors(site.folder("landing")):
                yield site
        finally:
            shutil.rmtree(site.work, ignore_errors=True)


def _origin(ledger: Ledger, company_id: str) -> dict[str, str]:
    bound = lakes.find(ledger)
    if bound is None or company_id not in bound.companies:
        return {}
    return {"base_url": bound.companies[company_id].base_url, "lake_id": bound.lake_id}


def _link(source: str | Path, target: str | Path) -> None:
    os.link(source, target, follow_symlinks=False)
