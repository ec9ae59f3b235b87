"""Upkeep of the lake: merging old loads, typing what is held again, mending the ledger.

What is landed is never changed in place. A company's folder of an entity is built anew beside the
lake and exchanged for the old one in one step: a reader finds all old files or all new ones, or,
having listed the old ones, a file that is not there any more; never rows twice, never rows missing.
"""

from blsync.maintenance.compacting import Compaction, compact, compact_grown
from blsync.maintenance.files import facts_in
from blsync.maintenance.repairing import Repair, repair
from blsync.maintenance.replaying import Replay, replay

__all__ = [
    "Compaction",
    "Repair",
    "Replay",
    "compact",
    "compact_grown",
    "facts_in",
    "repair",
    "replay",
]
