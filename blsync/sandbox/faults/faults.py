"""What can be made to go wrong, as a comma list ``name=value``; `GROUPS` tells each."""

from __future__ import annotations

import random
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from blsync.sandbox.books.entities import ENTITIES

NOTES = (
    "Shares lie between 0 and 1 and are drawn from the sandbox's seed. Every fault is off unless",
    "named; whatever is set replaces all that was set before, the count of times included.",
    "only and times leave poison, and what concerns the key, quota, lists and records, alone:",
    "only=writes,drop-after=1,times=2 strikes just the next two writes.",
)
FORBIDDABLE = (*ENTITIES, "reports")
OPTIONAL = tuple(entity.name for entity in ENTITIES.values() if entity.module)
RETRY_AFTER = ("date", "zero", "none")
KINDS = ("writes", "reads")
DAMAGES = ("surrogate", "control", "nan", "escape", "torn")
DECIMALS = ("zeros", "noise", "mills")
DUPLICATES = ("plain", "whole")
LINKS = ("here", "elsewhere")
ODD_DATES = ("empty", "zero", "midnight")


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError("a share lies between 0 and 1")
    return value


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)", text)
    if not match:
        raise ValueError("a duration is written 50ms or 0.5s")
    return float(match[1]) / (1000 if match[2] == "ms" else 1)


def _clock(text: str) -> float | None:
    """Read by how many seconds the time that is told is off; None: none is told."""
    if text == "none":
        return None
    if not re.fullmatch(r"[+-][0-9]{1,9}s", text):
        raise ValueError("a clock is none, or off by +7200s or -240s")
    return float(text[:-1])


def _count(text: str) -> int:
    if not text.isdigit():
        raise ValueError("a count is a whole number")
    return int(text)


def _flag(text: str) -> bool:
    if text:
        raise ValueError("it takes no value")
    return True


def _names(text: str) -> frozenset[str]:
    if not text:
        raise ValueError("names are written A+B")
    return frozenset(text.split("+"))


def _entities(text: str) -> frozenset[str]:
    chosen = _names(text)
    if unknown := chosen.difference(FORBIDDABLE):
        raise ValueError(f"no entity {', '.join(sorted(unknown))}; there are {FORBIDDABLE}")
    return chosen


def _modules(text: str) -> frozenset[str]:
    chosen = _names(text)
    if unknown := chosen.difference(OPTIONAL):
        raise ValueError(f"{', '.join(sorted(unknown))} is not optional; these are: {OPTIONAL}")
    return chosen


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"it is one of {', '.join(choices)}")
        return text

    return read


def _text(text: str) -> str:
    if not text:
        raise ValueError("it needs a text, without a comma")
    return text


def _status(text: str) -> int:
    if not re.fullmatch("[45][0-9]{2}", text):
        raise ValueError("a status of failure lies between 400 and 599")
    return int(text)


@dataclass(frozen=True)
class Fault:
    """How a fault's value is read, what it is while the fault is off, and what people are told."""

    read: Callable[[str], Any]
    off: Any
    form: str
    does: str


