"""What holds of every deployment that is shipped: its commands exist, and so do its settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from blsync.settings import ENV_FILE, Settings

FOREIGN = {"DAGSTER_HOME", "DAGSTER_CURRENT_IMAGE", "KUBERNETES_NAMESPACE"}
"""Variables of Dagster's, and the one that our dagster.yaml of Kubernetes reads."""
LIBPQ = {"PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSSLMODE", "PGSSLROOTCERT"}
BUCKET = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3", "AWS_REGION"}
SETTINGS = {str(field.alias) for field in Settings.model_fields.values()} | {ENV_FILE}


def parse(command: Sequence[str]) -> None:
    """Have a program of ours or Dagster's read a command without running it.

    Raises what it says of an option or a command that it does not have; KeyError for another
    program.
    """
    program, *arguments = command
    _PROGRAMS[program]()([*arguments, "--help"], standalone_mode=False)


def _blsync() -> Any:
    from blsync.cli.app import app

    return app


def _dagster() -> Any:
    from dagster._cli import create_dagster_cli

    return create_dagster_cli()


def _daemon() -> Any:
    from dagster._daemon.cli import create_dagster_daemon_cli

    return create_dagster_daemon_cli()


_PROGRAMS = {"blsync": _blsync, "dagster": _dagster, "dagster-daemon": _daemon}


def unknown(names: Iterable[str]) -> set[str]:
    """Return which variables neither blsync nor what it stands on reads."""
    return {*names} - SETTINGS - FOREIGN - LIBPQ - BUCKET
