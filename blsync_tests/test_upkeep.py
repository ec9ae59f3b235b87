"""Upkeep: what is merged, typed again or mended stays what it was, whenever it is killed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rig import patient
from rig.commands import compact, pull, replay
from rig.warm import PYTHON

from blsync import cli, marts
from blsync.entities import ENTITIES
from blsync.entities.customers import Customer
from blsync.entity import NOTHING, Entity, FreeForm, Key, Record
from blsync.errors import StorageError
from blsync.files.exchanging import exchange
from blsync.lake.store import Lake
from blsync.lake.typing import RawRecord, type_records
from blsync.ledger import Ledger, loads
from blsync.maintenance import facts_in, repair
from blsync.sandbox import Options, running
from blsync.settings import Company, Settings

CUSTOMERS = ENTITIES["customers"]
FIRST = datetime(2026, 1, 1, 18, 30, tzinfo=UTC)
STEPS_OF_COMPACTION = ["landing merged", "landing built", "landing exchanged", "landing cleared"]
LAYERS = ("landing", "quarantine")


class Extended(Customer):
    """A customer of whom one thing more is known."""

    nickname: str | None = None


class Narrow(Record):
    """A model that most records do not fit."""

    id: Key
    name: int | None = None
    custom_fields: FreeForm = NOTHING
    created_at: datetime | None = None
    updated_at: datetime | None = None


EXTENDED, NARROW = replace(CUSTOMERS, model=Extended), replace(CUSTOMERS, model=Narrow)


@pytest.fixture
def site(environment: pytest.MonkeyPatch) -> Settings:
    """Settings of a company that is never asked anything."""
    from blsync import settings

    environment.setenv("BIGLEDGER_COMPANY_ID", "c1")
    return settings.load()


def night_id(number: int, company_id: str = "c1") -> str:
    at = FIRST + timedelta(days=number)
    return f"{at:%Y%m%dT%H%M%S%f}Z-{int(company_id[1:]):04x}{number:04x}"


def night(number: int, company_id: str = "c1", **more: Any) -> dict[str, Any]:
    """The facts of a night's load."""
    at = FIRST + timedelta(days=number)
    return {
        "load_id": night_id(number, company_id),
        "company_id": company_id,
        "entity": "customers",
        "feeds": ["updatedAt"],
        "window_start": (at - timedelta(days=1)).isoformat() if number else None,
        "window_end": at.isoformat(),
        "started_at": at.isoformat(),
        "requests": 1,
        "throttled_ms": 0,
        "committed_at": (at + timedelta(minutes=2)).isoformat(),
        "rows": 0,
        "deleted": 0,
        "quarantined": 0,
        **more,
    }


def customer(name: str, number: int, **more: Any) -> str:
    at = FIRST + timedelta(days=number)
    fields = {"id": name, "name": f"Kedai {name} 🍜", "creditLimit": number + 0.25}
    return json.dumps({**fields, "nickname": f"nick {number}", "updatedAt": at.isoformat(), **more})


def load(settings: Settings, number: int, payloads: list[str], company_id: str = "c1") -> Path:
    """Land a night as a pull does: file, quarantine, ledger."""
    load_id = night_id(number, company_id)
    at = FIRST + timedelta(days=number, minutes=1)
    received = [RawRecord(msgspec.Raw(p.encode()), f"req_{number}", at) for p in payloads]
    lake = Lake(settings.data)
    lake.ensure_schema(CUSTOMERS, company_id)
    rejects: list[dict[str, Any]] = []
    with lake.landing(CUSTOMERS, company_id, load_id) as landing:
        landing.add(type_records(CUSTOMERS, company_id, load_id, received, rejects), rejects)
        counts = {"rows": landing.rows, "quarantined": landing.rejected}
        facts = landing.facts = night(number, company_id, **counts)
    enter(settings, facts)
    return lake.file_of(CUSTOMERS, company_id, load_id)


def enter(settings: Settings, facts: dict[str, Any]) -> None:
    ledger = Ledger(settings.ledger_url)
    loads.adopt(ledger, facts)
    ledger.close()


def nights(settings: Settings, count: int, company_id: str = "c1") -> None:
    for number in range(count):
        load(
            settings, number, [customer(f"{n}", number) for n in range(number % 3 + 1)], company_id
        )


