"""dbt's models and laws as SQL that is ready to run, compiled once for each state of the project.

Rendering a model takes dbt longer than running it takes DuckDB, and what comes out is the same
night after night, but for what `warehouse/macros/ahead.sql` leaves open. So dbt compiles all of it
in both forms: `whole`, which makes every table anew, and `night`, which stands on the last whole
build. `blsync.marts.running` runs it.

As a program (`python -m blsync.marts.compiled FOLDER`) this compiles the project into FOLDER, in a
process of its own: dbt needs more memory than the build of small books, and keeps it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from blsync.files.atomic import storage_errors
from blsync.files.locks import blocking_file_lock
from blsync.files.places import IS_CHECKOUT, PROJECT
from blsync.marts import overlay
from blsync.settings import Settings, environment_for_a_child

DATA = "/the.data.folder.of.a.build"
"""Stands in compiled SQL where the data folder's path belongs."""
FORMS = ("whole", "night")
MATERIALIZED = ("table", "view", "incremental")
PUBLIC_SCHEMAS = ("finance", "history", "proposals", overlay.SCHEMA)
"""Those of the published file."""
_AHEAD = "BLSYNC_AHEAD"
_FAILURE = "failure"
"""The file in which the program says why it could not compile."""
_BETWEEN = "\n--*--\n"
"""Between hooks that are rendered in one go."""
_INLINE = '"build"."main"."inline_query"'
"""What `this` is in a hook that is rendered by itself."""


class Contract(msgspec.Struct, frozen=True):
    """What a table is to be: the types of its columns by name, as DuckDB writes them, which of them
    are never null, and what holds of each row, as SQL.
    """

    types: dict[str, str] = {}
    never_null: list[str] = []
    holds: list[str] = []


class Node(msgspec.Struct, frozen=True):
    """A model or a law. `whole` and `night` are its SQL in both forms."""

    id: str
    name: str
    is_law: bool
    file: str
    """Where it is written, inside BLSYNC_PROJECT; empty for one of ours."""
    relation: str
    """Its full name in the build, quoted; empty for a law."""
    schema: str
    alias: str
    materialized: str
    unique_key: list[str]
    parents: list[str]
    """Ids of the models that it reads."""
    whole: str
    night: str
    before: list[str]
    """What is to run before it in a night, in one transaction with it."""
    after: list[str]
    is_warning: bool
    description: str
    columns: dict[str, str]
    """What its columns mean, by name."""
    contract: Contract | None


class Compiled(msgspec.Struct, frozen=True):
    """The project: its nodes by id, DuckDB's settings, and the SQL that remembers a whole build."""

    nodes: dict[str, Node]
    settings: dict[str, Any]
    what_a_build_knew: str


def prepare(settings: Settings, say: Callable[[str], None]) -> None:
    """Compile the project where it was not, and say so: it takes a while.

    Raises ConfigError where what the user has laid over it is the reason that it cannot be;
    BuildError, StorageError.
    """
    _folder(settings.data, settings.project, say)


def manifest_of(settings: Settings) -> Path:
    """Return dbt's manifest of the project as it is, which is compiled where it was not.

    Raises what `prepare` does.
    """
    return _folder(settings.data, settings.project) / "manifest.json"


def models_of(settings: Settings) -> list[Node]:
    """Return the project's models. Raises what `prepare` does."""
    nodes = compiled_project(settings.data, settings.project).nodes.values()
    return [node for node in nodes if not node.is_law]


def compiled_project(data: Path, project: Path | None = None) -> Compiled:
    """Return the project as it is, with what the folder `project` lays over it, compiled where it
    was not. Raises what `prepare` does.
    """
    found = (_folder(data, project) / "compiled.json").read_bytes()
    return msgspec.json.decode(found, type=Compiled)


