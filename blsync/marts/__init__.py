"""The marts' files: inputs of a build, one build at a time, publishing, what is published.

Only one process may write a DuckDB file and an open reader blocks it. So a build writes
`build.duckdb`; what is published is a copy under another name, renamed onto `blsync.duckdb` once it
is whole.
"""

from blsync.files.places import PROJECT
from blsync.marts.build import (
    MOST_MEMORY,
    Table,
    ask_for_full_build,
    building,
    dbt_environment,
    dbt_executable,
    is_build_damaged,
    news,
    run_build,
    tables_of_build,
)
from blsync.marts.compiled import manifest_of, models_of, prepare, said_by
from blsync.marts.files import (
    companies_known,
    strays_of,
    strays_told,
    tell_strays,
    write_files_of_build,
)
from blsync.marts.inputs import COLUMNS as INPUT_COLUMNS
from blsync.marts.inputs import PUSH_LOG, mend_inputs, refresh_inputs, write_inputs
from blsync.marts.overlay import write_packages
from blsync.marts.publish import left_behind, publish
from blsync.marts.published import (
    MARTS_BEFORE,
    PUBLISHED,
    REPORT,
    accepted_exceptions,
    fetch_rows,
    open_published,
    open_unpublished,
    published_file,
    tie_out,
)
from blsync.marts.running import Result
from blsync.marts.spark import ensure_there as ensure_spark

__all__ = [
    "INPUT_COLUMNS",
    "MARTS_BEFORE",
    "MOST_MEMORY",
    "PROJECT",
    "PUBLISHED",
    "PUSH_LOG",
    "REPORT",
    "Result",
    "Table",
    "accepted_exceptions",
    "ask_for_full_build",
    "building",
    "companies_known",
    "dbt_environment",
    "dbt_executable",
    "ensure_spark",
    "fetch_rows",
    "is_build_damaged",
    "left_behind",
    "manifest_of",
    "mend_inputs",
    "models_of",
    "news",
    "open_published",
    "open_unpublished",
    "prepare",
    "publish",
    "published_file",
    "refresh_inputs",
    "run_build",
    "said_by",
    "strays_of",
    "strays_told",
    "tables_of_build",
    "tell_strays",
    "tie_out",
    "write_files_of_build",
    "write_inputs",
    "write_packages",
]