def tables(settings: Settings, layer: str = "landing") -> list[pa.Table]:
    folder = settings.data / layer / "customers"
    return [pq.ParquetFile(path).read() for path in sorted(folder.rglob("*.parquet"))]


def rows(settings: Settings, layer: str = "landing") -> list[dict[str, Any]]:
    return [row for table in tables(settings, layer) for row in table.to_pylist()]


def counted(found: list[dict[str, Any]]) -> Counter[str]:
    """Rows as a multiset; a column that is null is as good as none."""
    return Counter(
        repr(sorted((name, value) for name, value in row.items() if value is not None))
        for row in found
    )


def files(settings: Settings, layer: str = "landing") -> list[str]:
    return sorted(path.name for path in (settings.data / layer).rglob("*") if path.is_file())


def left_over(settings: Settings) -> list[Path]:
    return [path for path in (settings.data / "spool").glob("*") if path.is_dir()]


def company(company_id: str = "c1") -> Company:
    return Company(
        name=company_id, company_id=company_id, base_url="http://127.0.0.1/v1", start=FIRST.date()
    )


def compacted(settings: Settings, **more: Any) -> tuple[int, int]:
    (done,) = compact(settings, [company()], [CUSTOMERS], **more)
    return done.files_before, done.files_after


def test_many_nights_become_one_file_with_the_same_rows_in_the_same_order(site):
    nights(site, 20)
    before = rows(site)
    schema = tables(site)[1].schema
    assert compacted(site) == (21, 2)
    assert rows(site) == before
    assert [table.schema.equals(schema) for table in tables(site)] == [True, True]
    assert files(site)[0] == "00000000-schema.parquet"
    assert files(site)[1].startswith(f"{night_id(0)}--{night_id(19)}")
    assert left_over(site) == []


def test_a_merged_file_keeps_every_loads_facts(site):
    nights(site, 12)
    (loaded,) = facts_in(site.data / f"landing/customers/company_id=c1/{night_id(3)}.parquet")
    assert loaded == night(3, rows=1)
    compacted(site)
    (merged,) = (site.data / "landing/customers/company_id=c1").glob("2*.parquet")
    assert facts_in(merged) == [night(number, rows=number % 3 + 1) for number in range(12)]


def test_quarantine_is_merged_too(site):
    for number in range(10):
        load(site, number, ['{"id":null}', customer("1", number)])
    before = counted(rows(site, "quarantine"))
    assert compacted(site) == (21, 3)
    assert counted(rows(site, "quarantine")) == before
    assert len(before) == 10


@pytest.mark.deep
def test_merged_files_are_merged_again_with_later_nights(site):
    nights(site, 10)
    compacted(site)
    for number in range(10, 18):
        load(site, number, [customer("1", number)])
    before = rows(site)
    assert compacted(site) == (10, 2)
    assert rows(site) == before
    assert {row["_load_id"] for row in before} == {night_id(number) for number in range(18)}


def test_few_files_are_left_alone(site):
    nights(site, 6)
    before = files(site)
    assert compacted(site) == (7, 7)
    assert files(site) == before


def test_large_files_are_not_written_again(site):
    big = load(site, 0, [customer(f"{n}", 0, website=uuid.uuid4().hex) for n in range(4000)])
    about = big.stat()
    for number in range(1, 12):
        load(site, number, [customer("1", number)])
    assert compacted(site, file_size=about.st_size) == (13, 3)
    assert (big.stat().st_ino, big.stat().st_mtime_ns) == (about.st_ino, about.st_mtime_ns)


def test_merged_files_stay_below_the_size(site):
    paths = [load(site, n, [customer(f"{n}-{i}", n) for i in range(50)]) for n in range(12)]
    limit = 3 * paths[0].stat().st_size + 1000
    before = counted(rows(site))
    compacted(site, file_size=limit)
    merged = list(paths[0].parent.glob("*--*"))
    assert len(merged) > 1
    assert all(path.stat().st_size <= limit for path in merged)
    assert counted(rows(site)) == before


def test_a_load_that_the_ledger_does_not_say_is_landed_keeps_its_file(site):
    nights(site, 12)
    ledger = Ledger(site.ledger_url)
    loads.forget(ledger, night_id(4))
    at = FIRST + timedelta(days=4)
    loads.start(ledger, loads.Load(night_id(4), "c1", "customers", None, None, at))
    ledger.close()
    before = counted(rows(site))
    said: list[str] = []
    assert compacted(site, say=said.append) == (13, 3)
    assert f"{night_id(4)}.parquet" in files(site)
    assert counted(rows(site)) == before
    assert "blsync repair" in "".join(said)


