"""Where Dagster keeps what it records: in the data folder's own home, or a named one; its runs and
events in files there, or in a PostgreSQL database.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from blsync.files.aside import clear, move_aside
from blsync.files.atomic import storage_errors
from blsync.files.places import FILES
from blsync.orchestration import database
from blsync.orchestration.location import SETTINGS

_OWN_PLACE = re.compile(r"warehouse/data/dagster(\S*)")
"""Paths in dagster.yaml that are the data folder's own."""
_FILES_OF_SQLITE = "  sqlite:\n    base_dir: warehouse/data/dagster\n"
_DATABASE = f"  postgres:\n    postgres_url:\n      env: {database.VARIABLE}\n"
"""What dagster.yaml says of its storage, and what it says where that is a database."""


def own_home() -> Path:
    """Return the folder that is ours alone."""
    return SETTINGS.data / "dagster"


def instance_home() -> Path:
    """Return the folder to use as DAGSTER_HOME: dagster.yaml with the data folder's own paths.

    Where BLSYNC_DAGSTER_STORAGE is set, that database is looked at first. Raises ConfigError where
    the library for it is missing, StorageError where the database or the folder cannot be used.
    """
    database.look(SETTINGS)
    given = os.environ.get("DAGSTER_HOME")  # empty: not given
    own = own_home()
    if given and Path(given).absolute() != own:
        return Path(given)
    # Written as JSON, which is YAML too: in bare YAML a folder's name may be a comment, or a list.
    text = (FILES / "dagster.yaml").read_text()
    if SETTINGS.dagster_storage:
        text = text.replace(_FILES_OF_SQLITE, _DATABASE)
    text = _OWN_PLACE.sub(lambda at: json.dumps(f"{own}{at[1]}", ensure_ascii=False), text)
    file = own / "dagster.yaml"
    with storage_errors(file):
        if os.path.lexists(own) and not own.is_dir():
            move_aside(own)
        own.mkdir(parents=True, exist_ok=True)
        if not file.is_file() or file.read_bytes() != text.encode():
            clear(file)
            file.write_text(text)
    return own
