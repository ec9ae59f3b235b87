"""Deletes above a share are held back, and a list that says it is empty is looked at twice."""

from __future__ import annotations

import json

import pytest
from conftest import Asked, Reply, listed
from rig.commands import pull
from test_drift import at_once, held
from test_pull import control, history, landed, latest, on_server, run

from blsync.entities import ENTITIES, select
from blsync.errors import DeletesHeldBack, PartlyFailed
from blsync.ledger import Ledger, loads
from blsync.pull import raise_failures
from blsync.sandbox import Handle, Options, running


@pytest.fixture(scope="module")
def books():
    with running(Options(invoices=200, customers=60, items=15, months=3, limits=False)) as handle:
        yield handle


@pytest.fixture
def sandbox(books: Handle):
    yield books
    control(books, "faults", faults="")


def attempt(settings, *names: str, **options):
    """Pull without waiting; what fails is in the results."""
    company = settings.companies()[0]
    return pull(settings, company, select(names), sleep=at_once, **options)


def touch_one(sandbox: Handle, name: str) -> None:
    control(sandbox, "touch", entity=name, count=1, seed=3)


@pytest.mark.deep_after(2)
@pytest.mark.parametrize("name", ["customers", "invoices", "accounts", "journal_entries"])
def test_a_night_of_empty_lists_deletes_nothing_and_fails(configure, sandbox, name):
    loaded = configure(sandbox)
    run(loaded, name)
    before = landed(loaded, name)
    control(sandbox, "faults", faults="hide=1")
    (result,) = attempt(loaded, name).values()
    assert isinstance(result.error, DeletesHeldBack)
    text = str(result.error)
    assert f"lists 0 of {len(before)}" in text
    assert f"blsync sync {name} --allow" in text
    assert "BLSYNC_DELETE_SHARE" in text
    assert landed(loaded, name) == before
    with pytest.raises(PartlyFailed) as failed:
        raise_failures({name: result})
    assert failed.value.exit_code == 3


def test_half_of_a_list_deletes_nothing_and_tells_what_was_asked_by_id(configure, sandbox):
    loaded = configure(sandbox)
    run(loaded, "customers")
    count = len(landed(loaded, "customers"))
    control(sandbox, "faults", faults="hide=0.5")
    left = len(on_server(sandbox, "customers"))
    assert 0 < left < 0.8 * count
    (result,) = attempt(loaded, "customers").values()
    assert isinstance(result.error, DeletesHeldBack)
    assert f"lists {left} of {count}" in str(result.error)
    assert f"{count - left} were not found" in str(result.error)
    assert "asked for by id (request " in str(result.error)
    assert all(row["_op"] == "upsert" for row in landed(loaded, "customers"))


def test_the_lists_being_back_the_next_sync_is_as_if_nothing_had_been(configure, sandbox):
    loaded = configure(sandbox)
    run(loaded, "customers")
    for faults in ("hide=1", "hide=0.5"):
        touch_one(sandbox, "customers")
        control(sandbox, "faults", faults=faults)
        for _ in range(2):
            (result,) = attempt(loaded, "customers").values()
            assert isinstance(result.error, DeletesHeldBack)
        control(sandbox, "faults", faults="")
        result = run(loaded, "customers")["customers"]
        assert (result.deleted, result.drift) == (0, 0)
        # What changed while the list was hidden has come too.
        assert latest(loaded, "customers") == on_server(sandbox, "customers")
    ledger = Ledger(loaded.ledger_url)
    try:
        assert loads.open_ids(ledger) == set()
    finally:
        ledger.close()
    assert not list((loaded.data / "spool").rglob("*.json"))


def test_a_sync_between_two_looks_does_not_pass_over_a_list_that_lost_its_half(configure, sandbox):
    loaded = configure(sandbox, BLSYNC_DRIFT_HOURS="24")
    run(loaded, "customers")
    control(sandbox, "delete", entity="customers", count=1, seed=5)
    assert run(loaded, "customers")["customers"].deleted == 1  # the day's look is over
    touch_one(sandbox, "customers")
    control(sandbox, "faults", faults="hide=0.5")
    (result,) = attempt(loaded, "customers").values()
    assert isinstance(result.error, DeletesHeldBack)
    control(sandbox, "faults", faults="")
    run(loaded, "customers")
    assert held(loaded, "customers") == set(on_server(sandbox, "customers"))
    touched = on_server(sandbox, "customers").items() - latest(loaded, "customers").items()
    assert not touched


def test_what_is_held_back_is_let_through_once_where_it_is_allowed(configure):
    with running(Options(invoices=20, customers=60, items=15, months=2, limits=False)) as sandbox:
        loaded = configure(sandbox)
        run(loaded, "customers")
        control(sandbox, "delete", entity="customers", share=0.5, seed=1)
        assert attempt(loaded, "customers")["customers"].error
        result = run(loaded, "customers", allow=True, sleep=at_once)["customers"]
        assert result.deleted > 20
        assert result.drift == 0
        control(sandbox, "delete", entity="customers", share=0.5, seed=2)
        assert attempt(loaded, "customers")["customers"].error