def test_files_of_an_older_model_get_nulls_in_its_new_columns(site):
    nights(site, 12)
    for number in range(4):
        path = Lake(site.data).file_of(CUSTOMERS, "c1", night_id(number))
        table = pq.ParquetFile(path).read()
        pq.write_table(table.drop_columns(["tags", "currency", "address"]), path)
    before = counted(rows(site))
    assert compacted(site) == (13, 2)
    assert counted(rows(site)) == before
    assert set(tables(site)[1].column_names) == set(CUSTOMERS.schema.names)


def test_a_column_that_changed_its_kind_is_never_forced_into_the_other(site):
    nights(site, 12)
    for number in range(4):
        path = Lake(site.data).file_of(CUSTOMERS, "c1", night_id(number))
        table = pq.ParquetFile(path).read()
        dates = pa.nulls(table.num_rows, pa.date32())
        position = table.column_names.index("status")
        pq.write_table(table.set_column(position, "status", dates), path)
    before = counted(rows(site))
    assert compacted(site) == (13, 3)
    assert counted(rows(site)) == before


def test_strays_among_the_files_are_carried_over_and_never_read(site):
    nights(site, 12)
    before = counted(rows(site))
    folder = site.data / "landing/customers/company_id=c1"
    (folder / "mine.parquet").mkdir()
    (folder / "mine.parquet/letter.txt").write_text("dear")
    (folder / "Thumbs.db").write_bytes(b"thumbs")
    (folder / "notes.parquet").write_bytes(b"no Parquet")
    (folder / "loop").symlink_to("loop")
    assert compacted(site) == (13, 2)
    assert replayed(site, CUSTOMERS) == (24, 0, 0)
    left = {path.name for path in folder.iterdir() if not path.name.startswith("2")}
    assert left == {
        "00000000-schema.parquet", "mine.parquet", "Thumbs.db", "notes.parquet", "loop"
    }  # fmt: skip
    assert (folder / "mine.parquet/letter.txt").read_text() == "dear"
    for name in ("mine.parquet/letter.txt", "notes.parquet", "Thumbs.db"):
        (folder / name).unlink()
    (folder / "mine.parquet").rmdir()
    (folder / "loop").unlink()
    assert counted(rows(site)) == before


def test_a_damaged_file_is_named_and_nothing_is_changed(site):
    nights(site, 12)
    path = Lake(site.data).file_of(CUSTOMERS, "c1", night_id(4))
    path.write_bytes(path.read_bytes()[:-10])
    before = files(site)
    with pytest.raises(StorageError, match=night_id(4)):
        compacted(site)
    assert files(site) == before


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="needs a second file system")
def test_without_an_exchange_in_one_step_it_says_so_and_changes_nothing(site, tmp_path):
    nights(site, 12)
    other = Path("/dev/shm") / f"blsync-test-{os.getpid()}"
    other.mkdir()
    try:
        shutil.rmtree(site.data / "spool", ignore_errors=True)
        (site.data / "spool").symlink_to(other)
        before = files(site)
        with pytest.raises(StorageError, match="in one step"):
            compacted(site)
        assert files(site) == before
    finally:
        shutil.rmtree(other)


KILLED = """
import os, signal, sys
from blsync import maintenance, settings
from blsync.session import open_session
from blsync.entities import ENTITIES
def on_step(step):
    if step == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
current, customers = settings.load(), ENTITIES["customers"]
print("ready", flush=True)
if sys.argv[1] == "compact":
    with open_session(current) as session:
        maintenance.compact(session, current.companies(), [customers], on_step=on_step)
else:
    sys.path.insert(0, sys.argv[3])
    model = customers
    if sys.argv[1] == "narrow":
        from test_upkeep import NARROW as model
    with open_session(current) as session:
        maintenance.replay(session, current.companies(), model, on_step=on_step)
"""


