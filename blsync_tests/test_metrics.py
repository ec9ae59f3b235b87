"""Metrics: each, asked for by MetricFlow, is the figure of its summary mart."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from blsync.marts.compiled import entities_of_project
from blsync.sandbox import Options, running

ROOT = Path(__file__).parent.parent
WAREHOUSE = ROOT / "warehouse"
METRICS = {
    metric["name"]: metric
    for metric in yaml.safe_load((WAREHOUSE / "models/metrics/metrics.yml").read_text())["metrics"]
}
BOOKS = {
    "invoices": 90, "customers": 15, "items": 12, "months": 4, "limits": False, "quotes": 20,
    "sales_orders": 12, "bills": 20, "pos_transactions": 40,
}  # fmt: skip

Figures = dict[tuple[str, date], Decimal]


def summed(table: str, expression: str, day: str = "period") -> str:
    """A mart's figure by company and month."""
    return (
        f"select company_id, cast(date_trunc('month', {day}) as date), {expression} "
        f"from finance.{table} group by all"
    )


def last(table: str, expression: str, day: str = "as_of_date") -> str:
    """A mart's figure on the last day of each month that it has for a company."""
    return (
        f"select company_id, cast(date_trunc('month', {day}) as date), {expression} "
        f"from (from finance.{table} qualify {day} = max({day}) over "
        f"(partition by company_id, date_trunc('month', {day}))) group by all"
    )


def profit(column: str) -> str:
    return summed("profit_and_loss_summary", f"sum({column})")


def section(name: str) -> str:
    return last("balance_sheet", f"sum(balance) filter (section = '{name}')")


def sold(expression: str) -> str:
    return summed("revenue_monthly", expression)


SUMMARY = {
    "revenue": profit("operating_revenue"),
    "cost_of_sales": profit("cost_of_goods_sold"),
    "gross_profit": profit("gross_profit"),
    "gross_margin_pct": profit("gross_margin_pct"),
    "operating_expenses": profit("operating_expense"),
    "operating_profit": profit("operating_profit"),
    "other_revenue": profit("other_revenue"),
    "other_expenses": profit("other_expense"),
    "net_profit": profit("net_profit"),
    "net_margin_pct": profit("net_margin_pct"),
    "assets": section("assets"),
    "liabilities": section("liabilities"),
    "equity": section("equity"),
    "cash_balance": summed("cash_flow_summary", "sum(closing_cash)"),
    "cash_change": summed("cash_flow_summary", "sum(ledger_cash_change)"),
    "cash_from_operations": summed("cash_flow_summary", "sum(operating)"),
    "cash_from_investing": summed("cash_flow_summary", "sum(investing)"),
    "cash_from_financing": summed("cash_flow_summary", "sum(financing)"),
    "ledger_debits": summed("trial_balance", "sum(debit)"),
    "ledger_credits": summed("trial_balance", "sum(credit)"),
    "receivables_on_ledger": summed("collections", "sum(closing_ar)"),
    # Nothing published is finer than the month, so this one is by the month's other figures.
    "payments_collected": summed(
        "collections", "sum(opening_ar + credit_sales + other_movement - closing_ar)"
    ),
    "credit_sales": summed(
        "collections", "sum(closing_ar - opening_ar - other_movement + cash_collected)"
    ),
    "receivables_outstanding": last("ar_aging", "sum(total_outstanding)"),
    "receivables_overdue": last("ar_aging", "sum(total_overdue)"),
    "payables_outstanding": last("ap_aging", "sum(total_outstanding)"),
    "payables_overdue": last("ap_aging", "sum(total_overdue)"),
    "invoiced_amount": sold("sum(net_revenue)"),
    "sales_discounts": sold("sum(discount)"),
    "quantity_sold": sold("sum(quantity)"),
    "sales_tax": summed("tax_summary", "sum(tax_amount)"),
    "invoices_issued": summed("einvoice_compliance", "sum(recognised)"),
    "average_invoice": (
        "select company_id, period, cast(round(sum(net_revenue) / any_value(recognised), 2) as "
        "decimal(36, 2)) from finance.revenue_monthly join finance.einvoice_compliance "
        "using (company_id, period) group by all"
    ),
    "einvoices_accepted": summed("einvoice_compliance", "sum(accepted)"),
    "einvoices_rejected": summed("einvoice_compliance", "sum(rejected)"),
    "stock_quantity": last("inventory_valuation", "sum(quantity)"),
    "stock_value": last("inventory_valuation", "sum(stock_value)"),
    "sales_orders_open": summed("backlog_movements", "sum(closing_backlog)"),
    "quotes_sent": summed("quote_conversion", "sum(sent)"),
    "quotes_won": summed("quote_conversion", "sum(accepted)"),
    "quotes_won_amount": summed("quote_conversion", "sum(accepted_amount)"),
    "pos_takings": summed("pos_sessions", "sum(total)", "business_date"),
}
"""By metric, SQL for a company, a month and what the metric has to be then."""


