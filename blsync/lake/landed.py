"""Which files of the data folder are the lake's, and which ones strayed into it.

A landed file lies in LAYER/ENTITY/company_id=ID/ and has a load's name, or the columns of a load
where somebody has given it another one. Whatever else is there - what an operating system or an
editor leaves behind, somebody's own Parquet file, a folder - is never read, only told.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from blsync.entities import ENTITIES
from blsync.errors import StorageError

LAYERS = ("landing", "quarantine")
TABLES_OF_USER = (
    "account_roles",
    "accepted_exceptions",
    "budget",
    "dimensions",
    "exchange_rates",
    "fiscal_year",
    "group_accounts",
    "group_companies",
    "group_counterparties",
    "group_historical_rates",
    "groups",
    "period_close",
    "tax_codes",
    "tax_cycles",
)
"""What was read of the user's own tables; they may name companies that never landed."""
INPUTS = (
    *TABLES_OF_USER,
    *("companies", "loads", "push_log", "report_figures"),
    *("response_times", "webhook_log", "webhook_payments"),
)
"""What a build reads beside the landing; a file each."""
OF_NO_COMPANY = ("exchange_rates",)
"""Inputs in which no company is named."""
PAYMENTS = "webhook_payments"
"""What lands as records do and is in no list: payments that events brought."""
LOAD_ID = re.compile(r"\d{8}T\d+Z-[0-9a-f]{8}")
OF_A_LOAD = re.compile(rf"00000000-schema\.parquet|{LOAD_ID.pattern}(--.*)?\.parquet")
"""Names of landed files: the schema's, a load's, and those that upkeep made of loads."""
DRAFT = re.compile(r"\..+\.[0-9a-f]{8}\.draft")
"""Names of files that are being written."""
_OF_COMPANY = "company_id="
MOST_NAMED = 5
"""Stray files that are named in one line."""
_COLUMNS = {"landing": {"_op", "_load_id", "_payload"}, "quarantine": {"_reason", "_payload"}}
_LOCKED = ("inputs", "store")
"""What else is locked by a file in the spool: `Lake.inputs_lock`, and what a store is bound to."""
_OF_THE_SPOOL = re.compile(r"(.+)\.(lock|upkeep)")


def folders_of_a_layer() -> tuple[str, ...]:
    """Return the names of a layer's folders: all entities, the user's own too, and payments."""
    return (*ENTITIES, PAYMENTS)


def landed_files(folder: Path) -> list[Path]:
    """Return the landed files in a company's folder of an entity, by name; none without a folder.

    Raises OSError where it is no folder.
    """
    return sorted(entry for entry, is_landed in _entries(folder) if is_landed)


def company_folders(data: Path) -> list[Path]:
    """Return the folders of companies that there are, LAYER/ENTITY/company_id=ID, of the lake's own
    entities alone: a copy beside them is a stray.
    """
    return [
        folder
        for layer in LAYERS
        for entity in folders_of_a_layer()
        for folder in _children(data / layer / entity)
        if folder.name.startswith(_OF_COMPANY) and folder.is_dir()
    ]


def company_of(folder: Path) -> str:
    """Return the id of the company that such a folder is of."""
    return folder.name.removeprefix(_OF_COMPANY)


def drafts(folder: Path) -> list[Path]:
    """Return files that are being written, or were when their process was killed."""
    return [path for path in _children(folder) if DRAFT.fullmatch(path.name)]


def has_loads(data: Path, company_ids: Collection[str]) -> bool:
    """Tell whether a load of one of these companies has landed."""
    return any(
        LOAD_ID.match(path.name)
        for company_id in company_ids
        for entity in ENTITIES
        for path in landed_files(data / "landing" / entity / f"company_id={company_id}")
    )


def files_of_build(data: Path, company_ids: Collection[str]) -> list[tuple[str, str, str]]:
    """Return what a build reads of these companies: (layer, entity, path)."""
    return [
        (layer, entity, str(path))
        for layer in LAYERS
        for entity in ENTITIES
        for company_id in sorted(company_ids)
        for path in landed_files(data / layer / entity / f"company_id={company_id}")
    ]


def strays(data: Path, company_ids: Collection[str]) -> list[str]:
    """Return what lies among the lake's files and is none of them, relative to the data folder.

    Folders of other companies than these are strays as well.
    """
    folders = {f"company_id={company_id}" for company_id in company_ids}
    found = [path for layer in LAYERS for path in _strays_of_layer(data / layer, folders)]
    found += [path for path in _children(data / "spool") if not _is_of_spool(path)]
    inputs = {f"{name}.parquet" for name in INPUTS}
    found += [
        path
        for path in _children(data / "inputs")
        if path.name not in inputs and not DRAFT.fullmatch(path.name)
    ]
    return sorted(str(path.relative_to(data)) for path in found)


def told(stray: Collection[str]) -> str:
    """Return one line on stray files; empty where there are none."""
    if not stray:
        return ""
    names = ", ".join(sorted(stray)[:MOST_NAMED])
    more = f" and {len(stray) - MOST_NAMED} more" if len(stray) > MOST_NAMED else ""
    what = "1 file or folder is" if len(stray) == 1 else f"{len(stray)} files or folders are"
    return (
        f"{what} not blsync's and left alone: {names}{more}. Move what you need out of BLSYNC_DATA "
        "and delete the rest."
    )


def damage_of(path: Path, *, is_thorough: bool = False) -> str | None:
    """Return what is wrong with a Parquet file, None where it can be read.

    Reads its footer, and where `is_thorough` all of its rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if is_thorough:
                for group in range(file.num_row_groups):
                    file.read_row_group(group, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        return " ".join(str(error).split()).rstrip(".")
    return None


def damaged(path: Path, why: object) -> StorageError:
    """Return the error for a damaged file of the lake, with its cure."""
    if "quarantine" in path.parts:
        cure = "move it out of the folder; the next comparison with BigLedger's totals reads again"
        what = "what it held"
    else:
        cure = "move it out of the folder and run `blsync repair`; the next sync then pulls again"
        what = "its window"
    reason = " ".join(str(why).split()).rstrip(".")
    return StorageError(
        f"{path} is not a Parquet file that can be read: {reason}. Restore it from a backup, or "
        f"{cure} {what}."
    )


def _strays_of_layer(root: Path, folders: Collection[str]) -> Iterator[Path]:
    for entity in _children(root):
        if entity.name not in folders_of_a_layer() or not entity.is_dir():
            yield entity
            continue
        for company in _children(entity):
            if company.name not in folders or not company.is_dir():
                yield company
                continue
            for path, is_landed in _entries(company):
                if not is_landed and not DRAFT.fullmatch(path.name):
                    yield path


def _is_of_spool(path: Path) -> bool:
    if LOAD_ID.fullmatch(path.name):
        return path.is_dir()
    part = _OF_THE_SPOOL.fullmatch(path.name)
    return bool(part) and path.name.partition(".")[0] in (*folders_of_a_layer(), *_LOCKED)


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _entries(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield what a folder has, each with whether it is a landed file."""
    try:
        entries = os.scandir(folder)
    except (
        FileNotFoundError,
        NotADirectoryError,
    ):  # what stands in a folder's place is told by use
        return
    with entries:
        for entry in entries:
            path = Path(entry.path)
            is_file = entry.name.endswith(".parquet") and entry.is_file()
            yield path, is_file and (bool(OF_A_LOAD.fullmatch(entry.name)) or _is_renamed(path))


def _is_renamed(path: Path) -> bool:
    """Tell whether a file under any other name holds rows of loads."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return False
    return any(names >= columns for columns in _COLUMNS.values())
