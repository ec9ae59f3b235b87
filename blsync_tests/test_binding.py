"""A data folder, its ledger and the settings: what does not belong together is refused."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rig import patient
from rig.commands import compact, pull, replay
from rig.commands import plan as plan_push
from test_cli import blsync, environment
from test_ledger import new_schema, postgresql  # noqa: F401 (a fixture)
from test_pull import landed, on_server, run

from blsync import doctor, settings, status
from blsync.entities import ENTITIES, select
from blsync.errors import ConfigError
from blsync.lake.store import Lake
from blsync.ledger import loads
from blsync.ledger.loads import Load
from blsync.maintenance import facts_in, repair
from blsync.sandbox import Handle, Options, running
from blsync.session import binding
from blsync.session.binding import open_ledger
from blsync.settings import Settings

FEW = {"invoices": 40, "customers": 15, "items": 12, "months": 2, "limits": False}


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Handle, Handle]]:
    """Two servers that both know the company company_sandbox, each with books of its own."""
    with running(Options(seed=1, **FEW)) as one, running(Options(seed=2, **FEW)) as other:
        yield one, other


def told(given: Settings) -> dict:
    return json.loads((given.data / "lake.json").read_text())


def requests(server: Handle) -> int:

    return patient.get(f"{server.url}/sandbox/stats").json()["requests"]


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("ledger.db") and path.suffix != ".lock"
    }


def pull_customers(given: Settings) -> dict:
    return pull(given, given.companies()[0], select(["customers"]))


def test_folder_ledger_and_footers_name_the_lake_and_the_server(configure, pair):
    given = configure(pair[0])
    run(given, "customers")
    assert told(given)["companies"] == {
        "company_sandbox": {"name": "company_sandbox", "base_url": pair[0].base_url}
    }
    assert (given.data / "lake.json").stat().st_mode & 0o777 == 0o600
    (path,) = given.data.glob("landing/customers/*/2*.parquet")
    facts = Lake(given.data).facts_of(path)
    assert (facts["base_url"], facts["lake_id"]) == (pair[0].base_url, told(given)["lake_id"])
    ledger = open_ledger(given)
    assert ledger.lake_id == told(given)["lake_id"]
    ledger.close()


def test_what_upkeep_writes_names_them_too(configure, pair, tmp_path):
    given = configure(pair[0])
    for _ in range(9):
        run(given, "customers")
        with sqlite3.connect(given.data / "ledger.db") as db:
            db.execute("delete from loads")
        for path in given.data.glob("landing/customers/*/2*.parquet"):
            folder = path.parent
            path.rename(tmp_path / path.name)
    for path in tmp_path.glob("2*.parquet"):
        path.rename(folder / path.name)
    repair(given, given.companies(), select(["customers"]))
    compact(given, given.companies(), select(["customers"]))
    replay(given, given.companies(), ENTITIES["customers"])
    (merged,) = given.data.glob("landing/customers/*/*--*.parquet")
    told_of = [facts for facts in facts_in(merged) if "schema" not in facts["load_id"]]
    assert len(told_of) == 9
    for facts in told_of:
        assert (facts["base_url"], facts["lake_id"]) == (
            pair[0].base_url,
            told(given)["lake_id"],
        )


def test_a_copy_beside_the_entities_folders_is_no_company_that_is_held(configure, pair):
    given = configure(pair[0])
    run(given, "customers")
    (path,) = given.data.glob("landing/customers/*/2*.parquet")
    copied = given.data / "landing" / "old copy" / "company_id=somebody"
    copied.mkdir(parents=True)
    shutil.copy(path, copied)
    open_ledger(given).close()
    (given.data / "lake.json").unlink()
    open_ledger(given).close()
    assert set(told(given)["companies"]) == {"company_sandbox"}


def test_another_server_with_the_same_company_id_is_asked_nothing(configure, pair):
    given = configure(pair[0])
    run(given, "customers")
    before = everything(given.data)
    other = configure(pair[1])
    asked = requests(pair[1])
    with pytest.raises(ConfigError) as refused:
        pull_customers(other)
    for text in (pair[0].base_url, pair[1].base_url, "BLSYNC_DATA", "blsync company drop"):
        assert text in str(refused.value)
    assert requests(pair[1]) == asked
    assert everything(given.data) == before
    run(configure(pair[0]), "customers")  # the true one goes on


@pytest.mark.parametrize(
    "written", ["{url}/", "HTTP://LOCALHOST:{port}/v1", "http://localhost:{port}/v1/"]
)
def test_an_address_that_is_only_written_differently_is_the_same(configure, pair, written):
    local = pair[0].base_url.replace("127.0.0.1", "localhost")
    port = local.rpartition(":")[2].partition("/")[0]
    run(configure(pair[0], BIGLEDGER_BASE_URL=local), "customers")
    run(
        configure(pair[0], BIGLEDGER_BASE_URL=written.format(url=local, port=port)),
        "customers",
    )


def test_the_port_that_a_scheme_has_anyway_makes_no_difference():
    same = binding.is_same_server
    assert same("https://api.bigledger.com/v1", "HTTPS://API.bigledger.com:443/v1/")
    assert not same("https://api.bigledger.com/v1", "https://api.bigledger.com:8443/v1")
    assert not same("https://api.bigledger.com/v1", "https://api.bigledger.com/eu/v1")


def test_another_company_id_is_refused_before_anything_is_built(pair, tmp_path):
    env = environment(tmp_path / "data", pair[0].base_url)
    assert blsync("sync", "customers", "--no-build", env=env).returncode == 0
    other = {**env, "BIGLEDGER_COMPANY_ID": "company_other"}
    before = everything(tmp_path / "data")
    for command in (
        ("sync", "--json"), ("plan",), ("build",), ("compact",), ("repair",), ("replay", "items"),
        ("push", "list"),
    ):  # fmt: skip
        done = blsync(*command, env=other)
        assert done.returncode == 2, (command, done.stderr)
        assert "company_sandbox" in done.stderr
        assert "company_other" in done.stderr
        assert "blsync company drop company_sandbox" in done.stderr
        assert "Traceback" not in done.stderr
    left = everything(tmp_path / "data")
    assert {n: t for n, t in left.items() if not n.startswith("dagster/")} == {
        n: t for n, t in before.items() if not n.startswith("dagster/")
    }


def test_status_and_doctor_tell_it_as_a_finding(configure, pair):
    given = configure(pair[0])
    run(given, "customers")
    assert status.report(given)["problem"] is None
    other = configure(pair[1])
    assert pair[0].base_url in status.report(other)["problem"]
    (finding,) = (c for c in doctor.examine().checks if c.name == "binding")
    assert not finding.is_ok
    assert "blsync company drop" in finding.message


def several(environment_: pytest.MonkeyPatch, folder: Path, *listed: tuple[str, str, Handle]):
    file = folder / "companies.toml"
    file.write_text(
        "".join(
            f'[companies.{name}]\ncompany_id = "{id_}"\napi_key_env = "KEY"\n'
            f'base_url = "{server.base_url}"\n'
            for name, id_, server in listed
        )
    )
    environment_.setenv("BLSYNC_COMPANIES", str(file))
    environment_.setenv("KEY", listed[0][2].api_key)
    return settings.load()


def test_a_further_company_is_bound_and_one_that_is_taken_out_is_missed(
    configure, environment, pair, tmp_path
):
    run(configure(pair[0]), "customers")
    alpha = ("alpha", "company_sandbox", pair[0])
    with running(Options(company_id="co_b", **FEW)) as beta:
        both = several(environment, tmp_path, alpha, ("beta", "co_b", beta))
        raised = [r.error for r in pull(both, both.company("beta"), select(["items"])).values()]
        assert raised == [None]
        assert set(told(both)["companies"]) == {"company_sandbox", "co_b"}
        assert told(both)["companies"]["company_sandbox"]["name"] == "alpha"  # a name may change
        with pytest.raises(ConfigError, match="beta \\(co_b\\)"):
            open_ledger(several(environment, tmp_path, alpha))


def test_a_company_of_which_nothing_came_yet_can_still_be_changed(configure, pair):
    wrong = configure(pair[0], BIGLEDGER_COMPANY_ID="company_wrong")
    with pytest.raises(ConfigError, match="company"):
        pull_customers(wrong)
    assert set(told(wrong)["companies"]) == {"company_wrong"}
    given = configure(pair[0])
    run(given, "customers")
    assert set(told(given)["companies"]) == {"company_sandbox"}


def forget_binding(given: Settings, *, ledger: bool = False, footers: bool = False) -> None:
    """Make the folder what the version before left: bound by nothing."""
    (given.data / "lake.json").unlink()
    if ledger:
        with sqlite3.connect(given.data / "ledger.db") as db:
            db.execute("drop table lakes")
            db.execute("drop table companies")
            db.execute("update meta set version = 3")
    if footers:
        import pyarrow.parquet as pq

        for path in given.data.glob("landing/*/*/2*.parquet"):
            table = pq.ParquetFile(path).read()
            facts = json.loads(table.schema.metadata[b"blsync"])
            del facts["base_url"], facts["lake_id"]
            pq.write_table(
                table.replace_schema_metadata({b"blsync": json.dumps(facts).encode()}), path
            )


def test_a_folder_of_the_version_before_is_bound_to_what_the_settings_say(configure, pair):
    given = configure(pair[0])
    run(given, "customers")
    forget_binding(given, ledger=True, footers=True)
    run(given, "customers")
    assert told(given)["companies"]["company_sandbox"]["base_url"] == pair[0].base_url


def test_a_folder_of_the_version_before_with_another_company_in_it_is_refused(configure, pair):
    given = configure(pair[0])
    run(given, "customers")
    forget_binding(given, ledger=True, footers=True)
    other = configure(pair[0], BIGLEDGER_COMPANY_ID="company_other")
    with pytest.raises(ConfigError, match="company_sandbox"):
        pull_customers(other)
    assert not (given.data / "lake.json").exists()


def test_what_the_folder_lost_is_restored_from_the_ledger_and_never_bound_anew(configure, pair):
    given = configure(pair[0])
    run(given, "customers")
    lake = told(given)
    (given.data / "lake.json").unlink()
    with pytest.raises(ConfigError, match="Records of two servers"):
        pull_customers(configure(pair[1]))
    run(configure(pair[0]), "customers")
    assert told(given) == lake


def test_what_the_ledger_lost_is_restored_from_the_folder(configure, pair):
    given = configure(pair[0])
    run(given, "customers")
    lake = told(given)
    for path in given.data.glob("ledger.db*"):
        path.unlink()
    with pytest.raises(ConfigError, match="Records of two servers"):
        repair(configure(pair[1]), [], [])
    given = configure(pair[0])
    repair(given, given.companies(), select())
    assert told(given) == lake
    assert run(given, "customers")["customers"].rows == 0


def test_where_both_were_lost_the_footers_know(configure, pair):
    given = configure(pair[0])
    run(given, "customers")
    lake = told(given)
    for path in [*given.data.glob("ledger.db*"), given.data / "lake.json"]:
        path.unlink()
    with pytest.raises(ConfigError, match="Records of two servers"):
        pull_customers(configure(pair[1]))
    given = configure(pair[0])
    repair(given, given.companies(), select())
    assert told(given)["lake_id"] == lake["lake_id"]


def test_a_damaged_lake_json_is_named_with_what_to_do(configure, pair):
    given = configure(pair[0])
    run(given, "customers")
    (given.data / "lake.json").write_text("{")
    with pytest.raises(Exception, match="is damaged") as refused:
        pull_customers(given)
    assert refused.value.exit_code == 1
    (given.data / "lake.json").unlink()
    run(given, "customers")


def test_a_push_is_not_planned_against_another_server(configure, pair, tmp_path):
    run(configure(pair[0]), "customers")
    sheet = tmp_path / "changes.csv"
    sheet.write_text("email,name\nnew@one.example,New\n")
    other = configure(pair[1])
    asked = requests(pair[1])
    with pytest.raises(ConfigError, match="Records of two servers"):
        plan_push(other, other.companies()[0], "customers", sheet)
    assert requests(pair[1]) == asked


def test_the_published_marts_are_read_all_the_same(configure, pair):
    import duckdb

    given = configure(pair[0])
    run(given, "customers")
    with duckdb.connect(str(given.data / "blsync.duckdb")) as db:
        db.execute("create schema finance; create table finance.one as select 1 as number")
    env = environment(given.data, pair[1].base_url)
    done = blsync("query", "from finance.one", "--format", "csv", env=env)
    assert (done.returncode, done.stdout.split()) == (0, ["number", "1"])


# --- one ledger, one folder -----------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A ledger outside any data folder."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shared.db'}"
    return new_schema(request.getfixturevalue("postgresql"))


def in_folder(configure, server: Handle, ledger_url: str, folder: Path) -> Settings:
    return configure(server, BLSYNC_LEDGER_URL=ledger_url, BLSYNC_DATA=str(folder))


@pytest.mark.deep_after(1)
def test_a_second_folder_on_a_ledger_is_refused_and_loses_nothing(
    configure, pair, ledger_url, tmp_path
):
    first = in_folder(configure, pair[0], ledger_url, tmp_path / "first")
    run(first, "customers")
    second = in_folder(configure, pair[0], ledger_url, tmp_path / "second")
    for act in (pull_customers, lambda given: repair(given, given.companies(), select())):
        with pytest.raises(ConfigError) as refused:
            act(second)
        assert "belongs to another data folder" in str(refused.value)
        assert "blsync repair --take-over" in str(refused.value)
        assert "hidden" not in str(refused.value)
    assert not (tmp_path / "second" / "lake.json").exists()
    assert not list((tmp_path / "second").rglob("*.parquet"))
    again = in_folder(configure, pair[0], ledger_url, tmp_path / "first")
    assert run(again, "customers")["customers"].rows == 0


def test_two_folders_that_were_bound_each_to_its_own_ledger_do_not_share_one(
    configure, pair, ledger_url, tmp_path
):
    run(in_folder(configure, pair[0], ledger_url, tmp_path / "first"), "customers")
    own = f"sqlite:///{tmp_path / 'own.db'}"
    run(in_folder(configure, pair[0], own, tmp_path / "second"), "customers")
    with pytest.raises(ConfigError, match="belongs to another data folder"):
        pull_customers(in_folder(configure, pair[0], ledger_url, tmp_path / "second"))


@pytest.mark.deep_after(1)
def test_a_ledger_whose_folder_is_gone_for_good_is_taken_over(
    configure, pair, ledger_url, tmp_path
):
    first = in_folder(configure, pair[0], ledger_url, tmp_path / "first")
    for _ in range(2):
        run(first, "customers", "items")
    ledger = open_ledger(first)
    now = datetime.now(UTC)  # a load that landed nothing, as after a quiet night
    empty = Load(loads.new_id(now), "company_sandbox", "customers", now, now, now)
    loads.start(ledger, empty)
    loads.commit(ledger, empty, loads.LoadResult(now, 0, 0, 0), now)
    ledger.close()
    shutil.rmtree(tmp_path / "first")
    second = in_folder(configure, pair[0], ledger_url, tmp_path / "second")
    done = repair(second, second.companies(), select(), is_taken_over=True)
    assert len(done.forgotten) >= 3
    run(second, "customers", "items")
    assert {(row["id"],) for row in landed(second, "customers")} == set(
        on_server(pair[0], "customers")
    )
    with pytest.raises(ConfigError, match="belongs to another data folder"):
        pull_customers(in_folder(configure, pair[0], ledger_url, tmp_path / "third"))


def _open_at_once(given: Settings, start, answers) -> None:
    start.wait()
    try:
        open_ledger(given).close()
        answers.put("bound")
    except ConfigError as error:
        answers.put("refused" if "belongs to another" in str(error) else str(error))


@pytest.mark.deep
def test_of_several_folders_on_a_fresh_ledger_at_once_one_alone_is_bound(
    configure, pair, ledger_url, tmp_path
):
    context = multiprocessing.get_context("forkserver")
    start, answers = context.Event(), context.Queue()
    folders = [
        in_folder(configure, pair[0], ledger_url, tmp_path / f"folder {n}") for n in range(4)
    ]
    children = [context.Process(target=_open_at_once, args=(f, start, answers)) for f in folders]
    for child in children:
        child.start()
    start.set()
    found = sorted(answers.get(timeout=60) for _ in children)
    for child in children:
        child.join(60)
    assert found == ["bound", "refused", "refused", "refused"]
    assert sum((folder.data / "lake.json").exists() for folder in folders) == 1
