"""The user's own part of the dbt project: the folder BLSYNC_PROJECT, laid over ours as a package.

Our dbt project stays the root, so that nothing of it can be overridden from there: the user's
models refer to ours and to macros of ours, and have names and tables of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from blsync.entities import own_entities
from blsync.errors import BlsyncError, BuildError, ConfigError
from blsync.files.places import PROJECT

PACKAGE = "own"
"""The name that dbt knows it by."""
SCHEMA = "own"
"""Where its models are, but for those whose folder says more."""
SCHEMAS = (SCHEMA, "proposals", "staging", "intermediate")
"""Where its models may be; histories of its own entities are in `history` beside ours."""
_LINKED = ("models", "macros", "tests")
_MENTIONED = re.compile(rf"(?:{'|'.join(_LINKED)})/[^\s'\"():,]+")
_HEAD = re.compile(r"\A\w+ Error[^\n]*\n")
_STACK = re.compile(r"\n\s*> (in|called by) .*", re.DOTALL)
_MOST_SAID = 400


def files_of(project: Path | None) -> list[Path]:
    """Return the files that dbt reads of it, in one order."""
    parts = [project / name for name in _LINKED] if project else []
    found = (path for part in parts for path in part.rglob("*"))
    return sorted(path for path in found if path.is_file())


def histories(project: Path | None) -> list[Path]:
    """Return the models of histories that are the user's own."""
    return sorted((project / "models" / "history").glob("hist_*.sql")) if project else []


def write_packages(project: Path | None, folder: Path) -> dict[str, str]:
    """Write into a folder what dbt takes the user's own part from; returns the variable that tells
    dbt of it. Without a project the folder is made and stays empty.

    Raises ConfigError where a file of the user's cannot be a part of the project.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if project:
        _check_names(project)
        package = folder / PACKAGE
        package.mkdir()
        for name in _LINKED:
            if (project / name).is_dir():
                (package / name).symlink_to(project / name)
        text = json.dumps(_configuration())  # which is YAML too
        (package / "dbt_project.yml").write_text(text, encoding="utf-8")
    return {"BLSYNC_PACKAGES": str(folder)}


def _configuration() -> dict[str, Any]:
    """Return the package's dbt_project.yml: as ours, but what is in no folder of a layer is in its
    own schema, and the folder of our marts is none of its.
    """
    import yaml

    ours = yaml.safe_load((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))
    models = _of_nobody(ours["models"][ours["name"]])
    del models["marts"]
    paths = {name: ours[name] for name in ("model-paths", "macro-paths", "test-paths")}
    return {
        **{"name": PACKAGE, "version": "1.0.0", "config-version": 2},
        **paths,
        "seed-paths": ours["seed-paths"],
        "models": {PACKAGE: {**models, "+schema": SCHEMA}},
        "sources": {PACKAGE: ours["sources"][ours["name"]]},
    }


def _of_nobody(configuration: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration of folders without what says who may refer to their models."""
    return {
        name: _of_nobody(value) if isinstance(value, dict) else value
        for name, value in configuration.items()
        if name not in ("+group", "+access")
    }


def _check_names(project: Path) -> None:
    """Raise ConfigError where a file's name is taken, or its place means nothing."""
    taken: dict[str, Path] = {
        path.stem: path
        for folder in (PROJECT / "models", PROJECT / "tests")
        for path in _named(folder)
    }
    for folder in (project / "models", project / "tests"):
        for path in _named(folder):
            if other := taken.get(path.stem):
                whose = "ours" if other.is_relative_to(PROJECT) else str(other)
                raise ConfigError(
                    f"{path}: the name {path.stem} is taken ({whose} is {other.name}), and models "
                    "and laws are referred to by their names. Give the file another one."
                )
            taken[path.stem] = path
    for path in (project / "models").rglob("*.py"):
        raise ConfigError(f"{path}: models are written in SQL; this one is Python.")
    _check_histories(project, taken)


def _named(folder: Path) -> Iterator[Path]:
    """Yield files whose names dbt knows what they hold by: models and laws, not generic tests."""
    for path in sorted(folder.rglob("*.sql")):
        if path.relative_to(folder).parts[0] != "generic" or folder.name != "tests":
            yield path


def _check_histories(project: Path, names: dict[str, Path]) -> None:
    known = own_entities()
    for path in sorted((project / "models").rglob("hist_*.sql")):
        entity = path.stem.removeprefix("hist_")
        if path.parent != project / "models" / "history":
            raise ConfigError(f"{path}: histories of entities belong into models/history/.")
        if entity not in known:
            raise ConfigError(
                f"{path}: there is no entity {entity} of your own. Write entities/{entity}.py, or "
                "give the model a name that does not begin with hist_."
            )
        if f"stg_{entity}" not in names:
            raise ConfigError(
                f"{path}: a history needs models/staging/stg_{entity}.sql beside it, because its "
                "records are counted there. One line does: "
                f"{{{{ latest_of(ref('hist_{entity}')) }}}}"
            )


def problem_of(node: Any, known: Iterable[str]) -> str | None:
    """Return why a model of the user's, as dbt has read it, cannot be built; None where it can.

    `known` are materializations.
    """
    if node.config.materialized not in known:
        return f"it is materialized as {node.config.materialized!r}; known are {', '.join(known)}"
    is_history = node.schema == "history" and bool(node.config.meta.get("entity"))
    if node.schema not in SCHEMAS and not is_history:
        return f"it is in the schema {node.schema}; its own models may be in {', '.join(SCHEMAS)}"
    return None


def not_compiled(project: Path | None, said: str) -> BlsyncError:
    """Return what to say where dbt could not compile: ours has compiled before, so what the user
    has laid over it is the reason, unless a file of ours alone is named.
    """
    named = _MENTIONED.findall(said)
    of_user = [name for name in named if project and (project / name).is_file()]
    if project and (of_user or not any((PROJECT / name).is_file() for name in named)):
        where = project / of_user[0] if of_user else project
        reason = " ".join(_STACK.sub("", _HEAD.sub("", said)).split()).rstrip(".")
        return ConfigError(
            f"{where} (of BLSYNC_PROJECT) cannot be compiled, so nothing is built and what is "
            f"published stays: {reason[:_MOST_SAID]}. Mend the file, or take it out of the folder."
        )
    return BuildError(
        f"dbt could not compile the project in {PROJECT}, so the marts were not built and the "
        f"published ones stay: {' '.join(said.split())[-500:] or 'it said nothing'}"
    )
