"""What happens in a run, for whoever keeps a log: one thing at a time, and what it is about.

Rooms that work on a company or an entity say so with `about`; what is told meanwhile has those
names. Nothing is kept or written here: `cli` decides who hears. An entry holds names, counts and
request ids, no record's contents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

Hearer = Callable[[str, Mapping[str, Any]], bool]
"""Hears what happened, by its name, and facts; returns whether it was told to anybody."""

_ABOUT: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))
_hearers: list[Hearer] = []
"""The one that there is, or none."""


def hear(hearer: Hearer | None) -> None:
    """Have one hearer, or none, hear all that this process tells from now on."""
    _hearers[:] = [hearer] if hearer else []


@contextmanager
def about(**names: str) -> Iterator[None]:
    """Have entries of this block, and of threads and tasks begun in it, say what they are about:
    `company`, `entity`, `run`.
    """
    token = _ABOUT.set({**_ABOUT.get(), **names})
    try:
        yield
    finally:
        _ABOUT.reset(token)


def tell(event: str, **facts: Any) -> bool:
    """Tell what happened, by its name; returns whether anybody took it, so that else it can be said
    otherwise.

    `level` among the facts is info, debug, warning or error; info where there is none.
    """
    told = {"level": "info", **_ABOUT.get(), **facts}
    return any(hearer(event, told) for hearer in _hearers)
