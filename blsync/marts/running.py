"""Running compiled models and laws in DuckDB, each as soon as what it reads is there.

A law that does not hold stops no other node: nothing is published of such a build, and
`finance.exceptions` of it tells which records broke what. What only follows from it is told as
`skipped`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path

import duckdb
import msgspec
import pyarrow.parquet as pq

from blsync.lake.store import Lake
from blsync.marts import contracts
from blsync.marts.compiled import DATA, Compiled, Node
from blsync.marts.database import reason_of
from blsync.marts.fingerprints import Files, fingerprints

THREADS = 2
"""Nodes that run at once. DuckDB has threads of its own, which small nodes leave idle."""
_GOOD = ("success", "pass", "warn")
_MARKS = re.compile("([«»])")


class Result(msgspec.Struct):
    """How a node went. `status` is success or error of a model; pass, warn, fail or error of a law;
    skipped of either where what it reads is not there, or it fails only because another law does.
    """

    unique_id: str
    status: str
    failures: int | None = None
    """Records that a law found."""
    message: str = ""
    execution_time: float = 0.0
    """Seconds."""
    compiled_code: str = ""
    has_news: bool = True
    """Whether it was run; without news it went as it had in the last whole build."""


def run(
    compiled: Compiled, data: Path, memory: int, chosen: Collection[str] | None = None
) -> list[Result]:
    """Run the nodes in `build.duckdb` of a data folder: those that have news, or those whose ids
    are `chosen`. Returns how all went, or the chosen ones, each after what it reads.

    DuckDB may use so many bytes of `memory` before it spills. Raises duckdb.Error where the file
    cannot be opened.
    """
    with closing(duckdb.connect(str(data / "build.duckdb"))) as db:
        for name, value in {**compiled.settings, "memory_limit": f"{memory // 2**20}MiB"}.items():
            db.execute(f"set global {name} = '{value}'")
        is_night = _has_last_build(db)
        stands_on = fingerprints(compiled, data, _listed(data))
        before = _results_before(db, compiled.nodes) if is_night else {}
        due = _with_news(before, stands_on) if chosen is None else chosen
        for schema in sorted({node.schema for node in compiled.nodes.values() if not node.is_law}):
            db.execute(f'create schema if not exists "{schema}"')
        if is_night:  # what is begun and not ended is to be made again, whatever its files
            db.execute("delete from last_build.nodes where list_contains(?, id)", [list(due)])
            _drop_what_no_model_makes(db, compiled.nodes)
        build = _Build(db, compiled.nodes, set(due), data, is_night)
        made_now = in_order(compiled.nodes, build.due, build.result_of, build.interrupt)
        results = list(made_now.values())
        if chosen is None:
            if all(result.status in _GOOD for result in results):
                _remember(db, compiled.what_a_build_knew, results, stands_on)
            results += [result for i, (_, result) in before.items() if i not in build.due]
            order = TopologicalSorter({i: node.parents for i, node in compiled.nodes.items()})
            place = {unique_id: number for number, unique_id in enumerate(order.static_order())}
            results.sort(key=lambda result: place[result.unique_id])
        made = [result.unique_id for result in made_now.values() if result.status == "success"]
        describe(db, [compiled.nodes[unique_id] for unique_id in made])
    return results


def news_of(compiled: Compiled, data: Path, files: Files) -> set[str] | None:
    """Return the ids of the nodes that a build which reads these files of the lake would run; None
    where it would run all. Raises duckdb.Error where the last build cannot be read.
    """
    with closing(duckdb.connect(str(data / "build.duckdb"), read_only=True)) as db:
        if not _has_last_build(db):
            return None
        before = _results_before(db, compiled.nodes)
        return _with_news(before, fingerprints(compiled, data, files))


def _with_news(before: Mapping[str, tuple[str, Result]], stands_on: Mapping[str, str]) -> set[str]:
    return {i for i, now in stands_on.items() if i not in before or before[i][0] != now}


def _listed(data: Path) -> Files:
    rows = pq.read_table(Lake(data).build_files).to_pylist()
    return [(row["layer"], row["entity"], row["path"]) for row in rows]


def _results_before(
    db: duckdb.DuckDBPyConnection, nodes: Collection[str]
) -> dict[str, tuple[str, Result]]:
    """Return what the nodes stood on in the last whole build, and how they went, by their ids."""
    rows = db.execute("select id, fingerprint, status, failures from last_build.nodes").fetchall()
    return {
        unique_id: (stood_on, Result(unique_id, status, failures, has_news=False))
        for unique_id, stood_on, status, failures in rows
        if unique_id in nodes
    }


def _drop_what_no_model_makes(db: duckdb.DuckDBPyConnection, nodes: Mapping[str, Node]) -> None:
    """Drop tables and views whose models the user has taken out, or made the other kind of.

    A change of ours begins with an empty file.
    """
    made = {(n.schema, n.alias): n.materialized == "view" for n in nodes.values() if not n.is_law}
    there = db.execute(
        "select schema_name, table_name, false from duckdb_tables() union all "
        "select schema_name, view_name, true from duckdb_views() where not internal"
    ).fetchall()
    of_models = {schema for schema, _ in made}
    for schema, name, is_view in there:
        if schema in of_models and made.get((schema, name)) is not is_view:
            db.execute(f'drop {"view" if is_view else "table"} "{schema}"."{name}"')


def _remember(
    db: duckdb.DuckDBPyConnection,
    what_a_build_knew: str,
    results: Iterable[Result],
    stands_on: Mapping[str, str],
) -> None:
    """Write what a whole build knew, and how its nodes went, for the next one."""
    went = [(r.unique_id, stands_on[r.unique_id], r.status, r.failures) for r in results]
    db.execute("begin")
    db.execute(what_a_build_knew)
    db.execute(
        "create table if not exists last_build.nodes "
        "(id varchar, fingerprint varchar, status varchar, failures bigint)"
    )
    if went:  # DuckDB takes no empty list
        db.executemany("insert into last_build.nodes values (?, ?, ?, ?)", went)
    db.execute("commit")


def _has_last_build(db: duckdb.DuckDBPyConnection) -> bool:
    found = (
        "select 1 from duckdb_tables() where schema_name = 'last_build' and table_name = 'nodes'"
    )
    return db.execute(found).fetchone() is not None


def in_order(
    nodes: Mapping[str, Node],
    due: Collection[str],
    result_of: Callable[[Node, bool], Result],
    interrupt: Callable[[], None] = lambda: None,
) -> dict[str, Result]:
    """Return how the nodes went that are due, each run as soon as what it reads of them is there.

    `result_of` is told of a node, in one of several threads, and whether what it reads was made;
    `interrupt` ends what runs where an error comes through.
    """
    parents = {i: [parent for parent in nodes[i].parents if parent in due] for i in due}
    order = TopologicalSorter(parents)
    order.prepare()
    results: dict[str, Result] = {}
    running: set[Future[Result]] = set()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            while order.is_active():
                for unique_id in order.get_ready():
                    is_there = all(results[p].status == "success" for p in parents[unique_id])
                    running.add(pool.submit(result_of, nodes[unique_id], is_there))
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for result in (future.result() for future in done):
                    results[result.unique_id] = result
                    order.done(result.unique_id)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            interrupt()
            raise
    _skip_what_follows(nodes, results)
    return results


class Failed(Exception):
    """A node could not be run; the message says why."""


def timed(
    node: Node, given: str, fill: Callable[[str], str], run: Callable[[str], int | None]
) -> Result:
    """Return how a node went: `run` runs what `fill` made of the SQL that is given, and tells how
    many records a law found.
    """
    started = time.perf_counter()
    failures, sql, message = None, given, ""
    try:
        sql = fill(given)
        failures = run(sql)
        status = "success"
        if node.is_law:
            status = "warn" if failures and node.is_warning else "fail" if failures else "pass"
            message = f"{failures:,} found" if failures else ""
    except (contracts.Broken, Failed) as why:
        status, message = "error", str(why)
    except duckdb.Error as error:
        status, message = "error", reason_of(error)
    return Result(node.id, status, failures, message, time.perf_counter() - started, sql)


def filled(sql: str, data: Path, ask: Callable[[str], list[str]]) -> str:
    """Put into SQL what only this build knows: the folder, and the values of queries."""
    open_parts: list[list[str]] = [[]]
    known: dict[str, str] = {}
    folder = _as_pattern(data)
    for part in _MARKS.split(sql):
        if part == "«":
            open_parts.append([])
        elif part == "»":
            query = "".join(open_parts.pop())
            if query not in known:
                known[query] = ", ".join(map(_quoted, ask(query))) or "null"
            open_parts[-1].append(known[query])
        else:
            open_parts[-1].append(part.replace(DATA, folder))
    return "".join(open_parts[0])


def values_of(cursor: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    """Return the values of a query's one column, as text."""
    return [str(value) for (value,) in cursor.execute(query).fetchall()]


