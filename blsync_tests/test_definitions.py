"""Dagster's view: what a user of the UI finds, and a run without credentials."""

from __future__ import annotations

import json
import os
import re
import subprocess
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from rig.warm import PYTHON

from blsync import user_tables
from blsync.entities import ENTITIES
from blsync.errors import BuildError, ConfigError, Unanswered, Unauthorized, joined
from blsync.files.places import PROJECT
from blsync.lake.landed import INPUTS
from blsync.orchestration.launches import CLI, launcher_of
from blsync.orchestration.retries import pause_before_retry
from blsync.sandbox import Options, running
from blsync.settings import load

LAWS = [path for path in (PROJECT / "tests").rglob("*.sql") if path.parent.name != "generic"]


@pytest.fixture(scope="module")
def definitions(tmp_path_factory):
    """The code location, loaded without credentials; a warning of ours fails the test."""
    data = tmp_path_factory.mktemp("definitions")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("BIGLEDGER_", "BLSYNC_")):
                patch.delenv(name)
        patch.setenv("BLSYNC_ENV_FILE", os.devnull)
        patch.setenv("BLSYNC_DATA", str(data))
        patch.setenv("BLSYNC_START", str(datetime.now(UTC).date() - timedelta(days=6)))
        with warnings.catch_warnings():
            warnings.filterwarnings("error", module="blsync")
            from blsync.definitions import defs
        yield defs


def test_loading_needs_no_credentials_and_every_asset_is_described_and_owned(definitions):
    graph = definitions.resolve_asset_graph()
    ours = [key for key in graph.get_all_asset_keys() if graph.get(key).is_materializable]
    assert {("raw", name) for name in ENTITIES} <= {tuple(key.path) for key in ours}
    for key in ours:
        node = graph.get(key)
        assert node.description, key
        assert node.owners == ["team:finance-data"], key
        assert node.kinds, key


def test_every_input_of_a_build_is_an_asset_or_written_by_the_build_itself(definitions):
    graph = definitions.resolve_asset_graph()
    assets = {key.path[1] for key in graph.get_all_asset_keys() if key.path[0] == "inputs"}
    # The user's own tables are read anew by each build, which asks nobody for them.
    users = {Path(name).stem for name in user_tables.SCHEMAS}
    assert assets | users == set(INPUTS)


@pytest.mark.parametrize(
    ("ends", "companies"),
    [
        ((), ["alpha", "beta", "gamma"]),
        (("beta",), ["beta"]),
        (("alpha", "beta"), ["alpha", "beta"]),
    ],
)
def test_a_run_allows_what_its_own_companies_hold_back(tmp_path, ends, companies):
    (tmp_path / "companies.toml").write_text(
        "".join(
            f'[companies.{name}]\ncompany_id = "co_{name}"\napi_key_env = "KEY"\n'
            for name in ("alpha", "beta", "gamma")
        )
    )
    script = (
        "import sys, dagster as dg\n"
        "from blsync.definitions import defs\n"
        "from blsync.orchestration import location as d\n"
        "keys = [dg.MultiPartitionKey({'company': name, 'day': '2026-01-01'}) "
        "for name in sys.argv[1:]]\n"
        "names = ('dagster/partition',) if len(keys) == 1 else "
        "('dagster/asset_partition_range_start', 'dagster/asset_partition_range_end')\n"
        "@dg.asset\n"
        "def one(context: dg.AssetExecutionContext):\n"
        "    config = d.AllowConfig(allow=True)\n"
        "    print('found', *sorted(d.allowed_companies(context, config, d.RunContext())))\n"
        "tags = dict(zip(names, keys)) if keys else {}\n"
        "dg.materialize([one], tags=tags)\n"
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))}
    env |= {"BLSYNC_DATA": str(tmp_path / "data"), "BLSYNC_ENV_FILE": os.devnull}
    env |= {"BLSYNC_COMPANIES": str(tmp_path / "companies.toml")}
    done = subprocess.run(
        [PYTHON, "-c", script, *ends], env=env, capture_output=True, text=True, timeout=120
    )
    assert f"found {' '.join(companies)}\n" in done.stdout, done.stderr[-2000:]


