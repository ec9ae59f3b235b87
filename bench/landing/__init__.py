"""Synthetic books of a company, written straight to the landing: a first load, and nights."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zlib import crc32

import duckdb

from blsync import marts
from blsync.entities import ENTITIES
from blsync.lake.store import Lake
from landing import facts, pipeline, purchases, sales, tills
from landing.facts import Documents, Part

COMPANY = "company_bench"
FIRST_PULL = datetime(2026, 3, 14, 18, tzinfo=UTC)
MODULES = (sales, purchases, pipeline, tills)


@dataclass
class Books:
    """A landing that grows by loads; `size` is the number of invoices in the first."""

    data: Path
    size: int
    db: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)
    loads: list[dict[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.db.execute("set TimeZone = 'UTC'; set preserve_insertion_order = false")
        for module in (facts, *MODULES):
            self.db.execute(module.MACROS)

    def land(self, load: int) -> None:
        """Write the first load, 0, or that of a night."""
        landed: Documents = {}
        for module in MODULES:
            for name, parts in module.documents(self.size, load).items():
                landed.setdefault(name, []).extend(parts)
        for name, parts in landed.items():
            self._write(name, load, parts)
        self._write_inputs(load)

    def _write(self, name: str, load: int, parts: list[Part]) -> None:
        pulled_at = FIRST_PULL + timedelta(days=load)
        load_id = f"{pulled_at:%Y%m%dT%H%M%S%f}Z-{crc32(name.encode()):08x}"
        empty = ENTITIES[name].schema.empty_table()
        columns = self.db.from_arrow(empty)
        kinds = dict(zip(columns.columns, map(str, columns.types), strict=True))
        folder = self.data / "landing" / name / f"company_id={COMPANY}"
        folder.mkdir(parents=True, exist_ok=True)
        beside = {
            "_company_id": f"'{COMPANY}'",
            "_load_id": f"'{load_id}'",
            "_pulled_at": "pulled_at",
            "_request_id": "'req_bench'",
            "_op": "'upsert'",
        }
        selects = []
        for fields, rows in parts:
            known = {**fields, **beside}
            told = ", ".join(f"'{name}': {text}" for name, text in fields.items())
            known["_payload"] = f"cast(to_json({{{told}}}) as varchar)"
            listed = ", ".join(
                f'cast({known.get(column, "null")} as {kind}) as "{column}"'
                for column, kind in kinds.items()
            )
            of_all = (
                f"(select {self.size} as size, {max(self.size // 50, 1)} as customers, {load} as "
                f"load, timestamptz '{pulled_at}' as pulled_at) as of_all"
            )
            selects.append(f"select {listed} from {rows}, {of_all}")
        if not selects:
            nothing = ", ".join(f'cast(null as {kind}) as "{c}"' for c, kind in kinds.items())
            selects = [f"select {nothing} where false"]
        self.db.execute(
            f"copy ({' union all '.join(selects)}) to '{folder / load_id}.parquet'"
            " (format parquet, compression zstd, row_group_size 4096)"
        )
        self.loads.append({"company_id": COMPANY, "load_id": load_id, "entity": name})

    def _write_inputs(self, load: int) -> None:
        lake = Lake(self.data)
        company = {
            "company_id": COMPANY,
            "company_name": "Bench",
            "currency": "MYR",
            "timezone": "Asia/Kuala_Lumpur",
            "today": FIRST_PULL.date() + timedelta(days=1 + load),
            "built_at": datetime.now(UTC),
        }
        rows = {"companies": [company], "loads": self.loads}
        for name, columns in marts.INPUT_COLUMNS.items():
            lake.write_input(name, rows.get(name, []), columns)
