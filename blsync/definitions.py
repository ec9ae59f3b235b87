"""The code location that workspace.yaml names: Dagster's view of the house."""

import gc

# All that is loaded here stays, and looking for garbage among it takes a sixth of the time.
is_collecting = gc.isenabled()
gc.disable()
try:
    from blsync.orchestration.definitions import defs
finally:
    if is_collecting:
        gc.enable()

__all__ = ["defs"]
