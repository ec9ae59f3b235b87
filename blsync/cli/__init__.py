"""The `blsync` command: arguments in, tables or JSON out, exit codes. No logic of its own."""

from blsync.cli.app import app, main

__all__ = ["app", "main"]
