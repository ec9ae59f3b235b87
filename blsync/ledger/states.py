"""The closed sets of words that the ledger stores, each in one place.

Every member is its text: it is stored, printed in JSON and compared as `held` or `create`, whether
that text came from the ledger, a plan's backup or a file's footer.
"""

from __future__ import annotations

from enum import StrEnum


class LoadKind(StrEnum):
    """What a load is about: a window of change time, or what comparing the ids brought."""

    CHANGE = "change"
    DRIFT = "drift"


class LoadState(StrEnum):
    """How far a load is; its window is covered once it has landed."""

    OPEN = "open"
    LANDED = "landed"


class Step(StrEnum):
    """What can fail of a night beside an entity: the pull of a company as a whole, asking for
    BigLedger's reports, the build, publishing, the report page, or the night for another reason.
    """

    PULL = "pull"
    REPORTS = "reports"
    BUILD = "build"
    PUBLISH = "publish"
    PAGE = "page"
    NIGHT = "night"


class ConditionKind(StrEnum):
    """What somebody is told of: a night that failed or is late, a build that stopped, figures that
    differ from BigLedger's, records that it counts otherwise, records in quarantine, fields that no
    model knows, a push without an answer, a closed month that is not what its certificate says, an
    address that takes no message.
    """

    NIGHT = "night"
    BUILD = "build"
    COMPARISON = "comparison"
    DRIFT = "drift"
    QUARANTINE = "quarantine"
    UNKNOWN_FIELD = "unknown_field"
    HELD_PUSH = "held_push"
    RESTATED = "restated"
    COLLECTOR = "collector"


class PlanState(StrEnum):
    """How far a plan is: nobody began to send it, some rows may be left, or none is. Of one that
    was `rejected` nothing is sent any more.
    """

    PLANNED = "planned"
    APPLYING = "applying"
    APPLIED = "applied"
    REJECTED = "rejected"


class Verdict(StrEnum):
    """What a person did to a plan as a whole: made it, or said that it may or may not be sent."""

    PLANNED = "planned"
    APPROVED = "approved"
    REJECTED = "rejected"


class Mode(StrEnum):
    """Which rows of a file may do something: those that are new, those that are not, or both; or
    what they do: with `delete` each names a record that is to go. `undo` is the mode of a plan that
    takes another one back, and of no file.
    """

    CREATE = "create"
    UPDATE = "update"
    UPSERT = "upsert"
    DELETE = "delete"
    UNDO = "undo"


FILE_MODES = (Mode.CREATE, Mode.UPDATE, Mode.UPSERT, Mode.DELETE)
"""Modes in which a file can be planned."""


class OnConflict(StrEnum):
    """Whose version holds where a record changed since the row's basis; abort leaves it out."""

    ABORT = "abort"
    OURS = "ours"
    THEIRS = "theirs"


class Action(StrEnum):
    """What a plan has a row do. Create, update and delete send something; the others tell why
    nothing is sent: there is no difference, the record exists as wanted, others changed it since,
    the row is wrong, or it waits for another plan or for a person.
    """

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    NOOP = "noop"
    ADOPT = "adopt"
    CONFLICT = "conflict"
    REJECT = "reject"
    BLOCKED = "blocked"


SENDS = (Action.CREATE, Action.UPDATE, Action.DELETE)
"""Actions that send something."""
KEPT_BACK = (Action.REJECT, Action.CONFLICT, Action.BLOCKED)
"""Actions of rows that a plan keeps back, though something was wanted of them."""


class OperationState(StrEnum):
    """Where a row of a plan stands.

    `not_sent`: its action sends nothing. `pending`: it is to be sent. `held`: it was sent, or was
    about to be when its process died, and what became of it is not known. `applied` and `rejected`:
    BigLedger did it, or refused it.
    """

    NOT_SENT = "not_sent"
    PENDING = "pending"
    HELD = "held"
    APPLIED = "applied"
    REJECTED = "rejected"


class AttemptOutcome(StrEnum):
    """What one attempt at sending a row turned out to be.

    `sent`: the intent alone is known. `applied`, `rejected` and `held`: what the answer told, if
    there was one. `refused`: the whole request was, and nothing done. `adopted` and `lost`: a
    look-up showed that a row without an answer was done, or that it was not.
    """

    SENT = "sent"
    APPLIED = "applied"
    REJECTED = "rejected"
    HELD = "held"
    REFUSED = "refused"
    ADOPTED = "adopted"
    LOST = "lost"


class EvidenceState(StrEnum):
    """What was seen of that by which look-ups know a pushed record, after a write was answered.

    `kept`: a look-up found the record by it, so that finding none tells that there is none.
    `unlisted`: the record has it, and a look-up did not find it. `forgotten`: the record does not
    have it.
    """

    KEPT = "kept"
    UNLISTED = "unlisted"
    FORGOTTEN = "forgotten"
