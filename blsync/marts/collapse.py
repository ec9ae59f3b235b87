"""Whether a build's reconciliation collapsed beside the published one.

A difference here and there stops nothing, it is shown. Where much of what tied out with BigLedger's
own figures does so no more, or is not there any more, it is not the books that changed.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import duckdb

from blsync.errors import SafetyLimit
from blsync.marts.database import is_locked, is_of_damage

SHARE = 0.2
"""Of the comparisons that tied out as published, so many may fail before nothing is published."""
ENOUGH = 20
"""Comparisons below which a share of them means nothing."""
SHOWN = 5

# The day of a comparison moves every night, so it is no part of what makes it the same one. A
# report that was not fetched this time, and what cannot be compared, says nothing.
_PUBLISHED = """
create temp table before as
select company_id, check_name, entity_key
from published.finance.reconciliation
group by all
having bool_and(status = 'pass') filter (where status <> 'not_comparable')
"""
_COMPARED = """
with after as (
    select company_id, check_name, entity_key,
        bool_or(status = 'fail') as has_failed,
        bool_or(status = 'pass') as has_passed,
    from build.finance.reconciliation
    group by all
),

records as (
    select distinct company_id, check_name, regexp_replace(entity_key, ':[^:]*$', '') as record
    from after
),

asked as (
    select distinct company_id, replace(report, 'profit_loss', 'profit_and_loss') as check_name
    from build.intermediate.int_reports_fetched
    union all
    select company_id, unnest(['account_balance', 'customer_balance'])
    from build.staging.stg_companies
),

judged as (
    select before.*,
        case
            when after.entity_key is not null
                then case when has_failed then 'fails' when has_passed then 'passes' end
            -- One bucket or column of a record may well be empty today; the record is not gone.
            when records.record is null then 'is gone'
        end as verdict,
    from before
    inner join asked using (company_id, check_name)
    left join after using (company_id, check_name, entity_key)
    left join records
        on records.company_id = before.company_id
        and records.check_name = before.check_name
        and records.record = regexp_replace(before.entity_key, ':[^:]*$', '')
)

select company_id, check_name, entity_key, verdict from judged
where verdict is not null order by all
"""


def check(build: Path, published: Path, allowed: Collection[str] = ()) -> None:
    """Raise SafetyLimit where a company's reconciliation collapsed since it was published.

    It names all such companies; those whose ids are `allowed` may collapse. Nothing is compared
    before the first publish, nor with what is damaged, or of an earlier version's columns. Raises
    duckdb.Error where that is not known: another program has the published marts open, or the
    build cannot be read; OSError where they may not be read.
    """
    if not published.is_file():
        return
    with published.open("rb"):  # DuckDB tells a file that is closed to us as it tells damage
        pass
    with duckdb.connect() as db:
        if not _is_taken_from(published, db):
            return
        _attach(db, build, "build")
        rows = db.execute(_COMPARED).fetchall()
    collapsed = [
        told
        for company_id in sorted({row[0] for row in rows} - set(allowed))
        if (told := _collapse_of(company_id, [row[1:] for row in rows if row[0] == company_id]))
    ]
    if collapsed:
        raise SafetyLimit(
            f"The marts are not published: {'; '.join(collapsed)}. The published marts stay. Where "
            "only some entities were pulled, `blsync sync` pulls the others; see what is off with "
            "`blsync status`; if it is right as it is, `blsync build --allow` publishes it once."
        )


def _is_taken_from(published: Path, db: duckdb.DuckDBPyConnection) -> bool:
    """Copy the published comparisons; tell whether there are any that can be read."""
    try:
        _attach(db, published, "published")
    except duckdb.Error as error:
        if is_locked(error):
            raise
        return False
    try:
        db.execute(_PUBLISHED)
    except (duckdb.CatalogException, duckdb.BinderException):  # of an earlier version
        return False
    except duckdb.Error as error:
        if is_of_damage(error):
            return False
        raise
    return True


def _attach(db: duckdb.DuckDBPyConnection, path: Path, name: str) -> None:
    place = str(path).replace("'", "''")
    db.execute(f"attach '{place}' as {name} (read_only)")


def _collapse_of(company_id: str, compared: list[tuple[str, str, str]]) -> str | None:
    """Return what collapsed, None where nothing did."""
    fallen = [row for row in compared if row[2] != "passes"]
    if len(compared) < ENOUGH or len(fallen) <= SHARE * len(compared):
        return None
    checks = sorted({check for check, _, _ in fallen})
    by_check = ", ".join(f"{name} {sum(row[0] == name for row in fallen)}" for name in checks)
    first = ", ".join(f"{name} {key} {verdict}" for name, key, verdict in fallen[:SHOWN])
    return (
        f"of {len(compared)} figures of {company_id} that tied out with BigLedger when they were "
        f"last published, {len(fallen)} do not any more ({by_check}; the first: {first})"
    )
