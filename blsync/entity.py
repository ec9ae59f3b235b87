"""What a kind of record is: its model, key, path, page size and change feeds.

Models are msgspec structs, so that a record is typed straight from the bytes that came: a number
becomes a decimal from its text and never passes through a float. The Arrow schemas, of the landing
files and for Arrow's reader of JSON, are derived from the model, so a field is declared once.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pyarrow as pa
from msgspec import Meta

Money = Annotated[Decimal, Meta(extra={"scale": 4, "precision": 20, "rounded": 2})]
"""An amount in the record's currency. The API documents at most 2 decimals (bigledger-api.md,
section 5); the landing keeps up to 4, which the marts round to 2."""
Quantity = Annotated[Decimal, Meta(extra={"scale": 4})]
"""A quantity or a percentage; at most 4 decimals."""
UnitAmount = Annotated[Decimal, Meta(extra={"scale": 6})]
"""A price or cost of one unit; the marts keep 6 decimals."""
Rate = Annotated[Decimal, Meta(extra={"scale": 8})]
"""An exchange rate."""
Key = Annotated[str, Meta(min_length=1)]
"""An id: a record without one cannot be told from another and is quarantined."""

FreeForm = msgspec.Raw
"""JSON of any shape, landed as its text."""
NOTHING = msgspec.Raw(b"null")
PRECISION = 18


class Record(msgspec.Struct, rename="camel", omit_defaults=False, gc=False):
    """Base of every model: camelCase outside, snake_case inside, unknown fields ignored.

    What comes as JSON holds no cycles: looking for them costs a tenth of a pull.
    """


class Address(Record):
    """A postal address."""

    street: str | None = None
    street2: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None


class Party(Record):
    """The customer or supplier as a document repeats it."""

    id: str | None = None
    name: str | None = None
    email: str | None = None


@dataclass(frozen=True)
class Feed:
    """One way to ask an entity what changed: a timestamp field, and filters that go with it.

    `spellings` are ways to write the filters, the likeliest first: a server that answers 400 to one
    is asked in the next.
    """

    name: str
    change_field: str
    spellings: tuple[Mapping[str, str], ...] = ({},)
    is_meant: Callable[[msgspec.Raw], bool] | None = None
    """Tells whether a record is one that the filters ask for, where a record shows it."""
    needs_lower_bound: bool = False
    """Without a lower bound it would bring only what another feed brings too."""

    def is_surely_meant(self, record: msgspec.Raw) -> bool:
        """Tell whether a record shows, in the filters' own words, that they are for it."""
        try:
            fields = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return False
        shown = {name: bytes(raw).strip() for name, raw in fields.items()}
        return any(
            filters and all(shown.get(name) == value.encode() for name, value in filters.items())
            for filters in self.spellings
        )


@dataclass(frozen=True)
class Entity:
    """A kind of record as the API lists it (bigledger-api.md, sections 3 and 5)."""

    name: str
    model: type[Record]
    path: str
    description: str
    scope: str
    key: tuple[str, ...] = ("id",)
    page_limit: int = 100
    feeds: tuple[Feed, ...] = (Feed("updatedAt", "updatedAt"),)
    date_field: str | None = None
    """The business date, which ranges of dates are about; None: it has none."""
    pages_by_offset: bool = False
    """Whether the reference pages its list by `offset`, not by a cursor."""
    unlisted: tuple[str, ...] = ()
    """Fields that the reference has for some records alone, or not at all: that a list has none of
    them says nothing."""
    withheld: tuple[str, ...] = ()
    """Fields, at any depth, that hold secrets: they are taken out of an answer before anything of
    it is kept."""
    digested: tuple[str, ...] = ()
    """Fields, by their paths, that may hold whole documents and pictures: their text is kept as its
    digest, links as they are."""
    is_optional: bool = False
    """Whether a company may do without it: a module that it has not bought, or that the key may not
    see. The marts need the others."""
    reversal_field: str | None = None
    """Names the record that this one reverses; that record is fetched again, because its status
    changes without moving any timestamp."""

    def feeds_for(self, lower: datetime | None) -> list[Feed]:
        """Return the feeds that a window beginning at `lower` has to ask."""
        return [feed for feed in self.feeds if lower or not feed.needs_lower_bound]

    @cached_property
    def record_type(self) -> pa.StructType:
        """Arrow type of a record: the model's fields."""
        return pa.struct(_fields(self.model))

    @cached_property
    def schema(self) -> pa.Schema:
        """Arrow schema of a landing file: a record's fields, then the columns that blsync adds."""
        return pa.schema([*self.record_type, *LOAD_COLUMNS])

    @cached_property
    def decoder(self) -> msgspec.json.Decoder[Any]:
        """Types one record's bytes; numbers sent as text convert."""
        return msgspec.json.Decoder(self.model, strict=False)

    @cached_property
    def strict_decoder(self) -> msgspec.json.Decoder[Any]:
        """As `decoder`, but a field that the model does not know is an error too."""
        return msgspec.json.Decoder(_strict(self.model), strict=False)

    @cached_property
    def free_forms(self) -> list[str]:
        """Names of the fields that hold JSON of any shape, but those inside other fields."""
        return [field.name for field in self.record_type if field.metadata]

    @cached_property
    def free_form_decoder(self) -> msgspec.json.Decoder[Any]:
        """Takes a record's `free_forms`, as they came, and nothing else of it."""
        free = [(name, FreeForm, NOTHING) for name in self.free_forms]
        return msgspec.json.Decoder(msgspec.defstruct("Free", free, gc=False))

    @cached_property
    def json_schema(self) -> pa.Schema:
        """What Arrow's own reader of JSON is to read of a record: dates and times as text, and of a
        free form null, or `[]` too where it is not inside another field.
        """
        as_text = dict.fromkeys((date, datetime), pa.string())
        fields = _fields(self.model, {**_PLAIN, **as_text, FreeForm: pa.null()})
        empty = pa.list_(pa.null())
        return pa.schema(field.with_type(empty) if field.metadata else field for field in fields)

    @cached_property
    def rounded(self) -> list[tuple[str, ...]]:
        """Where the amounts stand that the marts round: the names of fields, inside each other."""
        return _rounded(self.model)

    @cached_property
    def created_field(self) -> str:
        """Name of the time that says where a record stands among all: it never moves if it can."""
        names = self.model.__struct_encode_fields__
        return "createdAt" if "createdAt" in names else self.feeds[0].change_field