def test_raw_assets_are_partitioned_by_company_and_day_with_one_run_a_range(definitions):
    graph = definitions.resolve_asset_graph()
    for name in ENTITIES:
        node = graph.get(dg.AssetKey(["raw", name]))
        assert set(node.partitions_def.partition_dimension_names) == {"company", "day"}
        assert node.backfill_policy == dg.BackfillPolicy.single_run()
        assert "dagster/column_schema" in node.metadata


def test_marts_have_lineage_from_raw_to_published(definitions):
    graph = definitions.resolve_asset_graph()
    below = graph.get(dg.AssetKey(["raw", "journal_entries"])).child_keys
    assert dg.AssetKey(["history", "journal_entries"]) in below
    above = graph.get(dg.AssetKey(["published", "finance"])).parent_keys
    assert dg.AssetKey(["finance", "trial_balance"]) in above


def test_every_law_is_an_asset_check(definitions):
    keys = definitions.resolve_asset_graph().asset_check_keys
    assert dg.AssetCheckKey(
        dg.AssetKey(["finance", "trial_balance"]), "trial_balance_sums_to_zero_every_month"
    ) in set(keys)
    assert {path.stem for path in LAWS} <= {key.name for key in keys}
    assert len(keys) >= 60


def test_models_show_their_columns_their_sql_and_what_they_are_made_of(definitions):
    node = definitions.resolve_asset_graph().get(dg.AssetKey(["finance", "trial_balance"]))
    columns = {column.name: column for column in node.metadata["dagster/column_schema"].columns}
    assert columns["company_id"].type == "VARCHAR"
    assert columns["company_id"].description
    assert "#### Raw SQL:" in node.description
    assert "{{ ref(" in node.description
    assert (node.group_name, node.kinds) == ("finance", {"dbt", "duckdb"})


def test_what_only_warns_stops_nothing_and_a_law_does(definitions):
    graph = definitions.resolve_asset_graph()
    blocks = {key.name: graph.get_check_spec(key).blocking for key in graph.asset_check_keys}
    assert blocks["trial_balance_sums_to_zero_every_month"]
    warnings_only = re.compile(r"severity\s*=\s*'warn'")
    found = {p.stem for p in LAWS if warnings_only.search(p.read_text())}
    assert found
    assert not any(blocks[name] for name in found)


def test_laws_landed_columns_jobs_schedules_and_sensors_say_what_they_are(definitions):
    graph = definitions.resolve_asset_graph()
    for key in graph.asset_check_keys:
        assert graph.get_check_spec(key).description, key
    for entity in ENTITIES.values():
        schema = graph.get(dg.AssetKey(["raw", entity.name])).metadata["dagster/column_schema"]
        told = [column.name for column in schema.columns if column.description]
        assert len(told) >= 0.7 * len(schema.columns), entity.name
        assert {"_load_id", "_request_id"} <= {*told}
    for one in (*definitions.jobs, *definitions.schedules, *definitions.sensors):
        assert one.description, one.name


@pytest.mark.parametrize(
    ("tags", "launcher"),
    [
        ({}, "ui"),
        (CLI, "cli"),
        ({"dagster/schedule_name": "nightly_sync"}, "schedule nightly_sync"),
        ({"dagster/sensor_name": "live_events"}, "sensor live_events"),
        ({"dagster/backfill": "abc"}, "backfill"),
        ({"dagster/schedule_name": "nightly_sync", "dagster/parent_run_id": "x"}, "retry"),
    ],
)
def test_a_runs_tags_tell_what_launched_it(tags, launcher):
    assert launcher_of(tags) == launcher


def test_a_runs_config_lets_through_what_a_safety_bound_holds_back(definitions):
    steps = ("raw", "inputs", "published__finance")
    config = {"ops": {name: {"config": {"allow": True}} for name in steps}}
    told = dg.validate_run_config(definitions.resolve_job_def("nightly"), config)
    assert [told["ops"][name]["config"]["allow"] for name in steps] == [True] * 3