def test_the_share_is_a_setting_and_one_lets_everything_through(configure):
    with running(Options(invoices=20, customers=60, items=15, months=2, limits=False)) as sandbox:
        loaded = configure(sandbox, BLSYNC_DELETE_SHARE="1")
        run(loaded, "customers")
        control(sandbox, "delete", entity="customers", share=0.5, seed=1)
        assert run(loaded, "customers", sleep=at_once)["customers"].deleted > 20


def test_a_look_that_was_killed_is_not_gone_on_with_where_its_lists_are_back(configure, sandbox):
    loaded = configure(sandbox)
    run(loaded, "customers")
    control(sandbox, "faults", faults="hide=0.5,revoke-after=3")
    result = None
    try:
        attempt(loaded, "customers")
    except Exception as error:
        result = error
    assert result is not None  # stopped on the way, the look is left open
    control(sandbox, "faults", faults="")
    again = run(loaded, "customers")["customers"]
    assert (again.deleted, again.drift) == (0, 0)


def one_list(there: list[dict], glitches: list[int]):
    """Serve a list of customers that is empty for those of its unfiltered answers; count them."""
    asked_for: list[dict[str, str]] = []

    def answer(asked: Asked) -> Reply:
        if not any("[" in name for name in asked.params):
            asked_for.append(asked.params)
            if len(asked_for) in glitches:
                return listed([], total=0)
        chosen = there
        if wanted := asked.params.get("id[in]"):
            chosen = [record for record in there if record["id"] in wanted.split(",")]
        if since := asked.params.get("updatedAt[gte]"):
            chosen = [record for record in there if record["updatedAt"] >= since]
        is_newest_first = asked.params.get("sort", "").endswith(":desc")
        chosen = sorted(chosen, key=lambda r: r["updatedAt"], reverse=is_newest_first)
        return listed(chosen, total=len(chosen))

    answer.asked_for = asked_for  # type: ignore[attr-defined]
    return answer


def customers(count: int) -> list[dict]:
    return [
        {"id": f"cust_{n:02}", "updatedAt": f"2026-01-{n:02}T00:00:00Z", "name": f"C {n}"}
        for n in range(1, count + 1)
    ]


@pytest.mark.parametrize("drift_hours", ["0", "24"])
def test_a_list_that_is_empty_for_one_answer_loses_no_change(configure, tiny_server, drift_hours):
    there = customers(3)
    answer = one_list(there, [2])
    loaded = configure(tiny_server(answer), BLSYNC_DRIFT_HOURS=drift_hours)
    run(loaded, "customers")
    there[1] = {**there[1], "name": "New", "updatedAt": "2036-01-01T00:00:00Z"}
    paused: list[float] = []

    async def pause(seconds: float) -> None:
        paused.append(seconds)

    (result,) = pull(loaded, loaded.companies()[0], select(["customers"]), sleep=pause).values()
    assert result.error is None
    assert paused == [5]
    assert (result.rows, result.deleted, result.drift) == (1, 0, 0)
    assert json.loads(latest(loaded, "customers")[("cust_02",)])["name"] == "New"


def test_a_list_of_few_that_stays_empty_is_believed_at_the_second_look(configure, tiny_server):
    there = customers(3)
    loaded = configure(tiny_server(one_list(there, [])))
    run(loaded, "customers")
    there.clear()
    result = run(loaded, "customers", sleep=at_once)["customers"]
    assert (result.deleted, result.drift) == (3, 0)


def test_a_quiet_night_costs_no_request_more(configure, sandbox):
    loaded = configure(sandbox)
    run(loaded, *ENTITIES)
    results = run(loaded, *ENTITIES)
    twofold = ("accounts", "journal_entries", "stock_adjustments")
    assert {name: r.requests for name, r in results.items()} == {
        name: 2 if name in twofold else 1 for name in ENTITIES
    }


def test_a_list_whose_records_were_exchanged_for_others_deletes_nothing(configure, tiny_server):
    there = customers(25)
    loaded = configure(tiny_server(one_list(there, [])), BLSYNC_DRIFT_HOURS="0")
    run(loaded, "customers")
    there[:] = [{**r, "id": f"other_{n}"} for n, r in enumerate(customers(24))]
    (result,) = attempt(loaded, "customers").values()
    assert isinstance(result.error, DeletesHeldBack)
    assert "25 were not found" in str(result.error)
    assert len(held(loaded, "customers")) == 25
    assert all(load["deleted"] == 0 for load in history(loaded))
