"""The lake: pages in the spool, typed records in Parquet, what cannot be typed in quarantine.

Nothing that is landed is ever changed. A file appears under its name whole or not at all: it is
written under another one, synced, renamed. Its footer holds all that the ledger knows of the load.
Where several machines share the lake, what is written goes into their bucket before it has its name
(`blsync.lake.mirror`).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from array import array
from collections import Counter
from collections.abc import (
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from blsync.entity import Entity
from blsync.errors import StorageError
from blsync.files.atomic import atomic_write, storage_errors
from blsync.files.permissions import close_data_folder
from blsync.lake.landed import LAYERS, LOAD_ID, damage_of, damaged, landed_files
from blsync.lake.landing import QUARANTINE, Landing
from blsync.lake.mirror import Mirror
from blsync.lake.splitting import Torn, is_json, take_apart
from blsync.lake.typing import KEY_SEPARATOR, Fingerprints, Versions, as_bytes, fingerprint, key_of
from blsync.ledger.loads import SpooledPage

# Arrow's own pool keeps what was freed: a pull of a million invoices then takes a quarter more.
pa.set_memory_pool(pa.system_memory_pool())


def _hide_pandas(name: str, *_: object) -> None:
    if name == "pandas":
        raise ModuleNotFoundError(name)


# At its first array pyarrow brings pandas, where there is one: half a second and 60 MB of which we
# use nothing. Whoever asks for pandas later, `to_pandas` for one, still gets it.
sys.meta_path.insert(0, SimpleNamespace(find_spec=_hide_pandas))
pa.array([None])
del sys.meta_path[0]

BATCH = 4_096
"""Rows read from the landing at a time."""
NAMELESS = "?"
"""Begins what stands for the key of a record in quarantine that has none."""
FOOTER = b"blsync"
"""Under this key a file's footer holds, as JSON, what the ledger knows of its load."""
_TIME = pa.timestamp("us", "UTC")
_KEYS = pa.schema([("key", pa.string()), ("pulled_at", _TIME), ("at", _TIME)])
_UPSERTS = pc.field("_op") == "upsert"
_DELETES = pc.field("_op") == "delete"


