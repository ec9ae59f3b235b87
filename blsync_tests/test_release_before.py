"""A data folder that the release before the house was rebuilt wrote goes on without a question.

`data/release_before_the_rooms.tar.xz` holds what blsync left of a sync, a build and a push whose
request broke off after half of its rows, and the sandbox's books with those rows in them.
"""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from rig import commands, patient
from rig.warm import PYTHON

from blsync import settings
from blsync.entities import ENTITIES, select
from blsync.sandbox import Options, running

PORT = 18765
"""The folder is bound to the server at this port, which lies below those that systems give out."""
PLAN = "203e013ba47c"
ROWS = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("before")
    with tarfile.open(Path(__file__).parent / "data/release_before_the_rooms.tar.xz") as archive:
        archive.extractall(home, filter="data")
    return home


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    options = Options(
        database=folder / "sandbox.db", limits=False, per_hour=10**6, today=date(2026, 11, 28)
    )
    with running(options, port=PORT) as sandbox:
        yield sandbox.url


@pytest.fixture
def environment(folder: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in list(os.environ):
        if name.startswith(("BIGLEDGER_", "BLSYNC_")):
            monkeypatch.delenv(name)
    options = Options()
    given = {
        "BLSYNC_ENV_FILE": os.devnull,
        "BLSYNC_DATA": str(folder / "data"),
        "BLSYNC_START": "2026-11-27",
        "BLSYNC_PUSH_SETTLE_SECONDS": "15",
        "BIGLEDGER_BASE_URL": f"{server}/v1",
        "BIGLEDGER_API_KEY": options.api_key,
        "BIGLEDGER_COMPANY_ID": options.company_id,
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return {**os.environ}


def blsync(env: dict[str, str], *arguments: str) -> Any:
    done = subprocess.run(
        [PYTHON, "-m", "blsync.cli", *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def pushed(server: str) -> list[str]:
    """Return the addresses of the customers at the server that the plan is about."""
    records = patient.get(f"{server}/sandbox/records", params={"entity": "customers"}).json()
    return sorted(
        record["email"] for record in records if (record["email"] or "").endswith("@example.com")
    )


def published(folder: Path, sql: str) -> Any:
    with duckdb.connect(str(folder / "data/blsync.duckdb"), read_only=True) as db:
        return db.execute(sql).fetchone()


@pytest.mark.deep
def test_an_older_folder_goes_on_push_pull_and_build(
    environment: dict[str, str], folder: Path, server: str
) -> None:
    (told,) = blsync(environment, "status", "--json")["companies"].values()
    rows = {name: entity["rows"] for name, entity in told["entities"].items()}
    core = {name for name, entity in ENTITIES.items() if not entity.is_optional}
    assert {name for name in rows if rows[name]} == core
    assert published(folder, "select count(*) from finance.invoices") == (30,)

    # The request broke off in its middle; what was done is found, what was not is sent, once.
    assert len(pushed(server)) == ROWS // 2
    done = commands.apply(settings.load(), PLAN)
    assert (done.exit_code, done.outcomes["applied"], done.outcomes["verified"]) == (0, ROWS, ROWS)
    assert len(set(pushed(server))) == len(pushed(server)) == ROWS

    # A night pulls what is new alone, and the marts are built from both.
    current = settings.load()
    results = commands.pull(current, current.companies()[0], select())
    assert [str(result.error) for result in results.values() if result.error] == []
    assert (results["customers"].rows, results["invoices"].rows) == (ROWS, 0)
    assert results["invoices"].requests <= 2
    blsync(environment, "build")
    assert published(folder, "select count(*) from finance.customers") == (12 + ROWS,)
    assert published(folder, "select count(distinct row) from finance.push_log") == (ROWS,)
