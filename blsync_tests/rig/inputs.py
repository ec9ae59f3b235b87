"""What a build reads beside the landing, for tests that run dbt on a landing of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from blsync.marts.inputs import COLUMNS


def write_inputs(data: Path, **rows: list[dict[str, Any]]) -> None:
    """Write every input into a data folder, with these rows or none."""
    assert rows.keys() <= COLUMNS.keys()
    folder = data / "inputs"
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in COLUMNS.items():
        pq.write_table(pa.Table.from_pylist(rows.get(name, []), schema), folder / f"{name}.parquet")
