"""Every kind of record that is pulled, by name; adding one is adding a file that holds `ENTITY`."""

from __future__ import annotations

import pkgutil
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
