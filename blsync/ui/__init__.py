"""Dagster's UI on loopback, behind a guard, with the daemon that runs schedules beside it."""

from blsync.ui.server import is_free, open_ui, serve_ui

__all__ = ["is_free", "open_ui", "serve_ui"]
