"""What Dagster's view needs of dbt's manifest: models and laws, what they say and stand on."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from blsync import marts
from blsync.errors import ConfigError
from blsync.orchestration.location import SETTINGS


class Column(msgspec.Struct):
    """A column as the yml has it; `data_type` as its contract writes it."""

    name: str
    description: str = ""
    data_type: str | None = None


class _Shown(msgspec.Struct):
    """The model that a law of several is a check of."""

    name: str
    package: str | None = None


class _Told(msgspec.Struct):
    """What a yml says to Dagster: `meta: {dagster: {ref: {name: …}}}`, or `asset_key`."""

    ref: _Shown | None = None
    asset_key: list[str] = []


class _Meta(msgspec.Struct):
    dagster: _Told = msgspec.field(default_factory=_Told)


class _Config(msgspec.Struct):
    materialized: str | None = None
    severity: str | None = None
    meta: _Meta = msgspec.field(default_factory=_Meta)


class _Kind(msgspec.Struct):
    """A generic test: its name, and what it is given."""

    name: str
    kwargs: dict[str, Any] = {}


class _Parents(msgspec.Struct):
    nodes: list[str] = []


class Node(msgspec.Struct):
    """A model or a law of dbt's; ids are dbt's unique ids."""

    unique_id: str
    resource_type: str
    package_name: str
    name: str
    database: str
    schema: str
    alias: str
    description: str = ""
    raw_code: str = ""
    columns: dict[str, Column] = {}
    config: _Config = msgspec.field(default_factory=_Config)
    tags: list[str] = []
    depends_on: _Parents = msgspec.field(default_factory=_Parents)
    attached_node: str | None = None
    test_metadata: _Kind | None = None


class Source(msgspec.Struct):
    """A table that no model makes."""

    source_name: str
    name: str
    config: _Config = msgspec.field(default_factory=_Config)


class Manifest(msgspec.Struct):
    """Nodes and sources by their ids; megabytes beside them are skipped."""

    nodes: dict[str, Node]
    sources: dict[str, Source]


@cache
def manifest() -> Manifest:
    """Return the manifest of the project as it is.

    Raises what `marts.prepare` does; ConfigError where Dagster cannot be told what a yml says.
    """
    text = marts.manifest_of(SETTINGS).read_bytes()
    try:
        return msgspec.json.decode(text, type=Manifest)
    except msgspec.ValidationError as error:
        raise ConfigError(
            "What a model or a law says in `meta: {dagster: …}` cannot be read "
            f"({error}). There `ref: {{name: …}}` names the model whose check a law is, and "
            "`asset_key: […]` lists the parts of a source's name."
        ) from None
