"""What each model and law stands on, in a word that is another as soon as that is.

A table whose files are the same as when it was last built would be built the same: nothing in the
models depends on the hour, and what depends on the day reads it from the companies' input. So a
build makes what has news, and leaves the rest.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from blsync.marts.compiled import DATA, Compiled

_INPUT = re.compile(re.escape(DATA) + r"/inputs/(\w+)\.parquet")
_LISTED = re.compile(r"where layer = '(\w+)'(?: and entity = '(\w+)')?")
_READS_ELSEWHERE = re.compile(
    r"\b(read_\w+|glob|\w*_scan|now|today|current_\w+|get_current_\w+|transaction_timestamp"
    r"|random|uuid|gen_random_uuid|nextval|getenv)\b|\b(from|join)\s+'",
    re.IGNORECASE,
)
"""What in a model of the user's own may bring something else each time: another file, the clock.
Such a one is built each time; that this finds too much does no harm."""
_MOMENT = "built_at"
"""The column of an input that tells when a build began: another each time, and no news."""


Files = Iterable[tuple[str, str, str]]
"""Files of the lake: layer, entity, path."""


def fingerprints(compiled: Compiled, data: Path, files: Files) -> dict[str, str]:
    """Return a fingerprint of all that each node stands on, by its id.

    `files` are those of the lake that the build reads. Raises OSError.
    """
    listed = _fingerprints_of_lake(files)
    read = {name for node in compiled.nodes.values() for name in _INPUT.findall(node.whole)}
    inputs = {name: _fingerprint_of_input(data / f"inputs/{name}.parquet") for name in read}
    found: dict[str, str] = {}

    def fingerprint(unique_id: str) -> str:
        if unique_id not in found:
            node = compiled.nodes[unique_id]
            parts = [fingerprint(parent) for parent in node.parents]
            parts += [node.materialized, node.whole]
            parts += [inputs[name] for name in sorted({*_INPUT.findall(node.whole)})]
            parts += [listed.get(key, "") for key in sorted({*_LISTED.findall(node.whole)})]
            if node.file and _READS_ELSEWHERE.search(node.whole):
                parts.append(str(time.time_ns()))
            found[unique_id] = _digest(*parts)
        return found[unique_id]

    return {unique_id: fingerprint(unique_id) for unique_id in compiled.nodes}


def _fingerprints_of_lake(files: Files) -> dict[tuple[str, str], str]:
    """Return what tells files from others, by their layer and entity; of a layer with "" for it."""
    found = defaultdict[tuple[str, str], list[str]](list)
    for layer, entity, path in files:
        if entity:  # else the file without rows, made anew for each build
            about = Path(path).stat()
            for name in (entity, ""):
                found[layer, name].append(f"{path} {about.st_size} {about.st_mtime_ns}")
    return {key: _digest(*sorted(texts)) for key, texts in sorted(found.items())}


def _fingerprint_of_input(path: Path) -> str:
    """Return what tells an input's rows from others; of one that is missing or damaged, which the
    build will name, whatever is there.
    """
    if not path.exists():
        return ""
    try:
        with pq.ParquetFile(path) as file:
            if _MOMENT in file.schema_arrow.names:
                return _digest(repr(file.read().drop_columns(_MOMENT).to_pylist()))
    except pa.ArrowException:
        pass
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