def started(what: str, step: str = "", python: str = PYTHON) -> subprocess.Popen[str]:
    """Run upkeep in a process of its own, which ends with SIGKILL at a step."""
    command = [python, "-c", KILLED, what, step, str(Path(__file__).parent)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def killed_at(what: str, step: str) -> None:
    process = started(what, step)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("step", STEPS_OF_COMPACTION)
def test_a_compaction_killed_at_any_step_leaves_every_row_once(site, step):
    nights(site, 12)
    before = counted(rows(site))
    killed_at("compact", step)
    assert counted(rows(site)) == before
    compacted(site)
    assert counted(rows(site)) == before
    assert (len(files(site)), left_over(site)) == (2, [])


@pytest.mark.deep
def test_a_compaction_killed_at_random_moments_leaves_every_row_once(site):
    nights(site, 20)
    before = counted(rows(site))
    for number in range(3):
        process = started("compact", python=sys.executable)  # gone at once when killed
        assert process.stdout
        process.stdout.readline()
        time.sleep(random.Random(number).uniform(0, 0.15))
        process.kill()
        process.communicate()
        assert counted(rows(site)) == before
    compacted(site)
    assert counted(rows(site)) == before
    assert left_over(site) == []


@pytest.mark.deep
def test_a_reader_never_sees_rows_twice_or_missing(environment, tmp_path):
    from blsync import settings

    companies = [company(f"c{number}") for number in range(6)]
    listed = tmp_path / "companies.toml"
    listed.write_text(
        "".join(
            f'[companies.{one.name}]\ncompany_id = "{one.company_id}"\napi_key_env = "KEY"\n'
            for one in companies
        )
    )
    environment.setenv("BLSYNC_COMPANIES", str(listed))
    site = settings.load()
    for one in companies:
        nights(site, 9, one.company_id)
    expected = len(rows(site))
    pattern = site.data / "landing/customers/**/*.parquet"
    counts: Counter[int | str] = Counter()
    is_over = threading.Event()

    def read() -> None:
        with duckdb.connect() as db:
            while not is_over.is_set():
                try:
                    answer = db.execute(
                        f"select count(*) from read_parquet('{pattern}', union_by_name = true)"
                    )
                    counts[answer.fetchall()[0][0]] += 1
                except duckdb.IOException:  # listed before, opened after
                    counts["not found"] += 1

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    compact(site, companies, [CUSTOMERS], on_step=lambda _: time.sleep(0.02))
    is_over.set()
    for reader in readers:
        reader.join()
    assert counts[expected] > 5
    assert set(counts) <= {expected, "not found"}
    assert len(files(site)) == 2 * len(companies)


LISTS = """
import os, select, sys
seen = {}
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        found = " ".join(sorted(os.listdir(sys.argv[1])))
    except OSError as error:
        found = str(error)
    if found not in seen:
        print(found, flush=True)
    seen[found] = seen.get(found, 0) + 1
"""


def test_a_folder_is_at_no_moment_missing_or_mixed(tmp_path):
    for name, file in (("landing", "old"), ("draft", "new")):
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{file}{number}").touch()
    command = [sys.executable, "-c", LISTS, str(tmp_path / "landing")]
    lister = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)
    assert lister.stdout
    assert lister.stdout.readline() == "old0 old1 old2\n"
    for _ in range(3000):
        exchange(tmp_path / "draft", tmp_path / "landing")
    assert lister.communicate("", timeout=60)[0] == "new0 new1 new2\n"


@pytest.mark.deep
def test_files_are_not_exchanged_under_a_running_build(site):
    nights(site, 12)
    said: list[str] = []
    thread = threading.Thread(target=compacted, args=(site,), kwargs={"say": said.append})
    with marts.building(site, lambda _: None):
        before = files(site)
        thread.start()
        for _ in range(200):
            if said:
                break
            time.sleep(0.02)
        assert files(site) == before
    thread.join(timeout=30)
    assert len(said) == 1
    assert said[0].startswith("The marts are being built; waiting for it. It is process ")
    assert len([name for name in files(site) if name != "00000000-schema.parquet"]) == 1


def replayed(settings: Settings, entity: Entity, **more: Any) -> tuple[int, int, int]:
    (done,) = replay(settings, [company()], entity, **more)
    return done.rows, done.recovered, done.quarantined


def test_a_replay_fills_the_fields_that_a_model_gained(site):
    nights(site, 10)
    before = rows(site)
    names = files(site)
    assert replayed(site, EXTENDED) == (19, 0, 0)
    assert files(site) == names
    after = rows(site)
    assert [row.pop("nickname") for row in after] == [
        f"nick {number}" for number in range(10) for _ in range(number % 3 + 1)
    ]
    assert after == before
    assert all("nickname" in table.column_names for table in tables(site))
    path = Lake(site.data).file_of(CUSTOMERS, "c1", night_id(2))
    assert facts_in(path) == [night(2, rows=3)]


