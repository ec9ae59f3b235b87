"""Who may read and write what blsync keeps: its owner alone, unless the settings say more."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import pytest
from rig.warm import PYTHON
from test_cli import blsync, environment, said_once

from blsync import marts, report, settings
from blsync.errors import BuildError, ConfigError
from blsync.lake.store import Lake
from blsync.ledger import Ledger

OTHERS = 0o077
STRANGER = 12345
ENV = "BIGLEDGER_API_KEY=blg_test_sk_kept\nBIGLEDGER_COMPANY_ID=acme\n"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_to_others(folder: Path) -> list[str]:
    """Everything in a folder, and itself, that others have any right to."""
    return [str(path) for path in (folder, *folder.rglob("*")) if mode(path) & OTHERS]


@pytest.fixture
def env_file(environment, tmp_path: Path) -> Path:
    path = tmp_path / "some.env"
    path.write_text(ENV)
    path.chmod(0o600)
    environment.setenv("BLSYNC_ENV_FILE", str(path))
    return path


@pytest.mark.deep
def test_all_that_a_first_sync_writes_is_closed_to_others(tmp_path):
    """With the widest umask that there is, and a server that refuses everything."""
    env = environment_of_a_refused_sync(tmp_path)
    done = subprocess.run(
        [PYTHON, "-m", "blsync.cli", "sync", "--no-build"],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        umask=0,
    )
    assert done.returncode in (1, 3), done.stderr
    data = Path(env["BLSYNC_DATA"])
    assert {"ledger.db", "dagster"} <= {path.name for path in data.iterdir()}
    assert open_to_others(data) == []


def environment_of_a_refused_sync(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path / "new" / "data", "http://127.0.0.1:9/v1", BLSYNC_DRIFT_HOURS="0")


def test_an_older_data_folder_is_closed_at_its_first_use(tmp_path):
    data = tmp_path / "data"
    inside = data / "landing" / "invoices" / "company_id=a"
    inside.mkdir(parents=True)
    (data / "dagster" / "history").mkdir(parents=True)
    outside = tmp_path / "outside.txt"
    outside.write_text("not ours")
    (data / "spool").symlink_to(tmp_path)
    for name in ("push", "plans", "dagster.damaged-20260101T000000000000Z"):
        (data / name).mkdir()
    for name in (
        *("ledger.db", "blsync.duckdb", "landing/invoices/company_id=a/1.parquet"),
        *("push/customers.a.lock", "plans/1.json", "lake.lock", "build.files"),
        *("ledger.db.damaged-20260101T000000000000Z", "report.html.damaged-20260101T000000000000Z"),
    ):
        (data / name).write_text("")
    for path in (*data.rglob("*"), data, outside):
        path.chmod(0o777 if path.is_dir() else 0o666)
    before = mode(tmp_path)
    Lake(data)
    assert [path for path in open_to_others(data) if "spool" not in path] == []
    assert (mode(outside), mode(tmp_path)) == (0o666, before)
    assert mode(data) == 0o700


def test_of_a_folder_that_holds_other_things_too_only_what_is_ours_is_closed(tmp_path):
    home = tmp_path / "home"
    (home / "landing").mkdir(parents=True)
    (home / "letters").mkdir()
    for path in (home, home / "landing", home / "letters"):
        path.chmod(0o755)
    Lake(home)
    assert (mode(home), mode(home / "landing"), mode(home / "letters")) == (0o755, 0o700, 0o755)


@pytest.mark.parametrize("bits", [0o1777, 0o775])
def test_a_folder_that_holds_other_things_and_that_others_can_write_is_refused(tmp_path, bits):
    shared = tmp_path / "shared"
    (shared / "letters").mkdir(parents=True)
    shared.chmod(bits)
    with pytest.raises(ConfigError, match="chmod go-w"):
        Lake(shared)
    assert mode(shared) == bits


def test_what_belongs_to_another_user_stays_and_is_told(tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    (data / "ledger.db").touch()
    (data / "ledger.db").chmod(0o644)
    os.chown(data / "ledger.db", STRANGER, -1)
    data.chmod(0o755)
    Lake(data)
    assert (mode(data), mode(data / "ledger.db")) == (0o700, 0o644)
    assert "ledger.db for one" in capsys.readouterr().err


def test_a_ledger_outside_the_data_folder_is_closed_too(tmp_path):
    path = tmp_path / "elsewhere.db"
    url = f"sqlite:///{path}"
    Ledger(url).close()
    path.chmod(0o644)
    Ledger(url).close()
    assert mode(path) == 0o600


@pytest.mark.parametrize("bits", [0o620, 0o602, 0o666])
def test_an_env_file_that_others_can_write_is_refused(env_file, bits):
    env_file.chmod(bits)
    with pytest.raises(ConfigError, match=f"chmod 600 '{env_file}'"):
        settings.load()


def test_an_env_file_of_another_user_is_refused(env_file):
    os.chown(env_file, STRANGER, -1)
    with pytest.raises(ConfigError, match=f"belongs to another user \\(id {STRANGER}\\)"):
        settings.load()


def test_an_env_file_that_others_can_read_is_told_once(env_file, capsys):
    env_file.chmod(0o644)
    settings.load()
    settings.load()
    assert capsys.readouterr().err.count(f"chmod 600 '{env_file}'") == 1


def test_what_is_no_file_can_be_an_env_file(environment):
    environment.setenv("BLSYNC_ENV_FILE", os.devnull)
    settings.load()


def test_files_of_companies_and_policies_that_others_can_write_are_refused(environment, tmp_path):
    from blsync.push import policies

    companies = tmp_path / "companies.toml"
    companies.write_text('[companies.a]\ncompany_id = "a"\napi_key_env = "A"\n')
    rules = tmp_path / "policies.toml"
    rules.write_text("")
    environment.setenv("BLSYNC_COMPANIES", str(companies))
    environment.setenv("BLSYNC_PUSH_POLICIES", str(rules))
    for path, use in ((companies, settings.Settings.companies), (rules, policies.load)):
        path.chmod(0o664)
        with pytest.raises(ConfigError, match=f"chmod 600 '{path}'"):
            use(settings.load())
        path.chmod(0o644)
        use(settings.load())


@pytest.mark.deep
def test_the_command_refuses_and_doctor_tells(tmp_path):
    env_file = tmp_path / "some.env"
    env_file.write_text(ENV)
    data = tmp_path / "data"
    data.mkdir()
    (data / "letters").mkdir()
    data.chmod(0o755)
    env = environment(data, "http://127.0.0.1:9/v1", BLSYNC_ENV_FILE=str(env_file))
    env_file.chmod(0o666)
    done = blsync("status", env=env)
    assert done.returncode == 2
    assert "chmod 600" in said_once(done)
    env_file.chmod(0o644)
    done = blsync("doctor", "--json", env=env)
    (found,) = [c for c in json.loads(done.stdout)["checks"] if c["name"] == "files"]
    assert not found["ok"]
    assert f"chmod 600 '{env_file}'" in found["message"]
    assert f"chmod 700 '{data}'" in found["message"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"BLSYNC_PUBLISH_MODE": "0644"}, "BLSYNC_PUBLISH_MODE: '0644' must be 0600"),
        ({"BLSYNC_PUBLISH_MODE": "all"}, "BLSYNC_PUBLISH_MODE: 'all' must be 0600"),
        ({"BLSYNC_PUBLISH_MODE": "0640"}, "set BLSYNC_PUBLISH_TO"),
        ({"BLSYNC_PUBLISH_TO": "{data}/landing"}, "lies inside BLSYNC_DATA"),
        ({"BLSYNC_PUBLISH_TO": "{data}-no/marts"}, "-no does not exist"),
    ],
)
def test_what_cannot_be_published_is_refused_at_once(environment, tmp_path, more, said):
    for name, value in more.items():
        environment.setenv(name, value.replace("{data}", str(tmp_path / "data")))
    with pytest.raises(ConfigError, match="BLSYNC_PUBLISH") as refused:
        settings.load()
    assert said in str(refused.value)


def test_a_folder_to_publish_to_that_others_can_write_is_refused(environment, tmp_path):
    (tmp_path / "marts").mkdir()
    (tmp_path / "marts").chmod(0o775)
    environment.setenv("BLSYNC_PUBLISH_TO", str(tmp_path / "marts"))
    with pytest.raises(ConfigError, match="chmod go-w"):
        settings.load()


@pytest.fixture
def publish(environment, tmp_path: Path):
    """Publish a build of one table with these settings, as a build of the marts would leave it."""

    def published(**more: str) -> settings.Settings:
        for name, value in more.items():
            environment.setenv(name, value)
        current = settings.load()
        Lake(current.data)
        with duckdb.connect(str(current.data / "build.duckdb")) as db:
            db.execute("create schema if not exists finance")
            db.execute("create or replace table finance.figures as select 1 as n")
        (current.data / "build.whole").touch()
        marts.publish(current, said.append)
        return current

    said: list[str] = []
    published.said = said  # type: ignore[attr-defined]
    return published


def test_what_is_published_is_closed_to_others_unless_it_is_said(publish, tmp_path):
    current = publish()
    assert marts.published_file(current) == tmp_path / "data" / "blsync.duckdb"
    assert mode(marts.published_file(current)) == 0o600


def test_a_group_reads_what_is_published_elsewhere_and_nothing_else(publish, tmp_path):
    settled = {"BLSYNC_PUBLISH_TO": str(tmp_path / "marts"), "BLSYNC_PUBLISH_MODE": "0640"}
    for _ in range(2):  # the second time there is one before
        current = publish(**settled)
    folder = tmp_path / "marts"
    assert {path.name: mode(path) for path in folder.iterdir()} == {
        "blsync.duckdb": 0o640,
        "blsync.previous.duckdb": 0o640,
    }
    assert mode(folder) == 0o750
    assert marts.fetch_rows(current, "from finance.figures")[1] == [(1,)]
    with duckdb.connect(str(folder / "blsync.duckdb"), read_only=True) as db:
        assert db.sql("from finance.figures").fetchall() == [(1,)]
    assert report.report_file(current) == folder / "report.html"
    assert mode(current.data) == 0o700
    assert not (current.data / "blsync.duckdb").exists()
    assert settings.paths_in_environment(current)["BLSYNC_PUBLISH_TO"] == str(folder)


def test_a_report_from_before_marts_were_published_elsewhere_is_named_too(environment, tmp_path):
    (tmp_path / "marts").mkdir()
    environment.setenv("BLSYNC_PUBLISH_TO", str(tmp_path / "marts"))
    current = settings.load()
    current.data.mkdir()
    assert marts.left_behind(current) is None
    for name in ("blsync.duckdb", "report.html"):
        (current.data / name).touch()
    assert "blsync.duckdb, report.html in " in (marts.left_behind(current) or "")
    (current.data / "blsync.duckdb").unlink()
    assert "report.html in " in (marts.left_behind(current) or "")


def test_marts_closed_again_leave_no_older_ones_open(publish, tmp_path):
    to = str(tmp_path / "marts")
    publish(BLSYNC_PUBLISH_TO=to, BLSYNC_PUBLISH_MODE="0640")
    publish(BLSYNC_PUBLISH_TO=to, BLSYNC_PUBLISH_MODE="0600")
    assert {mode(path) for path in (tmp_path / "marts").iterdir()} == {0o600}


def test_marts_that_were_published_elsewhere_before_are_told_of_and_never_read(publish, tmp_path):
    publish()
    to = str(tmp_path / "marts")
    old = tmp_path / "data" / "blsync.duckdb"
    with pytest.MonkeyPatch.context() as before_the_first:
        before_the_first.setenv("BLSYNC_PUBLISH_TO", to)
        with pytest.raises(BuildError, match="Nothing is published"):
            marts.fetch_rows(settings.load(), "from finance.figures")
    publish.said.clear()
    publish(BLSYNC_PUBLISH_TO=to)
    (told,) = [text for text in publish.said if f"{old.name} in {old.parent}" in text]
    assert "delete them" in told
    assert old.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_analyst_of_the_group_opens_the_marts_and_cannot_look_into_the_data(publish, tmp_path):
    publish(BLSYNC_PUBLISH_TO=str(tmp_path / "marts"), BLSYNC_PUBLISH_MODE="0640")
    for folder in (tmp_path, *tmp_path.parents):
        if Path(tempfile.gettempdir()) in folder.parents:
            folder.chmod(mode(folder) | 0o011)
    os.chown(tmp_path / "marts", -1, STRANGER)
    os.chown(tmp_path / "marts" / "blsync.duckdb", -1, STRANGER)
    code = (
        "import duckdb, os, sys; os.setgroups([]);"
        "os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[3]));"
        "print(duckdb.connect(sys.argv[1], read_only=True).sql('from finance.figures').fetchall());"
        "os.listdir(sys.argv[2])"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-c", code),
            *(str(tmp_path / "marts" / "blsync.duckdb"), str(tmp_path / "data"), str(STRANGER)),
        ],
        capture_output=True,
        text=True,
        cwd="/",
        env={"HOME": "/nonexistent"},
    )
    assert done.stdout == "[(1,)]\n", done.stderr
    assert "PermissionError" in done.stderr
