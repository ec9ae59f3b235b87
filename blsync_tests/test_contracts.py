"""The public marts keep their contracts: columns, types, nulls, and what holds of each row."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
import yaml

from blsync.files.places import PROJECT
from blsync.marts import contracts
from blsync.marts.compiled import Contract, compiled_project
from blsync.report.figures import SECTIONS

CONTRACT = Contract(
    types={"company_id": "VARCHAR", "amount": "DECIMAL(18,2)"},
    never_null=["company_id"],
    holds=["amount in (1, 2)"],
)


@pytest.mark.parametrize(
    ("made", "why"),
    {
        "kept": ("select 'a' as company_id, 1::decimal(18, 2) as amount", ""),
        "nothing": ("select '' as company_id, 1::decimal(18, 2) as amount where false", ""),
        "unknown": ("select 'a' as company_id, null::decimal(18, 2) as amount", ""),
        "binary": (
            "select 'a' as company_id, 1::double as amount",
            "amount is DOUBLE instead of DECIMAL(18,2)",
        ),
        "missing": ("select 'a' as company_id", "there is no column amount"),
        "more": (
            "select 'a' as company_id, 1::decimal(18, 2) as amount, 1 as b",
            "the column b is not in it",
        ),
        "null": (
            "select null::varchar as company_id, 1::decimal(18, 2) as amount",
            "company_id is null in 1 rows",
        ),
        "broken": (
            "select 'a' as company_id, x::decimal(18, 2) as amount from range(1, 5) as r(x)",
            "not amount in (1, 2) in 2 rows",
        ),
    }.values(),
)
def test_a_table_that_breaks_its_contract_is_told_with_all_that_is_not_as_promised(
    made: str, why: str
) -> None:
    with duckdb.connect() as db:
        db.execute(f"create table t as {made}")
        if not why:
            contracts.check(db.cursor(), "t", CONTRACT)
            return
        with pytest.raises(contracts.Broken) as broken:
            contracts.check(db.cursor(), "t", CONTRACT)
    assert str(broken.value) == f"the contract in its yml is broken: {why}"


def test_every_public_mart_has_a_contract_by_whose_key_no_row_is_nameless(tmp_path: Path) -> None:
    marts = [n for n in compiled_project(tmp_path).nodes.values() if n.schema == "finance"]
    assert len([n for n in marts if not n.is_law]) > 60
    for node in marts:
        if not node.is_law:
            assert node.contract, node.name
            key = "day" if node.name == "dim_date" else "company_id"  # a calendar is nobody's
            assert key in node.contract.never_null, node.name
            assert not [n for n, kind in node.contract.types.items() if kind in ("DOUBLE", "FLOAT")]


def test_the_exposure_of_the_report_names_every_table_that_a_section_needs() -> None:
    told = yaml.safe_load((PROJECT / "models/takeaways.yml").read_text())
    [report] = [one for one in told["exposures"] if one["name"] == "report"]
    named = {text.removeprefix("ref('").removesuffix("')") for text in report["depends_on"]}
    assert named >= {table for tables, _ in SECTIONS.values() for table in tables}