def entities_of_project(project: Path | None = None) -> list[str]:
    """Return the names of the entities that the dbt project, or what is laid over it, has a history
    of.

    dbt has to be told: while it reads the models, which is when it learns what refers to what, it
    cannot look into its own graph (`warehouse/macros/entities.sql`).
    """
    histories = [*(PROJECT / "models" / "history").glob("hist_*.sql"), *overlay.histories(project)]
    return sorted(path.stem.removeprefix("hist_") for path in histories)


def _folder(data: Path, project: Path | None, say: Callable[[str], None] = lambda _: None) -> Path:
    """Return where the compiled project is, under a name of all that it was made of.

    In a checkout that is where dbt has its files; an installed project may be read-only, and what a
    user lays over it is of one data folder, so there it is the data folder.
    """
    place = PROJECT / "target" if IS_CHECKOUT and project is None else data / "cache"
    folder = place / f"compiled-{_fingerprint(project)}"
    if folder.is_dir():
        return folder
    with storage_errors(folder):
        place.mkdir(parents=True, exist_ok=True)
        busy = "Another process compiles the models; waiting for it."
        with blocking_file_lock(place / "compiling.lock", say, busy):
            if not folder.is_dir():
                say("dbt compiles the models, once for this version of them: about 15 seconds.")
                _compile_into(folder, project)
                for earlier in place.glob("compiled-*"):
                    if earlier != folder:
                        shutil.rmtree(earlier, ignore_errors=True)
    return folder


