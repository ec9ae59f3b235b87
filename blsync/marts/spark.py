"""Models and laws run by Spark: the same compiled SQL, translated (`blsync.marts.spark_sql`).

Spark makes each table whole, as Parquet in `builds/ID/SCHEMA/TABLE` of the data folder. DuckDB says
which columns and types it has, looks at its contract, and serves it: a `build.duckdb` as of any
other build comes of it, with the public tables in it and views over the others' Parquet. So nothing
that reads a build needs to know which engine made it.

As a program (`python -m blsync.marts.spark FOLDER`) this runs what `job.json` in FOLDER says, in a
process of its own, because Spark's virtual machine keeps its memory, and writes where it pleases.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from blsync.errors import BuildError, ConfigError
from blsync.files.atomic import storage_errors
from blsync.marts import contracts
from blsync.marts.compiled import PUBLIC_SCHEMAS, Compiled, Node
from blsync.marts.database import STORAGE_VERSION
from blsync.marts.running import Failed, Result, describe, filled, in_order, timed, values_of
from blsync.settings import Settings, environment_for_a_child

KEPT = 2
"""Builds whose Parquet is kept: of the latest and the one before."""
SMALL = 2**30
"""Bytes of landed files below which planning takes longer than running."""
_ENDED = "ended"
"""The file in a build's folder that says that it came to its end, well or not."""
_SETTINGS = {
    "spark.log.level": "OFF",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "10000",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
_QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_FOR_SMALL = {
    "spark.driver.extraJavaOptions": _QUICK,
    "spark.executor.extraJavaOptions": _QUICK,
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.shuffle.partitions": "4",
}
"""What is compiled for each query, and optimized, pays only where many rows go through it."""
_PLACE = (
    "url_decode(replace(substring(_metadata.file_path, 8), '+', '%2B')) as filename",
    "_metadata.row_index as file_row_number",
)
"""Where a row lies, as DuckDB has it: the path, which Spark tells as a file:// address."""


class Job(msgspec.Struct):
    """What the program runs: the nodes, on what master, with what of a data folder, in how much
    memory (bytes).
    """

    compiled: Compiled
    master: str
    data: str
    memory: int
    is_small: bool


def ensure_there(settings: Settings) -> None:
    """Raise ConfigError where Spark cannot be started because something is not installed."""
    if not (find_spec("pyspark") and find_spec("sqlglot")):
        raise ConfigError(
            "BLSYNC_ENGINE is spark, and Spark is not installed here. Install it with: "
            "pip install 'blsync[spark]' - or take the setting away, and DuckDB builds."
        )
    home = os.environ.get("JAVA_HOME")
    java = Path(home) / "bin" / "java" if home else shutil.which("java")
    if not java or not Path(java).is_file():
        where = f"JAVA_HOME ({home})" if home else "PATH"
        raise ConfigError(
            f"BLSYNC_ENGINE is spark, and there is no java in {where}, which Spark runs in. "
            "Install Java 17 or later, for example with: apt-get install openjdk-17-jre-headless - "
            "or take the setting away, and DuckDB builds."
        )


def run(settings: Settings, compiled: Compiled, memory: int, landed: int) -> list[Result]:
    """Run all models and laws, of `landed` bytes of files, and put what they made in the place of
    `build.duckdb`; returns how each went.

    Raises BuildError where Spark cannot be started or dies; StorageError.
    """
    builds, data = settings.data / "builds", settings.data
    folder = builds / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    with storage_errors(builds):
        _remove_all_but(builds, KEPT)
        folder.mkdir(parents=True)
        job = Job(compiled, settings.spark, str(data), memory, landed < SMALL)
        (folder / "job.json").write_bytes(msgspec.json.encode(job))
    said = _run_apart(folder)
    written = folder / "results.json"
    if not written.exists():
        raise BuildError(
            f"Spark ({settings.spark}) did not come to its end: {_condensed(said)}. The published "
            "marts stay as they were. Check BLSYNC_SPARK, and that the machines it names have "
            "memory and disk left, then run the same command again."
        )
    results = msgspec.json.decode(written.read_bytes(), type=list[Result])
    with storage_errors(folder):
        # A night of DuckDB's stands on what DuckDB built: after this it begins anew.
        (data / "build.models").unlink(missing_ok=True)
        (data / "build.duckdb.wal").unlink(missing_ok=True)
        (folder / "build.duckdb").replace(data / "build.duckdb")
        (folder / _ENDED).touch()
        for name in ("job.json", "results.json"):
            (folder / name).unlink()
        shutil.rmtree(folder / "scratch", ignore_errors=True)
        _remove_all_but(builds, KEPT)
    return results


def _remove_all_but(builds: Path, kept: int) -> None:
    """Remove builds that were killed, and all others but the latest ones."""
    ended = sorted(path.parent for path in builds.glob(f"*/{_ENDED}"))[-kept:]
    for folder in builds.glob("*"):
        if folder not in ended:
            shutil.rmtree(folder)


def _run_apart(folder: Path) -> str:
    """Run the program in a folder; returns the end of what it said."""
    of_spark = ("SPARK_", "JAVA_", "HADOOP_")
    more = {name: value for name, value in os.environ.items() if name.startswith(of_spark)}
    log = folder / "spark.log"
    with log.open("wb") as said:
        program = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", __spec__.name, str(folder)],
            # What Spark spills is part of the build, and goes with it.
            env=environment_for_a_child({"SPARK_LOCAL_DIRS": str(folder / "scratch")} | more),
            cwd=folder,
            stdin=subprocess.PIPE,  # it ends as soon as nobody holds the other end
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        try:
            program.wait()
        except BaseException:
            program.kill()
            program.wait()
            raise
        finally:
            if program.stdin:
                program.stdin.close()
    return log.read_text(encoding="utf-8", errors="replace")[-20_000:]


def _condensed(said: str) -> str:
    """Return why Spark failed: its error's class and first sentence, without values of records."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = next((line for line in lines if re.search(r"\[[A-Z][A-Z0-9_.]+\]", line)), None)
    told = told or next(
        (line for line in reversed(lines) if "Exception" in line or "Error" in line), ""
    )
    found = re.search(r"\[[A-Z][A-Z0-9_.]+\].*", told)
    text = re.sub(r"'[^']*'", "'…'", found.group() if found else told)
    return text.partition(" SQLSTATE")[0][:300].rstrip(". ") or "it said nothing"


def program(folder: Path) -> None:
    """Run what `job.json` in a folder says, and write `results.json` and `build.duckdb`."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    job = msgspec.json.decode((folder / "job.json").read_bytes(), type=Job)
    spark = session(job.master, job.memory, is_small=job.is_small)
    with duckdb.connect() as db:
        build = _Build(db, spark, job, folder)
        file = _quoted(folder / "build.duckdb")
        # Under the name that hooks and views say.
        db.execute(f"attach '{file}' as build (storage_version '{STORAGE_VERSION}')")
        db.execute("use build")
        for name, value in job.compiled.settings.items():
            db.execute(f"set global {name} = '{value}'")
        db.execute(f"set global memory_limit = '{job.memory // 2**20 // 2}MiB'")
        nodes = job.compiled.nodes
        for schema in sorted({node.schema for node in nodes.values() if not node.is_law}):
            db.execute(f'create schema if not exists "{schema}"')
        results = list(in_order(nodes, nodes, build.result_of).values())
        made = {result.unique_id for result in results if result.status == "success"}
        describe(db, [_as_served(nodes[i]) for i in made if not nodes[i].is_law])
    spark.stop()
    (folder / "results.json").write_bytes(msgspec.json.encode(results))


def _end_with_the_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def session(master: str, memory: int, *, is_small: bool) -> Any:
    """Start Spark as builds have it, with so many bytes of memory for what it plans with."""
    from pyspark.sql import SparkSession

    options = _SETTINGS | (_FOR_SMALL if is_small else {})
    options |= {"spark.driver.memory": f"{memory // 2**20}m"}
    if master.startswith("local"):
        options |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    builder = SparkSession.builder.appName("blsync").master(master)
    for name, value in options.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _as_served(node: Node) -> Node:
    """Return a node as `build.duckdb` has it: what is public as a table, all else as a view."""
    kind = "table" if node.schema in PUBLIC_SCHEMAS else "view"
    return msgspec.structs.replace(node, materialized=kind)


class _Build:
    """A build that is running. Its views are SCHEMA__TABLE, files_NUMBER and part_NUMBER_NAME."""

    def __init__(self, db: duckdb.DuckDBPyConnection, spark: Any, job: Job, folder: Path) -> None:
        self.db, self.spark, self.folder = db, spark, folder
        self.data = Path(job.data)
        self.columns: dict[str, list[str]] = {}
        self.files: dict[tuple[str, bool], str] = {}
        self.lock = threading.Lock()
        self.numbers = count()

    def result_of(self, node: Node, is_there: bool) -> Result:
        """Run a node, where what it reads is there."""
        if not is_there:
            return Result(node.id, "skipped", compiled_code=node.whole)
        with self.db.cursor() as cursor:
            cursor.execute("use build")
            fill = partial(filled, data=self.data, ask=partial(values_of, cursor))
            return timed(node, node.whole, fill, partial(self._run, cursor, node))

    def _run(self, cursor: duckdb.DuckDBPyConnection, node: Node, sql: str) -> int | None:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
        from sqlglot.errors import SqlglotError

        try:
            if node.is_law:
                query = f"select count(*) from (\n{self._translated(cursor, sql)}\n)"  # noqa: S608
                return int(self.spark.sql(query).collect()[0][0])
            self._make(cursor, node, sql)
        except SqlglotError as error:
            raise Failed(f"it cannot be translated for Spark: {_condensed(str(error))}") from None
        except (PySparkException, Py4JError) as error:
            raise Failed(f"Spark cannot run it: {_condensed(str(error))}") from None
        return None

    def _translated(self, cursor: duckdb.DuckDBPyConnection, sql: str) -> str:
        """Return a query as Spark's, after what it names often was made."""
        from blsync.marts.spark_sql import parts_of, translated

        with self.lock:
            prefix = f"part_{next(self.numbers)}"
        *parts, (_, whole) = parts_of(sql, partial(self._view_of_files, cursor), prefix)
        for view, tree in parts:
            frame = self.spark.sql(translated(tree, self.columns.get))
            if all(kind != "void" for _, kind in frame.dtypes):  # which Parquet has not
                place = str(self.folder / "scratch" / view)
                frame.write.parquet(place)
                frame = self.spark.read.schema(frame.schema).parquet(_as_hadoop_pattern(place))
            frame.createOrReplaceTempView(view)
            self.columns[view] = frame.columns
        return translated(whole, self.columns.get)

    def _make(self, cursor: duckdb.DuckDBPyConnection, node: Node, sql: str) -> None:
        from blsync.marts.spark_sql import spark_type

        # Of what DuckDB has no type in Parquet, nothing is compared but with its like.
        types = {
            name: kind.replace("UBIGINT", "BIGINT")
            for name, kind, *_ in cursor.execute(f"describe {sql}").fetchall()
        }
        frame = self.spark.sql(self._translated(cursor, sql))
        place = self.folder / node.schema / node.alias
        typed = [
            f"cast(`{name}` as {spark_type(kind)}) as `{name}`" for name, kind in types.items()
        ]
        typed_frame = frame.selectExpr(*typed)
        typed_frame.write.parquet(str(place))
        view = f"{node.schema}__{node.alias}"
        made = self.spark.read.schema(typed_frame.schema).parquet(_as_hadoop_pattern(str(place)))
        made.createOrReplaceTempView(f"`{view}`")
        self.columns[view] = list(types)
        self._serve(cursor, node, place, types)

    def _serve(
        self,
        cursor: duckdb.DuckDBPyConnection,
        node: Node,
        place: Path,
        types: Mapping[str, str],
    ) -> None:
        """Have DuckDB serve what Spark made, and look at its contract; in one transaction."""
        columns = ", ".join(f'cast("{name}" as {kind}) as "{name}"' for name, kind in types.items())
        pattern = _quoted(str(place).replace("[", "[[]").replace("*", "[*]"))
        query = f"select {columns} from read_parquet('{pattern}/*.parquet')"  # noqa: S608
        cursor.execute("begin")
        cursor.execute(f"create {_as_served(node).materialized} {node.relation} as {query}")
        for hook in node.after:
            cursor.execute(filled(hook, self.data, partial(values_of, cursor)))
        if node.contract:
            contracts.check(cursor, node.relation, node.contract)
        cursor.execute("commit")

    def _view_of_files(self, cursor: duckdb.DuckDBPyConnection, call: str, has_place: bool) -> str:
        """Return the view of the files that a call of `read_parquet` reads, in DuckDB's types."""
        from blsync.marts.spark_sql import paths_in, spark_type

        with self.lock:
            if (call, has_place) not in self.files:
                found = cursor.execute(f"describe select * from {call}").fetchall()  # noqa: S608
                types = {name: kind for name, kind, *_ in found if name != "filename"}
                schema = ", ".join(f"`{name}` {spark_type(kind)}" for name, kind in types.items())
                paths = [_as_hadoop_pattern(path) for path in paths_in(call)]
                frame = self.spark.read.schema(schema).parquet(*paths)
                if has_place:
                    frame = frame.selectExpr("*", *_PLACE)
                name = f"files_{len(self.files)}"
                frame.createOrReplaceTempView(name)
                self.columns[name] = frame.columns
                self.files[call, has_place] = name
            return self.files[call, has_place]


def _as_hadoop_pattern(path: str) -> str:
    """Return a path as Hadoop's file systems read it as this path alone."""
    return re.sub(r"([\[\]{}*?\\])", r"\\\1", path)


def _quoted(text: object) -> str:
    return str(text).replace("'", "''")


if __name__ == "__main__":
    program(Path(sys.argv[1]))