def test_every_metric_has_a_summary_mart_and_a_line_in_the_guide() -> None:
    assert SUMMARY.keys() == METRICS.keys()
    guide = (ROOT / "docs/guide/analyst.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", guide.partition("## Metrics")[2], re.M))
    assert told == {name: metric["description"] for name, metric in METRICS.items()}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A copy of the dbt project, read by dbt as the guide says, with the books of two companies."""
    pytest.importorskip("dbt_metricflow", reason="the extra `metrics` is not installed")
    folder = tmp_path_factory.mktemp("metrics")
    with (
        running(Options(company_id="acme", seed=1, **BOOKS)) as acme,
        running(Options(company_id="zenith", seed=2, **BOOKS)) as zenith,
    ):
        (folder / "companies.toml").write_text(
            "".join(
                f'[companies.{one.company_id}]\ncompany_id = "{one.company_id}"\n'
                f'api_key_env = "KEY"\nbase_url = "{one.base_url}"\n'
                for one in (acme, zenith)
            )
        )
        env = {k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))}
        env |= {
            "BLSYNC_ENV_FILE": os.devnull,
            "BLSYNC_COMPANIES": str(folder / "companies.toml"),
            "BLSYNC_DATA": str(folder / "data"),
            "BLSYNC_START": str(date.today() - timedelta(days=1)),
            "BLSYNC_QUOTA_PER_HOUR": "100000",
            "BLSYNC_QUOTA_PER_SECOND": "1000",
            "DAGSTER_HOME": "",
            "KEY": acme.api_key,
        }
        run([sys.executable, "-m", "blsync.cli", "sync"], env, ROOT)
    copy = folder / "warehouse"
    shutil.copytree(
        WAREHOUSE, copy, ignore=shutil.ignore_patterns("data", "target", "logs", "dbt_packages")
    )
    env["DBT_PROFILES_DIR"] = "published"
    run([str(Path(sys.executable).with_name("dbt")), "--quiet", "parse"], env, copy)
    return copy, env


def run(command: list[str], env: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        command, env=env, cwd=folder, capture_output=True, text=True, timeout=300,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def marts(project: tuple[Path, dict[str, str]]) -> Iterator[duckdb.DuckDBPyConnection]:
    file = Path(project[1]["BLSYNC_DATA"]) / "blsync.duckdb"
    with duckdb.connect(str(file), read_only=True) as db:
        yield db


@pytest.fixture(scope="module")
def metricflow(project: tuple[Path, dict[str, str]]) -> Any:
    """MetricFlow's engine; of its client it is given what writing SQL needs."""
    from metricflow.engine.metricflow_engine import MetricFlowEngine
    from metricflow.protocols.sql_client import SqlEngine
    from metricflow.sql.render.duckdb_renderer import DuckDbSqlPlanRenderer
    from metricflow_semantics.model.dbt_manifest_parser import (
        parse_manifest_from_dbt_generated_manifest,
    )
    from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup

    class Client:
        sql_engine_type = SqlEngine.DUCKDB
        sql_plan_renderer = DuckDbSqlPlanRenderer()

    text = (project[0] / "target/semantic_manifest.json").read_text()
    manifest = parse_manifest_from_dbt_generated_manifest(manifest_json_string=text)
    return MetricFlowEngine(SemanticManifestLookup(manifest), Client())


def asked(metricflow: Any, db: duckdb.DuckDBPyConnection, metric: str) -> Figures:
    from metricflow.engine.metricflow_engine import MetricFlowQueryRequest

    request = MetricFlowQueryRequest.create(
        metric_names=[metric], group_by_names=["company", "metric_time__month"]
    )
    sql = metricflow.explain(request).sql_statement.sql
    return by_month(db, f"select company, cast(metric_time__month as date), {metric} from ({sql})")


def by_month(db: duckdb.DuckDBPyConnection, sql: str) -> Figures:
    """Figures by company and month, less those that are nothing."""
    found = db.execute(sql).fetchall()
    assert not any(isinstance(figure, float) for *_, figure in found)
    figures = {(company, month): Decimal(figure) for company, month, figure in found if figure}
    assert len(figures) == len([figure for *_, figure in found if figure])
    return figures


# Of these the sandbox's books need not have any.
MAYBE_NONE = {"other_revenue", "other_expenses", "cash_from_investing", "einvoices_rejected"}


@pytest.mark.deep
@pytest.mark.parametrize("metric", SUMMARY)
def test_a_metric_equals_its_summary_mart_in_every_company_and_month(
    metricflow: Any, marts: duckdb.DuckDBPyConnection, metric: str
) -> None:
    figures = asked(metricflow, marts, metric)
    assert figures == by_month(marts, SUMMARY[metric])
    assert metric in MAYBE_NONE or {company for company, _ in figures} == {"acme", "zenith"}


@pytest.mark.deep
def test_mf_answers_from_the_published_file_by_what_a_join_tells(
    project: tuple[Path, dict[str, str]], marts: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    folder, env = project
    words = "query --metrics invoiced_amount --group-by customer__customer_name --csv"
    run(
        [str(Path(sys.executable).with_name("mf")), *words.split(), str(tmp_path / "a.csv")],
        env,
        folder,
    )
    got = marts.sql(
        f"select sum(invoiced_amount::decimal(36, 2)) from read_csv('{tmp_path}/a.csv')"
    )
    want = marts.sql("select sum(net_revenue) from finance.revenue_monthly")
    assert got.fetchall() == want.fetchall()


@pytest.mark.deep
def test_no_metric_is_an_asset_or_a_table(project: tuple[Path, dict[str, str]]) -> None:
    script = (
        "import json\nfrom blsync.definitions import defs\n"
        "keys = defs.resolve_asset_graph().get_all_asset_keys()\n"
        "print(json.dumps([key.path for key in keys]))\n"
    )
    env = {**project[1], "DBT_ENTITIES": " ".join(entities_of_project())}
    paths = json.loads(run([sys.executable, "-c", script], env, ROOT).splitlines()[-1])
    assert ["finance", "dim_date"] in paths
    assert not {path[-1] for path in paths} & METRICS.keys()
