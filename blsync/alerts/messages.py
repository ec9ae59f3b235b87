"""What is told, in words: kinds, companies as the settings name them, entities, checks and counts.

Nothing of an error's own text is in it: that may quote a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from blsync.alerts.collectors import HEARTBEAT, collectors
from blsync.ledger.conditions import Condition, Kept
from blsync.ledger.outcomes import ALL
from blsync.ledger.states import ConditionKind, Step
from blsync.settings import Settings

LATE = "late"
"""The subject of a night that is late."""


@dataclass(frozen=True)
class _Words:
    """How a kind is told: that it holds, one subject of it, what to do, and that it has ended."""

    holds: str
    subject: str
    cure: str
    ended: str
    weight: str = "failure"
    """How Apprise shows it."""


_WORDS = {
    ConditionKind.NIGHT: _Words(
        "the night failed",
        "{subject}",
        "`blsync status` tells what it failed with; what is missing is pulled by the next sync.",
        "the night is well again",
    ),
    ConditionKind.BUILD: _Words(
        "the marts are not published",
        "{subject}",
        "`blsync status` tells what stopped them. The published marts stay as they are.",
        "the marts are published again",
    ),
    ConditionKind.COMPARISON: _Words(
        "figures differ from BigLedger's own",
        "{subject}: {count}",
        "`blsync status` tells by how much, finance.reconciliation which.",
        "all figures tie out with BigLedger's again",
        "warning",
    ),
    ConditionKind.DRIFT: _Words(
        "BigLedger counts other records than are held",
        "{subject}: {count}",
        "The next syncs look for them; `blsync status` shows the drift.",
        "BigLedger counts what is held again",
        "warning",
    ),
    ConditionKind.QUARANTINE: _Words(
        "records could not be typed and are in quarantine",
        "{subject}: {count}",
        "finance.exceptions lists them (rule quarantined_record).",
        "nothing is in quarantine any more",
        "warning",
    ),
    ConditionKind.UNKNOWN_FIELD: _Words(
        "BigLedger sends fields that no model knows",
        "{subject}",
        "`blsync status` names them. They are kept in _payload.",
        "every field is known again",
        "info",
    ),
    ConditionKind.HELD_PUSH: _Words(
        "rows of a push were sent and not answered",
        "plan {subject}: {count}",
        "`blsync push settle` looks up what became of them, `blsync push show PLAN` tells.",
        "no push is held any more",
    ),
    ConditionKind.RESTATED: _Words(
        "a closed month has changed since its close",
        "{subject}: {count} accounts",
        "`blsync close MONTH --verify` tells which, finance.restatements by what.",
        "every closed month is what its certificate says",
        "warning",
    ),
    ConditionKind.COLLECTOR: _Words(
        "an address takes no message",
        "{subject}",
        "See BLSYNC_ALERTS and BLSYNC_HEARTBEAT_URL; `blsync alerts try` sends a message to each.",
        "every address takes messages again",
        "warning",
    ),
}
_LATE = {
    ConditionKind.NIGHT: ("the night is late", "nothing was pulled for too long"),
    ConditionKind.BUILD: ("the marts are late", "nothing was published for too long"),
}
_STEPS = {
    Step.PULL: "the pull as a whole failed",
    Step.REPORTS: "BigLedger's reports could not be asked for",
    Step.BUILD: "the build stopped",
    Step.PUBLISH: "publishing stopped",
    Step.PAGE: "the report page could not be written",
    Step.NIGHT: "it ended before its end",
}
_ENDED_WEIGHT = "success"
LOST = (
    "blsync: the data folder or its ledger cannot be used",
    "No night can run. `blsync doctor` tells why, and what to do.",
    "failure",
)
FOUND = (
    "blsync: the data folder and its ledger can be used again",
    "What was missed is pulled by the next sync.",
    _ENDED_WEIGHT,
)
"""Title, body and weight of what is told without a ledger, and of its end."""


@dataclass(frozen=True)
class Message:
    """One message to one address: what it tells has begun, or has ended. Without a title there is
    nothing to tell, and it is noted alone.
    """

    title: str
    body: str = ""
    weight: str = _ENDED_WEIGHT
    begun: list[Condition] = field(default_factory=list)
    ended: list[Condition] = field(default_factory=list)


def messages_for(kept: Iterable[Kept], name: str, settings: Settings) -> list[Message]:
    """Return what the address of that name is to be told: of each company and kind what is new, or
    that all of it has ended.
    """
    ordered = sorted(kept, key=_group)
    return [
        message
        for _, group in groupby(ordered, _group)
        for message in _of_group([*group], name, settings)
    ]


def _group(one: Kept) -> tuple[str, str]:
    return one.condition.company_id, one.condition.kind.value


def _of_group(group: list[Kept], name: str, settings: Settings) -> Iterator[Message]:
    holding = [one.condition for one in group if one.ended_at is None]
    ended = [one.condition for one in group if one.ended_at and name in one.told]
    new = [
        one.condition
        for one in group
        if one.ended_at is None and name not in one.told and not _is_itself(one.condition, name)
    ]
    first = group[0].condition
    words = _WORDS[first.kind]
    whose = _whose(first, settings)
    if new:
        subjects = [_subject(condition, settings) for condition in new]
        lines = [*subjects, words.cure]
        yield Message(f"{whose}{_holds(new[0])}", "\n".join(lines), words.weight, begun=new)
    if ended and holding:
        yield Message("", ended=ended)  # the rest of it holds: its end is told with the last
    elif ended:
        subjects = [_subject(condition, settings) for condition in ended]
        yield Message(f"{whose}{words.ended}", f"It was: {'; '.join(subjects)}.", ended=ended)


def titled(condition: Condition, settings: Settings) -> str:
    """Return a condition in one line."""
    return f"{_whose(condition, settings)}{_holds(condition)}: {_subject(condition, settings)}"


def _holds(condition: Condition) -> str:
    return _LATE[condition.kind][0] if condition.subject == LATE else _WORDS[condition.kind].holds


def _is_itself(condition: Condition, name: str) -> bool:
    return condition.kind == ConditionKind.COLLECTOR and condition.subject == name


def _whose(condition: Condition, settings: Settings) -> str:
    if condition.company_id == ALL:
        return "blsync: "
    names = {company.company_id: company.name for company in settings.companies()}
    return f"blsync, {names.get(condition.company_id, condition.company_id)}: "


def _subject(condition: Condition, settings: Settings) -> str:
    subject, count = condition.subject, condition.count
    if condition.kind == ConditionKind.COLLECTOR:
        return _address(subject, settings)
    if subject == LATE:
        return _LATE[condition.kind][1]
    if subject in {*map(str, Step)}:
        return _STEPS[Step(subject)]
    if condition.kind == ConditionKind.NIGHT:
        return f"{subject} could not be pulled"
    if condition.kind == ConditionKind.UNKNOWN_FIELD:
        return f"{subject.partition(' ')[0]}: {count}"
    return _WORDS[condition.kind].subject.format(subject=subject, count=count)


def _address(name: str, settings: Settings) -> str:
    """Return which address that is, without what is secret of it."""
    if name == HEARTBEAT:
        return "BLSYNC_HEARTBEAT_URL"
    place = next((one.place for one in collectors(settings) if one.name == name), None)
    return f"address {place} of BLSYNC_ALERTS ({name.partition(' ')[0]})"
