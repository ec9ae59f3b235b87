"""What laws and landed columns mean, for the UI: as the dbt project says it, wherever it does."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from blsync.entity import Entity, Record
from blsync.orchestration.manifest import Node, manifest

_LOAD_COLUMNS = {
    "_company_id": "The company at BigLedger.",
    "_load_id": "The load that brought this version; finance.sync_log has it.",
    "_pulled_at": "When it was pulled, UTC; the order of versions.",
    "_request_id": "The request that brought it: what to quote to the vendor.",
    "_op": "upsert, or delete: of a deleted record there is the key alone.",
    "_payload": "The record's JSON as it was received, less what is not kept.",
}
_SCHEMAS = ("finance", "staging", "history")
"""Where a field is described, the last that does so counting most: it is the nearest to it."""


def law_text(law: Node) -> str:
    """Return what a test of dbt's asks for: its own description, or what its kind says."""
    if law.description:
        return law.description.strip()
    kind = law.test_metadata
    words = _KINDS.get(kind.name) if kind else None
    if not kind or not words:
        return f"{law.name.replace('_', ' ').capitalize()}."
    return words(str(law.attached_node).rpartition(".")[2], kind.kwargs)


def _one_row_a_key(model: str, given: Mapping[str, Any]) -> str:
    return f"{model} has one row for each {', '.join(given['columns'])}."


def _known_values(model: str, given: Mapping[str, Any]) -> str:
    values = ", ".join(map(str, given["values"]))
    return f"{given['column_name']} of {model} is one of {values}."


def _never_null(model: str, given: Mapping[str, Any]) -> str:
    return f"{given['column_name']} of {model} is never null."


def _refers(model: str, given: Mapping[str, Any]) -> str:
    there = re.sub(r"^ref\(['\"](.*)['\"]\)$", r"\1", given["to"])
    return f"{given['column_name']} of {model} is null or a {given['field']} of {there}."


_KINDS: dict[str, Callable[[str, Mapping[str, Any]], str]] = {
    "unique_combination": _one_row_a_key,
    "accepted_values": _known_values,
    "not_null": _never_null,
    "belongs_to": _refers,
}


def column_texts(entity: Entity) -> dict[str, str]:
    """Return what the columns of an entity's landing mean, as far as it is said somewhere: by a
    model that has the field, or by the type of a nested one.
    """
    texts = _texts_of_models().get(entity.name, {})
    found = {**_LOAD_COLUMNS, **dict(_texts_of_types(entity.model))}
    for field in entity.schema:
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", field.name).lower()
        own = f"{entity.name.removesuffix('s')}_{name}"
        if text := texts.get(own) or texts.get(name):
            found[field.name] = text
    return found


@cache
def _texts_of_models() -> dict[str, dict[str, str]]:
    """Return the columns' descriptions by the name of a model, of all schemas together."""
    models = [node for node in manifest().nodes.values() if node.resource_type == "model"]
    found: dict[str, dict[str, str]] = {}
    for schema in _SCHEMAS:
        for node in models:
            if node.schema == schema:
                told = {name: c.description for name, c in node.columns.items() if c.description}
                found.setdefault(node.alias.removeprefix("stg_"), {}).update(told)
    return found


def _texts_of_types(model: type[Record]) -> Iterator[tuple[str, str]]:
    """Yield the first line about each nested record, by the field's name in the API."""
    names = dict(zip(model.__struct_fields__, model.__struct_encode_fields__, strict=True))
    for name, kind in typing.get_type_hints(model).items():
        for nested in _records_in(kind):
            if text := (nested.__doc__ or "").strip():
                yield names[name], text.partition("\n")[0]


def _records_in(kind: Any) -> Iterator[type[Record]]:
    if isinstance(kind, type) and not typing.get_args(kind):
        if issubclass(kind, Record):
            yield kind
        return
    for part in typing.get_args(kind):
        yield from _records_in(part)
