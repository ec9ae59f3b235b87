"""The lake: pages in the spool, typed records in Parquet, what cannot be typed in quarantine.

Nothing that is landed is ever changed. A file appears under its name whole or not at all: it is
written under another one, synced, renamed. Its footer holds all that the ledger knows of the load.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from blsync.entity import LOAD_COLUMNS, Entity, Record
from blsync.errors import StorageError

LOCK_POLL = 0.2
"""Seconds between looks at a lock that another process holds."""
STALE_SECONDS = 3600
"""Age of a draft that no process is writing any more."""
_FOOTER = b"blsync"
_BUILTIN = (Decimal, datetime, date)
_UNFIT = (pa.ArrowInvalid, OverflowError)
"""What Arrow raises for a value that its column cannot hold."""
_QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field("_payload", pa.string()),
        pa.field("_reason", pa.string()),
        pa.field("_load_id", pa.string()),
        pa.field("_request_id", pa.string()),
    ]
)


@dataclass(frozen=True)
class Received:
    """A record as it came: its bytes, and the request that brought it."""

    payload: msgspec.Raw
    request_id: str
    pulled_at: datetime


@dataclass(frozen=True)
class Landed:
    """What a load brought."""

    rows: int
    quarantined: int


class Lake:
    """The files under `BLSYNC_DATA`."""

    def __init__(self, data: Path) -> None:
        """Raises StorageError where the folder cannot be written."""
        self.data = data
        with storage(data):
            data.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=data):
                pass

    def spool(self, load_id: str, feed: str, number: int) -> Path:
        """Return where a page's bytes lie until the load is landed."""
        return self.data / "spool" / load_id / f"{feed.replace(' ', '-')}-{number:06d}.json"

    def put_page(self, path: Path, body: bytes) -> None:
        """Write a page to the spool."""
        with storage(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_synced(path, body)

    def drop_spool(self, load_id: str) -> None:
        """Delete the pages of a landed load."""
        shutil.rmtree(self.data / "spool" / load_id, ignore_errors=True)

    def file_of(self, entity: Entity, company_id: str, load_id: str) -> Path:
        """Return where a load's records land."""
        return self._folder("landing", entity, company_id) / f"{load_id}.parquet"

    def ensure_schema(self, entity: Entity, company_id: str) -> None:
        """Give every entity a file, if one of no rows, so that it can be read before it has any."""
        path = self.file_of(entity, company_id, "00000000-schema")
        if not path.exists():
            with storage(path), appearing(path) as draft:
                pq.write_table(entity.schema.empty_table(), draft)

    def held(self, entity: Entity, company_id: str, since: datetime | None) -> set[int]:
        """Return the fingerprints of the record versions held that changed at `since` or later.

        Those in quarantine are held too: the same fault is not reported anew every night.
        """
        import pyarrow.dataset as ds  # brings pandas, which every command would wait for

        folder = self._folder("landing", entity, company_id)
        if not folder.exists():
            return set()
        fields = {feed.change_field for feed in entity.feeds}
        # A record without a change time may be any age: it always counts.
        recent = pc.scalar(since is None)
        for name in fields:
            recent |= (pc.field(name) >= since) | pc.field(name).is_null()
        rows = ds.dataset(folder, format="parquet", schema=entity.schema).to_batches(
            columns=["_payload"], filter=recent & (pc.field("_op") == "upsert")
        )
        found = {fingerprint(text.encode()) for batch in rows for text in batch[0].to_pylist()}
        rejected = self._folder("quarantine", entity, company_id)
        for path in rejected.glob("*.parquet"):
            payloads = pq.read_table(path, columns=["_payload"])[0].to_pylist()
            found |= {fingerprint(text.encode()) for text in payloads}
        return found

    def land(
        self,
        entity: Entity,
        company_id: str,
        load_id: str,
        batches: Iterable[list[Received]],
        facts: dict[str, Any],
    ) -> Landed:
        """Type the records and land them; `facts` go into the footer with the counts.

        No file is made for a load without rows. Raises StorageError.
        """
        path = self.file_of(entity, company_id, load_id)
        rows = 0
        rejects: list[dict[str, str]] = []
        with storage(path), appearing(path) as draft:
            with pq.ParquetWriter(draft, entity.schema, compression="zstd") as writer:
                for batch in batches:
                    table = type_records(entity, company_id, load_id, batch, rejects)
                    writer.write_table(table)
                    rows += table.num_rows
                counts = {"rows": rows, "quarantined": len(rejects)}
                writer.add_key_value_metadata({_FOOTER: json.dumps(facts | counts)})
            if rejects:
                self._quarantine(entity, company_id, load_id, rejects)
            if not rows:
                draft.unlink()
        return Landed(rows, len(rejects))

    def facts_of(self, path: Path) -> dict[str, Any]:
        """Return what a landed file's footer says of its load."""
        with storage(path):
            facts: dict[str, Any] = json.loads(pq.read_metadata(path).metadata[_FOOTER])
        return facts

    def write_input(self, name: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
        """Write a small table for the marts' build."""
        path = self.data / "inputs" / f"{name}.parquet"
        with storage(path), appearing(path) as draft:
            pq.write_table(pa.Table.from_pylist(rows, schema), draft)

    def read_input(self, name: str) -> list[dict[str, Any]]:
        """Return such a table's rows; none where it was never written."""
        path = self.data / "inputs" / f"{name}.parquet"
        if not path.exists():
            return []
        with storage(path):
            rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows

    def _folder(self, layer: str, entity: Entity, company_id: str) -> Path:
        return self.data / layer / entity.name / f"company_id={company_id}"

    def _quarantine(
        self, entity: Entity, company_id: str, load_id: str, rejects: list[dict[str, str]]
    ) -> None:
        path = self._folder("quarantine", entity, company_id) / f"{load_id}.parquet"
        rows = [reject | {"_load_id": load_id} for reject in rejects]
        with appearing(path) as draft:
            pq.write_table(pa.Table.from_pylist(rows, _QUARANTINE_SCHEMA), draft)


def fingerprint(payload: bytes | msgspec.Raw) -> int:
    """Return 64 bits that tell one version of a record from another."""
    return int.from_bytes(hashlib.blake2b(payload, digest_size=8).digest(), "big")


def type_records(
    entity: Entity,
    company_id: str,
    load_id: str,
    batch: list[Received],
    rejects: list[dict[str, str]],
) -> pa.Table:
    """Return the records as an Arrow table; those that cannot be typed are added to `rejects`."""
    rows, kept = [], []
    for received in batch:
        try:
            record = entity.decoder.decode(received.payload)
            rows.append(_row(entity, record, company_id, load_id, received))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            rejects.append(_reject(received, str(error)))
            continue
        kept.append(received)
    try:
        return pa.Table.from_pylist(rows, entity.schema)
    except _UNFIT:
        good = []
        for row, received in zip(rows, kept, strict=True):
            try:
                good.append(pa.Table.from_pylist([row], entity.schema))
            except _UNFIT as error:
                rejects.append(_reject(received, f"{error} (in {_culprit(entity, row)})"))
        return pa.concat_tables([entity.schema.empty_table(), *good])


def _row(
    entity: Entity, record: Record, company_id: str, load_id: str, received: Received
) -> dict[str, Any]:
    for name in entity.free_form_fields:
        text = str(getattr(record, name), "utf-8")
        setattr(record, name, None if text == "null" else text)
    row: dict[str, Any] = msgspec.to_builtins(record, builtin_types=_BUILTIN)
    load = (company_id, load_id, received.pulled_at, received.request_id, "upsert")
    row.update(zip((field.name for field in LOAD_COLUMNS), load, strict=False))
    row["_payload"] = str(received.payload, "utf-8")
    return row


def _reject(received: Received, reason: str) -> dict[str, str]:
    payload = bytes(received.payload).decode("utf-8", "replace")
    return {"_payload": payload, "_reason": reason, "_request_id": received.request_id}


def _culprit(entity: Entity, row: dict[str, Any]) -> str:
    for field in entity.schema:
        try:
            pa.array([row.get(field.name)], field.type)
        except _UNFIT:
            return str(field.name)
    return "the record"


@asynccontextmanager
async def alone(path: Path, say: Callable[[str], None], busy: str) -> AsyncIterator[None]:
    """Hold the lock file for this process; says `busy` once where another has to be waited for.

    The lock ends with the process, however it ends. Raises StorageError.
    """
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    with file:
        has_said = False
        while not _is_locked(file):
            if not has_said:
                say(busy)
            has_said = True
            await asyncio.sleep(LOCK_POLL)
        yield


def _is_locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn what the disk says into StorageError, with the path and what to do."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written or read: {error.strerror or error}. Free some room or mend "
            "the folder's permissions (BLSYNC_DATA names it) and run the same command again; "
            "nothing was half written."
        ) from error


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Yield a draft's path; the draft gets its name once it is whole and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*.draft"):  # of a killed process
        if time.time() - left.stat().st_mtime > STALE_SECONDS:
            left.unlink(missing_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.draft")
    try:
        yield draft
        if draft.exists():
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            draft.replace(path)
            _sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _write_synced(path: Path, body: bytes) -> None:
    with path.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
