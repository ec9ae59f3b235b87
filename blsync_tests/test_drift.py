"""Deletes and drift: what BigLedger no longer has is marked, what was missed lands."""

from __future__ import annotations

import math

import pytest
from conftest import Asked, Reply, listed
from test_pull import control, landed, on_server, run

from blsync import status
from blsync.entities import ENTITIES
from blsync.lake.store import Lake
from blsync.ledger import Ledger, loads
from blsync.sandbox import Handle, Options, running

ALWAYS = {"BLSYNC_DRIFT_HOURS": "0"}


@pytest.fixture(scope="module")
def books():
    options = Options(invoices=1500, customers=40, items=15, months=12, limits=False, suppliers=60)
    with running(options) as handle:
        yield handle


@pytest.fixture
def sandbox(books: Handle):
    yield books
    control(books, "faults", faults="")


def held(settings, name: str) -> set[tuple]:
    keys = Lake(settings.data).stored_keys(ENTITIES[name], settings.company_id)["key"]
    return {tuple(key.split("\x1f")) for key in keys.to_pylist()}


async def at_once(_seconds: float) -> None:
    """Wait for nothing."""


def delete(sandbox: Handle, name: str, count: int) -> list:
    return control(sandbox, "delete", entity=name, count=count, seed=7)["ids"]


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("name", sorted(ENTITIES))
def test_what_was_deleted_at_the_server_is_marked_deleted_once(configure, sandbox, name):
    loaded = configure(sandbox, **ALWAYS)
    run(loaded, name)
    delete(sandbox, name, 2)
    result = run(loaded, name)[name]
    assert (result.deleted, result.drift) == (2, 0)
    tombstones = [row for row in landed(loaded, name) if row["_op"] == "delete"]
    assert len(tombstones) == 2
    for row in tombstones:
        filled = {column for column, value in row.items() if value is not None}
        added = {"_company_id", "_load_id", "_pulled_at", "_request_id", "_op", "company_id"}
        assert filled - added == set(ENTITIES[name].key)
    assert held(loaded, name) == set(on_server(sandbox, name))
    assert run(loaded, name)[name].deleted == 0


def test_a_few_deletes_among_many_are_found_without_reading_the_whole_list(configure, sandbox):
    loaded = configure(sandbox, **ALWAYS)
    run(loaded, "invoices")
    pages = math.ceil(len(on_server(sandbox, "invoices")) / 100)
    delete(sandbox, "invoices", 1)
    result = run(loaded, "invoices")["invoices"]
    assert result.deleted == 1
    assert result.requests < pages
    assert held(loaded, "invoices") == set(on_server(sandbox, "invoices"))


@pytest.mark.deep
def test_many_deletes_cost_no_more_than_reading_the_list_once(configure):
    # Books of its own: what other tests changed in the last minutes would be in the window.
    with running(Options(invoices=1200, customers=40, items=15, limits=False)) as sandbox:
        loaded = configure(sandbox, **ALWAYS)
        run(loaded, "invoices")
        delete(sandbox, "invoices", 120)
        pages = math.ceil(len(on_server(sandbox, "invoices")) / 100)
        result = run(loaded, "invoices")["invoices"]
    assert result.deleted == 120
    # The window, the total once more, and the missing ones asked for by id.
    assert result.requests <= pages + 2 + math.ceil(120 / 100)


def test_the_ids_are_looked_at_no_more_often_than_the_settings_say(configure, sandbox):
    loaded = configure(sandbox, BLSYNC_DRIFT_HOURS="24")
    run(loaded, "customers")
    delete(sandbox, "customers", 1)
    first = run(loaded, "customers")["customers"]  # the first difference is looked at at once
    assert (first.deleted, first.drift) == (1, 0)
    delete(sandbox, "customers", 1)
    second = run(loaded, "customers")["customers"]
    assert (second.deleted, second.drift, second.requests) == (0, -1, 1)
    third = run(configure(sandbox, **ALWAYS), "customers")["customers"]
    assert (third.deleted, third.drift) == (1, 0)


def test_records_that_were_never_landed_are_found_and_land(configure, sandbox):
    loaded = configure(sandbox, **ALWAYS)
    run(loaded, "customers")
    (path,) = (p for p in (loaded.data / "landing/customers").rglob("*Z-*.parquet"))
    path.unlink()
    result = run(loaded, "customers")["customers"]
    assert result.rows == len(on_server(sandbox, "customers"))
    assert held(loaded, "customers") == set(on_server(sandbox, "customers"))


def test_a_deleted_record_that_comes_back_unchanged_lands_again(configure, tiny_server):
    record = {"id": "cust_1", "updatedAt": "2026-01-01T00:00:00Z"}
    there = [record]

    def answer(asked: Asked) -> Reply:
        return listed(there, total=len(there))

    loaded = configure(tiny_server(answer), **ALWAYS)
    run(loaded, "customers")
    there.clear()
    assert run(loaded, "customers", sleep=at_once)["customers"].deleted == 1
    assert held(loaded, "customers") == set()
    there.append(record)
    assert run(loaded, "customers")["customers"].rows == 1
    assert held(loaded, "customers") == {("cust_1",)}


