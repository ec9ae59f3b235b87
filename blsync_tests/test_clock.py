"""A clock that was wrong once: it blocks nothing, freezes nothing, and what it left is mended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from conftest import Asked, Reply, listed
from rig import commands
from rig.commands import compact, pull, reread
from sqlalchemy import text
from test_pull import control, landed, latest, on_server, run

from blsync import cli, doctor
from blsync.clock import has_passed
from blsync.entities import ENTITIES
from blsync.errors import WrongClock
from blsync.files.atomic import atomic_write
from blsync.lake.store import Lake
from blsync.ledger import Ledger, loads
from blsync.maintenance import Repair, facts_in, repair
from blsync.marts.figures import COMPANIES, CompanyFacts
from blsync.pull import Result
from blsync.sandbox import Options, running
from blsync.settings import Settings

CUSTOMERS = ENTITIES["customers"]
TWO_YEARS = timedelta(days=730)
NO_TIME = {"Date": ""}
DAY = timedelta(days=1)
SMALL = Options(invoices=20, customers=30, items=6, months=2, limits=False, faults="clock=none")


@dataclass
class Clock:
    """This machine's clock: as far off the true time as a test says."""

    off: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.off


@pytest.fixture
def clock() -> Clock:
    return Clock()


def http_date(off: timedelta) -> str:
    return format_datetime(datetime.now(UTC) + off, usegmt=True)


def customer(key: str = "cust_1", **more: Any) -> dict[str, Any]:
    at = datetime.now(UTC) - timedelta(hours=2)
    return {
        "id": key,
        "name": "Kedai",
        "createdAt": at.isoformat(),
        "updatedAt": at.isoformat(),
    } | more


def stamped(reply: Reply, off: timedelta) -> Reply:
    """Have the envelope's meta tell a time."""
    meta = {"timestamp": (datetime.now(UTC) + off).isoformat(), "requestId": "r"}
    return replace(reply, body=json.dumps({**json.loads(reply.body), "meta": meta}).encode())


