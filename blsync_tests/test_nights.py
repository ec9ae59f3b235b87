"""Nights of business, faults, kills and re-runs in any order: the lake ends in step, each time.

`make test` plays the same few stories each time, `make test-deep` many others, longer ones, five to
ten seconds each. A story that fails is told in the message.

Left out are faults after which no client could be in step: `null-fields` hides what a record says
until it is read again, and `odd-records` are none to land.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import shutil
import tempfile
import time
import traceback
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from rig import patient
from rig.commands import compact, pull
from rig.depth import drawn, is_deep
from rig.kept import kept
from test_pull import api, control, history, landed, run

from blsync import settings as blsync_settings
from blsync.entities import ENTITIES, select
from blsync.errors import BlsyncError
from blsync.ledger import Ledger, loads
from blsync.pull import Window, raise_failures
from blsync.sandbox import Options, running
from blsync.sandbox.http.readings import READINGS as TABLE
from blsync.settings import Settings

pytestmark = pytest.mark.drawn
"""Few nights in `make test`, many in `make test-deep`."""

nursery = multiprocessing.get_context("forkserver")
nursery.set_forkserver_preload(
    [
        "blsync.pull",
        "blsync.maintenance",
        "blsync.sandbox",
        "pyarrow.dataset",
        "hypothesis",
        "pytest",
    ]
)

EVER = Window(datetime(2000, 1, 1, tzinfo=UTC))
TOUCHABLE = ("customers", "invoices", "items", "stock", "accounts")
CHANGE_TIMES = ("updatedAt", "postedAt", "createdAt")
RANKS = {"void": 2, "posted": 1}
SHARES = ("error", "html", "refuse", "truncate", "reset", "drop-after", "error-after")
FAULTS = (
    *(f"{name}=0.05" for name in SHARES),
    *("unsorted", "offset-cursors", "twins=0.2", "empty-pages=1", "clamp=20"),
    *("max-limit=30", "expire-cursors=1", "expire-cursors=3", "churn=0.3", "late-commit=1s"),
    *("repeat-cursor=2", "lose-cursor=2", "no-total", "latency=20ms", "latency=100ms"),
    *("no-quota-headers", "reset-past", "retry-after=date", "retry-after=zero", "retry-after=none"),
    *("text-numbers", "extra-fields", "forbid=invoices", "revoke-after=5"),
)
DISGUISES = ("text-numbers", "extra-fields", "trailing-zeros", "binary-noise")
"""Faults and readings under which a record is landed in another wording than the server's own."""

READINGS = tuple(name for name in TABLE if not name.startswith("report"))
"""What the server may be read to take, beside what may go wrong with it."""

names = st.one_of(
    st.just(sorted(ENTITIES)),
    st.lists(st.sampled_from(sorted(ENTITIES)), min_size=1, max_size=3, unique=True),
)
kills = st.one_of(
    st.tuples(st.just("requests"), st.integers(0, 25)),
    st.tuples(st.just("milliseconds"), st.integers(0, 1200)),
)


def in_child(job: str, given: Settings, wanted: list[str], complaint: Path) -> None:
    """What a process of its own does; anything but an error of ours is a complaint."""
    try:
        if job == "sync":
            pull(given, given.companies()[0], select(wanted))
        else:
            compact(given, given.companies(), select(wanted))
    except BlsyncError:
        pass
    except BaseException:
        complaint.write_text(traceback.format_exc())


def truth(url: str, name: str) -> dict[tuple, str]:
    """Key → the record's exact text, as the server has it, less what is not kept."""
    answer = patient.get(f"{url}/sandbox/records", params={"entity": name}).raise_for_status()
    keys = ENTITIES[name].key
    found = {}
    for raw in msgspec.json.decode(answer.content, type=list[msgspec.Raw]):
        record = msgspec.json.decode(raw)
        found[tuple(record[k] for k in keys)] = kept(name, str(raw, "utf-8"))
    return found


def versions(given: Settings, name: str) -> dict[tuple, list[dict]]:
    """Key → its landed rows in the order in which staging ranks them, delete rows included."""
    found: dict[tuple, list[dict]] = {}
    for place, row in enumerate(landed(given, name)):
        times = [row[field] for field in CHANGE_TIMES if row.get(field)]
        rank = RANKS.get(str(row.get("status")), 0)
        changed = max(times).timestamp() if times else 0
        is_delete = row["_op"] == "delete"
        row["_order"] = (row["_pulled_at"], is_delete, changed, rank, row["_load_id"], place)
        found.setdefault(tuple(row[k] for k in ENTITIES[name].key), []).append(row)
    return {key: sorted(rows, key=lambda row: row["_order"]) for key, rows in found.items()}


