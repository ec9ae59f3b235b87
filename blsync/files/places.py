"""Where the program's own files are, and where it reads and writes unless the settings say more.

In a checkout of the repository everything is in the repository. An installed package has its files
in `blsync/installed/` (`setup.py` puts them there), which may be read-only and is never
written to: data goes to the folder that the platform has for it.
"""

from __future__ import annotations

from pathlib import Path

import platformdirs

ROOT = Path(__file__).resolve().parents[2]
_INSTALLED = Path(__file__).resolve().parents[1] / "installed"
IS_CHECKOUT = not _INSTALLED.is_dir()
FILES = ROOT if IS_CHECKOUT else _INSTALLED
"""The folder with the dbt project, `warehouse`, and `dagster.yaml`."""
PROJECT = FILES / "warehouse"
USER_TABLES = "user"
"""The folder of the user's tables in a data folder."""


def default_data() -> Path:
    """Return the data folder where BLSYNC_DATA names none."""
    if IS_CHECKOUT:
        return PROJECT / "data"
    return platformdirs.user_data_path("blsync", appauthor=False)


def default_user_tables(data: Path) -> Path:
    """Return the folder of the user's tables where BLSYNC_SEEDS names none."""
    return PROJECT / "seeds" if IS_CHECKOUT else data / USER_TABLES


def default_env_file() -> Path:
    """Return the file of settings where BLSYNC_ENV_FILE names none; it need not exist."""
    return (ROOT if IS_CHECKOUT else Path.cwd()) / ".env"
