"""Names of folders and files that are syntax elsewhere: they are names here, or refused at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig import patient
from test_cli import blsync, call, environment, said_once  # noqa: F401

from blsync.sandbox import Handle, Options, running
from blsync.settings import ROOT

pytestmark = pytest.mark.deep
"""Whole syncs below each odd name."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Handle]:
    with running(Options(invoices=20, customers=8, items=5, months=1, limits=False)) as handle:
        yield handle


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


NAMES = ["Books 1 & 100% 'own' {x} $y", "~ ü ]!^ ,;:="]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_whose_name_is_syntax_elsewhere_holds_all_that_a_sync_writes(
    sandbox, tmp_path, name
):
    home = tmp_path / "home"
    seeds, shown = home / "tables [a-c] #*" / name, home / f"shown [a-c] * {name}"
    shutil.copytree(ROOT / "warehouse" / "seeds", seeds)
    before = tree(home)
    more = {"BLSYNC_SEEDS": str(seeds), "BLSYNC_PUBLISH_TO": str(shown)}
    env = environment(home / name / "data", sandbox.base_url, **more)
    for _ in range(2):
        done = blsync("sync", env=env)
        assert done.returncode == 0, done.stderr
    assert "Telemetry" not in done.stderr
    done = blsync("query", "select count(*) from finance.invoices", "--format", "csv", env=env)
    assert done.stdout.split() == ["count_star()", "20"]
    assert blsync("status", env=env).returncode == 0
    written = tree(home) - before
    assert {path.partition("/")[0] for path in written} == {name, shown.name}


ODD = ["what? now", "back\\slash", "two\nlines", "tab\there", os.fsdecode(b"latin \xe4")]
PATTERNS = ["Books [2026]", "st*r", "a [", "[b]", "hash #1", "#"]


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        *(("BLSYNC_DATA", name) for name in (*ODD, *PATTERNS)),
        *((setting, name) for setting in ("BLSYNC_SEEDS", "BLSYNC_PUBLISH_TO") for name in ODD),
    ],
)
def test_a_name_that_some_part_would_misread_is_refused_before_anything_is_asked_or_written(
    call,  # noqa: F811
    sandbox,
    tmp_path,
    setting,
    name,
):
    patient.post(f"{sandbox.url}/sandbox/reset-stats").raise_for_status()
    env = environment(tmp_path / "data", sandbox.base_url, **{setting: str(tmp_path / name / "d")})
    for command in (["sync"], ["status"], ["build"]):
        done = call(*command, env=env)
        assert done.returncode == 2
        assert setting in said_once(done)
    assert tree(tmp_path) == set()
    assert patient.get(f"{sandbox.url}/sandbox/stats").json()["routes"] == {}


@pytest.mark.parametrize("url", ["sqlite:///l.db?timeout=soon"])
def test_an_option_of_the_ledger_that_there_is_not_is_one_clear_line(call, sandbox, tmp_path, url):  # noqa: F811
    env = environment(tmp_path / "data", sandbox.base_url)
    env["BLSYNC_LEDGER_URL"] = url.replace("l.db", f"{tmp_path}/l.db")
    done = call("status", env=env)
    assert done.returncode == 2
    assert "BLSYNC_LEDGER_URL" in said_once(done)


@pytest.mark.parametrize("name", ["rows [1] #2", "what? *", "it's {x}"])
def test_a_file_of_any_name_is_read_and_written_under_that_name(sandbox, tmp_path, name):
    env = environment(tmp_path / "data", sandbox.base_url)
    assert blsync("sync", "customers", "--no-build", env=env).returncode == 0
    sheet = tmp_path / f"{name}.csv"
    sheet.write_text("name,email\nA Sdn Bhd,a@x.example\n")
    rejects = tmp_path / f"rejects {name}.csv"
    done = blsync("push", "plan", "customers", str(sheet), "--rejects", str(rejects), env=env)
    assert done.returncode == 0, done.stderr
