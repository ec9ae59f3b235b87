"""A ledger that lost what it knew: recognised by what lies beside it, mended by `blsync repair`.

An empty ledger beside a lake would have everything pulled again, and every change pushed again.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sqlalchemy import Connection, select

from blsync.errors import LedgerDamaged, StorageError
from blsync.landed import has_loads
from blsync.ledger import Ledger
from blsync.ledger.tables import loads, plans


def refuse_lost(ledger: Ledger, data: Path, company_ids: Collection[str]) -> None:
    """Raise LedgerDamaged where the ledger knows nothing of loads that landed in the data folder,
    or lacks plans whose backups are there.
    """
    backed_up = ledger.backup.ids() if ledger.backup else set()
    with ledger.begin() as db:
        known = _plans_in(db)
        has_any = db.execute(select(loads.c.load_id).limit(1)).first() is not None
    lost = sorted(backed_up - known)
    if lost:
        raise LedgerDamaged(
            f"The ledger {ledger.address} lacks {len(lost)} plans of pushes that were made here, "
            f"{lost[0]} among them: it was emptied, or an older copy has taken its place. "
            f"{MENDED_BY_REPAIR}"
        )
    if not has_any and has_loads(data, company_ids):
        raise LedgerDamaged(
            f"The ledger {ledger.address} is empty, but {data / 'landing'} has what was pulled: it "
            f"was lost, or emptied. {MENDED_BY_REPAIR}"
        )


def _plans_in(db: Connection) -> set[str]:
    return set(db.execute(select(plans.c.plan_id)).scalars())


MENDED_BY_REPAIR = (
    "Nothing was pulled or pushed. Run `blsync repair`: it brings loads back from the lake and "
    "plans from their backups."
)


def back_up_plans(ledger: Ledger) -> None:
    """Write the backups of plans that have none, as those of an earlier version. Raises
    StorageError.
    """
    if ledger.backup is None:
        return
    backed_up = ledger.backup.ids()
    with ledger.begin() as db:
        known = _plans_in(db)
    for plan_id in sorted(known - backed_up):
        with ledger.begin() as db:
            ledger.backup.write(db, plan_id)


def restore_plans(ledger: Ledger) -> tuple[list[str], list[str]]:
    """Bring back the plans that the ledger lacks; return their ids, and what could not be read.

    A backup that cannot be read is moved aside. Raises StorageError.
    """
    restored: list[str] = []
    problems: list[str] = []
    if ledger.backup is None:
        return restored, problems
    backed_up = ledger.backup.ids()
    with ledger.begin() as db:
        known = _plans_in(db)
    for plan_id in sorted(backed_up - known):
        try:
            ledger.backup.read(plan_id)
        except StorageError as error:
            aside = ledger.backup.give_up(plan_id)
            problems.append(f"Plan {plan_id} cannot be brought back: {error} It is now {aside}.")
            continue
        with ledger.begin(durable=True) as db:
            ledger.backup.restore(db, plan_id)
        restored.append(plan_id)
    return restored, problems
