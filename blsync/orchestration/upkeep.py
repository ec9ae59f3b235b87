"""What a night leaves behind, kept within bounds: history, pushed bodies, files of the landing."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from blsync import maintenance
from blsync.entities import ENTITIES
from blsync.errors import BlsyncError
from blsync.files.unexpected import apart
from blsync.ledger.retention import Emptied
from blsync.orchestration import database
from blsync.push.retention import forget_old_bodies
from blsync.session import open_session
from blsync.settings import Company, Settings

Say = Callable[[str], None]


@dataclass
class Upkeep:
    """What was done: runs that left Dagster's history and the bytes that it is smaller by, plans
    that were emptied, entities whose files were merged; and what could not be done, and why.
    """

    runs: int = 0
    freed: int = 0
    emptied: Emptied = field(default_factory=Emptied)
    merged: list[maintenance.Compaction] = field(default_factory=list)
    failed: dict[str, BlsyncError] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return {runs, freed, plans, rows, left, merged, failed}."""
        return {
            "runs": self.runs,
            "freed": self.freed,
            "plans": self.emptied.plans,
            "rows": self.emptied.rows,
            "left": self.emptied.left,
            "merged": self.merged,
            "failed": {name: str(error) for name, error in self.failed.items()},
        }


def prune(
    settings: Settings,
    say: Say = lambda _: None,
    *,
    companies: Collection[Company] | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Upkeep:
    """Bring everything that grows with each night within its term (interface.md, section 1).

    Dagster's runs older than BLSYNC_RETENTION_DAYS leave its history, plans are emptied
    BLSYNC_PUSH_RETENTION_DAYS after their last event, and the files of an entity's loads are merged
    where they have become many. What fails keeps nothing else from being done; it is in `failed`.
    """
    done = Upkeep()
    chosen = settings.companies() if companies is None else companies

    @contextlib.contextmanager
    def apart_from_others(name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            done.failed[name] = apart(error, f"Upkeep of {name}", settings.data)

    with (
        apart_from_others("the ledger"),
        open_session(settings, say=say, clock=clock) as session,
    ):
        with apart_from_others("pushed rows"):
            done.emptied = forget_old_bodies(session)
        with apart_from_others("the landing"):
            done.merged = maintenance.compact_grown(session, chosen, ENTITIES.values())
    if settings.retention_days:
        with apart_from_others("Dagster's history"):
            before = clock() - timedelta(days=settings.retention_days)
            done.runs, done.freed = _prune_history(settings, before, say)
    return done


def prune_after_night(settings: Settings, say: Say) -> None:
    """Prune after a night, whose end it is nothing to: what fails is said, and tried the next."""
    done = prune(settings, say)
    for name, error in done.failed.items():
        say(f"Upkeep of {name} is left for the next night: {error}")
    for plan_id, why in done.emptied.left.items():
        say(f"What plan {plan_id} held is not forgotten yet: {why}")


def _prune_history(settings: Settings, before: datetime, say: Say) -> tuple[int, int]:
    """Return how many runs left the history, and by how many bytes the files of it are smaller: the
    room in a database is used again by what is recorded next.

    A home that DAGSTER_HOME names may have others' runs, whose term is theirs.
    """
    import dagster as dg  # it takes seconds

    from blsync.orchestration.home import instance_home, own_home
    from blsync.orchestration.pruning import prune_history

    home = instance_home()
    is_ours = home == own_home()
    if not settings.dagster_storage and not (is_ours and (home / "history").is_dir()):
        return 0, 0
    os.environ["DAGSTER_HOME"] = str(home)
    with contextlib.redirect_stdout(io.StringIO()), dg.DagsterInstance.get() as instance:
        if not is_ours and not database.is_named(settings, instance.run_storage):
            return 0, 0
        pruned = prune_history(instance, home, before, say)
    return pruned.runs, pruned.freed
