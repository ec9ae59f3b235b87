"""Every kind of record that is pulled, by name; adding one is adding a file that holds `ENTITY`."""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module

from blsync.entity import Entity
from blsync.errors import ConfigError

ENTITIES: dict[str, Entity] = {
    entity.name: entity
    for module in pkgutil.iter_modules(__path__)
    for entity in [import_module(f"{__name__}.{module.name}").ENTITY]
}
"""All entities by name, in alphabetical order."""


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