def test_a_list_that_was_emptied_while_it_was_read_is_compared_with_nothing(configure, tiny_server):
    records = [{"id": f"cust_{n}", "updatedAt": f"2026-01-0{n}T00:00:00Z"} for n in (1, 2)]
    is_emptied = False

    def answer(asked: Asked) -> Reply:
        if is_emptied and (asked.params.get("limit") == "1" or "id[in]" in asked.params):
            return listed([], total=0)
        return listed(records, total=len(records) + is_emptied)

    loaded = configure(tiny_server(answer), **ALWAYS)
    run(loaded, "customers")
    is_emptied = True
    assert run(loaded, "customers", sleep=at_once)["customers"].drift == -len(records)
    drift = loads.drift_of(Ledger(loaded.ledger_url), loaded.company_id, "customers")
    assert (drift.total, drift.held) == (0, 2)


def test_a_record_that_only_a_page_left_out_is_not_marked_deleted(configure, tiny_server):
    """A list that loses a record while it is read is no proof that the record is gone."""
    records = [{"id": f"cust_{n}", "updatedAt": f"2026-01-0{n}T00:00:00Z"} for n in (1, 2, 3)]
    is_losing = False

    def answer(asked: Asked) -> Reply:
        if "id[in]" in asked.params:
            wanted = asked.params["id[in]"].split(",")
            return listed([r for r in records if r["id"] in wanted])
        shown = records[:2] if is_losing else records
        return listed(shown, total=len(shown))

    loaded = configure(tiny_server(answer), **ALWAYS)
    run(loaded, "customers")
    is_losing = True
    assert run(loaded, "customers")["customers"].deleted == 0
    assert len(held(loaded, "customers")) == 3


def test_quarantined_records_count_as_held(configure, sandbox):
    control(sandbox, "faults", faults="odd-records=2")
    loaded = configure(sandbox, BLSYNC_QUARANTINE_SHARE="0.1", **ALWAYS)
    result = run(loaded, "customers")["customers"]
    assert (result.quarantined, result.drift, result.deleted) == (2, 0, 0)


def test_a_server_that_tells_no_total_is_pulled_without_a_comparison(configure, sandbox):
    control(sandbox, "faults", faults="no-total")
    loaded = configure(sandbox, **ALWAYS)
    result = run(loaded, "customers")["customers"]
    assert (result.drift, result.error) == (None, None)


def test_drift_is_kept_for_status(configure, sandbox):
    loaded = configure(sandbox, **ALWAYS)
    run(loaded, "items")
    ledger = Ledger(loaded.ledger_url)
    try:
        found = loads.drift_of(ledger, loaded.company_id, "items")
    finally:
        ledger.close()
    assert found.total == found.held == len(on_server(sandbox, "items"))


def test_an_unsorted_server_is_asked_for_its_total_when_a_look_is_due(configure, sandbox):
    control(sandbox, "faults", faults="unsorted")
    loaded = configure(sandbox, BLSYNC_DRIFT_HOURS="24")
    run(loaded, "customers")
    assert run(loaded, "customers")["customers"].requests == 1
    delete(sandbox, "customers", 1)
    control(sandbox, "faults", faults="unsorted")
    assert run(configure(sandbox, **ALWAYS), "customers")["customers"].deleted == 1


@pytest.mark.deep
def test_a_total_that_stops_counting_is_noticed_by_the_first_walk_and_costs_nothing_more(
    configure, tmp_path
):
    options = Options(invoices=260, customers=20, items=10, months=2, limits=False)
    with running(options) as server:
        plain = configure(server, BLSYNC_DRIFT_HOURS="0", BLSYNC_DATA=str(tmp_path / "plain"))
        usual = [run(plain, "invoices")["invoices"].requests for _ in range(3)]
        control(server, "faults", faults="cap-total=100")
        said: list[str] = []
        loaded = configure(server, BLSYNC_DRIFT_HOURS="0", BLSYNC_DATA=str(tmp_path / "capped"))
        results = [run(loaded, "invoices", say=said.append)["invoices"] for _ in range(3)]
        assert [result.requests for result in results] == usual
        assert [(r.rows, r.deleted, r.drift) for r in results] == [
            (260, 0, None), (0, 0, None), (0, 0, None)
        ]  # fmt: skip
        assert len([line for line in said if "stops counting at 100" in line]) == 1
        (told,) = (c["entities"]["invoices"] for c in status.report(loaded)["companies"].values())
        assert (told["drift"], told["total_goes_up_to"]) == (None, 100)
        control(server, "faults", faults="")
        control(server, "delete", entity="invoices", count=3)
        assert run(loaded, "invoices")["invoices"].deleted == 3


def test_a_total_that_stops_counting_later_costs_one_look_and_deletes_nothing(configure):
    options = Options(invoices=260, customers=20, items=10, months=2, limits=False)
    with running(options) as server:
        loaded = configure(server, BLSYNC_DRIFT_HOURS="0")
        run(loaded, "invoices")
        usual = run(loaded, "invoices")["invoices"].requests
        control(server, "faults", faults="cap-total=200")
        look = run(loaded, "invoices")["invoices"]
        assert (look.rows, look.deleted, look.drift) == (0, 0, None)
        assert look.requests > usual
        later = run(loaded, "invoices")["invoices"]
        assert (later.rows, later.deleted, later.requests) == (0, 0, usual)
