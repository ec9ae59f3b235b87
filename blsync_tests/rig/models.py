"""Building models and laws in a data folder that a test has made, as `blsync build` does."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from blsync.lake.landing import QUARANTINE
from blsync.lake.store import Lake
from blsync.marts.compiled import Compiled, compiled_project
from blsync.marts.files import no_quarantine
from blsync.marts.running import Result, run

MEMORY = 2**30
GOOD = ("success", "pass", "warn")


def build(data: Path, *wanted: str, laws: bool = True) -> dict[str, Result]:
    """Run the models that are wanted, with what they read and the laws on that, or all; how each
    went by its name.
    """
    compiled = compiled_project(data)
    chosen = _with_what_they_read(compiled, wanted) if wanted or not laws else None
    if chosen is not None and laws:
        chosen |= {
            node.id for node in compiled.nodes.values() if node.is_law and chosen >= {*node.parents}
        }
    files = Lake(data).build_files
    if is_unlisted := not files.exists():
        _list_files(data, files)
    results = run(compiled, data, MEMORY, chosen)
    if is_unlisted:
        files.unlink()
    return {compiled.nodes[result.unique_id].name: result for result in results}


def failed(results: dict[str, Result]) -> str:
    """What did not go well, a line each."""
    return "\n".join(
        f"{name}: {result.status} {result.message}"
        for name, result in results.items()
        if result.status not in GOOD
    )


def _with_what_they_read(compiled: Compiled, wanted: tuple[str, ...]) -> set[str]:
    models = {node.name: node.id for node in compiled.nodes.values() if not node.is_law}
    waiting, found = [models[name] for name in wanted or models], set[str]()
    while waiting:
        if (model := waiting.pop()) not in found:
            found.add(model)
            waiting += compiled.nodes[model].parents
    return found


def _list_files(data: Path, files: Path) -> None:
    """List all that lies in the landing and in quarantine, whatever its name."""
    empty = no_quarantine(files)
    found = [
        {"layer": layer, "entity": path.parts[-3], "path": str(path)}
        for layer in ("landing", "quarantine")
        for path in sorted((data / layer).glob("*/*/*.parquet"))
    ]
    found.append({"layer": "quarantine", "entity": "", "path": str(empty)})
    schema = pa.schema([(name, pa.string()) for name in ("layer", "entity", "path")])
    pq.write_table(QUARANTINE.empty_table(), empty)
    pq.write_table(pa.Table.from_pylist(found, schema), files)
