"""The push in Dagster: assets, policies, schedule and sensor, against a real server on loopback."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import httpx
import pytest
import yaml
from dagster._core.snap import JobSnap
from dagster._core.snap.snap_to_yaml import default_values_yaml_from_type_snap
from openpyxl import Workbook
from rig import commands, patient
from rig.commands import due
from rig.warm import PYTHON
from sqlalchemy import update

from blsync import settings
from blsync.errors import ConfigError, SafetyLimit
from blsync.ledger import Ledger, plans, tables
from blsync.orchestration.push_assets import key_of, push_definitions
from blsync.push import policies
from blsync.push.endpoints import ENDPOINTS, EVERY
from blsync.sandbox import Options, running
from blsync.settings import Settings

OPTIONS = Options(customers=15, items=3, invoices=5, months=1, limits=False, per_hour=10**6)
VIEW = "push_customers_credit_limit"
VIEW_KEY = dg.AssetKey(["proposals", VIEW])
POLICY = f"[{VIEW}]\nmax_creates = 0\nmax_updates = 2\nmax_money = 0\n"


@dataclass
class Desk:
    """A sandbox, settings for it, and a Dagster of its own."""

    folder: Path
    http: httpx.Client
    patch: pytest.MonkeyPatch
    stack: ExitStack

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        home = self.folder / "dagster"
        home.mkdir()
        return self.stack.enter_context(dg.instance_for_test(temp_dir=str(home)))

    @property
    def settings(self) -> Settings:
        return settings.load()

    @property
    def defs(self) -> dg.Definitions:
        return push_definitions(self.settings, [VIEW_KEY], ["team:finance-data"])

    def materialise(
        self,
        step: str,
        endpoint: str = "customers",
        tags: dict[str, str] | None = None,
        **config: Any,
    ) -> Run:
        key = key_of(endpoint, step)
        result = dg.materialize(
            [asset for asset in self.defs.assets or [] if isinstance(asset, dg.AssetsDefinition)],
            selection=[key],
            run_config={"ops": {key.to_python_identifier(): {"config": config}}},
            instance=self.instance,
            raise_on_error=False,
            tags=tags,
        )
        return Run(result, self.instance)

    def send(self, plan_id: str, endpoint: str = "customers", **config: Any) -> Run:
        """Apply a plan as a person does who has seen it on the terminal, where that is allowed."""
        self.patch.setenv("BLSYNC_PUSH_FROM_UI", "true")
        config = {"dry_run": False, "confirmation": self.code(plan_id), **config}
        return self.materialise("apply", endpoint, plan=plan_id, **config)

    def code(self, plan_id: str) -> str:
        code = commands.show(self.settings, plan_id).plan.confirmation_code
        assert code
        return code

    def job(self, name: str) -> Run:
        job = self.defs.resolve_job_def(name)
        result = job.execute_in_process(instance=self.instance, raise_on_error=False)
        return Run(result, self.instance)

    def file(self, text: str, name: str = "changes.csv") -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def plan_id(self, text: str) -> str:
        run = self.materialise("plan", file=self.file(text))
        return str(run.metadata["plan_id"])

    def list(self, path: str, **params: str) -> list[dict[str, Any]]:
        data: list[dict[str, Any]] = self.http.get(f"/v1{path}", params=params).json()["data"]
        return data

    def customers(self) -> list[dict[str, Any]]:
        """Return customers whose limit can be changed, in a fixed order."""
        found = self.list("/customers", limit="100")
        return sorted((c for c in found if c["creditLimit"]), key=lambda c: str(c["id"]))

    def faults(self, text: str = "") -> None:
        self.http.post("/sandbox/faults", json={"faults": text}).raise_for_status()

    def writes(self) -> int:
        routes = self.http.get("/sandbox/stats").json()["routes"]
        return sum(count for route, count in routes.items() if "POST /bulk" in route)

    def policy(self, text: str = POLICY) -> None:
        self.patch.setenv("BLSYNC_PUSH_POLICIES", self.file(text, "policies.toml"))

    def propose(self, *limits: tuple[str, int], based_on: str | None = None) -> None:
        """Publish marts that propose these limits."""
        file = self.settings.data / "blsync.duckdb"
        file.parent.mkdir(exist_ok=True)
        file.unlink(missing_ok=True)
        with duckdb.connect(str(file)) as db:
            db.execute("create schema proposals")
            db.execute(
                f"create table proposals.{VIEW} (id varchar, base_updated_at timestamptz, "
                '"creditLimit" decimal(18, 2), _company_id varchar)'
            )
            for customer, limit in limits:
                row = [customer, based_on, limit, OPTIONS.company_id]
                db.execute(f"insert into proposals.{VIEW} values (?, ?, ?, ?)", row)


@dataclass
class Run:
    """A run that has ended, and what it recorded."""

    result: dg.ExecuteInProcessResult
    instance: dg.DagsterInstance

    @property
    def materialised(self) -> list[str]:
        return [
            event.step_materialization_data.materialization.asset_key.to_user_string()
            for event in self.result.all_events
            if event.is_step_materialization
        ]

    @property
    def metadata(self) -> dict[str, Any]:
        """What the last asset shows."""
        assert self.result.success, self.failure
        last = [e for e in self.result.all_events if e.is_step_materialization][-1]
        shown = last.step_materialization_data.materialization.metadata
        return {name: value.value for name, value in shown.items()}

    @property
    def failure(self) -> tuple[str, Any]:
        """The failed step's message and exit code."""
        (event,) = [e for e in self.result.all_events if e.is_step_failure]
        told = event.step_failure_data.user_failure_data
        assert told, event.step_failure_data.error
        return told.description or "", told.metadata["exit_code"].value

    @property
    def checks(self) -> dict[str, bool]:
        found = self.result.get_asset_check_evaluations()
        assert all(check.severity == dg.AssetCheckSeverity.WARN for check in found)
        return {check.check_name: check.passed for check in found}

    @property
    def log(self) -> str:
        return "\n".join(entry.user_message for entry in self.instance.all_logs(self.result.run_id))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[httpx.Client]:
    """One server for the file."""
    with running(OPTIONS) as handle:
        headers = {"Authorization": f"Bearer {handle.api_key}", "X-Company-Id": handle.company_id}
        with patient.client(base_url=handle.url, headers=headers, trust_env=False) as http:
            yield http


