"""A new kind of record is a few new files: those of `extending/`, in a copy of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from rig import patient

pytestmark = pytest.mark.deep
"""A program of another project parses dbt's models anew at each step."""

ROOT = Path(__file__).parent.parent
ADDED = Path(__file__).parent / "extending"
COPIED = ("blsync", "warehouse")
COPIED_FILES = ("dagster.yaml", "workspace.yaml")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "target", "logs", "data", ".user.yml")
SANDBOX = """
import sys
from blsync.sandbox import Options, running

options = Options(invoices=20, customers=6, items=6, months=2, limits=False)
with running(options) as handle:
    print(handle.url, handle.base_url, handle.api_key, handle.company_id, flush=True)
    sys.stdin.read()
"""
WIDGETS = 12
"""Widgets in the sandbox's books that can be typed; one more cannot."""

Row = tuple[Any, ...]


@dataclass
class House:
    """A copy of the project in which there are widgets, beside a sandbox that has some."""

    folder: Path
    environment: dict[str, str]
    sandbox: str

    def blsync(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "blsync.cli", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def control(self, path: str, **body: Any) -> Any:
        return patient.post(f"{self.sandbox}/sandbox/{path}", json=body).json()

    def asked(self, sql: str, file: str = "build.duckdb") -> list[Row]:
        with duckdb.connect(str(self.folder / "data" / file), read_only=True) as db:
            return db.execute(sql).fetchall()

    def total(self) -> list[Row]:
        return self.asked(
            "select mart_value, source_value, status from finance.reconciliation "
            "where check_name = 'list_totals' and entity_key = 'widgets:records'",
            "blsync.duckdb",
        )

    def versions(self) -> list[Row]:
        return self.asked("from history.widgets order by widget_id, known_from")


def files_under(folder: Path) -> list[Path]:
    return sorted(
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )


def environment_of(folder: Path) -> dict[str, str]:
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("BIGLEDGER_", "BLSYNC_"))}
    more = {"PYTHONPATH": str(folder), "BLSYNC_ENV_FILE": os.devnull}
    more |= {"BLSYNC_START": str(datetime.now(UTC).date() - timedelta(days=1))}
    return kept | more | {"BLSYNC_DATA": str(folder / "data"), "BLSYNC_DRIFT_HOURS": "0"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Copy the project, put the new files beside the others, and pull once."""
    folder = tmp_path_factory.mktemp("house")
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=LEFT_OUT)
    for name in COPIED_FILES:
        shutil.copy(ROOT / name, folder / name)
    for path in files_under(ADDED):
        assert not (folder / path).exists(), f"{path} is there already: it would be edited"
        shutil.copy(ADDED / path, folder / path)
    environment = environment_of(folder)
    command = [sys.executable, "-c", SANDBOX]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=-1, stdout=-1, text=True
    ) as server:
        assert server.stdout is not None
        url, base_url, key, company = server.stdout.readline().split()
        names = ("BIGLEDGER_BASE_URL", "BIGLEDGER_API_KEY", "BIGLEDGER_COMPANY_ID")
        environment |= dict(zip(names, (base_url, key, company), strict=True))
        house = House(folder, environment, url)
        house.blsync("sync")
        yield house
        server.communicate("")


def test_a_new_kind_of_record_costs_at_most_ten_files() -> None:
    assert 0 < len(files_under(ADDED)) <= 10


def test_a_new_kind_of_record_lands_and_its_total_is_compared_and_its_quarantine_shown(
    house: House,
) -> None:
    names = house.asked("select widget_name from staging.stg_widgets where price > 0")
    assert len(names) == WIDGETS
    # The one in quarantine is on BigLedger's list and in no table, which the comparison shows.
    assert house.total() == [(WIDGETS, WIDGETS + 1, "fail")]
    [odd] = [
        widget
        for widget in patient.get(f"{house.sandbox}/sandbox/records?entity=widgets").json()
        if isinstance(widget["price"], str)
    ]
    found = house.asked(
        "select entity, record_id from finance.exceptions where rule = 'quarantined_record'",
        "blsync.duckdb",
    )
    assert found == [("widgets", odd["id"])]


def test_nights_bring_what_changed_of_a_new_kind_of_record_and_find_what_is_gone(
    house: House,
) -> None:
    first = house.versions()
    house.blsync("sync")
    assert house.versions() == first  # nothing changed, and nothing is there twice
    [gone] = house.asked("select min(widget_id) from staging.stg_widgets")[0]
    house.control("delete", entity="widgets", ids=[gone])
    house.control("night", invoices=0)
    house.blsync("sync")
    deleted = house.asked("select widget_id from staging.stg_widgets where is_deleted")
    assert deleted == [(gone,)]
    assert house.total() == [(WIDGETS - 1, WIDGETS, "fail")]
    [(repriced,)] = house.asked(
        "select widget_id from history.widgets where not is_deleted "
        "group by widget_id having count(*) > 1"
    )
    assert repriced != gone
    assert len(house.versions()) == len(first) + 2
