"""The files of `blsync init`: what one company needs to begin, in a folder of its own."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from blsync import settings, user_tables
from blsync.errors import ConfigError
from blsync.files.atomic import storage_errors
from blsync.files.places import USER_TABLES

DATA = "data"
_ENV = """\
# Settings of one company. The environment wins over this file, and paths are taken from its folder.
# All settings: docs/reference/interface.md of blsync.
BIGLEDGER_API_KEY=
BIGLEDGER_COMPANY_ID={company_id}
# OAuth instead of a key: leave BIGLEDGER_API_KEY empty
# BIGLEDGER_CLIENT_ID=
# BIGLEDGER_CLIENT_SECRET=
# BIGLEDGER_REFRESH_TOKEN=
# BIGLEDGER_BASE_URL={base_url}
BLSYNC_DATA={data}
BLSYNC_SEEDS={tables}
# BLSYNC_START=2026-01-01
# BLSYNC_TIMEZONE=Asia/Kuala_Lumpur
"""
_WORKSPACE = """\
# For Dagster's own commands; `blsync ui` needs no such file.
load_from:
  - python_module:
      module_name: blsync.definitions
      location_name: blsync
"""
_README = """\
# BigLedger's books of one company

    {enter}
    blsync doctor    # what is still to be mended
    blsync plan      # what a sync would cost
    blsync sync      # pull, build, check, publish
    blsync status    # what is covered, held and published
    blsync ui        # Dagster, with the nightly schedule

- `.env`: the settings. Put the key in, and let nobody else read it.
- `{tables}/`: your own tables. They have their header alone, which is a good beginning.
- `{data}/`: all that blsync writes. Analysts open `{data}/blsync.duckdb`, read-only.
- `workspace.yaml`: for Dagster's own commands, with
  `DAGSTER_HOME="$PWD/{data}/dagster" dagster dev -w workspace.yaml`.

A backup is a copy of this folder while nothing runs.
"""


def begin(folder: Path, company_id: str) -> list[tuple[Path, bool]]:
    """Write what is missing of a folder's files; returns each file, and whether it was written.

    What is there stays as it is. Raises ConfigError where the id is none or the folder cannot be a
    folder, StorageError.
    """
    if company_id:
        settings.check_company_id(company_id)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is no folder. Name another one.")
    tables = f"{DATA}/{USER_TABLES}"
    names = {"data": DATA, "tables": tables, "company_id": company_id}
    enter = f"export {settings.ENV_FILE}={shlex.quote(str(folder.absolute() / '.env'))}"
    texts = {
        ".env": _ENV.format(**names, base_url=settings.PRODUCTION),
        "workspace.yaml": _WORKSPACE,
        "README.md": _README.format(**names, enter=enter),
    }
    with storage_errors(folder):
        (folder / DATA).mkdir(mode=0o700, parents=True, exist_ok=True)
        found = [(folder / name, _write_new(folder / name, text)) for name, text in texts.items()]
        made = set(user_tables.make_missing(folder / tables))
    seeds = (folder / tables / name for name in user_tables.COLUMNS)
    return found + [(path, path in made) for path in seeds]


def _write_new(path: Path, text: str) -> bool:
    """Write a file that is its owner's alone from the first byte on, unless it is there."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(file, "w", encoding="utf-8") as opened:
        opened.write(text)
    return True