LOAD_COLUMNS = [
    pa.field("_company_id", pa.string(), nullable=False),
    pa.field("_load_id", pa.string(), nullable=False),
    pa.field("_pulled_at", pa.timestamp("us", "UTC"), nullable=False),
    pa.field("_request_id", pa.string(), nullable=False),
    pa.field("_op", pa.string(), nullable=False),
    pa.field("_payload", pa.string()),
]

_PLAIN: dict[Any, pa.DataType] = {
    str: pa.string(),
    bool: pa.bool_(),
    int: pa.int64(),
    date: pa.date32(),
    datetime: pa.timestamp("us", "UTC"),
    FreeForm: pa.string(),
}
FREE_FORM = {b"blsync": b"json"}
"""Metadata of an Arrow field that holds JSON of any shape as text."""


def _rounded(model: type[Record]) -> list[tuple[str, ...]]:
    hints = get_type_hints(model, include_extras=True)
    found: list[tuple[str, ...]] = []
    for encoded, name in zip(model.__struct_encode_fields__, model.__struct_fields__, strict=True):
        for part in _parts_of(hints[name]):
            if isinstance(part, Meta) and (part.extra or {}).get("rounded"):
                found.append((encoded,))
            elif isinstance(part, type) and issubclass(part, Record):
                found += [(encoded, *inner) for inner in _rounded(part)]
    return found


def _parts_of(hint: Any) -> list[Any]:
    """Return a hint, and all that it is put together from."""
    return [hint, *(inner for part in get_args(hint) for inner in _parts_of(part))]


def _strict(hint: Any) -> Any:
    """Return the model (or a hint that names models) with unknown fields forbidden."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return Union[tuple(_strict(a) for a in arguments)]  # noqa: UP007 (made at run time)
    if origin is list:
        return types.GenericAlias(list, (_strict(arguments[0]),))
    if not (isinstance(hint, type) and issubclass(hint, Record)):
        return hint
    hints = get_type_hints(hint, include_extras=True)
    fields = [
        (f.name, _strict(hints[f.name]), f.default)
        if f.default is not msgspec.NODEFAULT
        else (f.name, _strict(hints[f.name]))
        for f in msgspec.structs.fields(hint)
    ]
    return msgspec.defstruct(
        hint.__name__, fields, rename="camel", forbid_unknown_fields=True, gc=False
    )


def _fields(model: type[Record], plain: Mapping[Any, pa.DataType] = _PLAIN) -> list[pa.Field]:
    hints = get_type_hints(model, include_extras=True)
    names = zip(model.__struct_fields__, model.__struct_encode_fields__, strict=True)
    named = ((encoded, hints[name]) for name, encoded in names)
    return [
        pa.field(name, _arrow_type(hint, plain), metadata=FREE_FORM if hint is FreeForm else None)
        for name, hint in named
    ]


def _arrow_type(hint: Any, plain: Mapping[Any, pa.DataType]) -> pa.DataType:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _arrow_type(next(a for a in arguments if a is not type(None)), plain)
    if origin is Annotated:
        extra = next((m.extra for m in arguments[1:] if isinstance(m, Meta) and m.extra), None)
        if extra:
            return pa.decimal128(extra.get("precision", PRECISION), extra["scale"])
        return _arrow_type(arguments[0], plain)
    if origin is list:
        return pa.list_(_arrow_type(arguments[0], plain))
    if isinstance(hint, type) and issubclass(hint, Record):
        return pa.struct(_fields(hint, plain))
    return plain[hint]
