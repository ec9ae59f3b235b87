"""The parts of the reference documents that code knows, and how they are written anew.

A document has them between two marks, `<!-- begin NAME -->` and `<!-- end NAME -->`; NAME says
which of the functions below renders the part, and of what. `make reference` writes all of them
anew, and `blsync_tests/test_docs.py` fails where one is not what the code renders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from typer.main import get_command

from blsync import settings
from blsync.cli.app import app
from blsync.text.readings import rows_of_readings
from blsync.text.spellings import rows_of_table
from blsync.text.synonyms import rows_of_headers, rows_of_words

FOLDER = Path(__file__).parent
WAREHOUSE = settings.ROOT / "warehouse"
EVERYWHERE = {"company_id", "currency", "built_at"}
"""Columns that every mart has: the document names them once."""

_PART = re.compile(r"<!-- begin (?P<name>[^>]+) -->\n.*?<!-- end (?P=name) -->\n", re.DOTALL)
_EXAMPLE = re.compile(r"Example: ([^`]+?) `([^`]+)`")


def main() -> None:
    """Write the generated parts of every document in this folder anew."""
    for path in sorted(FOLDER.glob("*.md")):
        path.write_text(rendered(path.read_text(encoding="utf-8")), encoding="utf-8")


def rendered(document: str) -> str:
    """Return a document with its generated parts as the code would have them now."""

    def part(found: re.Match[str]) -> str:
        name = found["name"]
        renderer, _, about = name.partition(" ")
        return f"<!-- begin {name} -->\n\n{RENDERERS[renderer](about)}\n\n<!-- end {name} -->\n"

    return _PART.sub(part, document)


def settings_table(_: str) -> str:
    """Return every setting with its default."""
    rows = [(f"`{name}`", default, meaning) for name, default, meaning in settings.described()]
    return table(("name", "default", "meaning"), rows)


def commands(_: str) -> str:
    """Return every command with its arguments and options."""
    return "\n\n".join(_described(path, command) for path, command in walk(get_command(app)))


def walk(command: Any, path: str = "blsync") -> Iterator[tuple[str, Any]]:
    """Yield each command that does something, with all the words that call it."""
    below = getattr(command, "commands", None)
    if below is None or command.invoke_without_command:  # `blsync` itself has --version
        yield path, command
    for name, inner in (below or {}).items():
        if not inner.hidden:
            yield from walk(inner, f"{path} {name}")


def parameters(command: Any) -> Iterator[tuple[str, Any]]:
    """Yield a command's arguments and options, each as it is written on the command line."""
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            yield parameter.name.upper(), parameter
        else:
            yield ", ".join([*parameter.opts, *parameter.secondary_opts]), parameter


def _described(path: str, command: Any) -> str:
    call = " ".join([path, *filter(None, (_in_call(*named) for named in parameters(command)))])
    rows = [
        (f"`{name}`", _default(parameter), _help(parameter))
        for name, parameter in parameters(command)
    ]
    paragraphs = [" ".join(text.split()) for text in (command.help or "").split("\n\n")]
    parts = [f"### `{call}`", *filter(None, paragraphs)]
    return "\n\n".join([*parts, *([table(("", "default", ""), rows)] if rows else [])])


def _in_call(name: str, parameter: Any) -> str | None:
    """Return how an argument stands in the command's call; None for an option."""
    if parameter.param_type_name != "argument":
        return None
    written = f"{name}…" if parameter.nargs == -1 else name
    return written if parameter.required else f"[{written}]"


def _default(parameter: Any) -> str:
    """Return what holds where nothing is said; of a switch, only where it has a name for both."""
    value = parameter.default
    if isinstance(value, bool):
        spellings = [parameter.opts[0], *parameter.secondary_opts]
        return f"`{spellings[not value]}`" if len(spellings) == 2 else ""
    return "" if value in (None, "") else f"`{value}`"


def _help(parameter: Any) -> str:
    given = [parameter.help] if parameter.help else []
    kind = parameter.type_descriptor.annotation
    if choices := [*get_args(kind)] if get_origin(kind) is Literal else _members(kind):
        given.append(f"One of {', '.join(choices)}.")
    if parameter.multiple:
        given.append("May be given several times.")
    return " ".join(given)


def _members(kind: Any) -> list[str]:
    return [*map(str, kind)] if isinstance(kind, type) and issubclass(kind, StrEnum) else []


def marts(folder: str) -> str:
    """Return the tables of a folder of `warehouse/models`, with their laws and columns."""
    laws = _laws()
    models = [
        model
        for path in sorted((WAREHOUSE / "models" / folder).glob("*.yml"))
        for model in _read(path).get("models", [])
    ]
    return "\n\n".join(_mart(model, laws.get(model["name"], [])) for model in models)


def history(_: str) -> str:
    """Return the tables of schema `history`."""
    files = sorted((WAREHOUSE / "models" / "history").glob("*.yml"))
    models = [model for path in files for model in _read(path).get("models", [])]
    models.sort(key=lambda model: str(model["name"]))
    return "\n\n".join(
        _mart({**model, "name": model["name"].replace("hist_", "history.")}, []) for model in models
    )


def _mart(model: dict[str, Any], laws: list[str]) -> str:
    text = " ".join(model["description"].split())
    example = _EXAMPLE.search(text)
    parts = [f"### {model['name']}", _EXAMPLE.sub("", text).strip()]
    if laws:
        parts.append("\n".join(["Laws:", "", *(f"- {law}" for law in laws)]))
    columns = [column for column in model["columns"] if column["name"] not in EVERYWHERE]
    has_types = all("data_type" in column for column in columns)
    rows = [
        (
            f"`{column['name']}`",
            *([column["data_type"]] if has_types else []),
            " ".join(column["description"].split()),
        )
        for column in columns
    ]
    parts.append(table(("column", *(["type"] if has_types else []), "meaning"), rows))
    if example:
        parts.append(f"{example[1]}\n\n```sql\n{example[2]}\n```")
    return "\n\n".join(parts)


def _laws() -> dict[str, list[str]]:
    """Return what the laws say, by the table that each belongs to."""
    found: dict[str, list[str]] = {}
    for path in sorted((WAREHOUSE / "tests").rglob("*.yml")):
        for law in _read(path)["data_tests"]:
            of = law["config"]["meta"]["dagster"]["ref"]["name"]
            found.setdefault(of, []).append(law["description"])
    return found


def laws_of_staging(_: str) -> str:
    """Return the laws that belong to no mart: they are asked of what the marts are built on."""
    told = [f"- {law}" for of, laws in _laws().items() if of.startswith("stg_") for law in laws]
    return "\n".join(told)


def spellings(_: str) -> str:
    """Return what becomes of each spelling of a value."""
    headers = ("spelling", "in", "for example", "is", "")
    return table(headers, rows_of_table())


def readings(_: str) -> str:
    """Return what the cells of a column are read as."""
    return table(("a column of", "for example", "is read as"), rows_of_readings())


def headers(_: str) -> str:
    """Return what else each column may be called."""
    return table(("endpoint", "column", "may be called"), rows_of_headers())


def words(_: str) -> str:
    """Return what else each choice may be called."""
    return table(("field", "choice", "may be called"), rows_of_words())


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def table(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    heads = list(headers)
    lines = [heads, ["---"] * len(heads), *([_cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


RENDERERS = {
    "settings": settings_table,
    "commands": commands,
    "marts": marts,
    "history": history,
    "spellings": spellings,
    "readings": readings,
    "headers": headers,
    "words": words,
    "staging-laws": laws_of_staging,
}

if __name__ == "__main__":
    main()