@dataclass
class _Build:
    """A build that is running."""

    db: duckdb.DuckDBPyConnection
    nodes: Mapping[str, Node]
    due: Collection[str]
    """Ids of those that are run."""
    data: Path
    is_night: bool
    cursors: set[duckdb.DuckDBPyConnection] = field(default_factory=set)
    """Those in use."""

    def result_of(self, node: Node, is_there: bool) -> Result:
        """Run a node, where what it reads is there."""
        given = node.night if self.is_night else node.whole
        if not is_there:
            return Result(node.id, "skipped", compiled_code=given)
        cursor = self.db.cursor()
        self.cursors.add(cursor)
        try:
            return timed(
                node,
                given,
                lambda sql: filled(sql, self.data, partial(values_of, cursor)),
                lambda sql: self._run(cursor, node, sql),
            )
        finally:
            self.cursors.remove(cursor)
            cursor.close()

    def interrupt(self) -> None:
        """End what runs."""
        for cursor in self.cursors.copy():
            cursor.interrupt()

    def _run(self, cursor: duckdb.DuckDBPyConnection, node: Node, sql: str) -> int | None:
        if node.is_law:
            return _count(cursor, sql)
        self._make(cursor, node, sql)
        return None

    def _make(self, cursor: duckdb.DuckDBPyConnection, node: Node, sql: str) -> None:
        """Make a model's table or view, whole or in what the news touch; in one transaction."""
        cursor.execute("begin")
        if node.materialized == "view":
            cursor.execute(f"create or replace view {node.relation} as (\n{sql}\n)")
        elif not self.is_night or node.materialized != "incremental":
            cursor.execute(f"create or replace table {node.relation} as (\n{sql}\n)")
        else:
            self._renew(cursor, node, sql)
        for hook in node.after:
            cursor.execute(filled(hook, self.data, partial(values_of, cursor)))
        if node.contract:
            contracts.check(cursor, node.relation, node.contract)
        cursor.execute("commit")

    def _renew(self, cursor: duckdb.DuckDBPyConnection, node: Node, sql: str) -> None:
        for hook in node.before:
            cursor.execute(filled(hook, self.data, partial(values_of, cursor)))
        if node.unique_key:
            keys, new = ", ".join(node.unique_key), f'"{node.alias} new"'
            cursor.execute(f"create or replace temp table {new} as (\n{sql}\n)")
            cursor.execute(
                f"delete from {node.relation} "  # noqa: S608
                f"where ({keys}) in (select ({keys}) from {new})"
            )
            sql = f"from {new}"
        cursor.execute(f"insert into {node.relation} by name (\n{sql}\n)")
        if node.unique_key:
            cursor.execute(f"drop table {new}")


