"""The folder in which Dagster keeps what it records: the data folder's own, or a named one."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from blsync.files.aside import clear, move_aside
from blsync.files.atomic import storage_errors
from blsync.files.places import FILES
from blsync.orchestration.location import SETTINGS

_OWN_PLACE = re.compile(r"warehouse/data/dagster(\S*)")
"""Paths in dagster.yaml that are the data folder's own."""


def own_home() -> Path:
    """Return the folder that is ours alone."""
    return SETTINGS.data / "dagster"


def instance_home() -> Path:
    """Return the folder to use as DAGSTER_HOME: dagster.yaml with the data folder's own paths."""
    given = os.environ.get("DAGSTER_HOME")  # empty: not given
    own = own_home()
    if given and Path(given).absolute() != own:
        return Path(given)
    # Written as JSON, which is YAML too: in bare YAML a folder's name may be a comment, or a list.
    text = _OWN_PLACE.sub(
        lambda place: json.dumps(f"{own}{place[1]}", ensure_ascii=False),
        (FILES / "dagster.yaml").read_text(),
    )
    file = own / "dagster.yaml"
    with storage_errors(file):
        if os.path.lexists(own) and not own.is_dir():
            move_aside(own)
        own.mkdir(parents=True, exist_ok=True)
        if not file.is_file() or file.read_bytes() != text.encode():
            clear(file)
            file.write_text(text)
    return own