def ledgered(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    ledger = Ledger(settings.ledger_url)
    try:
        with ledger.begin() as db:
            return [tuple(row) for row in db.execute(text(query))]
    finally:
        ledger.close()


def pulled(settings: Settings, clock: Callable[[], datetime], **more: Any) -> Result:
    return run(settings, "customers", clock=clock, **more)["customers"]


def mended(settings: Settings, **more: Any) -> Repair:
    return repair(settings, settings.companies(), [CUSTOMERS], **more)


def rows(settings: Settings, layer: str = "landing") -> list[dict[str, Any]]:
    return landed(settings, "customers", layer)


def covered(settings: Settings) -> datetime | None:
    ledger = Ledger(settings.ledger_url)
    try:
        now = datetime.now(UTC)
        return loads.uncovered_from(ledger, settings.company_id, "customers", None, now)
    finally:
        ledger.close()


def in_step(settings: Settings, sandbox: Any) -> bool:
    return latest(settings, "customers") == on_server(sandbox, "customers")


# The server's time against ours.


@pytest.mark.deep_after(5)
@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize("told_by", ["header", "meta"])
@pytest.mark.parametrize(
    "off", [timedelta(minutes=6), -timedelta(minutes=6), TWO_YEARS, -TWO_YEARS]
)
def test_a_clock_that_differs_from_the_servers_is_refused_before_anything_is_written(
    configure, tiny_server, off, told_by, status
):
    def answer(asked: Asked) -> Reply:
        headers = {
            "Date": http_date(off) if told_by == "header" else "",
            "Retry-After": "3000",
            "X-RateLimit-Limit": "1000",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(round((datetime.now(UTC) + off).timestamp()) + 3000),
        }
        reply = replace(listed([customer()]), headers=headers, status=status)
        return stamped(reply, off) if told_by == "meta" else reply

    loaded = configure(tiny_server(answer))
    with pytest.raises(WrongClock) as caught:  # accounts are asked for twice at once
        pull(loaded, loaded.companies()[0], [CUSTOMERS, ENTITIES["accounts"]])
    assert caught.value.exit_code == 2
    now = datetime.now(UTC)
    side = "behind" if off > timedelta(0) else "ahead"
    for part in (f"{now:%Y-%m-%d}", f"{now + off:%Y-%m-%d}", side, "time server"):
        assert part in str(caught.value)
    for table in ("loads", "walks", "pages", "drift", "quota_requests"):
        assert ledgered(loaded, f"select * from {table}") == [], table
    assert ledgered(loaded, "select blocked_until, told_at from quota_keys") == [(0.0, None)]
    assert rows(loaded) == []
    assert not [path for path in (loaded.data / "spool").iterdir() if path.is_dir()]


@pytest.mark.parametrize("off", [timedelta(minutes=4), -timedelta(minutes=4)])
def test_a_clock_a_little_off_pulls_and_never_covers_what_is_still_to_come(
    configure, tiny_server, off
):
    loaded = configure(
        tiny_server(lambda _: replace(listed([customer()]), headers={"Date": http_date(off)}))
    )
    result = run(loaded, "customers")["customers"]
    assert result.rows == 1
    assert result.window[1] <= datetime.now(UTC)


def test_a_gateway_whose_clock_is_wrong_does_not_speak_for_the_server(configure, tiny_server):
    def answer(asked: Asked) -> Reply:
        reply = replace(listed([customer()]), headers={"Date": http_date(TWO_YEARS)})
        return stamped(reply, timedelta(0))

    loaded = configure(tiny_server(answer))
    assert run(loaded, "customers")["customers"].rows == 1


def test_an_answer_out_of_a_cache_is_as_old_as_it_says(configure, tiny_server):
    headers = {"Date": http_date(-timedelta(hours=1)), "Age": "3600"}
    loaded = configure(tiny_server(lambda _: replace(listed([customer()]), headers=headers)))
    assert run(loaded, "customers")["customers"].rows == 1


@pytest.mark.deep_after(8)
@pytest.mark.parametrize(
    "date",
    [
        "",
        "soon",
        "Fri, 99 Foo 99999 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 01 Jan 1066 00:00:00 +2359",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
    ],
)
@pytest.mark.parametrize("stamp", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00", 17, None])
def test_a_time_that_cannot_be_one_is_no_time(configure, tiny_server, date, stamp):
    def answer(asked: Asked) -> Reply:
        body = json.loads(listed([customer()]).body) | {"meta": {"timestamp": stamp}}
        return Reply(json.dumps(body).encode(), headers={"Date": date, "Last-Modified": date})

    loaded = configure(tiny_server(answer))
    result = run(loaded, "customers")["customers"]
    assert result.rows == 1
    assert datetime.now(UTC) - timedelta(minutes=1) < result.window[1] <= datetime.now(UTC)


def test_what_an_earlier_run_has_read_is_kept_when_the_clock_is_wrong_later(configure, tiny_server):
    replies = [listed([customer("1")], "next"), Reply(b"{}", 404)]
    off = timedelta(0)

    def answer(asked: Asked) -> Reply:
        reply = replies[min(len(server.asked), 2) - 1] if off == timedelta(0) else listed([])
        return replace(reply, headers={"Date": http_date(off)})

    server = tiny_server(answer)
    loaded = configure(server)
    company = loaded.companies()[0]
    assert pull(loaded, company, [CUSTOMERS])["customers"].error
    off = TWO_YEARS
    with pytest.raises(WrongClock):
        pull(loaded, company, [CUSTOMERS])
    off = timedelta(0)
    replies[1] = listed([customer("2")])
    assert run(loaded, "customers")["customers"].rows == 2


@pytest.mark.deep
def test_a_sync_ends_with_the_code_of_a_setting_and_says_which_clock(configure):
    with running(replace(SMALL, faults="clock=+7200s")) as sandbox:
        today = datetime.now(ZoneInfo("Asia/Kuala_Lumpur")).date()
        loaded = configure(sandbox, BLSYNC_START=str(today))
        done = subprocess.run(
            [str(Path(sys.executable).with_name("blsync")), "sync", "--json"],
            capture_output=True, text=True, timeout=300, env=dict(os.environ),
        )  # fmt: skip
        assert done.returncode == 2, done.stderr[-2000:]
        assert "behind, and more than 5 minutes are not safe" in done.stderr
        assert ledgered(loaded, "select * from loads") == []
        assert "Traceback" not in done.stderr
        assert rows(loaded) == []


def test_the_doctor_measures_by_the_same_bound(configure):
    with running(replace(SMALL, faults="clock=+7200s")) as sandbox:
        configure(sandbox)
        found = {check.name: check for check in doctor.examine().checks}
        assert not found[f"{sandbox.company_id}: clock"].is_ok
        assert found[f"{sandbox.company_id}: clock"].exit_code == 2
        for off, is_ok in (("+120s", False), ("+20s", True), ("none", True)):
            control(sandbox, "faults", faults=f"clock={off}")
            found = {check.name: check for check in doctor.examine().checks}
            assert found[f"{sandbox.company_id}: clock"].is_ok is is_ok, off


# The order of versions.


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("back", [timedelta(minutes=4), timedelta(hours=1)])
def test_the_later_load_wins_where_the_clock_was_set_back_between_two(
    configure, tiny_server, clock, back
):
    at = datetime.now(UTC).isoformat()
    record = customer(name="first", updatedAt=at)
    server = tiny_server(lambda _: replace(listed([record], total=1), headers=NO_TIME))
    loaded = configure(server)
    pulled(loaded, clock)
    clock.off = -back
    for name in ("second", "first", "third"):
        record = customer(name=name, updatedAt=at, createdAt=record["createdAt"])
        assert pulled(loaded, clock).rows == 1, name
        assert pulled(loaded, clock).rows == 0, name
    found = sorted(rows(loaded), key=lambda row: row["_pulled_at"])
    assert [row["name"] for row in found] == ["first", "second", "first", "third"]
    assert len({row["_pulled_at"] for row in found}) == 4
    assert [row["_load_id"] for row in found] == sorted(row["_load_id"] for row in found)


def test_a_record_that_comes_back_after_the_clock_was_set_back_is_not_deleted(
    configure, tiny_server, clock
):
    records = [customer("1"), customer("2")]

    def answer(asked: Asked) -> Reply:
        ids = asked.params.get("id[in]")
        found = [r for r in records if ids is None or r["id"] in ids.split(",")]
        return replace(listed(found, total=len(records)), headers=NO_TIME)

    loaded = configure(tiny_server(answer), BLSYNC_DRIFT_HOURS="0")
    pulled(loaded, clock)
    gone = records.pop()
    assert pulled(loaded, clock).deleted == 1
    clock.off = -timedelta(hours=1)
    records.append(gone)
    assert pulled(loaded, clock).rows == 1
    assert Lake(loaded.data).stored_count(CUSTOMERS, loaded.company_id) == 2
    records.pop()
    clock.off = -timedelta(hours=2)
    assert pulled(loaded, clock).deleted == 1
    assert Lake(loaded.data).stored_count(CUSTOMERS, loaded.company_id) == 1


def test_the_order_goes_on_after_a_repair_of_a_lost_ledger(configure, tiny_server, clock):
    record = customer(name="first", updatedAt=datetime.now(UTC).isoformat())
    loaded = configure(tiny_server(lambda _: replace(listed([record]), headers=NO_TIME)))
    pulled(loaded, clock)
    for path in loaded.data.glob("ledger.db*"):
        path.unlink()
    assert len(mended(loaded, clock=clock).adopted) == 1
    clock.off = -timedelta(hours=1)
    record["name"] = "second"
    pulled(loaded, clock)
    assert json.loads(latest(loaded, "customers")[("cust_1",)])["name"] == "second"


def test_dates_read_again_finish_first_what_was_left_open(configure, tiny_server, clock):
    entries = ENTITIES["journal_entries"]
    record = customer("jrn_1", date="2026-11-20", status="draft")
    is_cut = False

    def answer(asked: Asked) -> Reply:
        if "cursor" in asked.params and is_cut:
            return Reply(b"{}", 404, NO_TIME)
        return replace(listed([record], "next" if is_cut else None), headers=NO_TIME)

    loaded = configure(tiny_server(answer))
    company = loaded.companies()[0]
    run(loaded, "journal_entries", clock=clock)
    is_cut, record["status"] = True, "sent"
    again = pull(loaded, company, [entries], again=True, clock=clock)
    assert again["journal_entries"].error
    is_cut, record["status"] = False, "draft"  # as it was, so that what lies between must not win
    day = datetime(2026, 11, 20, tzinfo=UTC).date()
    reread(loaded, company, entries, day, day, clock=clock)
    assert ledgered(loaded, "select * from loads where state = 'open'") == []
    assert json.loads(latest(loaded, "journal_entries")[("jrn_1",)])["status"] == "draft"


# A night under a clock that ran ahead, by a server that tells no time.


@pytest.mark.deep
def test_what_a_clock_ahead_has_frozen_is_mended_by_repair(configure, clock):
    with running(SMALL) as sandbox:
        loaded = configure(sandbox, BLSYNC_DRIFT_HOURS="24")
        pulled(loaded, clock)
        control(sandbox, "night")
        clock.off = TWO_YEARS
        assert pulled(loaded, clock).rows
        night = max(rows(loaded), key=lambda row: row["_pulled_at"])
        assert night["_pulled_at"] > datetime.now(UTC) + timedelta(days=700)
        control(sandbox, "delete", entity="customers", count=1, seed=3)
        control(sandbox, "night")
        clock.off = timedelta(0)
        before = rows(loaded)
        with pytest.raises(WrongClock, match="`blsync repair`") as caught:
            pulled(loaded, clock)
        assert "Nothing was pulled" in str(caught.value)
        assert rows(loaded) == before
        said: list[str] = []
        done = mended(loaded, say=said.append)
        assert done.dated_anew == done.uncovered == [night["_load_id"]]
        assert done.comparisons == [f"customers of {loaded.company_id}"]
        assert any("dated anew" in line for line in said)
        assert all(row["_pulled_at"] <= datetime.now(UTC) for row in rows(loaded))
        assert (loaded.data / "build.full").exists()
        assert (covered(loaded) or datetime.max) <= datetime.now(UTC)
        result = pulled(loaded, clock)
        assert (result.rows > 0, result.deleted, result.drift) == (True, 1, 0)
        gone = {row["id"] for row in rows(loaded) if row["_op"] == "delete"}
        held = {key: v for key, v in latest(loaded, "customers").items() if key[0] not in gone}
        assert held == on_server(sandbox, "customers")
        assert not any(vars(mended(loaded)).values())


def test_a_window_that_ends_in_the_future_covers_nothing(configure, clock):
    with running(SMALL) as sandbox:
        loaded = configure(sandbox)
        pulled(loaded, clock)
        reached = covered(loaded)
        ledger = Ledger(loaded.ledger_url)
        at = datetime.now(UTC)
        facts = {
            "load_id": loads.new_id(at), "company_id": loaded.company_id, "entity": "customers",
            "window_start": (at - DAY).isoformat(), "window_end": (at + TWO_YEARS).isoformat(),
            "started_at": at.isoformat(), "rows": 0,
        }  # fmt: skip
        assert loads.adopt(ledger, facts)
        ledger.close()
        assert covered(loaded) == reached
        control(sandbox, "night")
        pulled(loaded, clock)
        assert in_step(loaded, sandbox)


def test_what_a_clock_ahead_has_left_open_is_read_anew(configure, tiny_server, clock):
    is_cut = True
    record = customer(name="older")

    def answer(asked: Asked) -> Reply:
        if "cursor" in asked.params:
            return Reply(b"{}", 404, NO_TIME) if is_cut else replace(listed([]), headers=NO_TIME)
        return replace(listed([record], "next"), headers=NO_TIME)

    loaded = configure(tiny_server(answer))
    company = loaded.companies()[0]
    clock.off = TWO_YEARS
    assert pull(loaded, company, [CUSTOMERS], clock=clock)["customers"].error
    clock.off = timedelta(0)
    is_cut = False
    record["name"] = "newer"
    said: list[str] = []
    assert pulled(loaded, clock, say=said.append).rows == 1
    assert any("read anew" in line for line in said)
    (row,) = rows(loaded)
    assert (row["name"], row["_pulled_at"] <= datetime.now(UTC)) == ("newer", True)
    assert (covered(loaded) or datetime.max) <= datetime.now(UTC)


def test_a_clock_behind_is_told_before_anything_is_said_to_need_repair(configure, clock):
    with running(replace(SMALL, faults="")) as sandbox:
        loaded = configure(sandbox)
        pulled(loaded, clock)
        clock.off = -TWO_YEARS
        before = rows(loaded)
        with pytest.raises(WrongClock, match="clock says 2024"):
            pulled(loaded, clock)
        with pytest.raises(WrongClock, match="clock says 2024"):
            mended(loaded, clock=clock)
        assert rows(loaded) == before
        clock.off = timedelta(0)
        assert pulled(loaded, clock).rows == 0


def test_nothing_is_dated_anew_while_nobody_can_say_whether_the_clock_is_right(
    configure, environment, clock
):
    with running(SMALL) as sandbox:
        loaded = configure(sandbox)
        clock.off = TWO_YEARS
        pulled(loaded, clock)
        loaded = configure(sandbox, BIGLEDGER_API_KEY="")
    said: list[str] = []
    before = rows(loaded)
    assert mended(loaded, say=said.append).dated_anew == []
    assert any("cannot be asked" in line for line in said)
    assert rows(loaded) == before


# Lakes of an earlier version.


def land(
    settings: Settings,
    number: int,
    at: datetime,
    window: tuple[datetime | None, datetime],
    **more: Any,
) -> str:
    """Land a load as an earlier version did: dated `at` throughout, by whatever clock."""
    lake, company_id = Lake(settings.data), str(settings.company_id)
    load_id = f"{at:%Y%m%dT%H%M%S%f}Z-{number:08x}"
    lake.ensure_schema(CUSTOMERS, company_id)
    record = {**customer(), "name": f"version {number}", **more}
    import msgspec

    from blsync.lake.typing import RawRecord, type_records

    payload = msgspec.Raw(json.dumps(record).encode())
    odd = msgspec.Raw(b'{"id":null,"number":%d}' % number)
    received = [RawRecord(p, f"req_{number}", at + timedelta(seconds=1)) for p in (payload, odd)]
    rejects: list[dict[str, Any]] = []
    with lake.landing(CUSTOMERS, company_id, load_id) as landing:
        landing.add(type_records(CUSTOMERS, company_id, load_id, received, rejects), rejects)
        landing.facts = {
            "load_id": load_id, "company_id": company_id, "entity": "customers", "kind": "change",
            "feeds": ["updatedAt"], "window_start": window[0] and window[0].isoformat(),
            "window_end": window[1].isoformat(), "started_at": at.isoformat(),
            "requests": 1, "throttled_ms": 0, "rows": 1, "deleted": 0, "quarantined": 1,
        }  # fmt: skip
        facts = landing.facts
    ledger = Ledger(settings.ledger_url)
    loads.adopt(ledger, facts)
    ledger.close()
    return load_id


@pytest.fixture
def nights(configure, tiny_server) -> Settings:
    """Four nights of an earlier version: the second one, and its reading of some days again, by a
    clock two years ahead, of a server that told its time.
    """
    loaded = configure(tiny_server(lambda _: Reply(b'{"success":true,"data":{}}')))
    zone = loaded.zone
    true = [datetime.now(UTC) - DAY * n for n in (5, 4, 3, 2)]
    midnight = (
        (true[0] - 30 * DAY).astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    )
    land(loaded, 1, true[0], (None, true[0]))
    land(loaded, 2, true[1] + TWO_YEARS, (true[0], true[1]))
    land(loaded, 3, true[1] + TWO_YEARS + timedelta(hours=1), (midnight - DAY, midnight))
    land(loaded, 4, true[2], (true[1], true[2]))
    land(loaded, 5, true[3], (true[2], true[3]))
    return loaded


def assert_dated_right(settings: Settings) -> None:
    for layer, column in (("landing", "name"), ("quarantine", "_payload")):
        found = sorted(rows(settings, layer), key=lambda row: row["_pulled_at"])
        assert [row[column][-1 if layer == "landing" else -2] for row in found] == list("12345")
        assert all(row["_pulled_at"] < datetime.now(UTC) for row in found)
    times = "window_start, window_end, started_at, committed_at"
    known = {}
    for load_id, *instants in ledgered(settings, f"select load_id, {times} from loads"):
        known[load_id] = instants
        assert all(i is None or i < f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}" for i in instants), (
            load_id,
            instants,
        )
    folder = Lake(settings.data).folder("landing", CUSTOMERS, str(settings.company_id))
    for path in folder.glob("2*.parquet"):
        for facts in facts_in(path):
            assert datetime.fromisoformat(facts["started_at"]) < datetime.now(UTC)
            assert facts["load_id"] in known


def test_a_night_dated_ahead_gets_its_place_among_the_nights_before_and_after(nights):
    done = mended(nights)
    assert len(done.dated_anew) == 2
    assert done.uncovered == []  # the server told the time up to which they covered
    assert_dated_right(nights)
    assert not any(vars(mended(nights)).values())


@pytest.mark.deep
def test_merged_files_are_dated_anew_too(nights):
    from blsync.maintenance import compacting

    folder = Lake(nights.data).folder("landing", CUSTOMERS, str(nights.company_id))
    for number in range(6, 6 + compacting.FEWEST):
        at = datetime.now(UTC) - timedelta(hours=20 - number)
        land(nights, number, at, (at - DAY, at), id=f"other_{number}")
    compact(nights, nights.companies(), [CUSTOMERS])
    assert len(list(folder.glob("2*.parquet"))) == 1
    assert len(mended(nights).dated_anew) == 2
    found = sorted(rows(nights), key=lambda row: row["_pulled_at"])
    assert [r["name"] for r in found if r["id"] == "cust_1"] == [
        f"version {n}" for n in range(1, 6)
    ]


STEPS = ["landing built", "landing exchanged", "landing cleared", "quarantine built",
         "quarantine exchanged"]  # fmt: skip


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("step", STEPS)
def test_a_repair_that_is_killed_at_any_step_is_ended_by_the_next(nights, step):
    class Killed(BaseException):
        pass

    def kill(done: str) -> None:
        if done == step:
            raise Killed

    with pytest.raises(Killed):
        mended(nights, on_step=kill)
    mended(nights)
    assert_dated_right(nights)
    assert not any(vars(mended(nights)).values())


@pytest.mark.deep
def test_a_lost_ledger_comes_back_with_the_times_that_are_right(nights):
    for path in nights.data.glob("ledger.db*"):
        path.unlink()
    done = mended(nights)
    assert (len(done.adopted), len(done.dated_anew)) == (5, 2)
    assert_dated_right(nights)


# What would wait for years.


def test_an_instant_ahead_counts_as_long_ago():
    now = datetime(2026, 11, 29, tzinfo=UTC)
    assert has_passed(DAY, now + TWO_YEARS, now)
    assert has_passed(DAY, now - DAY, now)
    assert not has_passed(DAY, now - timedelta(hours=23), now)
    assert not has_passed(DAY, now + timedelta(minutes=4), now)


def test_a_look_for_deletes_that_is_dated_ahead_does_not_put_the_next_one_off(configure, clock):
    with running(SMALL) as sandbox:
        loaded = configure(sandbox, BLSYNC_DRIFT_HOURS="24")
        pulled(loaded, clock)
        ahead = datetime.now(UTC) + TWO_YEARS
        ledger = Ledger(loaded.ledger_url)
        found = loads.drift_of(ledger, loaded.company_id, "customers")
        loads.put_drift(
            ledger,
            loaded.company_id,
            "customers",
            replace(found, checked_at=ahead, walked_at=ahead),
        )
        ledger.close()
        control(sandbox, "delete", entity="customers", count=1, seed=3)
        assert pulled(loaded, clock).deleted == 1


def test_repair_clears_what_holds_a_key_back_and_says_so(
    configure, tiny_server, monkeypatch, capsys
):
    def answer(asked: Asked) -> Reply:
        is_refused = len(server.asked) == 1
        return Reply(b"{}", 429, {"Retry-After": "3000"}) if is_refused else listed([customer()])

    server = tiny_server(answer)
    loaded = configure(server)
    result = pull(loaded, loaded.companies()[0], [CUSTOMERS], waits=False)["customers"]
    assert "`blsync repair` clears it" in str(result.error)
    monkeypatch.setattr(sys, "argv", ["blsync", "repair", "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code in (0, None)
    assert json.loads(capsys.readouterr().out)["unblocked"] == ["company_tiny"]
    assert len(server.asked) == 1
    assert pull(loaded, loaded.companies()[0], [CUSTOMERS], waits=False)["customers"].error is None


def test_a_draft_that_is_dated_ahead_is_cleared_away(tmp_path):
    left = tmp_path / ".marts.0a1b2c3d.draft"
    left.touch()
    ahead = (datetime.now(UTC) + TWO_YEARS).timestamp()
    os.utime(left, (ahead, ahead))
    with atomic_write(tmp_path / "marts") as draft:
        draft.touch()
    assert not left.exists()


def test_marts_of_a_day_that_is_still_to_come_are_built_whole(configure, clock, monkeypatch):
    with running(SMALL) as sandbox:
        loaded = configure(sandbox)
        pulled(loaded, clock)
        company = loaded.companies()[0]
        commands.write_inputs(loaded, [(company, CompanyFacts("Kedai", "MYR"))])
        (loaded.data / "build.full").unlink(missing_ok=True)
        commands.write_inputs(loaded, [])
        assert not (loaded.data / "build.full").exists()
        lake = Lake(loaded.data)
        about = lake.read_input("companies")
        for row in about:
            row["built_at"] += TWO_YEARS
        lake.write_input("companies", about, COMPANIES)
        commands.write_inputs(loaded, [])
        assert (loaded.data / "build.full").exists()
