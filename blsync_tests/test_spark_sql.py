"""Each rule of the translation for Spark: with it both engines agree, without it they do not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import duckdb
import pytest

pytestmark = pytest.mark.scale

ORDERS = "(select 1 as id, 10 as amount union all select 2, null union all select 3, 30)"
CASES = {
    "union by name": "select 1 as a, 'x' as b union all by name select 'y' as b, 2 as c",
    "star with others": f"select * replace (coalesce(amount, 0) as amount) from {ORDERS} as t",
    "star of a join": (
        f"select t.*, 'x' as added from {ORDERS} as t "
        "inner join (select 30 as amount, 'b' as note) as noted using (amount)"
    ),
    "tuple in query": (
        f"select id from {ORDERS} as t "
        "where (id, amount) in (select (1, 10) union all select (2, null))"
    ),
    "asof join": (
        f"select t.id, rates.rate from {ORDERS} as t asof left join "
        "(select 2 as day, 'b' as rate union all select 3, 'c' union all select 9, 'd') as rates "
        "on t.id >= rates.day"
    ),
    "time zones": (
        "select cast((timestamp '2026-03-01 20:30:00' at time zone 'UTC') "
        "at time zone 'Asia/Kuala_Lumpur' as date) as day, "
        "cast(timestamp '2026-03-02 00:00:00' at time zone 'Asia/Kuala_Lumpur' "
        "at time zone 'UTC' as timestamp) as instant"
    ),
    "try": (
        "select try(cast(n as decimal(38, 0)) * cast(n as decimal(38, 0))) as square "
        "from (select 10 as n union all select 99999999999999999999999999999999999999) as t"
    ),
    "unnest side by side": (
        "select id, unnest(['a', 'b']) as name, unnest([sum(amount), id]) as value, "
        f"generate_subscripts(['a', 'b'], 1) as place from {ORDERS} as t group by id"
    ),
    "qualify": (
        f"select * from {ORDERS} as t qualify row_number() over (order by amount desc) = 1"
    ),
    "wide integers": "select cast(12345678901234567890123456789.6 as hugeint) as n",
    "whole division": "select cast(123456789012345678901234567890 as hugeint) // 7 as n",
    "sign": "select sign(-3) * cast(1234567890123456.78 as decimal(18, 2)) as n",
    "format": ("select format('{} of {} %', 3, format('{} x', 'y')) as a, format('{}', null) as b"),
    "hash": (
        "select count(distinct hash(cast(n as varchar))) as n "
        "from (select unnest(generate_series(1, 300000)) as n) as t"
    ),
    "infinity": "select date '9999-12-31' < date 'infinity' as is_before",
    "months": "select cast(date '2026-01-31' + to_months(1) as date) as day",
    "series": (
        "select cast(unnest(generate_series(timestamp '2026-02-01', timestamp '2026-01-01', "
        "interval 1 month)) as date) as day"
    ),
    "materialized": "with a as not materialized (select 1 as n) select n from a",
    "any value": f"select any_value(amount order by -id) as a from {ORDERS} as t",
    "arg max": (
        "select arg_max(amount, case id when 2 then 9 else id end) as a, "
        f"arg_min(amount, id) as b from {ORDERS} as t"
    ),
    "json": (
        "select json_extract_string(try_cast(text as json), '$.id') as id "
        "from (select '{\"id\": 7}' as text union all select 'no json') as t"
    ),
    "day of week": "select extract(isodow from date '2026-03-01') as day",
    "names of days": "select monthname(date '2026-03-01') as m, dayname(date '2026-03-01') as d",
    "lists": (
        "select list_aggregate(['a', 'b'], 'string_agg', ' and ') as t, "
        "list_position(['a', 'b'], 'b') as p"
    ),
    "full match": (
        "select regexp_full_match('123', '[0-9]+') as a, regexp_full_match('1-3', '[0-9]+') as b"
    ),
}


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    from blsync.marts.spark import session

    started = session("local[1]", 2**30, is_small=True)
    yield started
    started.stop()


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_has_both_engines_answer_the_same_and_without_it_they_do_not(
    spark: Any, rule: str
) -> None:
    expected = rows_of(duckdb.sql(CASES[rule]).fetchall())
    assert answer(spark, CASES[rule]) == expected
    assert answer(spark, CASES[rule], without=rule) != expected


def test_every_rule_has_a_case() -> None:
    from blsync.marts.spark_sql import RULES

    assert set(CASES) == set(RULES)


def answer(spark: Any, query: str, *, without: str = "") -> list[tuple[Any, ...]] | str:
    from pyspark.errors import PySparkException

    from blsync.marts.spark_sql import parts_of, translated

    [(_, tree)] = parts_of(query, lambda *_: "", "part")
    of_spark = translated(tree, lambda _: None, {without})
    try:
        return rows_of([tuple(row) for row in spark.sql(of_spark).collect()])
    except PySparkException as error:
        return str(error.getCondition())


def rows_of(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows in one order, with whole numbers as such whatever their type."""
    return sorted((tuple(map(plain, row)) for row in rows), key=repr)


def plain(value: Any) -> Any:
    is_text_or_none = value is None or isinstance(value, str | bool | date | datetime)
    return value if is_text_or_none or value != int(value) else int(value)