@pytest.fixture
def desk(sandbox: httpx.Client, tmp_path: Path, environment: pytest.MonkeyPatch) -> Iterator[Desk]:
    for name, value in {
        "BIGLEDGER_BASE_URL": f"{str(sandbox.base_url).rstrip('/')}/v1",
        "BIGLEDGER_API_KEY": OPTIONS.api_key,
        "BIGLEDGER_COMPANY_ID": OPTIONS.company_id,
        "BLSYNC_QUOTA_PER_HOUR": "1000000",
        "BLSYNC_QUOTA_PER_SECOND": "10000",
    }.items():
        environment.setenv(name, value)
    sandbox.post("/sandbox/reset-stats").raise_for_status()
    with ExitStack() as stack:
        yield Desk(tmp_path, sandbox, environment, stack)
    sandbox.post("/sandbox/faults", json={"faults": ""}).raise_for_status()


def new(count: int, domain: str, **columns: str) -> str:
    lines = [
        ",".join([f"new{n}@{domain}.example", f"Kedai {n}", *columns.values()])
        for n in range(1, count + 1)
    ]
    return "\n".join([",".join(["email", "name", *columns]), *lines]) + "\n"


# Assets


def test_every_endpoint_has_a_plan_and_an_apply_that_depends_on_it(desk: Desk) -> None:
    graph = desk.defs.resolve_asset_graph()
    for name in ENDPOINTS:
        plan, apply = graph.get(key_of(name, "plan")), graph.get(key_of(name, "apply"))
        assert apply.parent_keys == {plan.key}
        assert {plan.group_name, apply.group_name} == {"push"}
        assert not plan.is_partitioned
        assert (VIEW_KEY in plan.parent_keys) == (name == "customers")


def test_where_changes_go_in_batches_there_are_assets_of_what_batches_take(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLSYNC_PUSH_DIALECT", "batch")
    graph = desk.defs.resolve_asset_graph()
    for name in EVERY:
        assert graph.get(key_of(name, "apply")).parent_keys == {key_of(name, "plan")}


def test_a_click_on_a_plan_leads_to_a_launchpad_that_is_filled_in(desk: Desk) -> None:
    name = key_of("customers", "plan")
    job = desk.defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection={name})
    snap = JobSnap.from_job_def(job)
    (op,) = snap.node_defs_snapshot.op_def_snaps
    assert op.config_field_snap.is_required  # else the click starts a run without any config
    schema, root = snap.config_schema_snapshot, snap.mode_def_snaps[0].root_config_key
    shown = yaml.safe_load(default_values_yaml_from_type_snap(schema, schema.get_config_snap(root)))
    config = shown["ops"][name.to_python_identifier()]["config"]
    assert config.items() >= {"mode": "upsert", "on_conflict": "abort", "file": ""}.items()
    assert config["company"] == desk.settings.companies()[0].name
    # Sent as it stands, it says what is still to be filled in.
    assert "Name a file of changes or a view" in desk.materialise("plan", **config).failure[0]


