"""Modules that a company may do without: purchasing, orders, e-invoices, tills, transfers."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import Asked, Reply, failure, listed, serving
from hypothesis import given as given_drawn
from hypothesis import strategies as st
from rig.commands import pull
from rig.depth import drawn
from test_cli import blsync, environment
from test_nights import truth
from test_pull import assert_in_step, control, history, landed, latest, run

from blsync import doctor, settings, status
from blsync.cli.estimate import plan
from blsync.entities import ENTITIES, pulled, select_pulled
from blsync.errors import ConfigError
from blsync.pull import Result
from blsync.sandbox import Handle, Options, running
from blsync.settings import Settings

OPTIONAL = [name for name, entity in ENTITIES.items() if entity.is_optional]
NEEDED = [name for name in ENTITIES if name not in OPTIONAL]
BOOKS = Options(
    invoices=60, customers=15, items=12, months=3, limits=False, quotes=12, sales_orders=12,
    bills=12, transfers=6, pos_transactions=30,
)  # fmt: skip


@pytest.fixture(scope="module")
def books() -> Iterator[Handle]:
    with running(BOOKS) as handle:
        yield handle


@pytest.fixture
def sandbox(books: Handle) -> Iterator[Handle]:
    yield books
    control(books, "faults", faults="")


def pulled_at(given: Settings, at: datetime | None = None, **more: Any) -> dict[str, Result]:
    if at:
        more["clock"] = lambda: at
    return run(given, **more)


def of_optional(results: dict[str, Result], what: Callable[[Result], Any]) -> set[Any]:
    return {what(results[name]) for name in OPTIONAL}


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("fault", ["absent", "forbid"])
def test_a_module_that_is_not_there_stops_nothing_and_comes_back_without_a_hole(
    configure, sandbox, fault
):
    given = configure(sandbox)
    begin = datetime.now(UTC)
    run(given)
    before = {name: len(landed(given, name)) for name in OPTIONAL}
    gone = f"clock=none,{fault}={'+'.join(OPTIONAL)}"
    control(sandbox, "faults", faults=gone)
    for name in OPTIONAL:
        control(sandbox, "touch", entity=name, share=0.4)
    said: list[str] = []
    results = run(given, say=said.append)
    asked = of_optional(results, lambda r: (r.rows, bool(r.unavailable), r.requests))
    assert asked == {(0, True, 1)}
    assert not any(results[name].unavailable for name in NEEDED)
    assert {name for name in OPTIONAL if any(text.startswith(f"{name}:") for text in said)} == {
        *OPTIONAL
    }
    told = status.report(given)["companies"]["company_sandbox"]["entities"]
    assert {name for name, entity in told.items() if entity["unavailable"]} == {*OPTIONAL}
    assert not any(entity["open_load"] for entity in told.values())

    # Not an hour later, and not in another process: what was seen is in the ledger.
    later = pulled_at(given, begin + timedelta(hours=1))
    assert of_optional(later, lambda r: (bool(r.unavailable), r.requests)) == {(True, 0)}
    control(sandbox, "faults", faults="clock=none")
    too_early = pulled_at(given, begin + timedelta(hours=23))
    assert of_optional(too_early, lambda r: r.requests) == {0}
    back = pulled_at(given, begin + timedelta(hours=24, minutes=1))
    assert of_optional(back, lambda r: r.unavailable) == {None}
    assert all(len(landed(given, name)) > before[name] for name in OPTIONAL if before[name])
    for name in OPTIONAL:
        assert latest(given, name) == truth(sandbox.url, name), name
    told = status.report(given)["companies"]["company_sandbox"]["entities"]
    assert not any(entity["unavailable"] for entity in told.values())


def a_day_later(data: Path) -> None:
    """Have what is not there have been asked for a day earlier than it was."""
    with closing(sqlite3.connect(data / "ledger.db")) as db, db:
        found = db.execute("select rowid, learnt_at from dialects where parameter = 'list'")
        for row, learnt_at in found.fetchall():
            earlier = datetime.fromisoformat(learnt_at) - timedelta(days=1)
            text = earlier.isoformat(" ")
            db.execute("update dialects set learnt_at = ? where rowid = ?", (text, row))


@pytest.mark.deep
def test_a_sync_ends_well_without_modules_and_the_marts_hold_all_of_them_once_they_are_back(
    sandbox, tmp_path
):
    env = environment(tmp_path, sandbox.base_url, BLSYNC_START=str(date.today()))

    def sync(*arguments: str) -> dict[str, Any]:
        done = blsync("sync", "--json", *arguments, env=env)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["entities"]

    def unavailable() -> set[str]:
        """What the one line of each entity in the table of status says."""
        done = blsync("status", env=env | {"COLUMNS": "140"})
        assert done.returncode == 0
        lines = [line.split() for line in done.stdout.splitlines() if line.split()]
        lines = [words for words in lines if words[0] in ENTITIES]
        assert sorted(words[0] for words in lines) == sorted(ENTITIES)
        return {words[0] for words in lines if "unavailable" in words}

    # What has never been there, and what goes after a first sync, come back alike.
    late = ("quotes", "pos_transactions")
    faults = f"absent={'+'.join(late)}"
    control(sandbox, "faults", faults=f"clock=none,{faults}")
    first = sync("--no-build")
    assert {name for name, entity in first.items() if entity["unavailable"]} == {*late}
    gone = [name for name in OPTIONAL if name not in late]
    control(sandbox, "faults", faults=f"clock=none,{faults},forbid={'+'.join(gone)}")
    control(sandbox, "night", seed=5)
    without = sync("--no-build")
    assert {name for name, entity in without.items() if entity["unavailable"]} == {*OPTIONAL}
    assert not any(entity["error"] for entity in without.values())
    assert {without[name]["requests"] for name in late} == {0}
    assert unavailable() == {*OPTIONAL}

    control(sandbox, "faults", faults="clock=none")
    a_day_later(tmp_path)
    back = sync()
    assert not any(entity["unavailable"] or entity["error"] for entity in back.values())
    assert unavailable() == set()
    with duckdb.connect(str(tmp_path / "blsync.duckdb"), read_only=True) as db:
        checked = db.sql(
            "select entity_key, status from finance.reconciliation where check_name = 'list_totals'"
        ).fetchall()
        assert {key for key, _ in checked} >= {f"{name}:records" for name in ENTITIES}
        assert {status for _, status in checked} == {"pass"}
        for name in OPTIONAL:
            key = db.table(f"history.{name}").columns[1]
            versions = db.sql(
                f"select {key}, known_from, known_to, is_deleted from history.{name}"
                f" order by {key}, known_from"
            ).fetchall()
            now = {(key,) for key, _, until, is_deleted in versions if not (until or is_deleted)}
            assert now == {*truth(sandbox.url, name)}, name
            for (key, _, until, _), (after, since, *_) in pairwise(versions):
                assert until == (since if key == after else None), name


def test_one_that_was_never_there_begins_with_all_that_there_is(configure, sandbox):
    given = configure(sandbox)
    begin = datetime.now(UTC)
    control(sandbox, "faults", faults="clock=none,absent=bills")
    assert run(given, "bills")["bills"].unavailable
    assert history(given) == []
    control(sandbox, "faults", faults="clock=none")
    day = begin + timedelta(days=1)
    run(given, "bills", clock=lambda: day)
    assert_in_step(given, sandbox, "bills")


def test_a_range_that_is_pulled_again_asks_at_once(configure, sandbox):
    given = configure(sandbox)
    control(sandbox, "faults", faults="absent=quotes")
    run(given, "quotes")
    control(sandbox, "faults", faults="")
    assert run(given, "quotes")["quotes"].requests == 0
    assert run(given, "quotes", again=True)["quotes"].unavailable is None
    assert run(given, "quotes")["quotes"].requests > 0


def test_what_the_marts_need_still_fails_where_it_is_forbidden(configure, sandbox):
    given = configure(sandbox)
    control(sandbox, "faults", faults="forbid=invoices+bills")
    results = pull(given, given.companies()[0], [ENTITIES["invoices"], ENTITIES["bills"]])
    assert results["invoices"].error is not None
    assert results["invoices"].unavailable is None
    assert (results["bills"].error, bool(results["bills"].unavailable)) == (None, True)


def test_plan_and_doctor_say_what_is_not_there_and_a_plan_asks_once(configure, sandbox):
    given = configure(sandbox)
    control(sandbox, "faults", faults=f"absent={'+'.join(OPTIONAL)}")
    made = plan(given)
    assert made.error is None
    costs = made.to_json()["entities"]
    assert {name for name, cost in costs.items() if cost.get("unavailable")} == {*OPTIONAL}
    assert {costs[name]["requests"] for name in OPTIONAL} == {0}
    assert of_optional(run(given), lambda r: r.requests) == {0}
    report = doctor.examine()
    (found,) = [c for c in report.checks if c.name == "company_sandbox: modules"]
    assert found.is_ok
    assert all(f"{name}: unavailable" in found.message for name in OPTIONAL)
    (dialect,) = [c for c in report.checks if c.name == "company_sandbox: dialect"]
    assert "unavailable" not in dialect.message


def test_a_sync_of_the_modules_costs_what_was_planned_first_and_on_a_quiet_night(
    configure, sandbox
):
    given = configure(sandbox)
    for _ in range(2):
        costs = plan(given, entities=OPTIONAL).to_json()["entities"]
        results = run(given, *OPTIONAL)
        planned = {name: cost["requests"] for name, cost in costs.items()}
        assert planned == {name: result.requests for name, result in results.items()}
    assert set(planned.values()) == {1}


def test_the_setting_chooses_among_the_modules_and_never_leaves_out_what_the_marts_need(
    configure, sandbox, environment
):
    assert [entity.name for entity in pulled(None)] == list(ENTITIES)
    assert {entity.name for entity in pulled("bills, suppliers")} == {*NEEDED, "bills", "suppliers"}
    assert {entity.name for entity in pulled("invoices")} == set(NEEDED)
    with pytest.raises(ConfigError, match=r"BLSYNC_ENTITIES: Unknown entity 'bill'"):
        pulled("bill")
    with pytest.raises(ConfigError, match="BLSYNC_ENTITIES leaves out quotes"):
        select_pulled(["quotes"], "bills")
    given = configure(sandbox, BLSYNC_ENTITIES="invoices,bills")
    made = plan(given)
    assert set(made.to_json()["entities"]) == {*NEEDED, "bills"}
    told = status.report(given)["companies"]["company_sandbox"]["entities"]
    assert set(told) == {*NEEDED, "bills"}
    (found,) = [c for c in doctor.examine().checks if c.name == "company_sandbox: modules"]
    assert "leaves out einvoices" in found.message
    assert "does not name accounts" in found.message
    environment.setenv("BLSYNC_ENTITIES", "bill")
    settings.load()
    assert doctor.examine().exit_code == ConfigError.exit_code


NUMBER = "5140 1234 9876"
"""An account number; a text of its own that nothing else holds."""


def supplier(number: int, **more: Any) -> dict[str, Any]:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number)
    return {
        "id": f"supp_{number:04}",
        "supplierNumber": f"S{number:04}",
        "name": f"Pembekal {number}",
        "creditLimit": 1000.50,
        "createdAt": at.isoformat(),
        "updatedAt": at.isoformat(),
    } | more


def bank(name: str = "bankDetails") -> dict[str, Any]:
    return {name: {"accountName": "Pembekal", "accountNumber": NUMBER, "swiftCode": "MBBEMYKL"}}


def test_bank_details_are_nowhere_in_what_is_written_and_the_rest_stays_as_it_came(
    configure, tiny_server
):
    whole = [json.dumps(supplier(n, **bank())) for n in range(3)]
    untouched = json.dumps(supplier(20), indent=1)
    odd = [
        json.dumps(supplier(10, payment={"methods": [bank("bank_details")]})),
        json.dumps(supplier(11, **bank()) | {"creditLimit": "a lot"}),
        json.dumps(supplier(12, **bank())).replace('"Pembekal 12"', '"half \\ud83d"'),
        json.dumps(supplier(13, **bank())).replace("1000.5", "NaN"),
        json.dumps({"id": "supp_0014", "x": bank(), "y": "NAN"}).replace('"NAN"', "NaN"),
        json.dumps({"id": "supp_0015", "bank\u0044etails": bank()["bankDetails"]}),
    ]

    def answer(asked: Asked) -> Reply:
        key = asked.path.partition("/suppliers/")[2]
        if key:
            found = [text for text in whole if key in text]
            return Reply(b'{"success":true,"data":%b}' % found[0].encode())
        return listed([*whole, *odd, untouched], total=10, nextOffset=None)

    given = configure(tiny_server(answer), BLSYNC_QUARANTINE_SHARE="1", BLSYNC_DETAIL_FETCH="all")
    said: list[str] = []
    result = run(given, "suppliers", say=said.append)["suppliers"]
    assert (result.rows + result.quarantined, result.quarantined > 0) == (10, True)
    written = [path for path in given.data.rglob("*") if path.is_file()]
    rows = [*landed(given, "suppliers"), *landed(given, "suppliers", "quarantine")]
    payloads = {row["_payload"] for row in rows}
    for text in (NUMBER, "MBBEMYKL"):
        assert not any(text in str(row) for row in rows)
        assert not any(text.encode() in path.read_bytes() for path in written)
        assert not any(text in line for line in said)
    by_id = {json.loads(text)["id"]: text for text in payloads if text.endswith("}")}
    for number in range(3):
        assert json.loads(by_id[f"supp_{number:04}"]) == supplier(number)
    assert by_id["supp_0020"] == untouched


def test_documents_leave_a_digest_and_a_link_stays(configure, sandbox):
    given = configure(sandbox)
    run(given, "einvoices")
    assert latest(given, "einvoices") == truth(sandbox.url, "einvoices")
    rows = landed(given, "einvoices")
    assert len(rows) > 10
    assert {row["document"]["xml"][:7] for row in rows if row["document"]} == {"sha256:"}
    assert all(row["document"]["pdf"].endswith("/document/pdf") for row in rows if row["document"])
    assert not any("<Invoice" in row["_payload"] for row in rows)
    assert run(given, "einvoices")["einvoices"].rows == 0


@dataclass
class Suppliers:
    """A server that lists suppliers by offset, and changes them between any two pages."""

    churn: random.Random
    most: int
    """Changes between two pages, at most."""
    size: int
    window: str
    order: str
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    """Those that nothing has deleted since the beginning."""
    is_quiet: bool = False
    next_number: int = 0

    def __post_init__(self) -> None:
        for _ in range(self.churn.randint(0, 40)):
            self._add()
        self.kept = set(self.records)

    def _add(self, **more: Any) -> None:
        one = supplier(self.next_number, **more)
        self.next_number += 1
        self.records[one["id"]] = one

    def _change(self) -> None:
        for _ in range(self.churn.randint(0, self.most)):
            what = self.churn.choice(("add", "delete", "delete", "touch", "rename"))
            if what == "add":
                now = datetime.now(UTC).isoformat()
                self._add(createdAt=now, updatedAt=now)
            elif self.records:
                key = self.churn.choice(sorted(self.records))
                if what == "delete":
                    del self.records[key]
                    self.kept.discard(key)
                else:
                    name = f"{self.churn.random()}" if what == "rename" else "Changed"
                    now = datetime.now(UTC).isoformat()
                    self.records[key] = self.records[key] | {"name": name, "updatedAt": now}

    def answer(self, asked: Asked) -> Reply:
        if asked.path != "/suppliers":
            key = asked.path.rpartition("/")[2]
            if key not in self.records:
                return failure(404, "NOT_FOUND")
            return Reply(json.dumps({"success": True, "data": self.records[key]}).encode())
        found = list(self.records.values())
        params = dict(asked.params)
        order = params.pop("sort", "")
        bounds = {name: params.pop(name) for name in list(params) if "[" in name}
        refused = ["cursor"] if "cursor" in params else []
        if self.window == "refused":
            refused += [name for name in bounds if not name.startswith("id")]
        if refused:
            return failure(400, "BAD_REQUEST", details=[{"field": refused[0]}])
        if order and self.order == "refused":
            return failure(400, "BAD_REQUEST", details=[{"field": "sort"}])
        for name, value in bounds.items():
            field_, operator = name.rstrip("]").split("[")
            if operator == "in":
                found = [one for one in found if one[field_] in value.split(",")]
            elif self.window == "heeded":
                at = datetime.fromisoformat(value)
                found = [
                    one
                    for one in found
                    if (datetime.fromisoformat(one[field_]) >= at) == (operator == "gte")
                ]
        by, _, direction = (order or "name:asc").partition(":")
        if self.order == "ignored":
            by, direction = "name", "asc"
        found.sort(key=lambda one: (one[by], one["id"]), reverse=direction == "desc")
        limit = min(int(params.get("limit", 20)), self.size)
        offset = int(params.get("offset", 0))
        page = found[offset : offset + limit]
        has_more = offset + limit < len(found)
        reply = listed(
            [dict(one) for one in page],
            has_more=has_more,
            nextOffset=offset + limit if has_more else None,
            total=len(found),
            limit=limit,
        )
        if not self.is_quiet:
            self._change()
        return reply


class OneForOne(Suppliers):
    """Between its first two pages a supplier that was read is deleted, and another comes."""

    def _change(self) -> None:
        if "supp_0000" in self.records:
            del self.records["supp_0000"]
            now = datetime.now(UTC).isoformat()
            self._add(createdAt=now, updatedAt=now)


@pytest.mark.parametrize("window", ["heeded", "ignored"])
def test_a_total_that_stood_still_as_one_came_for_one_that_went_is_no_total_that_stops_counting(
    window, configure
):
    server = OneForOne(random.Random(1), 1, 3, window, "heeded")
    with serving(server.answer) as tiny:
        given = configure(tiny, BLSYNC_DRIFT_HOURS="0", BLSYNC_DELETE_SHARE="1")
        said: list[str] = []
        first = run(given, "suppliers", say=said.append)["suppliers"]
        assert (first.deleted, first.drift) == (1, 0)
        assert not [line for line in said if "stops counting" in line]
        rows = landed(given, "suppliers")
        last = {row["id"]: row for row in sorted(rows, key=lambda row: row["_pulled_at"])}
        assert {key for key, row in last.items() if row["_payload"]} == set(server.records)


@pytest.mark.deep
@given_drawn(
    seed=st.integers(0, 2**32),
    most=st.integers(0, 4),
    size=st.integers(2, 8),
    window=st.sampled_from(("heeded", "refused", "ignored")),
    order=st.sampled_from(("heeded", "refused", "ignored")),
)
@drawn(12, 40)
def test_suppliers_that_move_between_pages_are_neither_lost_nor_twice(
    tmp_path_factory, seed, most, size, window, order
):
    server = Suppliers(random.Random(seed), most, size, window, order)
    with serving(server.answer) as tiny, pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "BIGLEDGER_BASE_URL": tiny.base_url,
            "BIGLEDGER_API_KEY": tiny.api_key,
            "BIGLEDGER_COMPANY_ID": tiny.company_id,
            "BLSYNC_DATA": str(tmp_path_factory.mktemp("data")),
            "BLSYNC_ENV_FILE": os.devnull,
            "BLSYNC_QUOTA_PER_HOUR": "100000",
            "BLSYNC_QUOTA_PER_SECOND": "1000",
            "BLSYNC_DRIFT_HOURS": "0",
            "BLSYNC_DELETE_SHARE": "1",
        }.items():
            environment.setenv(name, value)
        given = settings.load()
        run(given, "suppliers")
        held = {row["id"] for row in landed(given, "suppliers")}
        assert server.kept <= held or order != "heeded"  # names change, and move records
        server.is_quiet = True
        run(given, "suppliers")
        run(given, "suppliers")
        rows = landed(given, "suppliers")
        versions = [(row["id"], row["_payload"]) for row in rows if row["_op"] == "upsert"]
        assert len(versions) == len(set(versions))
        last = {row["id"]: row for row in sorted(rows, key=lambda row: row["_pulled_at"])}
        live = {key: json.loads(row["_payload"]) for key, row in last.items() if row["_payload"]}
        assert live == server.records
        assert run(given, "suppliers")["suppliers"].rows == 0
