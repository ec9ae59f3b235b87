"""Repair: the ledger's loads brought back in line with the lake, whose footers know them all."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from blsync.binding import open_ledger, take_over
from blsync.entity import Entity
from blsync.errors import StorageError
from blsync.lake import Lake, storage
from blsync.ledger import Ledger, loads
from blsync.settings import Company, Settings
from blsync.upkeep.files import PART, about, parquet_files
from blsync.upkeep.site import Say, Site, site_of

_LOAD_ID = re.compile(r"\d{8}T\d+Z-[0-9a-f]{8}")
_NEEDED = {"load_id", "company_id", "entity", "window_end", "started_at"}


@dataclass
class Repaired:
    """Loads entered into the ledger, loads taken out of it, and spool folders removed."""

    adopted: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    spools: list[str] = field(default_factory=list)


def repair(
    settings: Settings,
    companies: Collection[Company],
    entities: Collection[Entity],
    *,
    is_taken_over: bool = False,
    say: Say = lambda _: None,
) -> Repaired:
    """Enter the lake's loads into the ledger, and take out what the lake has lost.

    Where `is_taken_over`, the ledger belongs to this lake from now on, whatever lake it belonged
    to; a load that landed nothing is then taken out too, because it was of the other lake.

    A load whose rows are in no file any more is taken out of the coverage: the next sync pulls its
    window again. What is right already stays as it is. Raises StorageError.
    """
    lake = Lake(settings.data)
    if is_taken_over:
        take_over(settings)
    ledger = _open(settings)
    pairs = [(company, entity) for company in companies for entity in entities]
    done = Repaired()

    async def all_of_them() -> None:
        for company, entity in pairs:
            company_id = company.company_id
            async with site_of(lake, ledger, entity, company_id, say, lambda _: None) as site:
                _mend(site, ledger, done, is_taken_over)

    try:
        asyncio.run(all_of_them())
        _drop_spools(lake, ledger, done)
    finally:
        ledger.close()
    return done


def _open(settings: Settings) -> Ledger:
    try:
        return open_ledger(settings)
    except StorageError as error:
        raise StorageError(
            f"{error} Where the database itself is damaged, restore it from a backup, or move it "
            "away and run `blsync repair`: loads come back from the lake, plans of pushes do not."
        ) from error


def _mend(site: Site, ledger: Ledger, done: Repaired, is_taken_over: bool) -> None:
    in_landing: set[str] = set()
    known: dict[str, dict[str, Any]] = {}
    for layer in ("landing", "quarantine"):
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


def _drop_spools(lake: Lake, ledger: Ledger, done: Repaired) -> None:
    folder = lake.data / "spool"
    with storage(folder):
        # Listed before the ledger is asked: a load is in it before its first page is spooled.
        spools = [path for path in folder.glob("*") if _LOAD_ID.fullmatch(path.name)]
    still_open = loads.open_ids(ledger)
    for path in spools:
        if path.name not in still_open:
            lake.drop_spool(path.name)
            done.spools.append(path.name)