GROUPS: dict[str, dict[str, Fault]] = {
    "requests": {
        "latency": Fault(
            _seconds, 0.0, "latency=50ms", "every answer waits so long first (ms or s)"
        ),
        "error": Fault(
            _share, 0.0, "error=0.02", "that share of requests is answered 503 and does nothing"
        ),
        "error-after": Fault(
            _share,
            0.0,
            "error-after=0.02",
            "that share of requests is carried out, then answered 500",
        ),
        "html": Fault(
            _share,
            0.0,
            "html=0.01",
            "that share is answered 502 with a gateway's HTML page, nothing done",
        ),
        "refuse": Fault(
            _share,
            0.0,
            "refuse=0.01",
            "that share is answered 200 with success: false, nothing done",
        ),
        "bom": Fault(_flag, False, "bom", "every answer begins with a byte order mark"),
        "truncate": Fault(
            _share,
            0.0,
            "truncate=0.01",
            "that share of answers breaks off in the middle of the body",
        ),
        "reset": Fault(
            _share, 0.0, "reset=0.01", "that share of connections closes before anything is done"
        ),
        "drop-after": Fault(
            _share,
            0.0,
            "drop-after=0.01",
            "that share of requests is carried out, then the connection closes",
        ),
        "only": Fault(
            _one_of(*KINDS),
            "",
            "only=writes",
            "what strikes requests strikes writes only, or reads only",
        ),
        "times": Fault(
            _count,
            None,
            "times=N",
            "what strikes requests or bulk writes strikes N requests in all, then none",
        ),
    },
    "bulk writes": {
        "part": Fault(
            _share,
            0.0,
            "part=0.5",
            "that share commits the first half of its operations, then the connection closes",
        ),
        "late-write": Fault(
            _seconds,
            0.0,
            "late-write=2s",
            "the connection closes at once; all is committed so much later",
        ),
        "reject-rows": Fault(
            _share,
            0.0,
            "reject-rows=0.1",
            "that share of operations fails with VALIDATION_ERROR, not carried out",
        ),
        "missing-results": Fault(
            _count,
            0,
            "missing-results=N",
            "N results are left out of an answer, though they were carried out",
        ),
        "double-results": Fault(_count, 0, "double-results=N", "N results of an answer come twice"),
        "stray-results": Fault(
            _count,
            0,
            "stray-results=N",
            "an answer has N more results, with an index or a referenceId that nobody sent",
        ),
        "shuffle-results": Fault(
            _flag, False, "shuffle-results", "the results of an answer come in another order"
        ),
        "damage-results": Fault(
            _flag, False, "damage-results", "half of a surrogate pair stands in one of the results"
        ),
        "forget": Fault(
            _names,
            frozenset(),
            "forget=A+B",
            "these fields of what is written are not kept, as in forget=reference",
        ),
        "strict": Fault(
            _flag,
            False,
            "strict",
            "invoices need each line's description and unitPrice, a dueDate after invoiceDate, and "
            "a day that has come; names have at most 100 characters",
        ),
        "duplicates": Fault(
            _one_of(*DUPLICATES),
            "",
            "duplicates=KIND",
            "a record that exists is told by a message alone, or by 409 for the whole request: "
            + ", ".join(DUPLICATES),
        ),
        "roll-back": Fault(
            _share,
            0.0,
            "roll-back=1",
            "that share of batches is rolled back and says so, whatever its options are",
        ),
        "half-roll-back": Fault(
            _share,
            0.0,
            "half-roll-back=1",
            "of that share of the batches that are rolled back the first half stays all the same",
        ),
        "deaf-to-checks": Fault(
            _flag, False, "deaf-to-checks", "batches do not know validateOnly, and are carried out"
        ),
        "slow-jobs": Fault(
            _seconds, 0.0, "slow-jobs=2s", "a batch's job is carried out so much later"
        ),
        "fail-jobs": Fault(
            _share,
            0.0,
            "fail-jobs=1",
            "that share of jobs ends as failed, the first half of its operations carried out",
        ),
        "lose-jobs": Fault(
            _share,
            0.0,
            "lose-jobs=1",
            "that share of jobs is not known any more, 404, once it was carried out",
        ),
        "link-results": Fault(
            _one_of(*LINKS),
            "",
            "link-results=WHERE",
            "the results of a job are a link, to this host or elsewhere: " + ", ".join(LINKS),
        ),
        "poison": Fault(
            _text,
            "",
            "poison=TEXT",
            "422 for the whole of a request that has TEXT in an operation, nothing done",
        ),
        "poison-status": Fault(_status, 422, "poison-status=413", "that refusal has this status"),
    },
    "the clock": {
        "clock": Fault(
            _clock,
            0.0,
            "clock=WHAT",
            "answers tell no time at all (none), or one that is off by seconds (+7200s, -240s)",
        ),
    },
    "the key": {
        "unwell": Fault(_flag, False, "unwell", "/health says degraded"),
        "forbid": Fault(
            _entities,
            frozenset(),
            "forbid=A+B",
            "403 for the routes of these entities, as in forbid=journal_entries",
        ),
        "absent": Fault(
            _modules,
            frozenset(),
            "absent=A+B",
            "404 for the routes of these optional entities, as if the company had not bought "
            "the module: absent=bills+suppliers",
        ),
        "revoke-after": Fault(
            _count,
            None,
            "revoke-after=N",
            "401 for every request after N more, until other faults are set",
        ),
    },
    "quota": {
        "no-quota-headers": Fault(
            _flag, False, "no-quota-headers", "answers come without X-RateLimit headers"
        ),
        "reset-past": Fault(
            _flag, False, "reset-past", "X-RateLimit-Reset lies a minute in the past"
        ),
        "retry-after": Fault(
            _one_of(*RETRY_AFTER),
            "",
            "retry-after=WHAT",
            "Retry-After of a 429 is a date, is zero or there is none",
        ),
        "other-program": Fault(
            _count,
            0,
            "other-program=N",
            "another program uses N of the hour's requests, once, when this is set",
        ),
    },
    "lists": {
        "max-limit": Fault(_count, 0, "max-limit=N", "a larger limit than N is refused with 400"),
        "clamp": Fault(
            _count,
            0,
            "clamp=N",
            "a larger limit than N is taken as N, and pagination.limit says so",
        ),
        "refuse-filters": Fault(
            _names,
            frozenset(),
            "refuse-filters=A+B",
            "400 for these filters, spelt just so, as in refuse-filters=reference[in]+reference",
        ),
        "no-total": Fault(_flag, False, "no-total", "pages do not tell the total"),
        "cap-total": Fault(_count, 0, "cap-total=N", "totals stop counting at N"),
        "unsorted": Fault(
            _flag, False, "unsorted", "lists come in the order of the ids, whatever sort says"
        ),
        "offset-cursors": Fault(
            _flag,
            False,
            "offset-cursors",
            "cursors count records: those that move while being walked shift others",
        ),
        "expire-cursors": Fault(
            _count,
            0,
            "expire-cursors=N",
            "a walk's cursor is refused once N pages have been fetched with cursors",
        ),
        "repeat-cursor": Fault(
            _count,
            0,
            "repeat-cursor=N",
            "from a walk's N-th cursor on, that same cursor is given for ever",
        ),
        "lose-cursor": Fault(
            _count, 0, "lose-cursor=N", "a walk's N-th page has hasMore but no nextCursor"
        ),
        "empty-pages": Fault(
            _count, 0, "empty-pages=N", "N empty pages with hasMore come before each page"
        ),
        "twins": Fault(
            _share, 0.0, "twins=0.05", "that share of a page's records comes again on the next page"
        ),
        "churn": Fault(
            _share,
            0.0,
            "churn=0.1",
            "after that share of list answers one of the listed records changes",
        ),
        "vanish": Fault(
            _share,
            0.0,
            "vanish=0.1",
            "after that share of list answers one of the listed records that nothing depends on is "
            "gone for good: what comes behind it moves up, from page to page",
        ),
        "late-commit": Fault(
            _seconds,
            0.0,
            "late-commit=5s",
            "lists and totals leave out what changed within the last so many seconds",
        ),
        "hide": Fault(
            _share,
            0.0,
            "hide=0.5",
            "lists, totals and look-ups by id leave out that share of records; 1: all",
        ),
    },
    "events": {
        "double-events": Fault(
            _share, 0.0, "double-events=0.1", "that share of webhooks is delivered twice"
        ),
        "lose-events": Fault(
            _share, 0.0, "lose-events=0.1", "that share of events is delivered to no webhook"
        ),
        "forge-events": Fault(
            _share, 0.0, "forge-events=0.1", "that share of webhooks has a signature of zeros"
        ),
        "late-events": Fault(
            _seconds, 0.0, "late-events=2s", "webhooks are delivered so much later"
        ),
        "shuffle-events": Fault(
            _flag, False, "shuffle-events", "webhooks are delivered in another order"
        ),
        "cut-stream": Fault(
            _seconds, 0.0, "cut-stream=1s", "the stream is closed so long after it was opened"
        ),
    },
    "records": {
        "odd-records": Fault(
            _count,
            0,
            "odd-records=N",
            "N more customers that cannot be typed: bad date, text for a number, no id",
        ),
        "extra-fields": Fault(
            _flag,
            False,
            "extra-fields",
            "every record carries fields nobody documented, plain and nested ones",
        ),
        "null-fields": Fault(
            _names,
            frozenset(),
            "null-fields=A+B",
            "these fields of every record are null, as in null-fields=phone+dueDate",
        ),
        "slim": Fault(
            _names,
            frozenset(),
            "slim=A+B",
            "lists leave these fields out, as in slim=creditLimit+invoices.items; a record alone "
            "has them",
        ),
        "damage": Fault(
            _one_of(*DAMAGES),
            "",
            "damage=KIND",
            "one record in 30, always the same ones, is no JSON: " + ", ".join(DAMAGES),
        ),
        "odd-dates": Fault(
            _one_of(*ODD_DATES),
            "",
            "odd-dates=KIND",
            "a date that is null comes as empty or zero text, or every date with a midnight time: "
            + ", ".join(ODD_DATES),
        ),
        "decimals": Fault(
            _one_of(*DECIMALS),
            "",
            "decimals=KIND",
            "decimals come with zeros behind them, with a binary fraction's noise, or one more: "
            + ", ".join(DECIMALS),
        ),
        "text-numbers": Fault(
            _flag,
            False,
            "text-numbers",
            'money of customers and invoices is text, as in "50000.00"',
        ),
    },
}
"""What may go wrong, by where it strikes."""
FAULTS = {name: fault for group in GROUPS.values() for name, fault in group.items()}


