"""What DuckDB says of a database file that it cannot open or read.

A file that another program has open for writing is not damaged, and whoever takes it for that gives
up what is good.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

STORAGE_VERSION = "v1.0.0"
"""Of a build, and so of the published copy: DuckDB 1.0 and later open it."""
_OF_DAMAGE = (duckdb.FatalException, duckdb.InternalException, duckdb.SerializationException)
"""What DuckDB raises, beside an error of no kind, where a file that it could open is not whole."""


def is_locked(error: duckdb.Error) -> bool:
    """Tell whether a file cannot be opened because another program has it open."""
    return isinstance(error, duckdb.IOException) and "Could not set lock" in str(error)


def is_of_damage(error: duckdb.Error) -> bool:
    """Tell whether a file that could be opened is not whole."""
    if isinstance(error, _OF_DAMAGE):
        return True
    is_of_no_kind = type(error) in (duckdb.Error, duckdb.IOException)
    return is_of_no_kind and ("corrupt" in str(error).lower() or "checksum" in str(error))


def reason_of(error: duckdb.Error) -> str:
    """Return what DuckDB says, in one line without a full stop."""
    return " ".join(str(error).split()).rstrip(".")


def open_elsewhere(path: Path, error: duckdb.Error) -> str:
    """Return what to say, and to do, of a file that is locked; DuckDB names the process."""
    return (
        f"{path} is open for writing in another program: {reason_of(error)}. Close it there, or "
        "open it there read-only, and run the same command again."
    )
