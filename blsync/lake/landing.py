"""A load's files while they are written."""

from __future__ import annotations

from collections.abc import (
    Sequence,
)
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 4 * 2**20
"""Bytes in memory of a row group: some 1,500 invoices. Compaction makes larger ones."""
FULL_SIZED = 25
"""Row groups after which they grow by ROW_GROUP, up to four times as large: the writer keeps some
150 kB for each until the file is closed."""
REJECTS = 1_000
"""Rows of a row group in quarantine."""
TIDY_EVERY = 3
"""Row groups after which the C library gives back what it kept: 60 MB in a million invoices."""
QUARANTINE = pa.schema(
    [
        pa.field("_payload", pa.string()),
        pa.field("_reason", pa.string()),
        pa.field("_load_id", pa.string()),
        pa.field("_request_id", pa.string()),
        pa.field("_pulled_at", pa.timestamp("us", "UTC")),
    ]
)


@dataclass
class Landing:
    """A load's files while they are written, and what becomes their footer."""

    writer: pq.ParquetWriter
    quarantine: pq.ParquetWriter
    rows: int = 0
    rejected: int = 0
    first_reject: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    _rejects: list[dict[str, Any]] = field(default_factory=list)
    _parts: list[pa.Table] = field(default_factory=list)
    _size: int = 0
    _groups: int = 0

    def add(self, table: pa.Table, rejects: Sequence[dict[str, Any]] = ()) -> None:
        """Add rows, and rows of the quarantine.

        Small tables are put together: a file of small row groups is slow to read.
        """
        self.rows += table.num_rows
        self.rejected += len(rejects)
        self.first_reject = self.first_reject or next(iter(rejects), None)
        self._rejects += rejects
        if len(self._rejects) >= REJECTS:
            self._write_rejects()
        self._parts.append(table)
        self._size += table.nbytes
        if self._size >= ROW_GROUP * min(4, 1 + self._groups // FULL_SIZED):
            self._write_rows()
            self._groups += 1
            if self._groups % TIDY_EVERY == 0:
                pa.default_memory_pool().release_unused()

    def flush(self) -> None:
        """Write what is not written yet."""
        self._write_rows()
        self._write_rejects()

    def _write_rows(self) -> None:
        if any(part.num_rows for part in self._parts):
            self.writer.write_table(pa.concat_tables(self._parts))
        self._parts, self._size = [], 0

    def _write_rejects(self) -> None:
        if self._rejects:
            self.quarantine.write_table(pa.Table.from_pylist(self._rejects, QUARANTINE))
        self._rejects = []