def test_a_plan_shows_what_would_change_and_sends_nothing(desk: Desk) -> None:
    text = new(2, "shows", creditLimit="500.00") + "bad,Kedai,1\n"
    run = desk.materialise("plan", file=desk.file(text))
    shown = run.metadata
    assert shown["counts"] | {"create": 2, "reject": 1} == shown["counts"]
    assert "| 1 | create | pending | email, name, creditLimit" in shown["changes"]
    assert "| 3 | reject | not_sent | INVALID_EMAIL_FORMAT | email must be" in shown["troubles"]
    assert f"`blsync push apply {shown['plan_id']}`" in shown["next"]
    assert f"plan: {shown['plan_id']}, dry_run: false and the confirmation" in shown["next"]
    assert run.checks == {"all_rows_accepted": False}
    assert desk.writes() == 0


def test_a_long_plan_shows_fifty_rows_and_how_many_more_there_are(desk: Desk) -> None:
    shown = desk.materialise("plan", file=desk.file(new(53, "long"))).metadata["changes"]
    assert "| 50 | create" in shown
    assert "| 51 | create" not in shown
    assert "… and 3 more" in shown


def test_a_document_shows_its_reference_and_figures_before_and_after(desk: Desk) -> None:
    [item] = desk.list("/items", limit="1")
    [customer] = desk.list("/customers", limit="1")
    header = "reference,customerId,notes,items.itemId,items.quantity,items.unitPrice\n"
    text = f"{header}INV-7,{customer['id']},call Ali at home,{item['id']},2,5\n"
    shown = desk.materialise("plan", "invoices", file=desk.file(text)).metadata
    assert "INV-7" in shown["changes"]
    assert "10.00 |" in shown["changes"]
    assert "call Ali" not in str(shown)


def test_apply_sends_nothing_unless_told_so_and_then_shows_what_became_of_it(desk: Desk) -> None:
    plan_id = desk.plan_id(new(2, "told"))
    dry = desk.materialise("apply", plan=plan_id)
    assert dry.metadata["dry_run"] is True
    assert dry.metadata["outcomes"]["pending"] == 2
    assert "Would send 2 rows" in dry.log
    assert dry.checks == {"all_rows_applied": True}
    assert desk.writes() == 0
    run = desk.send(plan_id)
    assert run.metadata["outcomes"]["verified"] == 2
    assert len(run.metadata["request_ids"]) == 2  # a first push sends one row alone
    assert run.metadata["next"] == "Nothing is left to do."
    assert run.checks == {"all_rows_applied": True}


def test_rows_that_bigledger_rejects_are_a_warning(desk: Desk) -> None:
    text = new(1, "warn", currency="MYR") + "two@warn.example,Kedai,XXX\n"
    run = desk.send(desk.plan_id(text))
    assert run.metadata["outcomes"] | {"applied": 1, "rejected": 1} == run.metadata["outcomes"]
    assert "| 2 | create | rejected |" in run.metadata["troubles"]
    assert run.checks == {"all_rows_applied": False}


@pytest.mark.deep
def test_rows_without_an_answer_are_a_warning_and_stay_held(desk: Desk) -> None:
    plan_id = desk.plan_id(new(1, "held"))
    desk.faults("only=writes,drop-after=1")
    run = desk.send(plan_id)
    assert run.metadata["outcomes"]["held"] == 1
    assert "| 1 | create | held | UNANSWERED |" in run.metadata["troubles"]
    assert "push_settle" in run.metadata["next"]
    assert run.checks == {"all_rows_applied": False}


@pytest.mark.deep
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_superseded_plan_fails_the_run_with_its_message(desk: Desk, dry_run: bool) -> None:
    old = desk.plan_id(new(1, "old"))
    desk.plan_id(new(1, "old", paymentTerms="30"))
    run = desk.send(old, dry_run=dry_run)
    message, exit_code = run.failure
    assert "is superseded" in message
    assert exit_code == 4
    assert desk.writes() == 0


@pytest.mark.deep
def test_a_plan_of_another_endpoint_is_refused_with_the_asset_to_use(desk: Desk) -> None:
    run = desk.send(desk.plan_id(new(1, "other")), "payments")
    assert "materialise push/customers/apply" in run.failure[0]
    assert desk.writes() == 0