@pytest.mark.deep
def test_a_replay_after_a_compaction_keeps_each_rows_load(site):
    nights(site, 10)
    before = rows(site)
    compacted(site)
    replayed(site, EXTENDED)
    after = rows(site)
    assert all(row.pop("nickname") for row in after)
    assert after == before
    (merged,) = (site.data / "landing/customers/company_id=c1").glob("2*.parquet")
    assert [facts["load_id"] for facts in facts_in(merged)] == [night_id(n) for n in range(10)]


def test_tombstones_stay_as_they_are(site):
    nights(site, 2)
    path = Lake(site.data).file_of(CUSTOMERS, "c1", night_id(1))
    table = pq.ParquetFile(path).read()
    gone = dict.fromkeys(table.column_names) | {
        "id": "1",
        "_company_id": "c1",
        "_load_id": night_id(1),
        "_pulled_at": FIRST,
        "_request_id": "req_gone",
        "_op": "delete",
    }
    delete = pa.Table.from_pylist([gone], table.schema)
    pq.write_table(pa.concat_tables([table.slice(0, 1), delete, table.slice(1)]), path)
    before = rows(site)
    assert replayed(site, EXTENDED) == (3, 0, 0)
    after = rows(site)
    assert [row["_op"] for row in after] == ["upsert", "upsert", "delete", "upsert"]
    assert {name: value for name, value in after[2].items() if name != "nickname"} == gone
    assert counted(before) == counted([{**row, "nickname": None} for row in after])


def test_what_types_now_leaves_the_quarantine_for_the_load_that_brought_it(site):
    for number in range(3):
        load(site, number, [customer("1", number), customer("2", number, paymentTerms="soon")])
    load(site, 3, [customer("3", 3, paymentTerms="later"), '{"id":null}'])
    assert len(rows(site, "quarantine")) == 5

    class Lenient(Customer):
        payment_terms: str | None = None  # type: ignore[assignment]

    lenient = replace(CUSTOMERS, model=Lenient)
    assert replayed(site, lenient) == (3, 4, 0)
    recovered = [row for row in rows(site) if row["paymentTerms"]]
    assert {(row["_load_id"], row["_request_id"]) for row in recovered} == {
        (night_id(number), f"req_{number}") for number in range(4)
    }
    assert all(row["_pulled_at"] > FIRST for row in recovered)
    assert [row["_payload"] for row in rows(site, "quarantine")] == ['{"id":null}']
    before = counted(rows(site))
    assert replayed(site, lenient) == (7, 0, 0)
    assert counted(rows(site)) == before


def test_bytes_that_were_no_text_stay_in_quarantine(site):
    load(site, 0, [customer("1", 0)])
    lake = Lake(site.data)
    at = FIRST + timedelta(days=1)
    odd = [RawRecord(msgspec.Raw(b'{"id":"x","name":"\xff"}'), "req", at)]
    rejects: list[dict[str, Any]] = []
    with lake.landing(CUSTOMERS, "c1", night_id(1)) as landing:
        landing.add(type_records(CUSTOMERS, "c1", night_id(1), odd, rejects), rejects)
        landing.facts = night(1, quarantined=1)
    enter(site, night(1, quarantined=1))
    assert replayed(site, EXTENDED) == (1, 0, 0)
    assert len(rows(site, "quarantine")) == 1


def test_what_no_longer_types_goes_to_quarantine_and_comes_back(site):
    nights(site, 10)
    load(site, 10, ['{"id":"7","name":null}', '{"id":null}'])
    before = counted(rows(site))
    said: list[str] = []
    assert replayed(site, NARROW, say=said.append) == (1, 0, 19)
    assert "19 landed customers no longer fit" in said[0]
    assert [row["id"] for row in rows(site)] == ["7"]
    rejected = rows(site, "quarantine")
    assert len(rejected) == 20
    assert all(row["_reason"] and row["_pulled_at"] for row in rejected)
    assert replayed(site, CUSTOMERS) == (1, 19, 0)
    assert counted(rows(site)) == before
    assert [row["_payload"] for row in rows(site, "quarantine")] == ['{"id":null}']


