"""dbt's models as Dagster's assets and its laws as their checks, as dbt's manifest has them."""

from __future__ import annotations

import hashlib
import textwrap
from typing import Any

import dagster as dg

from blsync.errors import ConfigError
from blsync.orchestration.descriptions import law_text
from blsync.orchestration.location import OWNERS
from blsync.orchestration.manifest import Manifest, Node, manifest

NODE = "dbt/unique_id"
"""The metadata of a spec that says which node of dbt's it is."""
_OURS = "blsync_warehouse"


def specs() -> tuple[list[dg.AssetSpec], list[dg.AssetCheckSpec]]:
    """Return an asset for each model, named by its schema (`staging/…`, `finance/…`), and a check
    for each law. Raises what `manifest` does; ConfigError where a law is a check of no model.
    """
    known = manifest()
    models = [node for node in known.nodes.values() if node.resource_type == "model"]
    laws = [node for node in known.nodes.values() if node.resource_type == "test"]
    checks = [_check_of(law, at, known) for law in laws if (at := _shown_at(law, known))]
    return [_asset_of(model, known) for model in models], checks


def _key_of(unique_id: str, known: Manifest) -> dg.AssetKey:
    """Return a model's key, or a source's: the raw asset of what landed, or what its yml names."""
    if node := known.nodes.get(unique_id):
        return dg.AssetKey([node.schema, node.alias])
    source = known.sources[unique_id]
    if source.source_name == "landing":
        return dg.AssetKey(["raw", source.name])
    told = source.config.meta.dagster.asset_key
    return dg.AssetKey(told or [source.source_name, source.name])


def _asset_of(model: Node, known: Manifest) -> dg.AssetSpec:
    columns = [
        dg.TableColumn(column.name, column.data_type or "?", column.description)
        for column in model.columns.values()
    ]
    metadata: dict[str, Any] = {
        NODE: model.unique_id,
        "dbt/materialized": model.config.materialized,
        "dagster/table_name": f"{model.database}.{model.schema}.{model.alias}",
        "dagster/storage_kind": "duckdb",
    }
    if columns:
        metadata["dagster/column_schema"] = dg.TableSchema(columns)
    code = textwrap.indent(model.raw_code, "    ")
    text = model.description or f"dbt model {model.name}"
    return dg.AssetSpec(
        _key_of(model.unique_id, known),
        deps=sorted({_key_of(parent, known) for parent in model.depends_on.nodes}),
        description=f"{text}\n\n#### Raw SQL:\n```sql\n{code}\n```",
        metadata=metadata,
        skippable=True,
        group_name=model.schema,
        code_version=hashlib.sha1(model.raw_code.encode(), usedforsecurity=False).hexdigest(),
        owners=OWNERS,
        tags=dict.fromkeys(model.tags, ""),
        kinds={"dbt", "duckdb"},
    )


def _check_of(law: Node, shown_at: str, known: Manifest) -> dg.AssetCheckSpec:
    asset = _key_of(shown_at, known)
    others = {_key_of(parent, known) for parent in law.depends_on.nodes} - {asset}
    return dg.AssetCheckSpec(
        law.name,
        asset=asset,
        description=law_text(law),
        additional_deps=sorted(others),
        metadata={NODE: law.unique_id},
        blocking=(law.config.severity or "error").lower() == "error",
    )


def _shown_at(law: Node, known: Manifest) -> str | None:
    """Return the model that a law is a check of: the one that its meta names, or that it stands in
    the yml of, or the first that it reads, one of its own package before others; None where it
    reads none.
    """
    models = [parent for parent in law.depends_on.nodes if parent in known.nodes]
    if ref := law.config.meta.dagster.ref:
        named = f"model.{ref.package or law.package_name}.{ref.name}"
        if named not in known.nodes:
            raise ConfigError(
                f"The law {law.name} says in `meta: {{dagster: {{ref: …}}}}` that it is a check of "
                f"{ref.name}, and there is no such model in the package "
                f"{ref.package or law.package_name}. Our own are in {_OURS}."
            )
        return named
    own = [model for model in models if known.nodes[model].package_name == law.package_name]
    return law.attached_node or next(iter(own or models), None)
