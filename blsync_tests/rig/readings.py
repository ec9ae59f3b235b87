"""A server that plays readings, and the whole round of work against it: sync, reports, push.

The books are small: three pages of journal entries, two of invoices, one of all else.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from blsync import doctor
from blsync.entities import ENTITIES, select
from blsync.marts.figures import CompanyFacts
from blsync.pull import raise_failures
from blsync.sandbox import Options
from blsync.sandbox.http.readings import GROUPS, SLIM
from blsync.settings import Settings
from rig import commands, push_desk
from rig.push_desk import Desk

BOOKS: dict[str, Any] = {"invoices": 105, "customers": 8, "items": 4, "months": 1, "limits": False}
FEW = ("accounts", "invoices", "journal_entries")
"""Entities that between them have every kind of list: two lists, and every change field."""
TOGETHER = ("refusals", "records")
"""Groups of readings that do not exclude each other."""
NO_EFFECT = {
    **dict.fromkeys(GROUPS["page size"], {"whole-lists"}),
    **dict.fromkeys(GROUPS["totals"], {"whole-lists", "no-pagination"}),
    **dict.fromkeys(GROUPS["cursors"], set(GROUPS["pages"])),
    "no-look-ups": {"no-filters", "filters-ignored"},
}
"""Readings that change nothing beside certain others."""
OUT_OF_REACH = {"is-active": {"no-filters", "filters-ignored"}}
"""Readings beside which a part of the books cannot be asked for."""


def is_pair(one: str, other: str) -> bool:
    """Tell whether a server can be as both readings have it, and differs from each alone."""
    group_of = {name: group for group, names in GROUPS.items() for name in names}
    if group_of[one] == group_of[other] and group_of[one] not in TOGETHER:
        return False
    rules = (NO_EFFECT, OUT_OF_REACH)
    return not any(
        other in rule.get(one, ()) or one in rule.get(other, ()) for rule in rules
    )


@dataclass
class Round:
    """One company at a server that plays readings."""

    desk: Desk
    readings: Collection[str]
    entities: tuple[str, ...]

    @property
    def given(self) -> Settings:
        return self.desk.settings

    def sync(self) -> dict[str, int]:
        """Pull, and return how many versions landed of each entity."""
        company = self.given.companies()[0]
        results = commands.pull(self.given, company, select(self.entities))
        raise_failures(results)
        assert {name: r.drift for name, r in results.items() if r.drift} == {}
        return {name: result.rows + result.deleted for name, result in results.items()}

    def assert_held(self) -> None:
        """All that the server has is held, to the cent, and nothing besides."""
        for name in self.entities:
            wanted = {key: self._as_shown(name, one) for key, one in self._at_server(name).items()}
            assert self._held(name) == wanted, name

    def _at_server(self, name: str) -> dict[tuple[Any, ...], Any]:
        answer = self.desk.http.get("/sandbox/records", params={"entity": name})
        return {_key(name, record): record for record in _decoded(answer.content)}

    def _held(self, name: str) -> dict[tuple[Any, ...], Any]:
        rows = [
            row
            for file in sorted((self.given.data / "landing" / name).rglob("*.parquet"))
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
        such a server shows.
        """
        left_out = SLIM.get(name, ()) if "slim-lists" in self.readings else ()
        return {field: _plain(v) for field, v in record.items() if field not in left_out}

    def reports(self) -> dict[tuple[Any, ...], Decimal]:
        """Return the figures of BigLedger's reports that are comparable."""
        return comparable(
            commands.ask_reports(self.given, self.given.companies()[0], again=True)
        )

    def push_with_a_lost_answer(self, endpoint: str, rows: list[push_desk.Row]) -> Counter[str]:
        """Push rows whose first answer is lost, to their end; return the outcomes."""
        self.desk.now = datetime.now(UTC)  # as the server's own
        plan_id = self.desk.plan(rows, endpoint).plan.plan_id
        self.desk.faults("only=writes,drop-after=1,times=1")
        for _ in range(3):
            report = self.desk.apply(plan_id)
            self.desk.settled()
        self.desk.faults()
        return Counter(report.outcomes)

    def customer_id(self) -> str:
        """Return the id of a customer that was there before."""
        return str(min(self._at_server("customers"))[0])

    def sent(self, name: str, field: str, wanted: Collection[Any]) -> Counter[Any]:
        """Count the server's records by what tells what was sent."""
        found = (record[field] for record in self._at_server(name).values())
        return Counter(value for value in found if value in wanted)

    def doctor(self) -> str:
        """Return what doctor tells of the server."""
        names = (": dialect", ": push")
        checks = doctor.examine().checks
        return "\n".join(check.message for check in checks if check.name.endswith(names))


@contextmanager
def played(
    readings: Collection[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    entities: tuple[str, ...] = tuple(ENTITIES),
) -> Iterator[Round]:
    """Run a server that plays readings, and open a company at it."""
    with (
        push_desk.server(Options(**BOOKS, readings=",".join(readings))) as http,
        push_desk.opened(http, folder, monkeypatch, is_known=False) as desk,
    ):
        yield Round(desk, readings, entities)


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
