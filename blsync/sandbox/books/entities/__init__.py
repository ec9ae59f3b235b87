"""Every kind of record in the sandbox, by name; adding one is adding a file that holds `ENTITY`."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from blsync.sandbox.books.fields import Entity

ENTITIES: dict[str, Entity] = {
    entity.name: entity
    for module in pkgutil.iter_modules(__path__)
    for entity in [import_module(f"{__name__}.{module.name}").ENTITY]
}
"""All of them by name, in alphabetical order."""