@pytest.mark.deep_after(1)
@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({}, "Name a file of changes or a view"),
        ({"file": "a.csv", "view": VIEW}, "one of the two"),
        ({"file": "a.csv", "company": "nobody"}, "Unknown company 'nobody'"),
        ({"file": "none.csv"}, "does not exist"),
        ({"view": VIEW}, "blsync sync"),
    ],
)
def test_what_cannot_be_planned_fails_the_run_and_says_why(
    desk: Desk, config: dict[str, str], told: str
) -> None:
    assert told in desk.materialise("plan", **config).failure[0]


@pytest.mark.deep
def test_a_view_is_planned_as_a_file_is(desk: Desk) -> None:
    [one, *_] = desk.customers()
    desk.propose((one["id"], 12))
    run = desk.materialise("plan", view=VIEW, mode="update")
    assert run.metadata["counts"]["update"] == 1
    assert run.metadata["source"] == f"proposals.{VIEW}"


# Sending from the UI


def test_nothing_is_sent_from_dagster_unless_a_setting_allows_it(desk: Desk) -> None:
    plan_id = desk.plan_id(new(1, "setting"))
    told = {"plan": plan_id, "dry_run": False, "confirmation": desk.code(plan_id)}
    message, exit_code = desk.materialise("apply", **told).failure
    assert "BLSYNC_PUSH_FROM_UI is off" in message
    assert f"`blsync push apply {plan_id}`" in message
    assert exit_code == 4
    assert desk.writes() == 0
    desk.patch.setenv("BLSYNC_PUSH_FROM_UI", "true")
    assert desk.materialise("apply", **told).metadata["outcomes"]["applied"] == 1


def test_a_plan_is_sent_from_dagster_with_its_own_code_alone(desk: Desk) -> None:
    other = desk.code(desk.plan_id(new(1, "code-other")))
    plan_id = desk.plan_id(new(1, "code"))
    for code in (None, "", "wrong-codes", "\u00fc", other):
        message, exit_code = desk.send(plan_id, confirmation=code).failure
        assert f"`blsync push show {plan_id}` on the terminal" in message
        assert desk.code(plan_id) not in message
        assert exit_code == 4
    assert desk.writes() == 0
    sent = desk.send(plan_id, confirmation=f" {desk.code(plan_id).upper()} ")
    assert sent.metadata["outcomes"]["applied"] == 1


@pytest.mark.deep
def test_a_plan_that_needs_approval_is_not_sent_from_dagster_without_it(desk: Desk) -> None:
    desk.patch.setenv("BLSYNC_PUSH_APPROVAL", "always")
    desk.patch.setenv("BLSYNC_ACTOR", "alice")
    plan_id = desk.plan_id(new(1, "approval"))
    message, exit_code = desk.send(plan_id).failure
    assert f"`blsync push approve {plan_id}`" in message
    assert (exit_code, desk.writes()) == (4, 0)
    commands.approve(desk.settings, plan_id, actor="bob")
    assert desk.send(plan_id).metadata["outcomes"]["applied"] == 1


@pytest.mark.deep
def test_the_user_whom_dagster_knows_has_planned(desk: Desk) -> None:
    run = desk.materialise("plan", tags={"user": "dana"}, file=desk.file(new(1, "user")))
    plan = commands.show(desk.settings, str(run.metadata["plan_id"])).plan
    assert plan.actor == "dana"


@pytest.mark.deep
@pytest.mark.parametrize("dry_run", [True, False])
def test_the_beginning_of_a_plans_id_names_no_plan_in_dagster(desk: Desk, dry_run: bool) -> None:
    plan_id = desk.plan_id(new(1, "whole"))
    for beginning in (plan_id[:1], plan_id[:-1], "", "%", f"{plan_id}0"):
        run = desk.materialise("apply", plan=beginning, dry_run=dry_run)
        message, exit_code = run.failure
        assert "named by its whole id" in message
        assert exit_code == 2
    assert commands.show(desk.settings, plan_id[:-1]).plan.plan_id == plan_id
    assert desk.writes() == 0


@pytest.mark.deep
def test_a_plan_of_a_version_without_codes_has_to_be_planned_again(desk: Desk) -> None:
    text = new(1, "codeless")
    plan_id = desk.plan_id(text)
    ledger = Ledger(desk.settings.ledger_url)
    with ledger.begin() as db:
        db.execute(update(tables.plans).values(confirmation_code=None))
    ledger.close()
    desk.patch.setenv("BLSYNC_PUSH_FROM_UI", "true")
    for code in (None, "", "None"):
        run = desk.materialise("apply", plan=plan_id, dry_run=False, confirmation=code)
        assert "Plan the same file again" in run.failure[0]
    assert desk.writes() == 0
    assert desk.plan_id(text) == plan_id
    assert desk.send(plan_id).metadata["outcomes"]["applied"] == 1