class Lake:
    """The files under `BLSYNC_DATA`, and with a `mirror` those in the bucket that it mirrors."""

    def __init__(self, data: Path, mirror: Mirror | None = None) -> None:
        """Raises StorageError where the folder cannot be written, ConfigError where others can."""
        self.data, self.mirror = data, mirror
        with storage_errors(data):
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            close_data_folder(data)
            with tempfile.TemporaryFile(dir=data):
                pass
        for name in (*LAYERS, "spool", "inputs"):
            folder = data / name
            if os.path.lexists(folder) and not folder.is_dir():
                raise StorageError(
                    f"{folder} is no folder, but a file or a link that leads nowhere. Move it "
                    "elsewhere and run the same command again."
                )

    def spool(self, load_id: str, page: SpooledPage) -> Path:
        """Return where a page's bytes lie until the load is landed.

        Where other machines may go on with the load, the name tells which of them has read it.
        """
        feed = page.feed.replace(" ", "-").replace("/", "_")
        read_at = f"-{page.pulled_at:%Y%m%dT%H%M%S%f}Z" if self.mirror else ""
        return self.data / "spool" / load_id / f"{feed}-{page.number:06d}{read_at}.json"

    def is_spooled(self, load_id: str, page: SpooledPage) -> bool:
        """Tell whether a page is in the spool, whole; a power cut may have left half of one."""
        path = self.spool(load_id, page)
        if self.mirror and not path.exists():
            self.mirror.fetch_page(path)
        try:
            body = path.read_bytes()
            if not is_json(body):  # a record of it may be damaged, as it came
                take_apart(body)
        except (OSError, Torn):
            return False
        return True

    def lock_of(self, entity: Entity, company_id: str) -> Path:
        """Return the file that is locked by whoever changes an entity's files."""
        return self.data / "spool" / f"{entity.name}.{company_id}.lock"

    @property
    def build_lock(self) -> Path:
        """Return the file that is locked by whoever builds the marts, or exchanges folders."""
        return self.data / "build.lock"

    @property
    def inputs_lock(self) -> Path:
        """Return the file that is locked by whoever changes what a build reads beside the
        landing, on any machine.
        """
        return self.data / "spool" / "inputs.lock"

    @property
    def full_build_marker(self) -> Path:
        """Return the file that has the next build start from the landing alone while it exists."""
        return self.data / "build.full"

    @property
    def build_files(self) -> Path:
        """Return the Parquet file that tells a running build which files of the lake it reads."""
        return self.data / "build.files"

    def put_page(self, path: Path, body: bytes) -> None:
        """Write a page to the spool.

        It survives a kill; after a power cut it may be found broken, and is asked for again.
        """
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        if self.mirror:
            self.mirror.put_page(path)

    def drop_spool(self, load_id: str) -> None:
        """Delete the pages of a landed load."""
        shutil.rmtree(self.data / "spool" / load_id, ignore_errors=True)
        if self.mirror:
            self.mirror.drop_spool(load_id)

    def drop_left_spools(self, open_ids: Callable[[], Collection[str]]) -> list[str]:
        """Delete the pages of loads that landed before they were killed; return the loads' ids.

        `open_ids` asks the ledger for the loads that have not landed. Raises StorageError.
        """
        folder = self.data / "spool"
        with storage_errors(folder):
            # Listed before the ledger is asked: a load is in it before its first page is spooled.
            folders = [path for path in folder.glob("*Z-*") if path.is_dir()]
        named = {path.name for path in folders} | (self.mirror.spooled() if self.mirror else set())
        spooled = {name for name in named if LOAD_ID.fullmatch(name)}
        left = sorted(spooled - set(open_ids()))
        for load_id in left:
            self.drop_spool(load_id)
        return left

    def file_of(self, entity: Entity, company_id: str, load_id: str) -> Path:
        """Return where a load's records land."""
        return self.folder("landing", entity, company_id) / f"{load_id}.parquet"

    def ensure_schema(self, entity: Entity, company_id: str) -> None:
        """Give an entity a file of no rows with all its fields, so that those can be read that no
        record has yet, or that the version before did not know.
        """
        path = self.file_of(entity, company_id, "00000000-schema")
        with storage_errors(path):
            if not (path.exists() and not damage_of(path) and _has_schema(path, entity.schema)):
                with atomic_write(path) as draft:
                    pq.write_table(entity.schema.empty_table(), draft)
                    if self.mirror:
                        self.mirror.put(draft, path)

    def stored(
        self,
        entity: Entity,
        company_id: str,
        since: datetime | None,
        load_id: str = "",
        seen_as: Callable[[str], str | None] | None = None,
    ) -> Fingerprints:
        """Return the versions held as they were last seen, of records that changed at `since` on.

        Those in quarantine are held too: the same fault is not reported anew every night; but not
        those that a load put there before it was killed, where it asks itself. Those of a record
        that is marked deleted are not: should it come back, it lands again. `seen_as` makes of a
        record what is compared; None: it does not count as held.
        """
        # A record without a change time may be any age: it always counts.
        recent = pc.scalar(since is None)
        for name in {feed.change_field for feed in entity.feeds}:
            recent |= (pc.field(name) >= since) | pc.field(name).is_null()
        columns = ["_payload", "_pulled_at", *entity.key]
        deleted = self._deleted(entity, company_id)
        versions = Versions()
        for batch in self._batches(entity, company_id, columns, recent & _UPSERTS):
            payloads, times, *parts = (column.to_pylist() for column in batch.columns)
            keys = list(map(KEY_SEPARATOR.join, zip(*parts, strict=True)))
            if seen_as:
                payloads = [seen_as(payload) if payload else payload for payload in payloads]
            gone = [
                key in deleted and at <= deleted[key] for key, at in zip(keys, times, strict=True)
            ]
            versions.add(
                keys, times, [None if g else p for g, p in zip(gone, payloads, strict=True)]
            )
        found = Fingerprints(versions.latest())
        for payloads in self._quarantined(entity, company_id, load_id):
            found.add(payloads)
        return found

    def stored_keys(self, entity: Entity, company_id: str) -> pa.Table:
        """Return every record held that is not marked deleted: `key` as one text, and `at`.

        `at` is the latest `entity.created_field` (UTC; null for a record in quarantine).
        """
        columns = [*entity.key, "_pulled_at", entity.created_field]
        parts = [_KEYS.empty_table()]
        for batch in self._batches(entity, company_id, columns, _UPSERTS):
            key = pc.binary_join_element_wise(*batch.columns[:-2], KEY_SEPARATOR)
            parts.append(pa.table([key, *batch.columns[-2:]], schema=_KEYS))
        rows = (
            pa.concat_tables(parts).group_by("key").aggregate([("pulled_at", "max"), ("at", "max")])
        )
        if deleted := self._deleted(entity, company_id):
            gone = pa.table({"key": list(deleted), "deleted_at": list(deleted.values())})
            rows = rows.join(gone, "key")
            came_back = pc.field("pulled_at_max") > pc.field("deleted_at")
            rows = rows.filter(came_back | pc.field("deleted_at").is_null())
        held = rows.select(["key", "at_max"]).rename_columns(["key", "at"])
        known = held["key"]
        others = pa.array(sorted(self._quarantined_keys(entity, company_id, deleted)), pa.string())
        others = others.filter(pc.invert(pc.is_in(others, known)))
        return pa.concat_tables(
            [held, pa.table([others, pa.nulls(len(others), _TIME)], schema=held.schema)]
        )

    def stored_count(self, entity: Entity, company_id: str) -> int:
        """Return how many records `stored_keys` has, in 8 bytes of memory for each."""
        deleted = self._deleted(entity, company_id)
        hashes = array("q")
        for batch in self._batches(entity, company_id, [*entity.key, "_pulled_at"], _UPSERTS):
            *parts, times = batch.columns
            texts = (part.to_pylist() for part in parts)
            keys = list(map(KEY_SEPARATOR.join, zip(*texts, strict=True)))
            if deleted:
                pulled = zip(keys, times.to_pylist(), strict=True)
                keys = [key for key, at in pulled if key not in deleted or at > deleted[key]]
            hashes.extend(map(hash, keys))
        hashes.extend(map(hash, self._quarantined_keys(entity, company_id, deleted)))
        known = np.frombuffer(hashes, np.int64)
        known.sort()
        return len(known) - int(np.count_nonzero(known[1:] == known[:-1]))

    def _quarantined_keys(
        self, entity: Entity, company_id: str, deleted: Mapping[str, datetime]
    ) -> set[str]:
        """Return the keys of the records in quarantine, and what stands for those that have none;
        less those marked deleted.
        """
        return {
            key_of(entity, payload) or f"{NAMELESS}{fingerprint(payload)}"
            for payloads in self._quarantined(entity, company_id)
            for payload in payloads
        } - set(deleted)

    def keys_of_load(self, entity: Entity, company_id: str, load_id: str) -> set[str]:
        """Return the keys of the records that a load has landed. Raises StorageError."""
        path = self.file_of(entity, company_id, load_id)
        if not path.exists():  # it had none
            return set()
        with _naming_the_damaged([path]):
            columns = pq.read_table(path, columns=list(entity.key)).columns
        parts = (column.to_pylist() for column in columns)
        return set(map(KEY_SEPARATOR.join, zip(*parts, strict=True)))

    def keys_dated(self, entity: Entity, company_id: str, first: date, last: date) -> pa.Array:
        """Return the keys of the live records held of which a version has its business date in
        between.
        """
        day = pc.field(str(entity.date_field))
        dated = (day >= first) & (day <= last) & _UPSERTS
        parts = [pa.array([], pa.string())]
        for batch in self._batches(entity, company_id, list(entity.key), dated):
            parts.append(pc.binary_join_element_wise(*batch.columns, KEY_SEPARATOR))
        found = pa.chunked_array(parts).unique()
        live = self.stored_keys(entity, company_id)["key"].combine_chunks()
        return found.filter(pc.is_in(found, live))

    def keys_by(self, entity: Entity, company_id: str, column: str) -> dict[str, str]:
        """Return the key of each record that has a text in a column, by that text, as it was last
        pulled.
        """
        found: dict[str, tuple[datetime, str]] = {}
        columns = [column, "_pulled_at", *entity.key]
        for batch in self._batches(entity, company_id, columns, _UPSERTS):
            texts, times, *parts = (part.to_pylist() for part in batch.columns)
            for text, at, *key in zip(texts, times, *parts, strict=True):
                if text and (text not in found or found[text][0] <= at):
                    found[text] = (at, KEY_SEPARATOR.join(key))
        return {text: key for text, (_, key) in found.items()}

    def most_frequent(self, entity: Entity, company_id: str, column: str) -> str | None:
        """Return the text that most landed rows have in a column; None where none has any."""
        counts = Counter[str]()
        for batch in self._batches(entity, company_id, [column], _UPSERTS):
            counts.update(filter(None, batch[column].to_pylist()))
        return max(counts, key=lambda text: (counts[text], text), default=None)

    @contextmanager
    def landing(
        self,
        entity: Entity,
        company_id: str,
        load_id: str,
    ) -> Iterator[Landing]:
        """Yield what takes a load's rows; they land when the block ends, not where it raises.

        No file is made where there are none; that of the quarantine appears first. Raises
        StorageError.
        """
        path = self.file_of(entity, company_id, load_id)
        odd = self.folder("quarantine", entity, company_id) / path.name
        with storage_errors(path), atomic_write(path) as draft, atomic_write(odd) as odd_draft:
            with (
                pq.ParquetWriter(
                    draft,
                    entity.schema,
                    compression="zstd",
                    # The writer keeps those of every row group until the end: only what is
                    # filtered by.
                    write_statistics=_filtered_by(entity),
                ) as writer,
                pq.ParquetWriter(odd_draft, QUARANTINE) as quarantine,
            ):
                landing = Landing(writer, quarantine)
                yield landing
                landing.flush()
                footer = {FOOTER: json.dumps(landing.facts)}
                writer.add_key_value_metadata(footer)
                quarantine.add_key_value_metadata(footer)
            if not landing.rejected:
                odd_draft.unlink()
            if not landing.rows:
                draft.unlink()
            if self.mirror and odd_draft.exists():
                self.mirror.put(odd_draft, odd)
            if self.mirror and draft.exists():
                self.mirror.land(draft, path)

    def facts_of(self, path: Path) -> dict[str, Any]:
        """Return what a landed file's footer says of its load. Raises StorageError."""
        try:
            with storage_errors(path):
                facts: dict[str, Any] = json.loads(pq.read_metadata(path).metadata[FOOTER])
        except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
            raise damaged(path, error) from error
        return facts

    def write_input(self, name: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
        """Write a small table for the marts' build."""
        path = self.input_file(name)
        with storage_errors(path), atomic_write(path) as draft:
            pq.write_table(pa.Table.from_pylist(rows, schema), draft)
            if self.mirror:
                self.mirror.put(draft, path)

    def input_file(self, name: str) -> Path:
        """Return where such a table lies."""
        return self.data / "inputs" / f"{name}.parquet"

    def read_input(self, name: str, schema: pa.Schema | None = None) -> list[dict[str, Any]]:
        """Return such a table's rows; none where it was never written.

        With a `schema`, null stands for what an earlier version left out. Raises StorageError where
        it is damaged, or no such table.
        """
        path = self.input_file(name)
        if not os.path.lexists(path):
            return []
        try:
            with pq.ParquetFile(path) as file:
                table = file.read()
            if schema is not None:
                table = _fitted(table, schema)
        except (pa.ArrowException, OSError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise StorageError(
                f"{path} is damaged: {reason}. It holds what BigLedger said of the companies and "
                "in its reports, and is made anew by `blsync sync`, which asks for that again."
            ) from error
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    def folder(self, layer: str, entity: Entity, company_id: str) -> Path:
        """Return the folder of a layer (landing, quarantine); it need not exist."""
        return self.data / layer / entity.name / f"company_id={company_id}"

    def _batches(
        self, entity: Entity, company_id: str, columns: list[str], wanted: pc.Expression
    ) -> Iterator[pa.RecordBatch]:
        """Read landed rows, a few at a time: a payload is large and there may be millions."""
        import pyarrow.dataset as ds  # here, because few commands need it and all would wait for it

        folder = self.folder("landing", entity, company_id)
        with storage_errors(folder):
            files = landed_files(folder)
        if not files:
            return
        with _naming_the_damaged(files):
            landed = ds.dataset([*map(str, files)], format="parquet", schema=entity.schema)
            yield from landed.to_batches(
                columns,
                filter=wanted,
                batch_size=BATCH,
                batch_readahead=1,
                fragment_readahead=1,
                use_threads=False,  # each takes memory of its own
            )

    def _deleted(self, entity: Entity, company_id: str) -> dict[str, datetime]:
        """Return when each record that has a delete row was last found gone, by key."""
        found: dict[str, datetime] = {}
        columns = ["_pulled_at", *entity.key]
        for batch in self._batches(entity, company_id, columns, _DELETES):
            times, *keys = (column.to_pylist() for column in batch.columns)
            for at, key in zip(
                times, map(KEY_SEPARATOR.join, zip(*keys, strict=True)), strict=True
            ):
                found[key] = max(at, found.get(key, at))
        return found

    def _quarantined(self, entity: Entity, company_id: str, but: str = "") -> Iterator[list[bytes]]:
        folder = self.folder("quarantine", entity, company_id)
        with storage_errors(folder):
            files = landed_files(folder)
        for path in files:
            if path.stem != but:
                with _naming_the_damaged([path]):
                    payloads = pq.read_table(path, columns=["_payload"])[0].to_pylist()
                yield list(map(as_bytes, payloads))


def _fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with a schema's columns. Raises ArrowInvalid where its first is not filled."""
    held = set(table.column_names)
    columns = [
        table[field.name].cast(field.type)
        if field.name in held
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    if columns[0].null_count:
        raise pa.ArrowInvalid(f"the column {schema.names[0]} is not filled")
    return pa.table(columns, schema=schema)


@contextmanager
def _naming_the_damaged(files: Sequence[Path]) -> Iterator[None]:
    """Turn what Arrow says of files into StorageError, naming the one that is damaged.

    They are looked through only after one could not be read: looking at the footers of a thousand
    nights first would cost each night what it saves one.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, MemoryError):
            raise
        for path in filter(Path.exists, files):
            if why := damage_of(path) or damage_of(path, is_thorough=True):
                raise damaged(path, why) from error
        with storage_errors(files[0].parent):
            if isinstance(error, OSError):
                raise
        raise StorageError(f"{files[0].parent} cannot be read: {error}") from error


def _filtered_by(entity: Entity) -> list[str]:
    feeds = (feed.change_field for feed in entity.feeds)
    names = {*entity.key, *feeds, entity.created_field, "date", "_op", "_pulled_at"}
    return sorted(names & set(entity.schema.names))


def _has_schema(path: Path, schema: pa.Schema) -> bool:
    return bool(pq.read_schema(path).equals(schema))