def is_same(ours: Any, theirs: Any) -> bool:
    """Compare a record with the server's, whatever disguise it came in."""
    if isinstance(theirs, dict):
        return isinstance(ours, dict) and all(
            k in ours and is_same(ours[k], v) for k, v in theirs.items()
        )
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(is_same, ours, theirs))
    if isinstance(theirs, Decimal) and isinstance(ours, str | Decimal):
        return round(Decimal(ours), 6) == round(theirs, 6)
    return bool(ours == theirs)


def decimals(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


class Nights(RuleBasedStateMachine):
    """One company's lake, and all that can happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.diary: list[str] = []
        self.numbers = itertools.count()
        self.is_disguised = self.has_other_program = self.is_slim = False

    @initialize(
        seed=st.integers(0, 20),
        per_hour=st.integers(25, 45),
        per_second=st.sampled_from([20, 40]),
        hour=st.sampled_from(["sliding", "fixed"]),
        drift_hours=st.sampled_from(["0", "24"]),
        is_first_night=st.booleans(),
    )
    def open(
        self,
        seed: int,
        per_hour: int,
        per_second: int,
        hour: Any,
        drift_hours: str,
        is_first_night: bool,
    ) -> None:
        small = {"invoices": 150, "customers": 15, "items": 12, "months": 2}
        limits = {"per_hour": per_hour, "per_second": per_second, "window_seconds": 2}
        options = Options(seed=seed, hour_window=hour, **small, **limits)  # type: ignore[arg-type]
        self.per_hour, self.per_second, self.hour = per_hour, per_second, hour
        self.sandbox = self.stack.enter_context(running(options))
        self.http = self.stack.enter_context(patient.client(base_url=self.sandbox.url))
        self.data = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.drift_hours = drift_hours
        self.write(f"{options}, drift every {drift_hours} h, first night: {is_first_night}")
        if not is_first_night:
            self.pull(sorted(ENTITIES))

    def write(self, line: str) -> None:
        self.diary.append(line)

    def configured(self, drift_hours: str | None = None) -> Settings:
        values = {
            "BLSYNC_DATA": str(self.data / "data"),
            "BLSYNC_ENV_FILE": os.devnull,
            "BIGLEDGER_BASE_URL": self.sandbox.base_url,
            "BIGLEDGER_API_KEY": self.sandbox.api_key,
            "BIGLEDGER_COMPANY_ID": self.sandbox.company_id,
            "BLSYNC_QUOTA_PER_HOUR": str(self.per_hour),
            "BLSYNC_QUOTA_PER_SECOND": str(self.per_second),
            "BLSYNC_QUOTA_WINDOW_SECONDS": "2",
            "BLSYNC_DRIFT_HOURS": drift_hours or self.drift_hours,
        }
        with pytest.MonkeyPatch.context() as environment:
            for name in os.environ:
                if name.startswith(("BIGLEDGER_", "BLSYNC_")):
                    environment.delenv(name)
            for name, value in values.items():
                environment.setenv(name, value)
            return blsync_settings.load()

    def control(self, switch: str, **body: object) -> Any:
        self.write(f"{switch} {body}")
        answer = self.http.post(f"/sandbox/{switch}", json=body, timeout=30)
        assert answer.is_success, self.told(answer.text)
        return answer.json()

    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get("/sandbox/stats").json()
        return found

    def told(self, problem: object) -> str:
        return "\n".join([f"{problem}", "after", *self.diary])

    # --- what happens at the server ---------------------------------------------------------------

    @rule(seed=st.integers(0, 1000), invoices=st.integers(0, 8))
    def night(self, seed: int, invoices: int) -> None:
        self.control("night", seed=seed, invoices=invoices)

    @rule(
        kind=st.sampled_from(["touch", "ties"]),
        name=st.sampled_from(TOUCHABLE),
        share=st.sampled_from([0.01, 0.1, 0.6, 1]),
    )
    def touch(self, kind: str, name: str, share: float) -> None:
        self.control(kind, entity=name, share=share)

    @rule(name=st.sampled_from(sorted(ENTITIES)), share=st.sampled_from([0.01, 0.01, 0.1, 0.5]))
    def delete(self, name: str, share: float) -> None:
        self.control("delete", entity=name, share=share)

    @rule(faults=st.lists(st.sampled_from(FAULTS), max_size=3, unique=True))
    def break_server(self, faults: list[str]) -> None:
        self.is_disguised |= not set(DISGUISES).isdisjoint(faults)
        self.control("faults", faults=",".join(faults))

    @rule(readings=st.lists(st.sampled_from(READINGS), max_size=2, unique=True))
    def read_otherwise(self, readings: list[str]) -> None:
        self.is_slim |= "slim-lists" in readings
        self.is_disguised |= not set(DISGUISES).isdisjoint(readings)
        self.control("readings", readings=",".join(readings))

    # --- what happens here ------------------------------------------------------------------------

    @rule(wanted=names, wait=st.booleans())
    def sync(self, wanted: list[str], wait: bool) -> None:
        self.write(f"sync {wanted}, wait={wait}")
        self.pull(wanted, waits=wait)

    @rule(wanted=names, days=st.integers(0, 90))
    def sync_again(self, wanted: list[str], days: int) -> None:
        self.write(f"sync {wanted} of the last {days} days again")
        self.pull(wanted, Window(datetime.now(UTC) - timedelta(days=days)), again=True)

    def pull(self, wanted: list[str], window: Window = Window(), **options: bool) -> None:  # noqa: B008
        given = self.configured()
        try:
            raise_failures(pull(given, given.companies()[0], select(wanted), window, **options))
        except BlsyncError as error:
            self.write(f"  {error}")

    @rule(wanted=names, kill=kills, is_business=st.booleans())
    def killed_sync(self, wanted: list[str], kill: tuple[str, int], is_business: bool) -> None:
        self.write(f"sync {wanted}, killed after {kill}")
        child = self.started("sync", wanted)
        if is_business:
            self.control("night", invoices=1)
        self.end([child], kill)

    @rule(first=names, second=names, kill=st.none() | kills)
    def two_syncs(self, first: list[str], second: list[str], kill: tuple[str, int] | None) -> None:
        self.write(f"sync {first} and {second} at once, the first killed after {kill}")
        children = [self.started("sync", wanted) for wanted in (first, second)]
        self.control("touch", entity="invoices", share=0.1)
        self.end(children, kill)

    @rule(wanted=names, kill=st.none() | kills)
    def compact(self, wanted: list[str], kill: tuple[str, int] | None) -> None:
        self.write(f"compact {wanted}, killed after {kill}")
        self.end([self.started("compact", wanted)], kill)

    def started(self, job: str, wanted: list[str]) -> Any:
        complaint = self.data / f"complaint {next(self.numbers)}"
        child = nursery.Process(target=in_child, args=(job, self.configured(), wanted, complaint))
        child.start()
        return child, complaint

    def end(self, children: list[Any], kill: tuple[str, int] | None) -> None:
        """Kill the first of these processes when it is due, and wait for all."""
        before, began = self.stats()["requests"], time.monotonic()
        first = children[0][0]
        while kill and first.is_alive():
            spent = (time.monotonic() - began) * 1000
            if kill[0] == "requests":
                spent = self.stats()["requests"] - before
            if spent >= kill[1]:
                first.kill()
            time.sleep(0.01)
        for child, complaint in children:
            child.join(60)
            assert child.exitcode is not None, self.told("a process hangs")
            assert not complaint.exists(), self.told(complaint.read_text())

    # --- what must be true in the end -------------------------------------------------------------

    # What a pull complained of is left out: that is another thing each time, and Hypothesis has to
    # find the same rules possible whenever it tries the same ones.
    @precondition(lambda self: sum(not line.startswith("  ") for line in self.diary) > 4)
    @rule()
    def quiet_morning(self) -> None:
        self.control("faults", faults="")
        self.control("readings", readings="")
        given = self.configured("0")
        if self.is_slim:  # what landed slim changed for no server that shows all of it
            started = given.companies()[0]
            raise_failures(pull(given, started, select(), EVER, again=True, allow=True))
        # More than a share of an entity may have been deleted since the last sync that looked.
        # A walk that was cut short goes on with the pages and the total that it had read; what was
        # otherwise since, or is spelled otherwise now, the pull after it finds.
        for _ in range(2):
            raise_failures(pull(given, given.companies()[0], select(), allow=True))
        for name in ENTITIES:
            self.check_in_step(given, name)
        results = pull(given, given.companies()[0], select())
        raise_failures(results)
        for name, result in results.items():
            assert (result.rows, result.deleted, result.drift) == (0, 0, 0), self.told(name)
        self.check_ledger(given)
        self.check_quota()

    def check_in_step(self, given: Settings, name: str) -> None:
        held = {}
        for key, rows in versions(given, name).items():
            for earlier, later in itertools.pairwise(rows):
                is_twice = all(earlier[column] == later[column] for column in ("_op", "_payload"))
                assert not is_twice, self.told(f"{name} {key} landed twice: {later}")
            if rows[-1]["_op"] == "upsert":
                held[key] = rows[-1]["_payload"]
        wanted = truth(self.sandbox.url, name)
        gone, missing = held.keys() - wanted.keys(), wanted.keys() - held.keys()
        assert not gone, self.told(f"{name} not marked deleted: {gone}")
        assert not missing, self.told(f"{name} missing: {missing}")
        for key, text in wanted.items():
            if held[key] != text:
                same = self.is_disguised and is_same(decimals(held[key]), decimals(text))
                assert same, self.told(f"{name} {key} differs: {held[key]} is at the server {text}")

    def check_ledger(self, given: Settings) -> None:
        ledger = Ledger(given.ledger_url)
        try:
            for name in ENTITIES:
                covered = loads.uncovered_from(
                    ledger, self.sandbox.company_id, name, None, datetime.now(UTC)
                )
                behind = datetime.now(UTC) - covered
                assert behind < timedelta(seconds=30), self.told(f"{name} covered until {covered}")
            assert loads.open_ids(ledger) == set(), self.told("loads are open")
        finally:
            ledger.close()
        left = [path for path in (given.data / "spool").rglob("*") if path.suffix != ".lock"]
        assert not left, self.told(f"the spool holds {left}")
        files = {path.name for path in (given.data / "landing").rglob(".*")}
        assert not files, self.told(f"the landing holds {files}")
        assert len({load["load_id"] for load in history(given)}) == len(history(given))

    def check_quota(self) -> None:
        stats = self.stats()
        assert stats["max_per_second"] <= self.per_second, self.told(stats)
        if self.hour == "sliding":  # at the edge of fixed hours two hours' requests may meet
            assert stats["max_per_window"] <= self.per_hour, self.told(stats)
        assert stats["refused"] == 0, self.told(stats)

    def teardown(self) -> None:
        with self.stack:
            if hasattr(self, "sandbox"):
                self.quiet_morning()


TestNights = Nights.TestCase
TestNights.settings = drawn(1, 10, stateful_step_count=20 if is_deep() else 6)


def test_what_a_pull_leaves_that_was_killed_once_its_load_had_landed_goes_with_the_next(
    configure, module_sandbox, tmp_path
):
    given = configure(module_sandbox)
    spool, kept = given.data / "spool", tmp_path / "kept"
    run(given, "items", progress=lambda *_: shutil.copytree(spool, kept, dirs_exist_ok=True))
    shutil.copytree(kept, spool, dirs_exist_ok=True)
    assert list(spool.glob("*/*.json"))
    run(given, "items")
    assert not list(spool.glob("*/*.json"))


def test_a_draft_of_a_killed_pull_goes_with_the_next(configure, module_sandbox):
    given = configure(module_sandbox)
    run(given, "items")
    (folder,) = (given.data / "landing/items").iterdir()
    draft = folder / ".20260101T000000000000Z-00000000.parquet.00000000.draft"
    draft.write_bytes(b"half a file")
    run(given, "items")
    assert not draft.exists()


@pytest.mark.deep
def test_an_entry_is_void_also_where_its_reversal_was_missed_and_found_by_its_id(
    configure, monkeypatch
):
    options = Options(invoices=1000, customers=15, items=12, months=12, limits=False)
    with running(options) as sandbox:
        given = configure(sandbox, BLSYNC_DRIFT_HOURS="0")
        monkeypatch.setattr("blsync.pull.OVERLAP", timedelta(0))
        run(given, "journal_entries")
        long_ago = datetime.now(UTC) - timedelta(days=2)
        voided = next(
            row["id"]
            for row in landed(given, "journal_entries")
            if (row["status"], row["reversesId"]) == ("posted", None)
            and row["createdBy"] in ("user_farah", "user_weijie", "user_kavitha")
            and row["postedAt"] < long_ago
        )
        with api(sandbox) as client:
            body = {"reason": "twice", "voidDate": datetime.now(UTC).date().isoformat()}
            client.post(f"/journal-entries/{voided}/void", json=body).raise_for_status()
        time.sleep(1.1)  # the covered time is told in whole seconds
        run(given, "journal_entries")
        *_, night = sorted((given.data / "landing/journal_entries").rglob("*Z-*.parquet"))
        night.unlink()
        result = run(given, "journal_entries")["journal_entries"]
        assert (result.rows, result.drift) == (2, 0)
        rows = versions(given, "journal_entries")[(voided,)]
        assert [row["status"] for row in rows] == ["posted", "void"]


def test_a_record_that_changes_and_changes_back_ends_as_it_is_at_the_server(configure):
    with running(Options(invoices=10, customers=15, items=12, months=3, limits=False)) as sandbox:
        given = configure(sandbox)
        run(given, "customers")
        everything = Window(datetime(2020, 1, 1, tzinfo=UTC))
        for faults in ("null-fields=phone", ""):
            control(sandbox, "faults", faults=faults)
            run(given, "customers", window=everything, again=True)
        held = {k: rows[-1]["_payload"] for k, rows in versions(given, "customers").items()}
        assert held == truth(sandbox.url, "customers")