@pytest.mark.deep
def test_a_plan_that_is_made_again_keeps_its_code_and_no_two_have_the_same(desk: Desk) -> None:
    text = new(1, "again")
    plan_id = desk.plan_id(text)
    code = desk.code(plan_id)
    assert desk.plan_id(text) == plan_id
    assert desk.code(plan_id) == code
    assert desk.code(desk.plan_id(new(1, "again-other"))) != code
    assert code not in repr(commands.show(desk.settings, plan_id))


@pytest.mark.deep
def test_a_code_is_in_nothing_that_dagster_shows_or_keeps_nor_in_the_marts_inputs(
    desk: Desk,
) -> None:
    plan_id = desk.plan_id(new(1, "secret"))
    code = desk.code(plan_id)
    desk.materialise("apply", plan=plan_id)
    desk.send(plan_id, confirmation="wrong-codes")
    commands.apply(desk.settings, plan_id)
    desk.plan_id(new(1, "secret"))
    files = [path for path in (desk.folder / "dagster").rglob("*") if path.is_file()]
    assert any(plan_id.encode() in path.read_bytes() for path in files)
    assert not [path for path in files if code.encode() in path.read_bytes()]
    ledger = Ledger(desk.settings.ledger_url)
    assert code not in str(plans.history(ledger))
    ledger.close()
    assert code not in str(commands.list_plans(desk.settings))


QUILL = "Quillfeather"


@pytest.mark.deep_after(1)
@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.csv", f"email,email\n{QUILL},2\n", "more than once"),
        ("a.csv", f"{QUILL},{QUILL}\n1,2\n", "is unknown"),
        ("a.csv", f"{QUILL}1,{QUILL}2\n1,2\n", "is unknown"),
        ("a.csv", f'"{QUILL}1,2\n', "not well-formed csv"),
        ("a.csv", f"email,name\na,b,{QUILL},c\n", "has 4 cells"),
        ("a.json", f'{{"{QUILL}": 1}}', "a list of objects"),
        ("a.json", f'["{QUILL}"]', "is not an object"),
        ("a.json", f'[{{"{QUILL}": "{QUILL}"}}]', "is unknown"),
        ("a.csv", f"email,nmae\na,{QUILL}\n", "did you mean 'name'"),
        ("a.csv", f"Emel,E-mail Address\n{QUILL},b\n", "two columns that are 'email'"),
        ("a.json", f'[{{"{QUILL}": {QUILL}}}]', "not well-formed JSON"),
        ("a.jsonl", f'{{"{QUILL}": 1}}\n{QUILL}\n', "line 2 is not well-formed"),
        ("a.parquet", QUILL * 100, "not a Parquet file"),
        ("a.xlsx", QUILL * 100, "is not a workbook"),
        ("invoices.csv", f"reference,{QUILL} on\n1,2026-03-31\n", "holds days"),
        ("invoices.csv", f"reference,Customer\n1,{QUILL}\n", "by its name alone"),
        (
            *("invoices.csv", f"reference,items.itemId,items.0.itemId\n{QUILL},1,2\n"),
            "in two ways",
        ),
    ],
)
def test_a_file_that_cannot_be_used_tells_dagster_nothing_of_its_content(
    desk: Desk, name: str, text: str, told: str
) -> None:
    endpoint = "invoices" if name.startswith("invoices") else "customers"
    run = desk.materialise("plan", endpoint, file=desk.file(text, name))
    assert told in run.failure[0]
    files = [path for path in (desk.folder / "dagster").rglob("*") if path.is_file()]
    kept = [*(path.read_bytes() for path in files), run.log.encode(), run.failure[0].encode()]
    assert not [content for content in kept if QUILL.encode() in content]


@pytest.mark.deep
def test_the_names_of_a_workbooks_other_sheets_are_not_told_to_dagster(desk: Desk) -> None:
    book = Workbook()
    book.active.title = f"{QUILL} one"
    for line in (["email", "name"], ["sheets@sheets.example", "Kedai"]):
        book.active.append(line)
    book.create_sheet(f"{QUILL}'s two").append(["x"])
    book.save(desk.folder / "a.xlsx")
    run = desk.materialise("plan", file=str(desk.folder / "a.xlsx"))
    assert run.metadata["counts"]["create"] == 1
    assert "only the worksheet" in run.log
    assert QUILL not in run.log


# Personal data