def test_the_schedule_asks_at_half_past_two_for_every_missing_day_in_one_run(definitions):
    schedule = definitions.resolve_schedule_def("nightly_sync")
    assert (schedule.cron_schedule, schedule.execution_timezone) == (
        "30 2 * * *",
        "Asia/Kuala_Lumpur",
    )
    from blsync.orchestration.location import days as every_day

    days = every_day.get_partition_keys()
    with dg.instance_for_test() as instance:
        for entity in ENTITIES:
            for day in days[:-3]:
                partition = dg.MultiPartitionKey({"company": "default", "day": day})
                instance.report_runless_asset_event(
                    dg.AssetMaterialization(["raw", entity], partition=partition)
                )
        at = datetime.now(UTC)
        context = dg.build_schedule_context(instance=instance, scheduled_execution_time=at)
        (request,) = list(schedule(context))
    assert request.tags["dagster/asset_partition_range_start"] == f"default|{days[-3]}"
    assert request.tags["dagster/asset_partition_range_end"] == f"default|{days[-1]}"


def test_jobs_have_the_names_that_users_script_against(definitions):
    names = {job.name for job in definitions.jobs}
    assert {"nightly", "backfill"} <= names


def test_a_run_without_credentials_fails_with_what_doctor_says(tmp_path):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))}
    env |= {
        "BLSYNC_ENV_FILE": os.devnull,
        "BLSYNC_DATA": str(tmp_path),
        "DAGSTER_HOME": "",
    }
    script = (
        "import json, sys, dagster as dg\n"
        "from blsync.definitions import defs\n"
        "from blsync.orchestration import location as d\n"
        "key = d.partitions.get_last_partition_key()\n"
        "run = defs.resolve_job_def('backfill').execute_in_process(\n"
        "    partition_key=str(key), raise_on_error=False)\n"
        "(event,) = [e for e in run.all_node_events if e.is_step_failure]\n"
        "failure = event.step_failure_data.user_failure_data\n"
        "print(json.dumps([run.success, failure.description]))\n"
    )
    done = subprocess.run(
        [PYTHON, "-c", script], env=env, capture_output=True, text=True, timeout=120
    )
    is_success, description = json.loads(done.stdout.splitlines()[-1])
    assert not is_success
    assert "BIGLEDGER_API_KEY" in description
    assert ".env" in description
    from blsync.errors import ConfigError
    from blsync.settings import Company, require_credentials

    with pytest.raises(ConfigError) as told:
        require_credentials(
            Company(
                name="default",
                company_id="",
                base_url="https://api.bigledger.com/v1",
                start=datetime.now(UTC).date(),
            )
        )
    assert description == str(told.value)
    assert not list(Path(tmp_path).rglob("*.parquet"))


