"""The code location that workspace.yaml names: Dagster's view of the house."""

from blsync.orchestration.definitions import defs

__all__ = ["defs"]