PERSONAL = (
    "zebedee@quillhouse.example",
    "quillhouse",
    "Quillfeather",
    "7788-9911",
    "Jalan Kembara",
    "TX-998877",
    "durian",
    "Cc wife",
)


@pytest.mark.deep
def test_nothing_personal_is_in_metadata_logs_or_any_file_of_dagster(desk: Desk) -> None:
    there = desk.customers()[0]
    header = (
        "id,email,name,phone,billingAddress.street,taxNumber,customFields.likes,status,currency,"
        "base_updated_at"
    )
    row = (
        "zebedee@quillhouse.example,Zebedee Quillfeather,+60-3-7788-9911,17 Jalan Kembara,TX-998877"
    )
    lines = [
        header,
        f",{row},durian,,MYR,",
        f",a.{row},durian,,XXX,",
        f",b.{row},durian,Quillfeather,MYR,",
        f",c.{row},durian,03-7788-9911,b.zebedee@quillhouse.example,Quillfeather",
        f"{there['id']},,Quillfeather,+60-3-7788-9911,,,,,,",
        f"{there['id']},,Quillfeather,,,,,,,2020-01-01T00:00:00Z",
        f"{desk.customers()[1]['id']},,Quillfeather,,,,,,,2020-01-01T00:00:00Z",
        f"{desk.customers()[2]['id']},,Quillfeather,,,,,,,",
    ]
    run = desk.materialise("plan", file=desk.file("\n".join(lines)))
    assert run.metadata["counts"] == {
        **dict.fromkeys(run.metadata["counts"], 0),
        "create": 2,
        "update": 1,
        "conflict": 1,
        "reject": 4,
    }
    plan_id = run.metadata["plan_id"]
    desk.materialise("apply", plan=plan_id)
    sent = desk.send(plan_id)
    assert sent.metadata["outcomes"] | {"applied": 2, "rejected": 1} == sent.metadata["outcomes"]
    headerless = f"{row},durian\n{row},durian\n".replace("zebedee", "d.zebedee")
    assert "'…' is unknown" in desk.materialise("plan", file=desk.file(headerless)).failure[0]
    header = "reference,customer.email,notes,items.itemId,items.quantity,items.unitPrice\n"
    [item] = desk.list("/items", limit="1")
    invoice = f"zebedee@quillhouse.example,Cc wife,{item['id']},2,Quillfeather 12\n"
    right = invoice.replace("Quillfeather ", "")
    text = f"{header}INV-1,{invoice}INV zebedee@quillhouse.example,{right}"
    run = desk.materialise("plan", "invoices", file=desk.file(text))
    assert run.metadata["counts"] | {"create": 1, "reject": 1} == run.metadata["counts"]
    plan_id = run.metadata["plan_id"]
    assert desk.send(plan_id, "invoices").result.success
    entries = [
        dg.serialize_value(entry)
        for record in desk.instance.get_run_records()
        for entry in desk.instance.all_logs(record.dagster_run.run_id)
    ]
    assert len(entries) > 50
    files = [path for path in (desk.folder / "dagster").rglob("*") if path.is_file()]
    kept = [*(entry.encode() for entry in entries), *(path.read_bytes() for path in files)]
    found = {word for word in PERSONAL for text in kept if word.encode() in text}
    assert not found
    assert any(plan_id.encode() in path.read_bytes() for path in files)


# Policies


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("max_creates = 1", "[max_creates] is no view that can be pushed"),
        ("[push_customers_]\n", "[push_customers_] is no view"),
        ("[push_suppliers_limit]\n", "one of customers, invoices, inventory_adjustments"),
        ("[push_customers_x]\nmax_creates = 1\nmax_updates = 1\n", "max_money: Field required"),
        ("push_customers_x = 3", "must be a table of caps"),
        (POLICY.replace("= 2", "= -1"), "max_updates: Input should be greater than or equal to 0"),
        (POLICY.replace("money = 0", "money = inf"), "max_money"),
        (POLICY + 'on_conflict = "mine"', "on_conflict"),
        (POLICY + "max_deletes = 1", "max_deletes"),
        (POLICY + 'companies = ["nobody"]', "companies: Unknown company 'nobody'"),
        (POLICY + "companies = []", "companies"),
        ("[", "policies.toml"),
    ],
)
def test_policies_that_are_wrong_say_what(desk: Desk, text: str, told: str) -> None:
    desk.policy(text)
    with pytest.raises(ConfigError, match="BLSYNC_PUSH_POLICIES") as caught:
        policies.load(desk.settings)
    assert told in str(caught.value)


