"""Running compiled models and laws in DuckDB, each as soon as what it reads is there.

A law that does not hold stops no other node: nothing is published of such a build, and
`finance.exceptions` of it tells which records broke what. What only follows from it is told as
`skipped`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
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
        build.run()
        results = list(build.results.values())
        if chosen is None:
            if all(result.status in _GOOD for result in results):
                _remember(db, compiled.what_a_build_knew, results, stands_on)
            results += [result for i, (_, result) in before.items() if i not in build.due]
            order = TopologicalSorter({i: node.parents for i, node in compiled.nodes.items()})
            place = {unique_id: number for number, unique_id in enumerate(order.static_order())}
            results.sort(key=lambda result: place[result.unique_id])
        made = [result.unique_id for result in build.results.values() if result.status == "success"]
        _describe(db, [compiled.nodes[unique_id] for unique_id in made])
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


@dataclass
class _Build:
    """A build that is running."""

    db: duckdb.DuckDBPyConnection
    nodes: Mapping[str, Node]
    due: Collection[str]
    """Ids of those that are run."""
    data: Path
    is_night: bool
    results: dict[str, Result] = field(default_factory=dict)

    def run(self) -> None:
        """Run what is due; `results` then has each."""
        order = TopologicalSorter({i: self._due_parents(i) for i in self.due})
        order.prepare()
        running: dict[Future[Result], duckdb.DuckDBPyConnection] = {}
        with ThreadPoolExecutor(THREADS) as pool:
            try:
                while order.is_active():
                    for unique_id in order.get_ready():
                        cursor = self.db.cursor()
                        running[pool.submit(self._result, cursor, unique_id)] = cursor
                    for done in wait(running, return_when=FIRST_COMPLETED).done:
                        running.pop(done).close()
                        result = done.result()
                        self.results[result.unique_id] = result
                        order.done(result.unique_id)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for cursor in running.values():
                    cursor.interrupt()
                raise
        self._skip_what_follows()

    def _due_parents(self, unique_id: str) -> list[str]:
        return [parent for parent in self.nodes[unique_id].parents if parent in self.due]

    def _result(self, cursor: duckdb.DuckDBPyConnection, unique_id: str) -> Result:
        node = self.nodes[unique_id]
        given = node.night if self.is_night else node.whole
        if any(self.results[parent].status != "success" for parent in self._due_parents(unique_id)):
            return Result(unique_id, "skipped", compiled_code=given)
        started = time.perf_counter()
        failures, sql = None, given
        try:
            sql = self._filled(cursor, given)
            if node.is_law:
                failures = _count(cursor, sql)
                status = "warn" if failures and node.is_warning else "fail" if failures else "pass"
                message = f"{failures:,} found" if failures else ""
            else:
                self._make(cursor, node, sql)
                status, message = "success", ""
        except contracts.Broken as broken:
            status, message = "error", str(broken)
        except duckdb.Error as error:
            status, message = "error", reason_of(error)
        return Result(unique_id, status, failures, message, time.perf_counter() - started, sql)

    def _filled(self, cursor: duckdb.DuckDBPyConnection, sql: str) -> str:
        """Put into SQL what only this build knows: the folder, and the values of queries."""
        open_parts: list[list[str]] = [[]]
        known: dict[str, str] = {}
        folder = _as_pattern(self.data)
        for part in _MARKS.split(sql):
            if part == "«":
                open_parts.append([])
            elif part == "»":
                query = "".join(open_parts.pop())
                if query not in known:
                    values = [str(value) for (value,) in cursor.execute(query).fetchall()]
                    known[query] = ", ".join(map(_quoted, values)) or "null"
                open_parts[-1].append(known[query])
            else:
                open_parts[-1].append(part.replace(DATA, folder))
        return "".join(open_parts[0])

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
            cursor.execute(self._filled(cursor, hook))
        if node.contract:
            contracts.check(cursor, node.relation, node.contract)
        cursor.execute("commit")

    def _renew(self, cursor: duckdb.DuckDBPyConnection, node: Node, sql: str) -> None:
        for hook in node.before:
            cursor.execute(self._filled(cursor, hook))
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

    def _skip_what_follows(self) -> None:
        """Have a node that fails count as skipped where all that a broken law reads is behind it.

        The law is then the reason, and the one to be told.
        """
        broken = [i for i, result in self.results.items() if result.status == "fail"]
        for law in broken:
            read = set(self.nodes[law].parents)
            for unique_id, result in self.results.items():
                if result.status in ("fail", "error") and any(
                    read <= self._behind(parent) for parent in self._parents_or_self(unique_id)
                ):
                    result.status = "skipped"

    def _parents_or_self(self, unique_id: str) -> Iterable[str]:
        node = self.nodes[unique_id]
        return node.parents if node.is_law else [unique_id]

    def _behind(self, unique_id: str) -> set[str]:
        """Return all models that a model reads, directly or by way of others."""
        found: set[str] = set()
        waiting = list(self.nodes[unique_id].parents)
        while waiting:
            parent = waiting.pop()
            if parent not in found:
                found.add(parent)
                waiting += self.nodes[parent].parents
        return found


def _count(cursor: duckdb.DuckDBPyConnection, sql: str) -> int:
    found = cursor.execute(f"select count(*) from (\n{sql}\n)").fetchone()  # noqa: S608
    return int(found[0]) if found else 0


def _describe(db: duckdb.DuckDBPyConnection, models: Iterable[Node]) -> None:
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