@pytest.mark.deep
def test_a_run_over_several_companies_pulls_each_of_them(tmp_path):
    options = {"invoices": 10, "customers": 4, "items": 4, "months": 2, "limits": False}
    with (
        running(Options(company_id="co_a", **options)) as first,
        running(Options(company_id="co_b", **options)) as second,
    ):
        file = tmp_path / "companies.toml"
        file.write_text(
            "".join(
                f'[companies.{name}]\ncompany_id = "{handle.company_id}"\n'
                f'api_key_env = "KEY"\nbase_url = "{handle.base_url}"\n'
                for name, handle in (("alpha", first), ("beta", second))
            )
        )
        env = {k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))}
        env |= {
            "BLSYNC_ENV_FILE": os.devnull,
            "BLSYNC_COMPANIES": str(file),
            "BLSYNC_DATA": str(tmp_path / "data"),
            "BLSYNC_START": str(datetime.now(UTC).date() - timedelta(days=1)),
            "DAGSTER_HOME": "",
            "KEY": first.api_key,
        }
        script = (
            "from blsync.definitions import defs\n"
            "from blsync.orchestration import location as d\n"
            "day = d.days.get_first_partition_key()\n"
            "tags = {**d.range_tags('alpha', day, day)}\n"
            "tags['dagster/asset_partition_range_end'] = d.range_tags('beta', day, day)"
            "['dagster/asset_partition_range_end']\n"
            "run = defs.resolve_job_def('backfill').execute_in_process(tags=tags)\n"
            "assert run.success\n"
        )
        done = subprocess.run(
            [PYTHON, "-c", script], env=env, capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 0, done.stderr[-2000:]
    landing = tmp_path / "data" / "landing" / "customers"
    for company_id in ("co_a", "co_b"):
        assert len(list((landing / f"company_id={company_id}").glob("2*.parquet"))) == 1


def test_the_nightly_job_pulls_from_where_the_last_one_ended_whatever_days_it_is_given(tmp_path):
    with running(Options(invoices=10, customers=4, items=4, months=2, limits=False)) as sandbox:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))}
        env |= {
            "BLSYNC_ENV_FILE": os.devnull,
            "BIGLEDGER_BASE_URL": sandbox.base_url,
            "BIGLEDGER_API_KEY": sandbox.api_key,
            "BIGLEDGER_COMPANY_ID": sandbox.company_id,
            "BLSYNC_DATA": str(tmp_path / "data"),
            "BLSYNC_START": str(datetime.now(UTC).date() - timedelta(days=3)),
            "DAGSTER_HOME": "",
        }
        script = (
            "import dagster as dg\n"
            "from blsync.definitions import defs\n"
            "from blsync.orchestration import location as d\n"
            "from blsync.ledger import Ledger, loads\n"
            "day = d.days.get_last_partition_key()\n"
            "asset = [dg.AssetKey(['raw', 'items'])]\n"
            "for name in ('nightly', 'backfill'):\n"
            "    run = defs.resolve_job_def(name).execute_in_process(\n"
            "        tags=d.range_tags('company_sandbox', day, day), asset_selection=asset)\n"
            "    assert run.success\n"
            "first, second = loads.history(Ledger(d.SETTINGS.ledger_url))\n"
            "assert first['window_start'] is None\n"
            "at = second['window_start'].astimezone(d.SETTINGS.zone)\n"
            "assert at.isoformat()[:19] == day + 'T00:00:00', second\n"
        )
        done = subprocess.run(
            [PYTHON, "-c", script], env=env, capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("error", "retries", "at", "pause"),
    [
        (Unanswered("503", status=503), 0, "02:31", 300),
        (Unanswered("503", status=503), 3, "02:31", 2400),
        (Unanswered("503", status=503), 9, "02:31", 3600),
        (joined({"a": Unanswered("503")}, 2), 0, "02:31", 300),
        (Unanswered("503", status=503), 0, "05:56", None),
        (Unauthorized("401"), 0, "02:31", None),
        (ConfigError("a setting"), 0, "02:31", None),
        (BuildError("a law"), 0, "02:31", None),
    ],
)
def test_a_night_tries_again_what_may_pass_by_itself_until_a_set_hour(
    monkeypatch, error, retries, at, pause
):
    monkeypatch.setenv("BLSYNC_ENV_FILE", os.devnull)
    current = load()
    now = datetime.fromisoformat(f"2026-11-29T{at}:00").replace(tzinfo=current.zone)
    assert pause_before_retry(current, error, retries, now.astimezone(UTC)) == pause


def test_a_step_that_a_night_tries_again_ends_well_once_bigledger_answers(tmp_path):
    script = (
        "import dagster as dg\n"
        "from blsync.errors import Unanswered\n"
        "from blsync.orchestration import location\n"
        "tries = []\n"
        "@dg.asset\n"
        "def one(context: dg.AssetExecutionContext):\n"
        "    with location.failing_clearly(location.RunContext()):\n"
        "        tries.append(1)\n"
        "        if len(tries) < 3:\n"
        "            raise Unanswered('no answer: 503', status=503)\n"
        "tags = {'dagster/schedule_name': 'nightly_sync'}\n"
        "done = dg.materialize([one], tags=tags, raise_on_error=False)\n"
        "print('found', done.success, len(tries))\n"
        "tries.clear()\n"
        "done = dg.materialize([one], raise_on_error=False)\n"
        "print('found', done.success, len(tries))\n"
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))}
    env |= {"BLSYNC_DATA": str(tmp_path), "BLSYNC_ENV_FILE": os.devnull}
    env |= {"BLSYNC_RETRY_SECONDS": "0.01", "BLSYNC_RETRY_UNTIL": "23:59:59"}
    done = subprocess.run(
        [PYTHON, "-c", script], env=env, capture_output=True, text=True, timeout=120
    )
    assert [line for line in done.stdout.splitlines() if line.startswith("found")] == [
        "found True 3",
        "found False 1",
    ], done.stderr[-2000:]
    assert "It is tried again in" in done.stderr


def test_what_is_pulled_and_published_has_a_freshness_policy(definitions):
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        if key.path[0] in ("raw", "published"):
            assert graph.get(key).freshness_policy, key