def test_policies_in_a_file_that_is_missing_say_so(desk: Desk) -> None:
    desk.patch.setenv("BLSYNC_PUSH_POLICIES", str(desk.folder / "none.toml"))
    with pytest.raises(ConfigError, match=r"none\.toml: it cannot be read"):
        policies.load(desk.settings)


def test_policies_are_run_in_the_order_of_the_endpoints(desk: Desk) -> None:
    desk.policy(POLICY.replace("customers", "payments") + POLICY)
    found = [policy.endpoint for policy in policies.load(desk.settings)]
    assert found == ["customers", "payments"]


def test_a_policy_sends_what_is_within_its_caps(desk: Desk) -> None:
    one, two, *_ = desk.customers()
    desk.propose((one["id"], 21), (two["id"], 22))
    desk.policy()
    run = desk.job("push_policies")
    assert run.result.success
    assert run.materialised == ["push/customers/plan", "push/customers/apply"]
    assert run.metadata["outcomes"]["verified"] == 2
    assert run.checks == {"all_rows_accepted": True, "all_rows_applied": True}
    again = desk.job("push_policies")
    assert again.materialised == ["push/customers/plan"]
    assert again.metadata["counts"]["noop"] == 2
    assert desk.writes() == 1


@pytest.mark.deep
@pytest.mark.parametrize(
    ("caps", "setting", "told"),
    [("max_updates = 1", "10", "2 updates (max_updates is 1)"), ("max_updates = 2", "1", "BLSYNC")],
)
def test_a_policy_sends_nothing_of_a_plan_above_its_caps_or_those_of_the_settings(
    desk: Desk, caps: str, setting: str, told: str
) -> None:
    one, two, *_ = desk.customers()
    desk.propose((one["id"], 31), (two["id"], 32))
    desk.policy(POLICY.replace("max_updates = 2", caps))
    desk.patch.setenv("BLSYNC_PUSH_MAX_UPDATES", setting)
    [policy] = policies.load(desk.settings)
    with pytest.raises(SafetyLimit, match="larger than") as caught:
        commands.run_policy(desk.settings, policy, desk.settings.companies()[0])
    assert told in str(caught.value)
    assert told in desk.job("push_policies").failure[0]
    assert desk.writes() == 0


@pytest.mark.deep
def test_a_policy_leaves_conflicts_and_says_so(desk: Desk) -> None:
    one, *_ = desk.customers()
    desk.propose((one["id"], 41), based_on="2020-01-01T00:00:00Z")
    desk.policy()
    run = desk.job("push_policies")
    assert run.metadata["counts"]["conflict"] == 1
    assert run.checks == {"all_rows_accepted": False}
    assert desk.writes() == 0
    desk.policy(POLICY + 'on_conflict = "ours"')
    assert desk.job("push_policies").metadata["outcomes"]["verified"] == 1


@pytest.mark.deep
def test_a_policy_pushes_nothing_of_yesterdays_marts(desk: Desk) -> None:
    one, *_ = desk.customers()
    desk.propose((one["id"], 51))
    desk.policy()
    for off in (timedelta(hours=-25), timedelta(days=730)):  # or of a clock that ran ahead
        at = (datetime.now(UTC) + off).timestamp()
        os.utime(desk.settings.data / "blsync.duckdb", (at, at))
        assert "published more than 24 hours ago" in desk.job("push_policies").failure[0]
    assert desk.writes() == 0


def test_a_policy_pushes_for_the_companies_that_it_names_only(desk: Desk) -> None:
    one, *_ = desk.customers()
    desk.propose((one["id"], 61))
    desk.policy(POLICY + 'companies = ["first"]')
    listed = "".join(
        f'[companies.{name}]\ncompany_id = "{company_id}"\napi_key_env = "BIGLEDGER_API_KEY"\n'
        for name, company_id in (("first", "co_none"), ("second", OPTIONS.company_id))
    )
    desk.patch.setenv("BLSYNC_COMPANIES", desk.file(listed, "companies.toml"))
    [policy] = policies.load(desk.settings)
    with pytest.raises(SafetyLimit, match="'second'"):
        commands.run_policy(desk.settings, policy, desk.settings.company("second"))
    assert [c.name for c in policies.companies_of(desk.settings, policy)] == ["first"]


@pytest.mark.deep
def test_one_policy_that_fails_stops_no_other(desk: Desk) -> None:
    one, *_ = desk.customers()
    desk.propose((one["id"], 71))
    desk.policy(POLICY.replace("credit_limit", "absent") + POLICY)
    run = desk.job("push_policies")
    message, exit_code = run.failure
    assert message.startswith("push_customers_absent of company_sandbox: There is no view")
    assert exit_code == 3
    assert desk.writes() == 1
    assert run.materialised == ["push/customers/plan", "push/customers/apply"]


