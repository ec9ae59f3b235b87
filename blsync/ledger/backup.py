"""Plans of pushes once more, beside the ledger: should it be lost, what was sent is still known.

A plan is a file of its own in `BLSYNC_DATA/plans`: PLAN.json has it as it was at some time, and
each line of PLAN.changes what its rows became since. A change is written and synced before the
ledger commits it, so an intent to send is here, too, before the request goes out. Read again, the
last word on each row counts: what was written and then not committed makes a row held that was not
sent, and a look-up settles it; never the other way round. So a backup knows every attempt that the
ledger knows; one that knows more tells that an older copy has taken the ledger's place.
"""

from __future__ import annotations

import fcntl
import glob
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select

from blsync.errors import BackupDamaged, LedgerDamaged, StorageError
from blsync.files.aside import move_aside, moved_from, remove
from blsync.ledger.states import AttemptOutcome, OperationState, PlanState
from blsync.ledger.tables import Choice, attempts, operations, plans

MOST_CHANGES = 2**20
"""Bytes of changes from which on, if the plan itself is no larger, they are put into it."""
AT_ONCE = 500
"""Rows that are asked for together: databases bound the parameters of a statement."""
_CHANGEABLE = ("row", "state", "remote_id", "error", "looked_up_at", "is_verified", "version")
"""What changes of an operation; the rest is as it was planned."""
_TIMES = {
    table: tuple(column.name for column in table.c if column.name.endswith("_at"))
    for table in (plans, operations, attempts)
}
_NEVER_SENT = f'"state": "{PlanState.PLANNED}"'.encode()
"""In the head of a backup: what it holds, less its changes, tells of no attempt."""
_HEAD = 16_384
"""Bytes in which a plan's own columns are, which come first."""
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading text that is not what was written ends with."""


@dataclass
class StoredPlan:
    """A plan as its backup tells it; `is_whole` unless a line in the middle cannot be read."""

    plan: dict[str, Any]
    operations: dict[int, dict[str, Any]] = field(default_factory=dict)
    attempts: dict[int, dict[str, Any]] = field(default_factory=dict)
    is_whole: bool = True

    def is_last_intent(self, tried: Collection[Mapping[str, Any]]) -> bool:
        """Tell whether these attempts are the latest batch, of which nothing but the intent is
        known: a process that is killed before it commits leaves just that.
        """
        latest = self.attempts[max(self.attempts)]["batch_id"]
        return all(
            (row["batch_id"], row["outcome"]) == (latest, AttemptOutcome.SENT) for row in tried
        )


class PlanBackup:
    """The folder of backups. Each method raises StorageError, and BackupDamaged where what it has
    to read cannot be understood.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ids(self) -> set[str]:
        """Return the plans that have a backup."""
        with _storage(self.folder):
            return {path.stem for path in self.folder.glob("*.json") if path.is_file()}

    def has(self, plan_id: str) -> bool:
        """Tell whether a plan has a backup."""
        with _storage(self.folder):
            return self._file(plan_id).is_file()

    def may_tell_of_sends(self, plan_id: str) -> bool:
        """Tell whether the backup of a plan that the ledger takes for never applied may know
        better; as far as a look at its beginning tells.
        """
        path, changes = self._file(plan_id), self._changes(plan_id)
        with _storage(path):
            if changes.exists() and changes.stat().st_size:
                return True
            with path.open("rb") as file:
                return _NEVER_SENT not in file.read(_HEAD)

    def write(self, db: Connection, plan_id: str) -> None:
        """Write a plan anew, as the transaction sees it, in the place of its changes.

        Raises LedgerDamaged where the backup knows more than the ledger.
        """
        if self.has(plan_id) and (self.unknown(db, plan_id) or self.has_more_said(db, plan_id)):
            raise older(plan_id)
        self.overwrite(db, plan_id)

    def overwrite(self, db: Connection, plan_id: str) -> None:
        """As `write`, whatever the backup knows; nothing where the ledger has no such plan."""
        if not _hold(db, plan_id):
            return
        told = {
            "plan": _rows(db.execute(select(plans).where(plans.c.plan_id == plan_id)))[0],
            "operations": _rows(
                db.execute(select(operations).where(operations.c.plan_id == plan_id))
            ),
            "attempts": _rows(db.execute(select(attempts).where(attempts.c.plan_id == plan_id))),
        }
        path = self._file(plan_id)
        with _storage(path):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
            with _opened(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file:
                _append(file, told)
            draft.replace(path)
            _sync(self.folder)
            # Killed before this, the changes are read on top of what holds them already.
            self._changes(plan_id).unlink(missing_ok=True)

    def note(self, db: Connection, plan_id: str, rows: Iterable[int]) -> None:
        """Write what the transaction, which is not committed yet, made of these rows."""
        path, changes = self._file(plan_id), self._changes(plan_id)
        with _storage(changes):
            size = changes.stat().st_size if changes.exists() else 0
            if not path.exists() or size > max(MOST_CHANGES, path.stat().st_size):
                self.write(db, plan_id)
                return
            told = _changed(db, plan_id, rows)
            with _opened(changes, os.O_RDWR | os.O_CREAT | os.O_APPEND) as file:
                if size and os.pread(file, 1, size - 1) != b"\n":  # cut off by a full disk
                    os.write(file, b"\n")
                _append(file, told)
            if not size:
                _sync(self.folder)

    def read(self, plan_id: str) -> StoredPlan:
        """Return a plan with all changes. Raises StorageError also where it cannot be read."""
        path, changes = self._file(plan_id), self._changes(plan_id)
        with _storage(path):
            text = path.read_bytes()
        with _storage(changes):
            lines = changes.read_bytes().split(b"\n") if changes.exists() else []
        try:
            stored = _stored(json.loads(text.decode()))
        except _UNREADABLE as error:
            why = " ".join(str(error).split())[:200]
            raise BackupDamaged(
                f"{path}, the backup of a plan, is damaged: {type(error).__name__} {why}. Run "
                "`blsync repair`, which moves it aside."
            ) from None
        for number, line in enumerate(lines):
            try:
                _change(stored, json.loads(line.decode()) if line else {})
            except _UNREADABLE:
                # The last line may be half written: what it says was never committed nor sent.
                stored.is_whole &= number == len(lines) - 1
        return stored

    def unknown(self, db: Connection, plan_id: str) -> list[dict[str, Any]]:
        """Return the attempts of which the ledger knows nothing; the plan is held from now on."""
        _hold(db, plan_id)
        stored = self.read(plan_id)
        known = tries_in(db, plan_id)
        return [
            row for row in stored.attempts.values() if (row["row"], row["batch_id"]) not in known
        ]

    def has_more_said(self, db: Connection, plan_id: str) -> bool:
        """Tell whether the backup knows of an approval or a rejection that the ledger does not."""
        query = select(plans.c.verdicts).where(plans.c.plan_id == plan_id)
        return len(self.read(plan_id).plan.get("verdicts") or "") > len(
            db.execute(query).scalar() or ""
        )

    def restore(self, db: Connection, plan_id: str) -> None:
        """Enter a plan into the ledger, in the place of what it knows of the plan."""
        _hold(db, plan_id)
        stored = self.read(plan_id)
        for table in (attempts, operations, plans):
            db.execute(delete(table).where(table.c.plan_id == plan_id))
        if not stored.is_whole:
            _hold_pending(stored, self._changes(plan_id))
        db.execute(insert(plans).values(**_parsed(stored.plan, _TIMES[plans])))
        rows = [_parsed(row, _TIMES[operations]) for row in stored.operations.values()]
        if rows:
            db.execute(insert(operations), rows)
        # Their order counts, not their numbers: those may be taken by now.
        tries = [
            _parsed({k: v for k, v in row.items() if k != "attempt_id"}, _TIMES[attempts])
            for _, row in sorted(stored.attempts.items())
        ]
        if tries:
            db.execute(insert(attempts), tries)
        # With the attempts' new numbers, so that those to come are not taken for them.
        self.overwrite(db, plan_id)

    def give_up(self, plan_id: str) -> Path:
        """Move a backup that cannot be read aside; return where it is now."""
        path, changes = self._file(plan_id), self._changes(plan_id)
        with _storage(path):
            if changes.exists():
                move_aside(changes, most_kept=None)
            return move_aside(path, most_kept=None)

    def drop(self, company_id: str, plan_ids: Collection[str]) -> None:
        """Delete the backups of a company's plans, which are deleted for good.

        Those of `plan_ids`, which the ledger knows to be the company's, need not be readable.
        """
        known = set(plan_ids)
        for plan_id in known | self.ids():
            if plan_id in known or self._is_of(plan_id, company_id):
                self._remove(plan_id)

    def _remove(self, plan_id: str) -> None:
        path, changes = self._file(plan_id), self._changes(plan_id)
        with _storage(path):
            for left in self.folder.glob(f".{glob.escape(path.name)}.*.draft"):
                remove(left)
            for own in (changes, path):
                for left in [*moved_from(own), own]:
                    remove(left)

    def _is_of(self, plan_id: str, company_id: str) -> bool:
        try:
            return bool(self.read(plan_id).plan["company_id"] == company_id)
        except BackupDamaged:  # whose it was is not known
            return False

    def _file(self, plan_id: str) -> Path:
        return self.folder / f"{plan_id}.json"

    def _changes(self, plan_id: str) -> Path:
        return self.folder / f"{plan_id}.changes"


def _changed(db: Connection, plan_id: str, rows: Iterable[int]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "plan": _rows(db.execute(select(plans).where(plans.c.plan_id == plan_id)))[0],
        "operations": [],
        "attempts": [],
    }
    columns = [operations.c[name] for name in _CHANGEABLE]
    for some in _in_parts(sorted(set(rows))):
        of_rows = (operations.c.plan_id == plan_id) & operations.c.row.in_(some)
        told["operations"] += _rows(db.execute(select(*columns).where(of_rows)))
        of_tries = (attempts.c.plan_id == plan_id) & attempts.c.row.in_(some)
        told["attempts"] += _rows(db.execute(select(attempts).where(of_tries)))
    return told


def _in_parts(rows: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]


def older(plan_id: str) -> LedgerDamaged:
    """Word that the ledger does not know what was sent of a plan."""
    return LedgerDamaged(
        f"The ledger does not know of rows of plan {plan_id} that were sent to BigLedger: an older "
        "copy has taken its place. Nothing was pulled or pushed, as that could do them twice. Run "
        "`blsync repair`: it brings the plan back from its backup, and loads from the lake."
    )


def tries_in(db: Connection, plan_id: str) -> set[tuple[int, str]]:
    """Return the row and the batch of each attempt at a plan that the ledger knows."""
    query = select(attempts.c.row, attempts.c.batch_id).where(attempts.c.plan_id == plan_id)
    return {(row.row, row.batch_id) for row in db.execute(query)}


def _hold(db: Connection, plan_id: str) -> bool:
    """Hold a plan until the transaction ends; tell whether there is one."""
    found = select(plans.c.plan_id).where(plans.c.plan_id == plan_id).with_for_update()
    return db.execute(found).first() is not None


def _stored(told: Mapping[str, Any]) -> StoredPlan:
    """Return a plan as it was written. Raises what _UNREADABLE lists."""
    return StoredPlan(
        _checked(plans, told["plan"]),
        {row["row"]: _checked(operations, row) for row in told["operations"]},
        {row["attempt_id"]: _checked(attempts, row) for row in told["attempts"]},
    )


def _change(stored: StoredPlan, told: Mapping[str, Any]) -> None:
    """Take in a change, all of it or nothing. Raises what _UNREADABLE lists."""
    plan = _checked(plans, stored.plan | told.get("plan", {}))
    rows = [
        _checked(operations, stored.operations[row["row"]] | row)
        for row in told.get("operations", [])
    ]
    tries = [_checked(attempts, row) for row in told.get("attempts", [])]
    stored.plan = plan
    stored.operations |= {row["row"]: row for row in rows}
    stored.attempts |= {row["attempt_id"]: row for row in tries}


def _checked(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row that the table takes. Raises ValueError for another, and what _UNREADABLE
    lists.
    """
    for name, value in row.items():
        column = table.c[name]
        if value is None and column.nullable:
            continue
        kind = str if name in _TIMES[table] else column.type.python_type
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ValueError(f"{name} is {value!r:.40}")
        if name in _TIMES[table]:
            datetime.fromisoformat(value)
        if isinstance(column.type, Choice):
            column.type.words(value)
    needed = (c.name for c in table.c if not (c.nullable or c.default is not None))
    if missing := [name for name in needed if name not in row]:
        raise ValueError(f"{', '.join(missing)} is missing")
    return row


def _hold_pending(stored: StoredPlan, changes: Path) -> None:
    """Take every pending row for sent: it may be the one that an unreadable line speaks of."""
    with _storage(changes):
        at = datetime.fromtimestamp(changes.stat().st_mtime, UTC).isoformat()
    number = max(stored.attempts, default=0)
    for row in stored.operations.values():
        if row["state"] == OperationState.PENDING:
            number += 1
            row["state"] = OperationState.HELD
            stored.attempts[number] = {
                "attempt_id": number,
                "plan_id": stored.plan["plan_id"],
                "row": row["row"],
                "batch_id": "restored",
                "outcome": AttemptOutcome.SENT,
                "sent_at": at,
            }


def _rows(found: Any) -> list[dict[str, Any]]:
    return [
        {name: v.isoformat() if isinstance(v, datetime) else v for name, v in row.items()}
        for row in found.mappings()
    ]


def _parsed(row: Mapping[str, Any], times: Collection[str]) -> dict[str, Any]:
    return {
        name: datetime.fromisoformat(value) if name in times and value else value
        for name, value in row.items()
    }


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """Open a file that its owner alone may read, held against other processes."""
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _append(file: int, told: Any) -> None:
    data = memoryview(json.dumps(told, ensure_ascii=False).encode() + b"\n")
    while data:
        data = data[os.write(file, data) :]
    os.fsync(file)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _storage(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}, the backup of a plan, cannot be written or read: {error.strerror or error}. "
            "Free some room or mend the folder's permissions (BLSYNC_DATA names it) and run the "
            "same command again; it goes on where it was."
        ) from error
