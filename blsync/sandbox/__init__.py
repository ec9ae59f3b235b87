"""A local BigLedger: FastAPI on loopback over SQLite, with books of its own.

It shares no code with the rest of blsync, so that a misreading of the API on one side shows
up as a failing test on the other.
"""

from blsync.sandbox.faults.faults import fault_table
from blsync.sandbox.http.app import create_app
from blsync.sandbox.http.readings import reading_table
from blsync.sandbox.options import Options
from blsync.sandbox.server import Handle, running, serve

__all__ = ["Handle", "Options", "create_app", "fault_table", "reading_table", "running", "serve"]
