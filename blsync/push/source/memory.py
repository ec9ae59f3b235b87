"""What `--map` said of a sheet's headers, remembered for the next sheet with the same ones.

`push/headers.json` in the data folder: endpoint → set of headers → header (its letters) → column,
an empty one for a column that is left out. It may be edited, and deleted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from blsync.errors import ConfigError
from blsync.files.atomic import atomic_write, storage_errors
from blsync.push.endpoint import Endpoint
from blsync.push.source.form import Form, header_set
from blsync.text.synonyms import letters

FILE = Path("push", "headers.json")
Remembered = dict[str, dict[str, dict[str, str]]]


def remembered(data: Path, endpoint: Endpoint) -> dict[str, dict[str, str]]:
    """Return what was said for an endpoint: set of headers → header → column.

    Raises ConfigError where the file is not as it was written, StorageError.
    """
    found = _read(data / FILE).get(endpoint.name, {})
    form = Form(endpoint)
    for headers in found.values():
        for header, column in headers.items():
            if column and not form.is_known(column):
                raise ConfigError(
                    f"{data / FILE} says that {header!r} is {column!r}, and {endpoint.name} have "
                    "no such column; mend the file, or delete it."
                )
    return found


def remember(data: Path, endpoint: Endpoint, headers: list[str], maps: Mapping[str, str]) -> None:
    """Write down what was said of these headers. Raises ConfigError, StorageError."""
    path = data / FILE
    known = _read(path)
    of_set = known.setdefault(endpoint.name, {}).setdefault(header_set(headers), {})
    said = {letters(header): column for header, column in maps.items()}
    new = {letter: said[letter] for letter in map(letters, headers) if letter in said}
    if new.items() <= of_set.items():
        return
    of_set.update(new)
    with storage_errors(path), atomic_write(path) as draft:
        draft.write_text(json.dumps(known, indent=1, ensure_ascii=False), "utf-8")


def _read(path: Path) -> Remembered:
    with storage_errors(path):
        if not path.exists():
            return {}
        content = path.read_bytes()
    try:
        known = json.loads(content)
    except ValueError:
        known = None
    if not _is_whole(known):
        raise ConfigError(
            f"{path} is not what --map wrote: it must be JSON of endpoint, headers, header and "
            "column. Mend it, or delete it and say --map anew."
        )
    return dict(known)


def _is_whole(known: object) -> bool:
    if not isinstance(known, dict):
        return False
    sets = [one for one in known.values() if isinstance(one, dict)]
    maps = [each for one in sets for each in one.values()]
    return len(sets) == len(known) and all(
        isinstance(each, dict) and all(isinstance(column, str) for column in each.values())
        for each in maps
    )