def _fingerprint(project: Path | None) -> str:
    """Return what changes with any file of the project, or of what is laid over it, with what
    compiles them, and with their places.
    """
    files = [PROJECT / "dbt_project.yml", PROJECT / "profiles.yml"]
    files += [Path(__file__), Path(overlay.__file__), *overlay.files_of(project)]
    files += [p for d in ("models", "macros", "tests") for p in (PROJECT / d).rglob("*")]
    parts = [str(PROJECT).encode(), str(project or "").encode(), version("dbt-core").encode()]
    parts.append(version("dbt-duckdb").encode())
    for path in sorted(path for path in files if path.is_file()):
        parts += [str(path.relative_to(PROJECT.anchor)).encode(), path.read_bytes()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _compile_into(folder: Path, project: Path | None) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="compiling-") as draft:
        command = [sys.executable, "-m", __spec__.name, draft]
        told = overlay.write_packages(project, Path(draft) / "packages")
        told |= {"BLSYNC_DATA": DATA, "DBT_ENTITIES": " ".join(entities_of_project(project))}
        told |= {"DBT_LOG_LEVEL_FILE": "none", "DBT_LOG_PATH": draft}
        told["BLSYNC_BUILD_FILE"] = str(Path(draft) / "build.duckdb")
        done = subprocess.run(  # noqa: S603
            command,
            env=environment_for_a_child(told),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise overlay.not_compiled(project, _reason(Path(draft), done))
        written = Path(draft) / "whole"
        written.mkdir()
        for name in ("manifest.json", "compiled.json"):
            (Path(draft) / name).rename(written / name)
        written.rename(folder)


def _reason(draft: Path, dbt: subprocess.CompletedProcess[str]) -> str:
    """Return why dbt could not compile, as the program has written it down or else dbt said it."""
    told = draft / _FAILURE
    return told.read_text(encoding="utf-8") if told.is_file() else said_by(dbt)


def said_by(dbt: subprocess.CompletedProcess[str]) -> str:
    """Return the end of what dbt said, less what DuckDB's binding says of a process that stops."""
    said = " ".join((dbt.stdout + dbt.stderr).split()).partition("nanobind: leaked")[0].strip()
    return said[-500:] or "it said nothing"


def compile_project(folder: Path) -> None:
    """Have dbt compile the project, and write `manifest.json` and `compiled.json` into a folder."""
    from dbt.cli.main import dbtRunner

    places = {"project-dir": PROJECT, "profiles-dir": PROJECT, "target-path": folder}
    options = [f"--{name}={place}" for name, place in places.items()]

    def dbt(*arguments: str) -> Any:
        done = dbtRunner(manifest=manifest).invoke(
            ["--quiet", "--no-populate-cache", *arguments, *options]
        )
        if not done.success:
            failed = [r for r in getattr(done.result, "results", None) or [] if r.message]
            told = [f"{r.node.original_file_path}: {r.message}" for r in failed[:1]]
            stop(str(done.exception or "") or "".join(told) or "see above")
        return done.result

    def stop(why: str) -> NoReturn:
        (folder / _FAILURE).write_text(why, encoding="utf-8")
        sys.exit(why)

    manifest = None
    manifest = dbt("parse")
    written = {}
    for form in FORMS:
        os.environ[_AHEAD] = form
        # Unit tests need tables to be there, and are dbt's to run.
        for result in dbt("compile", "--exclude", "test_type:unit").results:
            written[form, result.node.unique_id] = result.node.compiled_code
    nodes = [n for n in manifest.nodes.values() if n.resource_type in ("model", "test")]
    for node in nodes:
        if node.resource_type == "model" and (problem := _problem_of(node)):
            stop(f"{node.original_file_path}: {problem}")
    hooks = [hook.sql for node in nodes for hook in _hooks(node)]
    text = _BETWEEN.join([*hooks, "{{ what_a_build_knew() }}", "{{ tojson(target.settings) }}"])
    [inline] = dbt("compile", "--inline", text).results
    *rendered, what_a_build_knew, duckdb = inline.node.compiled_code.split(_BETWEEN)
    told = {}
    for node in nodes:
        own = [rendered.pop(0).replace(_INLINE, node.relation_name) for _ in _hooks(node)]
        count = len(node.config.pre_hook) if node.resource_type == "model" else 0
        told[node.unique_id] = Node(
            id=node.unique_id,
            name=node.name,
            is_law=node.resource_type == "test",
            file=node.original_file_path if node.package_name == overlay.PACKAGE else "",
            relation=node.relation_name or "",
            schema=node.schema,
            alias=node.alias,
            materialized=node.config.materialized,
            unique_key=list(node.config.get("unique_key") or []),
            parents=[parent for parent in node.depends_on.nodes if parent.startswith("model.")],
            whole=written["whole", node.unique_id],
            night=written["night", node.unique_id],
            before=own[:count],
            after=own[count:],
            is_warning=str(node.config.get("severity") or "error").lower() == "warn",
            description=node.description,
            columns={column.name: column.description for column in node.columns.values()},
            contract=_contract_of(node) if node.resource_type == "model" else None,
        )
    compiled = Compiled(told, msgspec.json.decode(duckdb), what_a_build_knew)
    (folder / "compiled.json").write_bytes(msgspec.json.encode(compiled))


def _contract_of(node: Any) -> Contract | None:
    """Return the contract that a model's yml has it keep, if any."""
    if not node.config.contract.enforced:
        return None
    told = [(c.name, rule) for c in node.columns.values() for rule in c.constraints]
    checks = [rule.expression for _, rule in told if rule.type == "check"]
    checks += [rule.expression for rule in node.constraints if rule.type == "check"]
    return Contract(
        types={column.name: column.data_type or "" for column in node.columns.values()},
        never_null=[name for name, rule in told if rule.type == "not_null"],
        holds=[check for check in checks if check],
    )


def _problem_of(node: Any) -> str | None:
    """Return why a model that dbt has read cannot be run by us; None where it can."""
    if node.package_name == overlay.PACKAGE:
        return overlay.problem_of(node, MATERIALIZED)
    if node.config.materialized in MATERIALIZED:
        return None
    known = ", ".join(MATERIALIZED)
    return f"it is materialized as {node.config.materialized!r}; known are {known}"


def _hooks(node: Any) -> list[Any]:
    if node.resource_type != "model":
        return []
    return [*node.config.pre_hook, *node.config.post_hook]


if __name__ == "__main__":
    compile_project(Path(sys.argv[1]))
