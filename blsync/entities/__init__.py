"""Every kind of record that is pulled, by name.

Ours are files beside this one, each with an `ENTITY`; adding one is adding a file. The user's own
are files in `entities/` of BLSYNC_PROJECT, and what installed packages offer as entry points of the
group `blsync.entities`.
"""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from blsync import settings
from blsync.entity import Entity
from blsync.errors import ConfigError
from blsync.files import permissions

GROUP = "blsync.entities"
"""The group of entry points."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")

SHIPPED: dict[str, Entity] = {
    entity.name: entity
    for module in pkgutil.iter_modules(__path__)
    for entity in [import_module(f"{__name__}.{module.name}").ENTITY]
}
"""Our own entities by name, in alphabetical order; what the marts and the push stand on."""


class _Entities(Mapping[str, Entity]):
    """Ours, and the user's own, in alphabetical order. Those are read when they are first asked
    for: whoever imports this has perhaps no settings yet.

    Raises ConfigError where one of the user's cannot be used.
    """

    def __getitem__(self, name: str) -> Entity:
        return SHIPPED[name] if name in SHIPPED else self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def _all(self) -> dict[str, Entity]:
        return _all_entities(os.environ.get("BLSYNC_PROJECT"), str(settings.env_file()))


ENTITIES: Mapping[str, Entity] = _Entities()


@lru_cache(maxsize=1)
def _all_entities(*_where: str | None) -> dict[str, Entity]:
    """Return all entities. The arguments say where the project is: they tell answers apart."""
    found = dict(SHIPPED)
    for place, entity in _own():
        if not isinstance(entity, Entity):
            raise ConfigError(f"{place}: ENTITY is no blsync.entity.Entity but {entity!r:.80}.")
        if not _NAME.fullmatch(entity.name):
            raise ConfigError(
                f"{place}: the entity's name {entity.name!r:.80} must be lower-case letters, "
                "digits and '_', beginning with a letter: folders and tables are called by it."
            )
        if entity.name in found:
            raise ConfigError(
                f"{place}: there is an entity {entity.name} already. Give it another name."
            )
        try:
            entity.schema.field(0), entity.decoder.decode
        except Exception as error:
            raise ConfigError(f"{place}: its model cannot be typed: {_told(error)}") from None
        if missing := [name for name in _needed(entity) if name not in entity.schema.names]:
            raise ConfigError(
                f"{place}: the model has no field {', '.join(missing)} (as the API writes it), by "
                "which records are told apart, found, or known to have changed. Add it."
            )
        found[entity.name] = entity
    return dict(sorted(found.items()))


def _needed(entity: Entity) -> list[str]:
    """Return the fields, by the API's names, that a model has to have."""
    named = [*entity.key, *(feed.change_field for feed in entity.feeds)]
    return [*named, *filter(None, (entity.date_field, entity.reversal_field))]


def own_entities() -> dict[str, Entity]:
    """Return the user's own entities by name. Raises ConfigError where one cannot be used."""
    return {name: entity for name, entity in ENTITIES.items() if name not in SHIPPED}


def _own() -> Iterator[tuple[str, Any]]:
    """Yield where each of the user's own entities is from, and what is there."""
    if folder := settings.project_folder():
        for path in sorted((folder / "entities").glob("*.py")):
            if not path.name.startswith("_"):
                yield str(path), _entity_in(path)
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        of = f" of {point.dist.name}" if point.dist else ""
        place = f"The entry point {point.name} = {point.value}{of} (group {GROUP})"
        try:
            yield place, point.load()
        except Exception as error:
            raise ConfigError(f"{place} cannot be loaded: {_told(error)}") from None


def _entity_in(path: Path) -> Any:
    """Return the ENTITY of a file. Raises ConfigError where it cannot be run or has none."""
    permissions.refuse_writable(path, "BLSYNC_PROJECT")
    name = f"blsync_project_entities.{path.stem}"
    loader = SourceFileLoader(name, str(path))
    module = importlib.util.module_from_spec(ModuleSpec(name, loader, origin=str(path)))
    sys.modules[name] = module  # the types of its fields are looked up there
    is_written = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # the folder is the user's
    try:
        loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"{path} cannot be run: {_told(error, path)}") from None
    finally:
        sys.dont_write_bytecode = is_written
    if not hasattr(module, "ENTITY"):
        raise ConfigError(
            f"{path} has no ENTITY. Define one there, or let the file's name begin with '_' where "
            "it only helps others."
        )
    return module.ENTITY


def _told(error: Exception, path: Path | None = None) -> str:
    """Return what Python says, with the line of the user's file in which it happened."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if path and frame.filename == str(path)
    ]
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}{where}."


def select(names: list[str] | tuple[str, ...] = ()) -> list[Entity]:
    """The named entities, or all of them. Raises ConfigError for a name that is not one."""
    unknown = [name for name in names if name not in ENTITIES]
    if unknown:
        raise ConfigError(
            f"Unknown entity {', '.join(repr(name) for name in unknown)}. "
            f"Known: {', '.join(ENTITIES)}."
        )
    return [ENTITIES[name] for name in names or ENTITIES]


def pulled(setting: str | None) -> list[Entity]:
    """The entities that are pulled by BLSYNC_ENTITIES: those that it names, and those that the
    marts need; all of them where it is empty. Raises ConfigError for a name that is not one.
    """
    names = named_in(setting)
    return [e for e in ENTITIES.values() if not names or not e.is_optional or e.name in names]


def pulled_names(setting: str | None) -> list[str]:
    """The names of the entities that are pulled by BLSYNC_ENTITIES. Raises ConfigError."""
    return [entity.name for entity in pulled(setting)]


def unnamed(setting: str | None) -> list[str]:
    """The entities that are pulled although BLSYNC_ENTITIES, which names others of those that the
    marts need, does not name them.
    """
    names = named_in(setting)
    needed = [name for name, entity in ENTITIES.items() if not entity.is_optional]
    return [name for name in needed if name not in names] if {*names} & {*needed} else []


def named_in(setting: str | None) -> list[str]:
    """The names that BLSYNC_ENTITIES lists. Raises ConfigError for one that is no entity's."""
    names = re.findall(r"[^\s,]+", setting or "")
    _ = len(ENTITIES)  # what is wrong with one of the user's is no fault of this setting
    try:
        select(names)
    except ConfigError as error:
        raise ConfigError(f"BLSYNC_ENTITIES: {error}") from None
    return names


def select_pulled(names: list[str] | tuple[str, ...], setting: str | None) -> list[Entity]:
    """The named ones of the entities that are pulled, or all of these. Raises ConfigError for a
    name that is none, or that BLSYNC_ENTITIES leaves out.
    """
    chosen = pulled(setting)
    left_out = [entity.name for entity in select(names) if names and entity not in chosen]
    if left_out:
        raise ConfigError(
            f"BLSYNC_ENTITIES leaves out {', '.join(left_out)}. Add it there, or leave the setting "
            "empty to have all entities pulled."
        )
    return select(names) if names else chosen