def fault_table() -> str:
    """Return the faults with what each does, as text for people."""
    width = max(len(fault.form) for fault in FAULTS.values()) + 2
    lines = ["What can be made to go wrong, as a comma list name=value."]
    for title, group in GROUPS.items():
        lines += ["", title]
        for fault in group.values():
            lines += textwrap.wrap(
                fault.does,
                96,
                initial_indent=fault.form.ljust(width),
                subsequent_indent=" " * width,
            )
    lines += ["", *NOTES]
    return "\n".join(lines)


def values_of(text: str) -> dict[str, Any]:
    """Return the values of the faults that a list names. Raises ValueError where it cannot."""
    values = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        if name not in FAULTS:
            raise ValueError(f"no fault {name!r}; there are {', '.join(FAULTS)}")
        try:
            values[name] = FAULTS[name].read(value)
        except ValueError as error:
            raise ValueError(f"fault {part!r}: {error}") from error
    return values


class Faults:
    """The faults in force. Raises ValueError for a list it cannot read.

    ``random`` is where shares are drawn from; ``struck`` counts requests for `times`. ``played``
    are values of faults that readings bring about, and count where a fault is off.
    """

    def __init__(
        self, text: str = "", seed: int = 1, played: Mapping[str, Any] | None = None
    ) -> None:
        self.random = random.Random(f"faults {seed}")
        self.played = {} if played is None else played
        self.set(text)

    def set(self, text: str) -> None:
        """Put another list in force; what it does not name is off."""
        values = values_of(text)
        self.text, self._values, self._asked, self.struck = text, values, 0, 0

    def __getitem__(self, name: str) -> Any:
        """Return a fault's value."""
        if name in self._values:
            return self._values[name]
        return self.played.get(name, FAULTS[name].off)

    def strikes(self, name: str) -> bool:
        """Draw whether a fault strikes this time; without a share it always does."""
        value, has_share = self[name], FAULTS[name].read is _share
        return bool(value) and (not has_share or self.random.random() < value)

    def is_revoked(self) -> bool:
        """Count a request, and tell whether the key has been revoked by now."""
        self._asked += 1
        after = self["revoke-after"]
        return after is not None and self._asked > after


class Strikes:
    """The faults as they strike one request, within `only` and `times`."""

    def __init__(self, faults: Faults, method: str) -> None:
        self.faults = faults
        self._kind = "reads" if method in ("GET", "HEAD") else "writes"
        self._has_struck = False

    def by(self, name: str) -> bool:
        """Draw whether a fault strikes, and count the request if it is the first to do so."""
        faults = self.faults
        is_spent = faults["times"] is not None and faults.struck >= faults["times"]
        if faults["only"] not in ("", self._kind) or (is_spent and not self._has_struck):
            return False
        if not faults.strikes(name):
            return False
        faults.struck += not self._has_struck
        self._has_struck = True
        return True
