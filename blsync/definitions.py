"""The code location that workspace.yaml names: Dagster's view of the house."""

from blsync.orchestration.assets import defs

__all__ = ["defs"]
