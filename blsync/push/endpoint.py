"""What a bulk endpoint is: its address, its row model, and how a row is told from another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import get_args, get_origin

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo


class Row(BaseModel):
    """Base of every row model: the API's camelCase outside, unknown fields refused.

    A field's description is its rule, worded to follow "must be"; what is not set is not sent.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", str_strip_whitespace=True)


@dataclass(frozen=True)
class Endpoint:
    """A bulk endpoint (contract, section 6) and the list its records are looked up in.

    `identifiers` are the columns that name an existing record, strongest first; the last one is
    the natural key. `required` are the fields without which nothing is created. `cleared` says
    what a field is sent as when the file asks for it to be emptied. `caseless` fields are the same
    in upper and lower case; `personal` ones never appear in a message.
    """

    name: str
    path: str
    bulk_path: str
    limit: int
    page_limit: int
    model: type[Row]
    record: str
    identifiers: tuple[str, ...]
    required: tuple[str, ...]
    read_only: frozenset[str]
    cleared: Mapping[str, object]
    caseless: frozenset[str]
    personal: frozenset[str]

    @property
    def natural_key(self) -> str:
        """The field by which a record is known outside BigLedger."""
        return self.identifiers[-1]

    @cached_property
    def rules(self) -> dict[str, str]:
        """Every column that may be written, with dots for nesting → its rule."""
        return dict(_leaves(self.model))

    @cached_property
    def open_ended(self) -> frozenset[str]:
        """Fields below which any name is allowed, as in `customFields.industry`."""
        return frozenset(name for name, info in _fields(self.model) if _is_mapping(info))

    def rule(self, column: str) -> str:
        """Return the rule of a column that is known, or of the open-ended field it lies under."""
        return self.rules.get(column) or self.rules.get(column.partition(".")[0], "")

    def is_writable(self, column: str) -> bool:
        """Tell whether a column may be written."""
        head, dot, rest = column.partition(".")
        if head in self.open_ended:
            return bool(dot and rest and "." not in rest)
        return column in self.rules


def _leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, info in _fields(model):
        inner = _inner_model(info)
        if inner:
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield prefix + name, info.description or ""


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, info in model.model_fields.items():
        yield info.alias or name, info


def _inner_model(info: FieldInfo) -> type[BaseModel] | None:
    kinds = (info.annotation, *get_args(info.annotation))
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)


def _is_mapping(info: FieldInfo) -> bool:
    return any(get_origin(k) is dict for k in (info.annotation, *get_args(info.annotation)))