def payloads(settings: Settings) -> list[list[str]]:
    """What is held in the landing, and in quarantine."""
    return [[row["_payload"] for row in rows(settings, layer)] for layer in LAYERS]


@pytest.mark.deep
@pytest.mark.parametrize("step", ["rejects added", "landing built", "landing exchanged"])
def test_a_killed_replay_that_rejects_loses_nothing_and_the_next_one_ends_it(site, step):
    nights(site, 5)
    load(site, 5, ['{"id":"7","name":null}', '{"id":"8","name":41}'])
    everything = {payload for layer in payloads(site) for payload in layer}
    killed_at("narrow", step)
    assert {payload for layer in payloads(site) for payload in layer} == everything
    replayed(site, NARROW)
    landed, rejected = payloads(site)
    assert sorted(landed) == ['{"id":"7","name":null}', '{"id":"8","name":41}']
    assert sorted(rejected) == sorted(everything - set(landed))
    assert left_over(site) == []


@pytest.mark.deep
@pytest.mark.parametrize("step", ["landing built", "landing exchanged", "quarantine exchanged"])
def test_a_killed_replay_that_recovers_loses_nothing_and_the_next_one_ends_it(site, step):
    nights(site, 5)
    load(site, 5, ['{"id":null}'])
    everything = sorted(payload for layer in payloads(site) for payload in layer)
    replayed(site, NARROW)
    killed_at("replay", step)
    assert sorted({payload for layer in payloads(site) for payload in layer}) == everything
    replayed(site, CUSTOMERS)
    landed, rejected = payloads(site)
    assert rejected == ['{"id":null}']
    assert sorted(landed + rejected) == everything
    assert left_over(site) == []


def mended(settings: Settings, **more: Any) -> tuple[int, int, int]:
    done = repair(settings, [company()], [CUSTOMERS], **more)
    return len(done.adopted), len(done.forgotten), len(done.spools)


def history(settings: Settings) -> list[dict[str, Any]]:
    ledger = Ledger(settings.ledger_url)
    found = loads.history(ledger)
    ledger.close()
    return found


def lose_ledger(settings: Settings) -> None:
    for path in settings.data.glob("ledger.db*"):
        path.unlink()


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_lost_ledger_comes_back_from_the_lake(site, is_compacted):
    nights(site, 12)
    load(site, 12, ['{"id":null}'])
    before = history(site)
    if is_compacted:
        compacted(site)
    lose_ledger(site)
    assert mended(site) == (13, 0, 0)
    assert history(site) == before
    assert mended(site) == (0, 0, 0)
    assert history(site) == before


def test_a_load_whose_rows_are_gone_is_taken_out_of_the_coverage(site):
    nights(site, 3)
    load(site, 3, ['{"id":null}'])
    enter(site, night(4))
    Lake(site.data).file_of(CUSTOMERS, "c1", night_id(1)).unlink()
    said: list[str] = []
    assert mended(site, say=said.append) == (0, 1, 0)
    assert night_id(1) in said[0]
    assert [row["load_id"] for row in history(site)] == [night_id(n) for n in (0, 2, 3, 4)]
    assert mended(site) == (0, 0, 0)


def test_spool_folders_without_an_open_load_are_removed(site):
    lake = Lake(site.data)
    ledger = Ledger(site.ledger_url)
    at = FIRST + timedelta(days=4)
    loads.start(ledger, loads.Load(night_id(4), "c1", "customers", None, None, at))
    ledger.close()
    for number in (3, 4):
        page = loads.SpooledPage("updatedAt", 1, "r", at)
        lake.put_page(lake.spool(night_id(number), page), b"{}")
    (site.data / "spool" / "customers.c1.upkeep").mkdir()
    assert mended(site) == (0, 0, 1)
    assert [path.name for path in left_over(site)] == [night_id(4)]


def test_a_load_is_not_repaired_by_a_file_that_holds_a_part_of_it(site):
    load(site, 0, [customer("1", 0), customer("2", 0, paymentTerms="soon")])

    class Lenient(Customer):
        payment_terms: str | None = None  # type: ignore[assignment]

    assert replayed(site, replace(CUSTOMERS, model=Lenient)) == (1, 1, 0)
    Lake(site.data).file_of(CUSTOMERS, "c1", night_id(0)).unlink()
    assert mended(site) == (0, 1, 0)
    assert mended(site) == (0, 0, 0)


