"""The command from outside: exit codes, JSON, files. One sandbox and one published sync for all."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pypdf import PdfReader
from rig import patient
from rig.warm import PYTHON

from blsync import cli
from blsync.entities import ENTITIES
from blsync.sandbox import Options, running
from blsync.settings import ROOT

CHECKS = {
    "account_balance",
    "aged_payables",
    "aged_receivables",
    "balance_sheet",
    "cash_flow",
    "customer_balance",
    "list_totals",
    "past_receivables",
    "pos_daily",
    "profit_and_loss",
    "stock_valuation",
    "supplier_balance",
    "trial_balance",
}


def environment(data: Path, base_url: str, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))}
    kept.pop("DAGSTER_HOME", None)
    return {
        **kept,
        "BLSYNC_ENV_FILE": os.devnull,
        "BIGLEDGER_BASE_URL": base_url,
        "BIGLEDGER_API_KEY": "blg_test_sk_sandbox",
        "BIGLEDGER_COMPANY_ID": "company_sandbox",
        "BLSYNC_DATA": str(data),
        # Dagster records each day since.
        "BLSYNC_START": str(date.today() - timedelta(days=1)),
        "BLSYNC_QUOTA_PER_HOUR": "100000",
        "BLSYNC_QUOTA_PER_SECOND": "1000",
        **more,
    }


def blsync(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PYTHON, "-m", "blsync.cli", *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def call(monkeypatch, capsys) -> Callable[..., Done]:
    """The command in this process, for all that does not reach Dagster."""

    def run(*arguments: str, env: dict[str, str]) -> Done:
        for name in list(os.environ):
            if name.startswith(("BIGLEDGER_", "BLSYNC_")):
                monkeypatch.delenv(name)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["blsync", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        code = end.value.code
        return Done(code if isinstance(code, int) else 1, *capsys.readouterr())

    return run


def said_once(done: Done | subprocess.CompletedProcess[str]) -> str:
    """The one line of an error, without a traceback."""
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[object]:
    options = Options(invoices=80, customers=20, items=12, months=4, limits=False)
    with running(options) as handle:
        yield handle


@pytest.fixture(scope="module")
def env(sandbox, tmp_path_factory) -> dict[str, str]:
    from datetime import date, timedelta

    start = str(date.today() - timedelta(days=2))
    data = tmp_path_factory.mktemp("data")
    return environment(data, sandbox.base_url, BLSYNC_START=start)


@pytest.fixture(scope="module")
def first_sync(env) -> dict:
    done = blsync("sync", "--json", env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def tie_out(env) -> dict[str, Decimal]:
    sql = (
        "select check_name, sum(abs(difference)) as off, count(*) as n, "
        "count(*) filter (where status <> 'pass') as bad from finance.reconciliation group by all"
    )
    done = blsync("query", sql, "--format", "json", env=env)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout, parse_float=Decimal)
    assert all(row["n"] > 0 and row["bad"] == 0 for row in rows), rows
    return {row["check_name"]: row["off"] for row in rows}


def test_the_first_sync_lands_everything_and_ties_out_to_the_cent(first_sync, env, sandbox):
    assert set(first_sync["entities"]) == set(ENTITIES)
    assert all(entity["error"] is None for entity in first_sync["entities"].values())
    assert first_sync["entities"]["invoices"]["rows"] == 80
    assert first_sync["entities"]["invoices"]["window"][0] is None
    assert first_sync["published"]
    off = tie_out(env)
    assert set(off) == CHECKS
    assert all(value == 0 for value in off.values())


def test_a_second_sync_costs_one_request_a_feed_lands_nothing_and_blocks_no_reader(
    first_sync, env, sandbox
):
    control = sandbox.base_url.removesuffix("/v1") + "/sandbox"
    patient.post(f"{control}/reset-stats")
    published = f"{env['BLSYNC_DATA']}/blsync.duckdb"
    look = (
        "select (select count(*) from finance.general_ledger), "
        "(select count(*) from duckdb_tables() where schema_name = 'finance')"
    )
    with duckdb.connect(published, read_only=True) as held:
        before = held.execute(look).fetchone()
        command = [PYTHON, "-m", "blsync.cli", "sync", "--json"]
        sync = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        looks = 0
        while sync.poll() is None:
            with duckdb.connect(published, read_only=True) as db:
                assert db.execute(look).fetchone() == before
            looks += 1
            time.sleep(0.02)
        stdout, stderr = sync.communicate()
        assert sync.returncode == 0, stderr
        assert looks > 1
        assert held.execute(look).fetchone() == before
    report = json.loads(stdout)
    feeds = sum(len(entity.feeds) for entity in ENTITIES.values())
    assert report["requests"] == patient.get(f"{control}/stats").json()["requests"] == feeds
    assert sum(entity["rows"] for entity in report["entities"].values()) == 0


def test_after_a_night_of_business_every_figure_ties_out_again(first_sync, env, sandbox):
    control = sandbox.base_url.removesuffix("/v1") + "/sandbox"
    patient.post(f"{control}/night").raise_for_status()
    done = blsync("sync", "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["entities"]["invoices"]["rows"] > 0
    assert all(value == 0 for value in tie_out(env).values())
    assert (Path(env["BLSYNC_DATA"]) / "blsync.previous.duckdb").exists()


def test_the_run_of_a_sync_shows_in_dagster_with_its_assets(first_sync, env):
    import dagster as dg

    home = Path(env["BLSYNC_DATA"]) / "dagster"
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run = instance.get_runs()[-1]
        assert (run.job_name, run.status) == ("nightly", dg.DagsterRunStatus.SUCCESS)
        event = instance.get_latest_materialization_event(dg.AssetKey(["finance", "invoices"]))
        metadata = event.asset_materialization.metadata
        assert metadata["dagster/row_count"].value >= 80
        assert "total" in {c.name for c in metadata["dagster/column_schema"].value.columns}


def test_status_tells_what_is_covered_and_published(call, first_sync, env):
    done = call("status", "--json", env=env)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    invoices = report["companies"]["company_sandbox"]["entities"]["invoices"]
    assert invoices["rows"] >= 80
    assert invoices["covered_until"] > "2026"
    assert report["published_at"]
    assert invoices["drift"] == 0
    assert invoices["drift_checked_at"] >= invoices["covered_until"][:10]
    assert invoices["unknown_fields"] == invoices["newly_null"] == []
    assert invoices["open_load"] is None
    table = blsync("status", env=env | {"COLUMNS": "100"}).stdout
    assert "invoices" in table
    assert "drift" not in table
    assert max(len(line) for line in table.splitlines()) <= 100


@pytest.mark.deep
def test_status_and_sync_tell_what_is_odd_about_the_latest_loads(call, tmp_path):
    options = Options(invoices=20, customers=130, items=6, months=2, limits=False)
    with running(options) as sandbox:
        env = environment(tmp_path, sandbox.base_url, BLSYNC_START=str(date.today()))
        control = sandbox.base_url.removesuffix("/v1") + "/sandbox"
        names = ("customers", "items")
        assert blsync("sync", *names, "--no-build", env=env).returncode == 0
        patient.post(f"{control}/delete", json={"entity": "items", "count": 1, "seed": 3})
        patient.post(f"{control}/touch", json={"entity": "customers", "count": 3})
        patient.post(f"{control}/faults", json={"faults": "extra-fields,null-fields=name"})
        done = blsync("sync", *names, "--no-build", env=env)
        assert done.returncode == 0, done.stderr
        assert "customers: fields that the model does not know: " in done.stdout
        assert "customers: null for the first time: name" in done.stdout
        patient.post(f"{control}/delete", json={"entity": "items", "count": 1, "seed": 4})
        # The fourth request is refused: what was read until then is kept.
        patient.post(f"{control}/touch", json={"entity": "customers", "share": 1})
        patient.post(f"{control}/faults", json={"faults": "revoke-after=3"})
        assert blsync("sync", *names, "--no-build", env=env).returncode == 2
    report = json.loads(call("status", "--json", env=env).stdout)
    entities = report["companies"]["company_sandbox"]["entities"]
    assert entities["customers"]["newly_null"] == ["name"]
    assert entities["customers"]["unknown_fields"]
    assert entities["items"]["deleted"] == 1
    assert entities["items"]["drift"] == -1
    opened = entities["customers"]["open_load"]
    assert 0 < opened["records"] < opened["total"] == 130
    table = blsync("status", env=env | {"COLUMNS": "100"}).stdout
    assert f"{opened['records']} of 130 read" in table
    assert "drift" in table
    sentences = ("model does not know", " failed ")
    rows = [row for row in table.splitlines() if not any(words in row for words in sentences)]
    assert max(map(len, rows)) <= 100


def test_a_query_comes_as_a_table_csv_and_json_with_exact_decimals(call, first_sync, env):
    sql = "select invoice_number, total from finance.invoices order by 1 limit 2"
    assert "invoice_number" in call("query", sql, env=env).stdout
    rows = list(csv.reader(io.StringIO(call("query", sql, "--format", "csv", env=env).stdout)))
    assert rows[0] == ["invoice_number", "total"]
    loaded = json.loads(call("query", sql, "--format", "json", env=env).stdout, parse_float=Decimal)
    assert [str(row["total"]) for row in loaded] == [row[1] for row in rows[1:]]


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "xlsx"])
def test_a_query_is_written_to_a_file_in_every_format(call, first_sync, env, tmp_path, form):
    target = tmp_path / f"answer.{form}"
    sql = "select invoice_number, invoice_date, total, built_at from finance.invoices"
    done = call("query", sql, "--format", form, "--output", str(target), env=env)
    assert done.returncode == 0, done.stderr
    assert "rows written" in done.stderr
    assert target.stat().st_size > 0
    if form == "parquet":
        assert pq.read_schema(target).field("total").type == pa.decimal128(18, 2)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_a_statement_of_account_has_the_balance_that_the_marts_have(
    call, first_sync, env, tmp_path
):
    sql = "select customer_number, open_balance from finance.customers order by 2 desc limit 1"
    ((number, owed),) = list(
        csv.reader(io.StringIO(call("query", sql, "--format", "csv", env=env).stdout))
    )[1:]
    done = call("statement", number, "--output", str(tmp_path / "s"), "--json", env=env)
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout, parse_float=Decimal)["statements"]
    assert str(told["closing_balance"]) == owed
    pdf, workbook = map(Path, told["files"])
    assert f"{Decimal(owed):,.2f}" in PdfReader(pdf).pages[0].extract_text()
    assert workbook.stat().st_size > 0


def test_a_query_that_duckdb_refuses_is_one_clear_line(call, first_sync, env):
    done = call("query", "select nothing from nowhere", env=env)
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr
    done = call("query", "delete from finance.invoices", env=env)
    assert done.returncode == 2
    assert "read-only" in done.stderr


def test_the_published_file_is_in_a_storage_version_that_older_duckdb_opens(first_sync, env):
    with duckdb.connect(f"{env['BLSYNC_DATA']}/blsync.duckdb", read_only=True) as db:
        (tags,) = db.execute(
            "select tags from duckdb_databases() where database_name = 'blsync'"
        ).fetchone()
    assert tags["storage_version"].startswith("v1.0.0")


@pytest.mark.deep
def test_a_build_that_breaks_a_law_leaves_the_published_marts_as_they_were(
    first_sync, env, tmp_path
):
    data = tmp_path / "data"
    shutil.copytree(env["BLSYNC_DATA"], data)
    folder = data / "landing" / "journal_entries" / "company_id=company_sandbox"
    source = next(path for path in sorted(folder.iterdir()) if not path.name.startswith("0000"))
    table = pq.read_table(source)
    row = table.slice(0, 1).to_pylist()[0]
    row["id"], row["totalDebit"] = "je_broken", row["totalDebit"] + 1
    broken = pa.Table.from_pylist([row], table.schema)
    pq.write_table(broken, folder / "99999999-broken.parquet")
    before = (data / "blsync.duckdb").read_bytes()
    broken_env = {**env, "BLSYNC_DATA": str(data)}
    done = blsync("build", env=broken_env)
    assert done.returncode == 1
    assert "published ones stay" in said_once(done)
    assert (data / "blsync.duckdb").read_bytes() == before


@pytest.mark.deep
def test_a_record_that_stops_the_night_is_named_shown_and_accepted(first_sync, env, tmp_path):
    data, seeds = tmp_path / "data", tmp_path / "seeds"
    shutil.copytree(env["BLSYNC_DATA"], data)
    shutil.copytree(ROOT / "warehouse" / "seeds", seeds)
    (seeds / "accepted_exceptions.csv").unlink()  # a folder of an earlier version has none
    folder = data / "landing" / "journal_entries" / "company_id=company_sandbox"
    source = next(path for path in sorted(folder.iterdir()) if not path.name.startswith("0000"))
    table = pq.read_table(source)
    row = table.filter(pc.equal(table["status"], "posted")).slice(0, 1).to_pylist()[0]
    row["id"], row["journalNumber"] = "je_broken", "JE-BROKEN"
    row["lines"][0]["debit"] = (row["lines"][0]["debit"] or 0) + Decimal("0.01")
    broken = pa.Table.from_pylist([row], table.schema)
    pq.write_table(broken, folder / "99999999-broken.parquet")
    here = {**env, "BLSYNC_DATA": str(data), "BLSYNC_SEEDS": str(seeds)}

    stopped = blsync("build", env=here)
    assert stopped.returncode == 1
    told = said_once(stopped)
    assert "journal_id je_broken journal_number JE-BROKEN imbalance 0.01" in told
    assert "blsync query --unpublished" in told
    sql = "select rule, is_accepted from finance.exceptions where record_id = 'je_broken'"
    sql += " and rule = 'unbalanced_entry'"
    shown = blsync("query", "--unpublished", sql, "--format", "csv", env=here)
    assert shown.stdout.splitlines() == ["rule,is_accepted", "unbalanced_entry,false"]
    assert blsync("query", sql, "--format", "csv", env=here).stdout.splitlines()[1:] == []

    odd = "company_id;record_id;rule;reason;accepted_by\r\ncompany_sandbox;je_broken;unbalanced;x;y"
    (seeds / "accepted_exceptions.csv").write_text(odd)
    refused = blsync("build", env=here)
    assert refused.returncode == 2
    assert "accepted_exceptions.csv line 2: rule 'unbalanced' is none" in refused.stderr
    kept = '\ufeff"company_id",record_id,rule,reason,accepted_by\r\n\r\n'
    kept += 'company_sandbox,je_broken,unbalanced_entry,"rounding, to be mended",Mei\r\n'
    (seeds / "accepted_exceptions.csv").write_text(kept, newline="")
    passed = blsync("build", env=here)
    assert passed.returncode == 0, passed.stderr
    assert "1 exception is in the marts because accepted_exceptions.csv accepts it" in passed.stderr
    sql = "select is_accepted, accepted_by, accepted_reason from finance.exceptions"
    sql += " where record_id = 'je_broken' and rule = 'unbalanced_entry'"
    listed = blsync("query", sql, "--format", "csv", env=here).stdout.splitlines()
    assert listed[1] == 'true,Mei,"rounding, to be mended"'
    status = json.loads(blsync("status", "--json", env=here).stdout)
    assert [c["accepted_exceptions"] for c in status["companies"].values()] == [1]

    (seeds / "accepted_exceptions.csv").write_text(kept.splitlines()[0] + "\n")
    withdrawn = blsync("build", env=here)
    assert withdrawn.returncode == 1
    assert "je_broken" in withdrawn.stderr


@pytest.mark.deep
def test_marts_and_push_read_a_close_alike_or_both_refuse_it(first_sync, env, tmp_path):
    data, seeds = tmp_path / "data", tmp_path / "seeds"
    shutil.copytree(env["BLSYNC_DATA"], data)
    shutil.copytree(ROOT / "warehouse" / "seeds", seeds)
    here = {**env, "BLSYNC_DATA": str(data), "BLSYNC_SEEDS": str(seeds)}
    asked = "select max(period) from finance.periods "
    asked += "where not is_closed and period_end < current_date"
    answer = blsync("query", asked, "--format", "csv", env=here).stdout.splitlines()
    month = date.fromisoformat(answer[1])
    entry = tmp_path / "entry.csv"
    header = "reference,date,lines.accountNumber,lines.debit,lines.credit"
    day = month.replace(day=2)
    entry.write_text(f"{header}\nJ-1,{day},6030,5,\nJ-1,{day},1010,,5\n")
    plan = ("push", "plan", "journal-entries", str(entry), "--json")

    text = (
        f"company_id;period;closed_at\r\ncompany_sandbox;{month:%m/%Y};{month:%d/%m/%Y} 18:00\r\n"
    )
    (seeds / "period_close.csv").write_text(text, "utf-8-sig", newline="")
    built = blsync("build", env=here)
    assert built.returncode == 0, built.stderr
    sql = f"select closed_at from finance.periods where period = '{month}'"
    closed = blsync("query", sql, "--format", "csv", env=here).stdout.splitlines()[1:]
    assert closed == [f"{month} 18:00:00"]
    [operation] = json.loads(blsync(*plan, env=here).stdout)["operations"]
    assert operation["error"]["code"] == "PERIOD_CLOSED"

    published = (data / "blsync.duckdb").read_bytes()
    (seeds / "period_close.csv").write_text(text.replace(f"{month:%m/%Y}", "Sep-26"))
    for command in (("build",), plan):
        refused = blsync(*command, env=here)
        assert refused.returncode == 2
        assert "period_close.csv line 2: period 'Sep-26'" in said_once(refused)
        assert "a month like 2026-03" in refused.stderr
    assert (data / "blsync.duckdb").read_bytes() == published


@pytest.mark.deep
def test_one_forbidden_entity_ends_with_exit_3_while_the_others_land(tmp_path):
    with running(Options(invoices=20, customers=5, items=5, limits=False)) as handle:
        patient.post(f"{handle.url}/sandbox/faults", json={"faults": "forbid=invoices"})
        env = environment(tmp_path, handle.base_url)
        done = blsync("sync", "--json", "--no-build", env=env)
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    assert "read:invoices" in report["entities"]["invoices"]["error"]
    assert report["entities"]["customers"]["rows"] == 5
    assert report["published"] is None


def test_a_bad_key_ends_with_exit_2_and_is_never_printed_or_kept(sandbox, tmp_path):
    key = "blg_test_sk_wrong_but_secret"
    env = environment(tmp_path, sandbox.base_url, BIGLEDGER_API_KEY=key)
    done = blsync("sync", "--json", env=env)
    assert done.returncode == 2
    assert "BIGLEDGER_API_KEY" in said_once(done)
    assert key not in done.stdout + done.stderr
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if key.encode() in path.read_bytes()]


@pytest.mark.deep
def test_a_company_that_the_key_may_not_see_ends_with_exit_2(sandbox, tmp_path):
    env = environment(tmp_path, sandbox.base_url, BIGLEDGER_COMPANY_ID="company_other")
    done = blsync("sync", env=env)
    assert done.returncode == 2
    assert "BIGLEDGER_COMPANY_ID" in said_once(done)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"BIGLEDGER_BASE_URL": "http://example.com/v1"}, "plain http"),
        ({"BIGLEDGER_BASE_URL": "https://example.com/v2"}, "must end in /v1"),
        ({"BIGLEDGER_API_KEY": ""}, "BIGLEDGER_API_KEY not set"),
        ({"BLSYNC_QUOTA_PER_HOUR": "many"}, "BLSYNC_QUOTA_PER_HOUR"),
        ({"BLSYNC_TIMEZONE": "Asia/Atlantis"}, "Asia/Atlantis"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_clear_line_and_exit_2(call, tmp_path, settings, told):
    env = environment(tmp_path, "https://example.com/v1", **settings)
    done = call("sync", env=env)
    assert done.returncode == 2
    assert told in said_once(done)


def test_a_malformed_env_file_is_named_with_its_line_but_not_its_content(call, tmp_path):
    file = tmp_path / "my.env"
    file.write_text("BLSYNC_START=2026-01-01\nBIGLEDGER_API_KEY blg_live_sk_secret\n")
    env = environment(tmp_path, "https://example.com/v1", BLSYNC_ENV_FILE=str(file))
    done = call("status", env=env)
    assert done.returncode == 2
    assert "my.env line 2" in said_once(done)
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("sync", "invoicez"), "invoicez"),
        (("sync", "--from", "yesterday"), "2026-03-31"),
        (("sync", "--from", "2026-11-09", "--to", "2026-11-02"), "Swap"),
        (("sync", "--from", "2020-01-01"), "first day partition"),
        (("sync", "--company", "acme"), "acme"),
        (("plan", "invoicez"), "invoicez"),
        (("plan", "--from", "2026-11-09", "--to", "2026-11-02"), "Swap"),
        (("query", "select 1"), "blsync sync"),
        (("query", "select 1", "--format", "parquet"), "--output"),
        (("build",), "blsync sync"),
        (("push", "show", "nothing"), "nothing"),
    ],
)
def test_wrong_arguments_are_one_clear_line_with_what_to_change(call, tmp_path, arguments, told):
    env = environment(tmp_path, "https://example.com/v1")
    done = call(*arguments, env=env)
    assert done.returncode in (1, 2)
    assert told in said_once(done)


def test_a_data_folder_that_cannot_be_written_is_one_clear_line(sandbox, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    env = environment(blocker / "data", sandbox.base_url, BLSYNC_ENV_FILE=os.devnull)
    done = blsync("sync", "--no-build", env=env)
    assert done.returncode == 1
    assert "BLSYNC_DATA" in said_once(done)


def test_doctor_finds_nothing_to_mend_in_good_settings(call, env):
    done = call("doctor", "--json", env=env)
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"]) == (0, True), report


def test_doctor_says_what_to_mend(call, sandbox, tmp_path):
    more = {"BIGLEDGER_API_KEY": "blg_live_sk_elsewhere", "BLSYNC_SEEDS": str(tmp_path)}
    (tmp_path / "fiscal_year.csv").write_text("company_id,start_month\none,13\n")
    done = call("doctor", "--json", env=environment(tmp_path, sandbox.base_url, **more))
    assert done.returncode == 2
    findings = [c["message"] for c in json.loads(done.stdout)["checks"] if not c["ok"]]
    assert any("BIGLEDGER_API_KEY" in message for message in findings)
    assert any("fiscal_year.csv line 2: start_month '13'" in message for message in findings)


@pytest.mark.parametrize("command", ["sandbox", "demo"])
def test_a_taken_port_is_said_with_the_way_out(call, tmp_path, command):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        env = environment(tmp_path, "https://example.com/v1")
        done = call(command, "--port", port, env=env)
    assert done.returncode == 2
    assert "--port" in said_once(done)


@pytest.mark.parametrize(
    "command",
    ["demo", "sandbox", "doctor", "plan", "sync", "build", "status", "query", "ui", "statement"]
    + [f"push {name}" for name in ("plan", "apply", "show", "list")],
)
def test_every_command_shows_an_example_in_its_help(call, command, tmp_path):
    done = call(*command.split(), "--help", env=environment(tmp_path, "https://example.com/v1"))
    assert done.returncode == 0
    assert f"blsync {command}" in done.stdout


def test_a_spreadsheet_of_good_bad_and_unchanged_rows_goes_through_the_commands(
    call, first_sync, env, tmp_path
):
    sql = "select email, credit_limit from finance.customers where email is not null limit 2"
    known = json.loads(call("query", sql, "--format", "json", env=env).stdout, parse_float=Decimal)
    file = tmp_path / "changes.csv"
    rows = [
        ("email", "name", "creditLimit"),
        (known[0]["email"], "", str(known[0]["credit_limit"] + 100)),
        (known[1]["email"], "", str(known[1]["credit_limit"])),
        ("new@example.com", "Baharu Sdn Bhd", "500.00"),
        ("bad", "Mistyped", "1.00"),
    ]
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    done = call("push", "plan", "customers", str(file), "--json", env=env)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert {k: n for k, n in plan["counts"].items() if n} == {
        "create": 1,
        "update": 1,
        "noop": 1,
        "reject": 1,
    }
    code = plan["confirmation_code"]
    assert code in call("push", "show", plan["plan_id"], env=env).stdout
    refused = call("push", "apply", plan["plan_id"], env=env)
    assert refused.returncode == 2
    assert "--yes" in said_once(refused)
    done = call("push", "apply", plan["plan_id"], "--yes", "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcomes"]["applied"] == 2
    assert code not in done.stdout
    shown = json.loads(call("push", "show", plan["plan_id"][:6], "--json", env=env).stdout)
    assert [o["action"] for o in shown["operations"]] == ["update", "noop", "create", "reject"]
    assert shown["confirmation_code"] == code
    listed = call("push", "list", "--json", env=env).stdout
    assert plan["plan_id"] in listed
    assert code not in listed


def test_a_csv_with_an_unknown_column_ends_with_exit_2_and_names_it(call, env, tmp_path):
    file = tmp_path / "changes.csv"
    file.write_text("email,creditLimt\na@example.com,5\n")
    done = call("push", "plan", "customers", str(file), env=env)
    assert done.returncode == 2
    assert "creditLimt" in said_once(done)
    assert "creditLimit" in said_once(done)


def test_one_company_failing_leaves_the_other_alone_and_ends_with_exit_3(sandbox, tmp_path):
    file = tmp_path / "companies.toml"
    table = '[companies.{}]\ncompany_id = "{}"\napi_key_env = "{}"\n'
    file.write_text(
        table.format("first", "company_other", "WRONG")
        + table.format("second", "company_sandbox", "RIGHT")
    )
    env = environment(
        tmp_path / "data",
        sandbox.base_url,
        BLSYNC_COMPANIES=str(file),
        WRONG="blg_test_sk_wrong",
        RIGHT="blg_test_sk_sandbox",
    )
    done = blsync("sync", "items", "--no-build", "--json", env=env)
    assert done.returncode == 3
    assert said_once(done).startswith("Error: first: ")
    companies = json.loads(done.stdout)["companies"]
    assert companies["first"]["error"]
    assert companies["second"]["entities"]["items"]["rows"] == 12
