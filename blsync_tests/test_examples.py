"""The files in examples/: each is tried as its README says that it is used."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import httpx
import pytest
from rig import commands
from rig.commands import pull
from rig.push_desk import Desk, errors_of, opened, server
from rig.seeds import hand_over

from blsync import marts, settings, user_tables
from blsync.entities import ENTITIES
from blsync.marts.figures import CompanyFacts
from blsync.pull import raise_failures
from blsync.push import policies
from blsync.push.endpoints import BATCH_ENDPOINTS, ENDPOINTS, EVERY
from blsync.push.source.views import read_view
from blsync.sandbox import Options

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
COMPANY = "company_acme"
VIEW = "push_customers_payment_terms"
BOOKS = Options(
    customers=15,
    items=6,
    invoices=12,
    months=4,
    limits=False,
    per_hour=10**6,
    company_id=COMPANY,
    today=date(2026, 3, 31),
    modules=False,
)
"""Books of the day that the sheets are of, and of the company that the tables name."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[httpx.Client]:
    with server(BOOKS) as http:
        yield http


@pytest.fixture
def desk(sandbox: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with opened(sandbox, tmp_path, monkeypatch) as desk:
        monkeypatch.setenv("BIGLEDGER_COMPANY_ID", COMPANY)
        monkeypatch.setenv("BLSYNC_SEEDS", str(EXAMPLES / "seeds"))
        yield desk


def sheet(endpoint: str) -> Path:
    return EXAMPLES / "push" / f"{endpoint}.csv"


def test_every_example_is_listed_and_every_listed_one_is_there() -> None:
    listed = re.findall(r"\]\(([^).][^)]*)\)", (EXAMPLES / "README.md").read_text())
    of_folders = {path.rstrip("/") for path in listed}
    for file in (path for path in EXAMPLES.rglob("*") if path.is_file()):
        name = file.relative_to(EXAMPLES)
        places = {str(place) for place in (name, *name.parents)}
        assert name.name == "README.md" or places & of_folders, name
    assert [path for path in listed if not (EXAMPLES / path).exists()] == []


@pytest.mark.deep
def test_there_is_a_sheet_for_each_endpoint_and_every_row_of_it_can_be_pushed(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sorted(path.stem for path in (EXAMPLES / "push").iterdir()) == sorted(EVERY)
    are_all_pushed(desk, ENDPOINTS)
    with server(replace(BOOKS, modules=True)) as http:
        monkeypatch.setenv("BLSYNC_PUSH_DIALECT", "batch")
        with opened(http, tmp_path / "modules", monkeypatch) as other:
            monkeypatch.setenv("BIGLEDGER_COMPANY_ID", COMPANY)
            are_all_pushed(other, BATCH_ENDPOINTS)


def are_all_pushed(desk: Desk, endpoints: Iterable[str]) -> None:
    for endpoint in endpoints:  # customers come before the invoices that name them
        planned = desk.plan(sheet(endpoint), endpoint)
        assert errors_of(planned) == []
        assert planned.counts["create"] == 2
        applied = desk.apply(planned.plan.plan_id)
        assert (applied.exit_code, applied.outcomes["verified"]) == (0, 2), endpoint
        again = desk.plan(sheet(endpoint), endpoint)
        assert again.counts["create"] == 0, endpoint


def test_the_closed_months_of_the_example_keep_rows_out(desk: Desk) -> None:
    text = sheet("journal-entries").read_text()
    closed = desk.file(text.replace("2026-03-31", "2026-02-28"))
    errors = errors_of(desk.plan(closed, "journal-entries"))
    assert [field for _, field, _ in errors] == ["date", "date"]
    assert "2026-03-09" in errors[0][2]


def test_the_accepted_exceptions_of_the_example_are_read() -> None:
    [accepted] = user_tables.accepted_exceptions(EXAMPLES / "seeds")
    assert accepted["company_id"] == COMPANY
    assert accepted["rule"] == "unbalanced_entry"


def closed_copy(name: str, folder: Path) -> str:
    """Copy an example as its first lines say, whatever mode the checkout gave it."""
    copy = folder / name
    shutil.copyfile(EXAMPLES / name, copy)
    copy.chmod(0o600)
    return str(copy)


def test_the_companies_and_policies_of_the_examples_are_read(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("BLSYNC_COMPANIES", closed_copy("companies.toml", tmp_path))
    environment.setenv("BLSYNC_PUSH_POLICIES", closed_copy("policies.toml", tmp_path))
    environment.setenv("ACME_API_KEY", "blg_test_sk_" + "a" * 24)
    for name in ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN"):
        environment.setenv(f"TRYOUT_{name}", f"{name.lower()}_of_the_tryout")
    current = settings.load()
    acme, trading, tryout = current.companies()
    assert (acme.company_id, acme.api_key is not None) == (COMPANY, True)
    assert (trading.start, trading.api_key) == (date(2025, 1, 1), None)
    assert tryout.oauth is not None
    found = policies.load(current)
    proposed = {path.stem for path in (ROOT / "warehouse/models/proposals").glob("*.sql")}
    assert {policy.view for policy in found} <= proposed | {VIEW}
    assert [policy.endpoint for policy in found] == ["customers", "customers"]
    assert policies.companies_of(current, found[0]) == [acme]


@pytest.mark.deep
def test_the_proposal_of_the_example_is_built_and_planned_and_the_tables_name_what_exists(
    desk: Desk, tmp_path: Path
) -> None:
    current = desk.settings
    company = current.companies()[0]
    raise_failures(pull(current, company, ENTITIES.values()))
    commands.write_inputs(current, [(company, CompanyFacts("Acme", "MYR"))])
    hand_over(current.data, current.seeds)
    project, target = tmp_path / "warehouse", tmp_path / "target"
    left_out = shutil.ignore_patterns("data", "target", "logs")
    shutil.copytree(ROOT / "warehouse", project, ignore=left_out)
    for file in (EXAMPLES / "project/models/proposals").iterdir():
        shutil.copy(file, project / "models/proposals")
    law = "the_users_tables_name_what_exists"
    is_error = '{"error": "all", "warn": ["LogTestResult"]}'
    command = [marts.dbt_executable(), "--no-use-colors", "--warn-error-options", is_error, "build"]
    command += ["--select", f"+{VIEW}", f"+{law}"]
    command += ["--indirect-selection", "empty", "--project-dir", str(project)]
    command += ["--profiles-dir", str(project), "--target-path", str(target)]
    variables = marts.dbt_environment(current)
    done = subprocess.run(
        [*command, "--log-path", str(target)],
        env=settings.environment_for_a_child(variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    [found] = (target / "compiled").rglob(f"{law}.sql")
    with duckdb.connect(str(current.data / "build.duckdb"), read_only=True) as db:
        missing = db.execute(found.read_text()).fetchall()
    # These books are the parent's alone: they lack the company in Singapore, and what it cost.
    assert {file for file, _ in missing} == {"group.toml"}
    assert [key for _, key in missing if "_sg" not in key and not key.endswith(" 1800")] == []
    (current.data / "build.whole").touch()
    marts.publish(current)
    with duckdb.connect(str(marts.published_file(current)), read_only=True) as db:
        proposed = db.execute(f"select id, _terms_now from proposals.{VIEW}").fetchall()
    terms = {row["id"]: row["paymentTerms"] for row in desk.customers(status="active")}
    assert dict(proposed) == {key: days for key, days in terms.items() if (days or 0) > 45} != {}
    source = read_view(current, VIEW, "customers", COMPANY)
    planned = commands.plan(current, company, "customers", source, clock=desk.clock)
    assert planned.counts["update"] == len(proposed)
    assert errors_of(planned) == []
