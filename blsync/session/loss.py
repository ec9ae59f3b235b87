"""A ledger that lost what it knew: recognised by what lies beside it, mended by `blsync repair`.

An empty ledger beside a lake would have everything pulled again, and every change pushed again. An
older copy of the ledger would send again what was sent since.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from blsync.errors import BackupDamaged, LedgerDamaged
from blsync.lake.landed import has_loads
from blsync.ledger import Ledger
from blsync.ledger.backup import PlanBackup, older, tries_in
from blsync.ledger.states import PlanState
from blsync.ledger.tables import loads, plans


@dataclass
class Restoration:
    """Plans that were brought back, plans that were not and why, by their ids; and what else there
    is to say.
    """

    plans: list[str] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def refuse_lost(ledger: Ledger, data: Path, company_ids: Collection[str]) -> None:
    """Raise LedgerDamaged where the ledger knows nothing of loads that landed in the data folder,
    lacks plans whose backups are there, or does not know what was sent of one.
    """
    lost = sorted(_lacking(ledger, ledger.backup)) if ledger.backup else []
    if lost:
        raise LedgerDamaged(
            f"The ledger {ledger.address} lacks {len(lost)} plans of pushes that were made here, "
            f"{lost[0]} among them: it was emptied, or an older copy has taken its place. "
            f"{MENDED_BY_REPAIR}"
        )
    _refuse_any_older(ledger)
    with ledger.begin() as db:
        has_any = db.execute(select(loads.c.load_id).limit(1)).first() is not None
    if not has_any and has_loads(data, company_ids):
        raise LedgerDamaged(
            f"The ledger {ledger.address} is empty, but {data / 'landing'} has what was pulled: it "
            f"was lost, or emptied. {MENDED_BY_REPAIR}"
        )


MENDED_BY_REPAIR = (
    "Nothing was pulled or pushed. Run `blsync repair`: it brings loads back from the lake and "
    "plans from their backups."
)


def refuse_older(ledger: Ledger, plan_id: str) -> None:
    """Raise LedgerDamaged where the ledger does not know what was sent of a plan.

    What a process that died was about to send, and had not told the ledger yet, is no reason: it is
    taken for sent, and a look-up settles it. What a person said of the plan, and the ledger does
    not know, is taken from the backup: a plan that was rejected stays so. Raises BackupDamaged.
    """
    if ledger.backup is None or not ledger.backup.has(plan_id):
        return
    with ledger.begin(durable=True) as db:
        unknown = ledger.backup.unknown(db, plan_id)
        if not unknown and not ledger.backup.has_more_said(db, plan_id):
            return
        if unknown and not ledger.backup.read(plan_id).is_last_intent(unknown):
            raise older(plan_id)
        ledger.backup.restore(db, plan_id)


def back_up_plans(ledger: Ledger, *, is_anew: bool = False) -> None:
    """Write the backups of plans that have none, as those of an earlier version; of all plans where
    `is_anew`. Raises StorageError.
    """
    if ledger.backup is None:
        return
    missing = _plans_in(ledger).keys() - (set() if is_anew else ledger.backup.ids())
    for plan_id in sorted(missing):
        with ledger.begin() as db:
            ledger.backup.overwrite(db, plan_id)


def restore_plans(ledger: Ledger, *, is_taken_over: bool = False) -> Restoration:
    """Bring back the plans that the ledger lacks, or of which it does not know all that was sent.

    A backup that cannot be understood is moved aside. Where the ledger `is_taken_over` a backup may
    be of another ledger's plan: it counts where it knows all that the ledger knows, and more.
    Raises StorageError.
    """
    done = Restoration()
    if ledger.backup is None:
        return done
    for plan_id in sorted(_lacking(ledger, ledger.backup)):
        try:
            _restore(ledger, ledger.backup, plan_id)
            done.plans.append(plan_id)
        except BackupDamaged as error:
            aside = ledger.backup.give_up(plan_id)
            done.lost[plan_id] = f"{error} It is now {aside}."
    for plan_id in sorted(ledger.backup.ids() & _plans_in(ledger).keys() - set(done.plans)):
        try:
            if _is_behind(ledger, ledger.backup, plan_id, is_taken_over):
                _restore(ledger, ledger.backup, plan_id)
                done.plans.append(plan_id)
        except BackupDamaged as error:
            aside = ledger.backup.give_up(plan_id)
            done.notes.append(
                f"{error} It is now {aside}, and the backup is written anew from the ledger."
            )
    return done


def _restore(ledger: Ledger, backup: PlanBackup, plan_id: str) -> None:
    with ledger.begin(durable=True) as db:
        backup.restore(db, plan_id)


def _is_behind(ledger: Ledger, backup: PlanBackup, plan_id: str, is_taken_over: bool) -> bool:
    with ledger.begin() as db:
        unknown = backup.unknown(db, plan_id)
        if not (unknown and is_taken_over):
            return bool(unknown) or backup.has_more_said(db, plan_id)
        told = {(row["row"], row["batch_id"]) for row in backup.read(plan_id).attempts.values()}
        return tries_in(db, plan_id) <= told


def _refuse_any_older(ledger: Ledger) -> None:
    """Look at every plan that may have more to send: one that is applied or rejected has not."""
    if ledger.backup is None:
        return
    backed_up = ledger.backup.ids()
    for plan_id, state in _plans_in(ledger).items():
        if plan_id not in backed_up or state in (PlanState.APPLIED, PlanState.REJECTED):
            continue
        if state == PlanState.PLANNED and not ledger.backup.may_tell_of_sends(plan_id):
            continue
        with suppress(BackupDamaged):  # that is told by whoever needs it, and by repair
            refuse_older(ledger, plan_id)


def _lacking(ledger: Ledger, backup: PlanBackup) -> set[str]:
    """Return the plans that have a backup and are not in the ledger.

    One that is missing from the folder, too, the next moment is of a company that another process
    is removing.
    """
    lacking = backup.ids() - _plans_in(ledger).keys()
    return lacking & backup.ids() if lacking else lacking


def _plans_in(ledger: Ledger) -> dict[str, PlanState]:
    """Return each plan's id → its state."""
    with ledger.begin() as db:
        return {
            row.plan_id: row.state for row in db.execute(select(plans.c.plan_id, plans.c.state))
        }