def _skip_what_follows(nodes: Mapping[str, Node], results: Mapping[str, Result]) -> None:
    """Have a node that fails count as skipped where all that a broken law reads is behind it.

    The law is then the reason, and the one to be told.
    """
    broken = [i for i, result in results.items() if result.status == "fail"]
    for law in broken:
        read = set(nodes[law].parents)
        for unique_id, result in results.items():
            node = nodes[unique_id]
            if result.status in ("fail", "error") and any(
                read <= _behind(nodes, parent)
                for parent in (node.parents if node.is_law else [unique_id])
            ):
                result.status = "skipped"


def _behind(nodes: Mapping[str, Node], unique_id: str) -> set[str]:
    """Return all models that a model reads, directly or by way of others."""
    found: set[str] = set()
    waiting = list(nodes[unique_id].parents)
    while waiting:
        parent = waiting.pop()
        if parent not in found:
            found.add(parent)
            waiting += nodes[parent].parents
    return found


def _count(cursor: duckdb.DuckDBPyConnection, sql: str) -> int:
    found = cursor.execute(f"select count(*) from (\n{sql}\n)").fetchone()  # noqa: S608
    return int(found[0]) if found else 0


def describe(db: duckdb.DuckDBPyConnection, models: Iterable[Node]) -> None:
    """Write the yml's descriptions as comments on tables and columns, in one transaction."""
    known = {
        (schema, table, column.lower())
        for schema, table, column in db.execute(
            "select schema_name, table_name, column_name from duckdb_columns() where not internal"
        ).fetchall()
    }
    db.execute("begin")
    for statement in _comments(models, known):
        db.execute(statement)
    db.execute("commit")


def _comments(models: Iterable[Node], known: set[tuple[str, str, str]]) -> Iterator[str]:
    for node in models:
        kind = "view" if node.materialized == "view" else "table"
        yield f"comment on {kind} {node.relation} is {_quoted(node.description)}"
        for name, meaning in node.columns.items():
            if (node.schema, node.alias, name.lower()) in known:
                yield f'comment on column {node.relation}."{name}" is {_quoted(meaning)}'


def _as_pattern(path: Path) -> str:
    """Return a path as `as_pattern` of the macros writes it: between quotes, in a pattern."""
    return str(path).replace("'", "''").replace("[", "[[]").replace("*", "[*]")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