@pytest.fixture
def synced(configure) -> Iterator[tuple[Any, Settings]]:
    """A sandbox's customers after ten nights, each with a load of its own."""
    with running(Options(invoices=20, customers=30, items=5, months=2, limits=False)) as sandbox:
        settings = configure(sandbox)
        sync(settings)
        while len(files(settings)) < 10:
            patient.post(f"{sandbox.url}/sandbox/night", json={}).raise_for_status()
            sync(settings)
        yield sandbox, settings


def sync(settings: Settings) -> Any:
    (one,) = settings.companies()
    result = pull(settings, one, [CUSTOMERS])["customers"]
    if result.error:
        raise result.error
    return result


def test_a_sync_after_a_compaction_pulls_nothing_twice(synced):
    _, settings = synced
    before = counted(rows(settings))
    (done,) = compact(settings, settings.companies(), [CUSTOMERS])
    assert done.files_after == 2
    result = sync(settings)
    assert (result.rows, result.requests) == (0, 1)
    assert counted(rows(settings)) == before


@pytest.mark.deep
def test_a_sync_after_a_repair_of_an_empty_ledger_costs_one_request_a_feed(synced):
    _, settings = synced
    compact(settings, settings.companies(), [CUSTOMERS])
    before = counted(rows(settings))
    lose_ledger(settings)
    done = repair(settings, settings.companies(), list(ENTITIES.values()))
    assert len(done.adopted) >= 8
    result = sync(settings)
    assert (result.rows, result.requests) == (0, 1)
    assert counted(rows(settings)) == before


@pytest.mark.deep
def test_a_sync_after_a_repair_brings_back_what_was_lost(synced):
    _, settings = synced
    payloads = {row["_payload"] for row in rows(settings)}
    latest = {row["id"]: row["_payload"] for row in rows(settings)}
    first = next(iter((settings.data / "landing").rglob("2*.parquet")))
    first.unlink()
    repair(settings, settings.companies(), [CUSTOMERS])
    sync(settings)
    after = rows(settings)
    assert {row["_payload"] for row in after} <= payloads
    assert len(after) == len({row["_payload"] for row in after})
    assert set(latest.values()) <= {row["_payload"] for row in after}


def call(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["blsync", *arguments])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        cli.main()
    code = end.value.code
    return (code if isinstance(code, int) else 1, *capsys.readouterr())


@pytest.mark.deep
def test_the_commands_tell_what_they_did(site, monkeypatch, capsys):
    nights(site, 12)
    code, out, _ = call(monkeypatch, capsys, "compact", "--json")
    assert code == 0
    one = next(e for e in json.loads(out)["entities"] if e["entity"] == "customers")
    assert one == {
        "company": "c1",
        "entity": "customers",
        "files_before": 13,
        "files_after": 2,
    }
    code, out, _ = call(monkeypatch, capsys, "replay", "customers", "--json")
    found = {"company": "c1", "rows": 24, "recovered": 0, "quarantined": 0}
    assert (code, json.loads(out)) == (0, {"companies": [found]})
    lose_ledger(site)
    code, out, _ = call(monkeypatch, capsys, "repair")
    assert code == 0
    assert "12 loads entered into the ledger" in " ".join(out.split())
    code, out, _ = call(monkeypatch, capsys, "repair", "--json")
    assert not any(json.loads(out).values())
    assert list(json.loads(out))[:3] == ["adopted", "forgotten", "spools"]
    code, _, err = call(monkeypatch, capsys, "replay", "nonsense")
    assert code == 2
    assert "Unknown entity 'nonsense'" in err
    for command in ("compact", "replay", "repair"):
        assert "Example" in call(monkeypatch, capsys, command, "--help")[1]


@pytest.mark.deep
def test_dagster_has_the_job_and_its_schedule_is_stopped_until_turned_on(site):
    nights(site, 12)
    script = (
        "import dagster as dg\n"
        "from blsync.definitions import defs\n"
        "from blsync.orchestration import jobs as d\n"
        "assert d.weekly_compaction.default_status == dg.DefaultScheduleStatus.STOPPED\n"
        "run = defs.resolve_job_def('compact').execute_in_process()\n"
        "assert run.success\n"
    )
    done = subprocess.run([PYTHON, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(files(site)) == 2