def test_the_schedule_asks_for_a_run_only_where_a_policy_allows_a_view(desk: Desk) -> None:
    def tick() -> Any:
        defs = desk.defs
        context = dg.build_schedule_context(
            instance=desk.instance,
            scheduled_execution_time=datetime(2026, 11, 22, 21, tzinfo=UTC),
            repository_def=defs.get_repository_def(),
        )
        schedule = defs.resolve_schedule_def("nightly_push")
        assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
        return schedule.evaluate_tick(context)

    skipped = tick()
    assert not skipped.run_requests
    assert "BLSYNC_PUSH_POLICIES allows no view" in skipped.skip_message
    desk.policy("")
    assert not tick().run_requests
    desk.policy()
    assert [request.run_key for request in tick().run_requests] == ["2026-11-23"]


# Settling


@pytest.mark.deep
def test_the_sensor_has_held_rows_settled_and_asks_no_more_then(desk: Desk) -> None:
    desk.patch.setenv("BLSYNC_PUSH_SETTLE_SECONDS", "0")

    def tick() -> Any:
        sensor = desk.defs.resolve_sensor_def("push_settle")
        assert sensor.minimum_interval_seconds == 300
        return sensor.evaluate_tick(dg.build_sensor_context(instance=desk.instance))

    assert not tick().run_requests
    plan_id = desk.plan_id(new(2, "settle"))
    desk.faults("only=writes,drop-after=1")
    assert desk.send(plan_id).metadata["outcomes"]["held"] == 2
    desk.faults()
    [asked] = tick().run_requests
    assert [request.run_key for request in tick().run_requests] == [asked.run_key]
    run = desk.job("push_settle")
    assert run.materialised == ["push/customers/apply"]
    assert run.metadata["outcomes"]["verified"] == 2
    assert run.checks == {"all_rows_applied": True}
    assert not tick().run_requests


def test_held_rows_are_due_after_the_settle_time_and_asked_for_once_an_hour(desk: Desk) -> None:
    now = datetime(2026, 11, 22, 10, 5, tzinfo=UTC)
    given = desk.settings
    report = commands.plan(
        given, given.companies()[0], "customers", Path(desk.file(new(1, "due"))), clock=lambda: now
    )
    desk.faults("only=writes,drop-after=1")
    commands.apply(given, report.plan.plan_id, clock=lambda: now)

    def at(minutes: float) -> str | None:
        return due(given, clock=lambda: now + timedelta(minutes=minutes))

    assert at(14.9) is None
    first = at(15)
    assert first is not None
    assert at(16) == first
    assert at(60) not in (None, first)
    ledger = Ledger(given.ledger_url)
    plans.looked_up(ledger, report.plan.plan_id, [1], now + timedelta(minutes=16))
    assert at(16.5) is None
    assert at(17) not in (None, first)
    why = {"code": "NOT_FOUND_AFTER_SENDING", "field": None, "message": "look"}
    plans.refuse_rows(ledger, report.plan.plan_id, [(1, why)])
    ledger.close()
    assert at(17) is None


# The whole code location


def test_no_night_pushes_and_proposals_lead_to_plans(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))}
    env |= {"BLSYNC_ENV_FILE": os.devnull, "BLSYNC_DATA": str(tmp_path)}
    script = (
        "import json\n"
        "import dagster as dg\n"
        "from blsync import definitions\n"
        "defs = definitions.defs\n"
        "found = [n for n, v in vars(definitions).items() if isinstance(v, dg.Definitions)]\n"
        "assert found == ['defs'], f'dagster dev takes one only: {found}'\n"
        "graph = defs.resolve_asset_graph()\n"
        "jobs = {n: sorted(k.to_user_string() for k in defs.resolve_job_def(n).asset_layer"
        ".executable_asset_keys) for n in ('nightly', 'backfill', 'build')}\n"
        "plan = graph.get(dg.AssetKey(['push', 'customers', 'plan']))\n"
        "print(json.dumps([jobs, sorted(k.to_user_string() for k in plan.parent_keys)]))\n"
    )
    done = subprocess.run(
        [PYTHON, "-c", script], env=env, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    jobs, parents = json.loads(done.stdout.splitlines()[-1])
    for assets in jobs.values():
        assert assets
        assert not [name for name in assets if name.startswith("push/")]
    assert parents == [f"proposals/{VIEW}", "published/finance"]
