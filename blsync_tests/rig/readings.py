"""A server that plays readings, and the whole round of work against it: sync, reports, push.

The books are small: three pages of journal entries, two of invoices, one of all else.
"""

from __future__ import annotations

import itertools
import json
import re
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from blsync import doctor, push, reconcile, settings
from blsync import pull as pulling
from blsync.entities import ENTITIES, select
from blsync.ledger.states import PlanState
from blsync.marts.figures import CompanyFacts
from blsync.push.compare import to_text
from blsync.push.report import PlanReport
from blsync.sandbox import Options
from blsync.sandbox.books import entities as books
from blsync.sandbox.http.readings import GROUPS, SLIM
from blsync.session import Session, open_session
from blsync.settings import Company
from rig import push_desk

BOOKS: dict[str, Any] = {"invoices": 105, "customers": 8, "items": 4, "months": 1, "limits": False}
FEW = ("accounts", "invoices", "journal_entries")
"""Entities that between them have every kind of list: two lists, and every change field."""
TOGETHER = ("refusals", "records")
"""Groups of readings that do not exclude each other."""
ASIDE = ("business dates", "numbers", "quota", "reports")
"""Groups of readings that change nothing of what others are about."""
NO_EFFECT = {
    **dict.fromkeys(GROUPS["page size"], ("whole-lists",)),
    **dict.fromkeys(GROUPS["totals"], ("whole-lists", "no-pagination")),
    **dict.fromkeys(GROUPS["cursors"], tuple(GROUPS["pages"])),
    "no-look-ups": ("no-filters", "filters-ignored"),
}
"""Readings that change nothing beside certain others."""
OUT_OF_REACH = {"is-active": ("no-filters", "filters-ignored")}
"""Readings beside which a part of the books cannot be asked for."""
UNREADABLE = tuple(
    ({"short-cursors"}, {*GROUPS["page size"]}, third)
    for third in ({*GROUPS["filters"]}, {"no-look-ups"})
)
"""One of each, and no list is read to its end: its cursors end early, and no bound goes on where
one has ended; or no plan is made, as it has to look through such a list for what a row names.
"""
AT_ONCE, ASIDE_AT_ONCE = 6, 3
"""How many readings a server of `servers` has at most, and how many more that stand aside."""


def servers() -> list[tuple[str, ...]]:
    """Return servers, each of several readings, so that every two that a server can be are in one
    of them: a tenth as many as there are pairs, and each pair beside others.
    """
    group_of = {name: group for group, names in GROUPS.items() for name in names}
    places = {name: place for place, name in enumerate(group_of)}
    left = {pair for pair in itertools.combinations(places, 2) if is_pair(*pair)}
    found = []
    while left:
        chosen = [*min(left, key=lambda pair: [places[name] for name in pair])]
        while True:
            aside = sum(group_of[name] in ASIDE for name in chosen)
            room = {True: ASIDE_AT_ONCE - aside, False: AT_ONCE - (len(chosen) - aside)}
            new = {
                name: sum(pair in left for pair in _pairs_of(name, chosen, places))
                for name in places
                if room[group_of[name] in ASIDE] > 0
                and name not in chosen
                and is_server([*chosen, name])
            }
            best = max(new, key=lambda name: new[name], default=None)
            if best is None or not new[best]:
                break
            chosen.append(best)
        chosen.sort(key=places.__getitem__)
        left -= set(itertools.combinations(chosen, 2))
        found.append(tuple(chosen))
    return found


def _pairs_of(
    name: str, others: Collection[str], places: Mapping[str, int]
) -> Iterator[tuple[str, ...]]:
    return (tuple(sorted((name, other), key=places.__getitem__)) for other in others)


def is_pair(one: str, other: str) -> bool:
    """Tell whether a server can be as both readings have it, and differs from each alone."""
    group_of = {name: group for group, names in GROUPS.items() for name in names}
    if group_of[one] == group_of[other] and group_of[one] not in TOGETHER:
        return False
    rules = (NO_EFFECT, OUT_OF_REACH)
    return not any(other in rule.get(one, ()) or one in rule.get(other, ()) for rule in rules)


def is_server(readings: Collection[str]) -> bool:
    """Tell whether a server can be as all these readings have it, and its lists can be read."""
    return all(itertools.starmap(is_pair, itertools.combinations(readings, 2))) and not any(
        all(part & {*readings} for part in parts) for parts in UNREADABLE
    )


