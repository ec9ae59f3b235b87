"""The database in which Dagster keeps its runs, where BLSYNC_DAGSTER_STORAGE names one."""

from __future__ import annotations

import importlib.util
import os
from contextlib import closing

import psycopg2

from blsync import redaction
from blsync.errors import ConfigError, StorageError
from blsync.settings import PSYCOPG2, Settings

VARIABLE = "BLSYNC_DAGSTER_STORAGE"
"""Where Dagster finds the address; dagster.yaml has this name alone, as the address is a secret."""
CONNECT_SECONDS = 10


def look(settings: Settings) -> None:
    """See whether the database can be used, where one is named, and put its address into this
    process's environment, where Dagster and the processes that it starts find it.

    Raises ConfigError where the library for it is missing, StorageError where it cannot be used.
    """
    if settings.dagster_storage is None:
        return
    if importlib.util.find_spec("dagster_postgres") is None:
        raise ConfigError(
            f"{VARIABLE} is set, and the library with which Dagster keeps its runs in PostgreSQL "
            "is not installed: pip install 'blsync[postgres]'"
        )
    address = settings.dagster_storage.get_secret_value()
    plain = f"postgresql://{address.removeprefix(PSYCOPG2)}"  # as psycopg2 itself spells it
    try:
        with closing(psycopg2.connect(plain, connect_timeout=CONNECT_SECONDS)):
            os.environ[VARIABLE] = address
    except psycopg2.Error as error:
        raise _unusable(error) from None


def is_named(settings: Settings, storage: object) -> bool:
    """Tell whether a storage of Dagster's is the database that is named, which is blsync's alone.

    Others' runs, in a home of theirs, have a term of theirs.
    """
    named = settings.dagster_storage
    return named is not None and named.get_secret_value() == getattr(storage, "postgres_url", None)


def failed(settings: Settings, error: BaseException) -> StorageError | None:
    """Return what is told where an error comes from the database, else None."""
    link: BaseException | None = error if settings.dagster_storage else None
    while link is not None:
        if isinstance(link, psycopg2.Error):
            return _unusable(link)
        link = link.__cause__ or link.__context__
    return None


def _unusable(error: psycopg2.Error) -> StorageError:
    said = redaction.redact(" ".join(str(error).split())) or type(error).__name__
    return StorageError(
        f"The database of Dagster's runs ({VARIABLE}) cannot be used: {said}. Check that the "
        "server runs and that the address is right, then run the same command again; nothing that "
        "was pulled is lost."
    )