@dataclass
class Round:
    """One company at a server that plays readings; all its work is done in one session."""

    http: httpx.Client
    session: Session
    readings: Collection[str]
    entities: tuple[str, ...]
    word: str = field(default_factory=lambda: f"d{uuid.uuid4().hex[:8]}")

    @cached_property
    def company(self) -> Company:
        return self.session.settings.companies()[0]

    def sync(self) -> dict[str, int]:
        """Pull, and return how many versions landed of each entity."""
        results = pulling.pull(self.session, self.company, select(self.entities))
        pulling.raise_failures(results)
        assert {name: r.drift for name, r in results.items() if r.drift} == {}
        return {name: result.rows + result.deleted for name, result in results.items()}

    def assert_held(self) -> None:
        """All that the server has is held, to the cent, and nothing besides."""
        for name in self.entities:
            wanted = {key: self._as_shown(name, one) for key, one in self.at_server(name).items()}
            assert self._held(name) == wanted, name

    def at_server(self, name: str) -> dict[tuple[Any, ...], Any]:
        """Return the records that the server has, whatever its lists show of them."""
        answer = self.http.get("/sandbox/records", params={"entity": name})
        return {_key(name, record): record for record in _decoded(answer.content)}

    def _held(self, name: str) -> dict[tuple[Any, ...], Any]:
        rows = [
            row
            for file in sorted((self.session.settings.data / "landing" / name).rglob("*.parquet"))
            for row in pq.ParquetFile(file).read(["_op", "_payload", "_pulled_at"]).to_pylist()
        ]
        rows.sort(key=lambda row: row["_pulled_at"])
        assert {row["_op"] for row in rows} <= {"upsert"}, name
        texts = [row["_payload"] for row in rows]
        assert len(texts) == len(set(texts)), f"{name}: a version landed twice"
        records = [self._as_shown(name, record) for record in map(_decoded, texts)]
        return {_key(name, record): record for record in records}

    def _as_shown(self, name: str, record: Any) -> Any:
        """Return a record to the cent, whatever its numbers are written as, less what no list of
        such a server shows, and what is never kept as it came.
        """
        left_out = {path.partition(".")[0] for path in ENTITIES[name].digested}
        left_out |= set(books.ENTITIES[name].secret_fields)
        left_out |= set(SLIM.get(name, ()) if "slim-lists" in self.readings else ())
        return {field: _plain(v) for field, v in record.items() if field not in left_out}

    def reports(self) -> dict[tuple[Any, ...], Decimal]:
        """Return the figures of BigLedger's reports that are comparable."""
        return comparable(reconcile.ask(self.session, self.company, again=True))

    def push_with_a_lost_answer(self, endpoint: str, rows: list[push_desk.Row]) -> PlanReport:
        """Push rows whose first answer is lost, to their end."""
        path = self.session.settings.data / "changes.json"
        path.write_text(to_text(rows))
        plan_id = push.plan(self.session, self.company, endpoint, path).plan.plan_id
        self.control("faults", faults="only=writes,drop-after=1,times=1")
        for _ in range(3):
            report = push.apply(self.session, plan_id)
            if report.plan.state == PlanState.APPLIED:
                break
        self.control("faults", faults="")
        return report

    def sent(self, name: str, field: str, wanted: Collection[Any]) -> Counter[Any]:
        """Count the server's records by what tells what was sent."""
        found = (record[field] for record in self.at_server(name).values())
        return Counter(value for value in found if value in wanted)

    def control(self, switch: str, **body: object) -> None:
        """Tell the sandbox what it is to do."""
        self.http.post(f"/sandbox/{switch}", json=body).raise_for_status()

    def doctor(self) -> str:
        """Return what doctor tells of the server."""
        names = (": dialect", ": push")
        checks = doctor.examine().checks
        return "\n".join(check.message for check in checks if check.name.endswith(names))


async def at_once(_: float) -> None:
    """Sleep without waiting."""


@contextmanager
def played(
    readings: Collection[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    entities: tuple[str, ...] = FEW,
) -> Iterator[Round]:
    """Run a server that plays readings, and open a company at it that has never asked it."""
    with push_desk.server(Options(**BOOKS, readings=",".join(readings))) as http:
        push_desk.set_up(monkeypatch, folder, f"{str(http.base_url).rstrip('/')}/v1")
        monkeypatch.setenv("BLSYNC_PUSH_SETTLE_SECONDS", "0")
        with open_session(settings.load(), sleep=at_once) as session:
            yield Round(http, session, readings, entities)


def comparable(facts: CompanyFacts) -> dict[tuple[Any, ...], Decimal]:
    """Return the figures of reports that are of the dates which were asked for."""
    return {
        (f["report"], f["as_of_date"], f["period_from"], f["entity_key"], f["measure"]): f["value"]
        for f in facts.figures
        if not f["told_dates"]
    }


def _key(name: str, record: Any) -> tuple[Any, ...]:
    return tuple(record[field] for field in ENTITIES[name].key)


def _decoded(text: Any) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def _plain(value: Any) -> Any:
    """Return a value as it is meant: numbers to the fourth decimal, though they be text."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, str) and re.fullmatch(r"-?\d+\.\d+", value):
        value = Decimal(value)
    return round(value, 4).normalize() if isinstance(value, Decimal) else value
