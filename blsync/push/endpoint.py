"""What a bulk endpoint is: its address, its row model, and how a row is told from another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from blsync.ledger.plans import Operation, Problem
from blsync.ledger.states import Action
from blsync.text.spellings import Kind

Json = dict[str, Any]


@dataclass(frozen=True)
class TakesNumber:
    """Marks a text for which a cell's whole number of this pattern stands, as a spreadsheet keeps
    one: no digit of such a number can have been lost.
    """

    pattern: str


TODAY = "today"
"""A default that stands for the business day on which the plan is made."""


class Row(BaseModel):
    """Base of every row model: the API's camelCase outside, unknown fields refused.

    A field's description is its rule, worded to follow "must be"; what is not set is not sent.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", str_strip_whitespace=True)


def itself(record: Json) -> list[Json]:
    """Return the record as the one row that it is."""
    return [record]


@dataclass(frozen=True)
class Listing:
    """A list of the API in which records are looked up (bigledger-api.md, section 3).

    `identifiers` are the fields one is found by, `parts` those that tell several rows of one record
    apart; `rows` makes rows, in the shape in which they are pushed, of a record. Of a `is_sampled`
    list one record is read for each value, where it only matters whether there is any.
    """

    record: str
    path: str
    identifiers: tuple[str, ...]
    page_limit: int = 100
    caseless: frozenset[str] = frozenset()
    parts: tuple[str, ...] = ()
    rows: Callable[[Json], list[Json]] = itself
    is_sampled: bool = False
    title: Callable[[Json], str] = lambda _: ""
    """What a person calls a record, to stand beside its id; empty: nothing."""


@dataclass(frozen=True)
class Reference:
    """A field that names another record, which has to exist.

    `columns` are the ways to name it in a file (dots for nesting) → the identifier that each is;
    what is sent is the id, under `field`. With `in_lines` they are columns of the document's lines.
    """

    field: str
    listing: Listing
    columns: Mapping[str, str]
    in_lines: bool = False
    needed: tuple[str, ...] = ()
    """Fields of the record that a plan needs, whether lists show them or not."""
    filled: Callable[[Json, Mapping[str, Json]], Json] | None = None
    """What a line says where the file does not, given the record that the line names and those that
    the whole document names, by field: a server may require what another one works out."""


def _anything(_: Json) -> bool:
    return True


def _never(_: Json) -> Problem | None:
    return None


def _same(body: Json) -> Json:
    return body


def _no_warnings(_: Json, __: Json, ___: date) -> Iterator[str]:
    return iter(())


def in_the_future(name: str) -> Callable[[Json, Json, date], Iterator[str]]:
    """Return what warns of a day in the field `name` that has not come yet."""

    def told(body: Json, _: Json, today: date) -> Iterator[str]:
        if str(body.get(name) or "") > today.isoformat():
            yield f"{name} {body[name]} lies in the future; a stricter server refuses that"

    return told


def _nothing(_: Json) -> Decimal:
    return Decimal(0)


def _unknown(_: Json) -> None:
    return None


def _not_posted(_: Json) -> bool:
    return False


@dataclass(frozen=True)
class Sought:
    """By what a row's record is looked up: its identifier `name` has this value, and each of the
    `parts`, which are fields with their values, is as the row has it.
    """

    name: str
    value: str
    parts: tuple[tuple[str, str], ...] = ()


def _own_record(endpoint: Endpoint, row: Operation, body: Json) -> Sought:
    """Look for the record of an update or a delete by its id, and for a create's by its natural key
    and parts.
    """
    if row.remote_id and row.action in (Action.UPDATE, Action.DELETE):
        return Sought("id", row.remote_id)
    key = endpoint.natural_key
    parts = tuple((part, str(body.get(part))) for part in endpoint.parts)
    return Sought(key, str(body.get(key)), parts)


def _own_fields(endpoint: Endpoint, body: Json, _: Mapping[str, Any]) -> Mapping[str, Any]:
    return endpoint.comparable(body)


@dataclass(frozen=True)
class Likeness:
    """By what a record is recognised that does not show its natural key: party, date and amount.

    `fields` are those that a row and its record have in common, `party` the one of them that lists
    are asked for; None: only the time of creation is. `amount` is that of a row or a record.
    """

    fields: tuple[str, ...]
    party: str | None = None
    amount: Callable[[Json], Decimal] = _nothing


@dataclass(frozen=True)
class Settlement:
    """How a look-up tells what became of a row that was sent and not answered.

    As it is here, a row has a record of its own: a create made it, or an update changed it. The row
    was done where that record is there and has the row's values, and then it is adopted.

    A payment has none. It is seen only in its invoice, whose paid amount other payments change as
    well. So its settlement looks for the invoice (`listing`, `sought`) and compares what the plan
    expects of it afterwards (`evidence`). As the invoice `is_own_record` of no payment, no id is
    taken from it, and a value that is neither the old nor the expected one proves nothing.
    """

    listing: Listing | None = None
    """The list that shows what became of a row; None: the endpoint's own."""
    sought: Callable[[Endpoint, Operation, Json], Sought] = _own_record
    """By what the record is looked up, given the row and its body."""
    evidence: Callable[[Endpoint, Json, Mapping[str, Any]], Mapping[str, Any]] = _own_fields
    """The fields that the record has once the row is done, given the row's body and its changes
    (field → [before, wanted])."""
    is_own_record: bool = True
    has_unique_key: bool = False
    """Whether BigLedger itself refuses a second record of the same natural key."""
    is_safe_to_resend: Callable[[Json], bool] = _anything
    """Tells whether creating from a body once more, after look-ups found nothing, does no harm. An
    update never does, and a delete neither: they say what is to be, not what is to be added."""
    likeness: Likeness | None = None
    """How a created record is looked for at a server that was not seen to keep its natural key."""
    overtaken: Problem | None = None
    """Why a row is rejected whose evidence is there before it was ever sent, because somebody else
    did the same; None: the record is adopted."""

    def may_resend(self, row: Operation, body: Json) -> bool:
        """Tell whether a row that look-ups did not find may be sent once more."""
        return row.action != Action.CREATE or self.is_safe_to_resend(body)

    def needs_proof(self, row: Operation) -> bool:
        """Tell whether finding nothing tells of a row only where look-ups were seen to work."""
        return row.action == Action.CREATE and self.is_own_record

    def is_change(self, row: Operation) -> bool:
        """Tell whether a row changes a record that was there before it."""
        return row.action != Action.CREATE or not self.is_own_record

    def remote_id(self, record: Json) -> str | None:
        """Return the id that a record gives its row, None where it gives none."""
        return (str(record.get("id") or "") or None) if self.is_own_record else None

    def are_duplicates(self, found: Sequence[Json]) -> bool:
        """Tell whether one row stands for more than one record."""
        return self.is_own_record and len(found) > 1


@dataclass(frozen=True)
class Terms:
    """What an address takes: so many operations at most, with these actions."""

    path: str
    limit: int
    actions: tuple[Action, ...]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where changes of one kind of record are sent, and the list its records are looked up in
    (bigledger-api.md, section 6).

    `record` is what one of them is called. `identifiers` are the columns that name an existing one,
    strongest first; the last one is the natural key, to which `parts` belong where several rows may
    share it. `required` are the fields without which nothing is created, `defaults` what a create
    says where the file does not.
    `cleared` says what a field is sent as when the file asks for it to be emptied; `personal`
    fields never appear in a message.
    """

    name: str
    record: str
    bulk_path: str = ""
    """The address of bulk requests; empty: there is none, its records go in batches alone."""
    limit: int = 0
    """Operations of a bulk request, at most."""
    batch: Terms
    """What its batches take."""
    model: type[Row]
    listing: Listing
    required: tuple[str, ...]
    identifiers: tuple[str, ...]
    parts: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)
    read_only: frozenset[str] = frozenset()
    withheld: Mapping[str, str] = field(default_factory=dict)
    """Fields that no file may have → why."""
    cleared: Mapping[str, object] = field(default_factory=dict)
    personal: frozenset[str] = frozenset()
    references: tuple[Reference, ...] = ()
    lines: str | None = None
    """The field that holds a document's lines."""
    sides: frozenset[str] = frozenset()
    """Columns of which a line fills in one: in the others nothing and 0 are the same."""
    date_field: str | None = None
    """The business date, which must lie in an open period."""
    target: Reference | None = None
    """The record that a create changes, where what it creates is in no list (payments)."""
    in_flight: tuple[str, ...] = ()
    """Of the operations that agree in these fields only one is ever sent and not yet answered."""
    is_tokened: bool = False
    """Whether a token of ours marks the reference of what is created (`blsync.push.token`)."""
    can_update: bool = True
    settlement: Settlement = field(default_factory=Settlement)
    """How what became of an unanswered row is found out."""
    locked: Callable[[Json], Problem | None] = _never
    """Tells why a record can no longer be changed."""
    comparable: Callable[[Json], Json] = _same
    """Takes out of a body what BigLedger works out anew and never shows as it was sent."""
    money: Callable[[Json], Decimal] = _nothing
    """Tells the money that a body moves, in the company's currency."""
    amount: Callable[[Json], Decimal | None] = _unknown
    """Tells a whole document's total before tax, in its own currency; None: it is not known."""
    currency_of: str | None = None
    """The field that names the record whose currency a document has; None: the company's own."""
    can_delete: bool = False
    """Whether the bulk endpoint deletes records; of documents only those that are not `locked`."""
    kept: Callable[[Json], Problem | None] = _never
    """Tells why a record cannot be deleted though it can be changed."""
    is_posted: Callable[[Json], bool] = _not_posted
    """Tells whether what a body creates or changes counts in the books from then on."""
    reversal: Callable[[Json], Json] | None = None
    """Makes of a posted record what takes it back in the books, less its date and reference."""
    undone_by_hand: str | None = None
    """What a person has to do at BigLedger to take back what was created; None: nothing."""
    warnings: Callable[[Json, Json, date], Iterator[str]] = _no_warnings
    """Tells what of a body a server of the stricter rules may refuse, given the body, the record as
    it will be, and the business day. The vendor's pages name several rules for one field."""

    @property
    def a_record(self) -> str:
        """One of its records, with its article: a bill, an invoice."""
        return f"{'an' if self.record[0] in 'aeio' else 'a'} {self.record}"

    @cached_property
    def bulk(self) -> Terms | None:
        """What its bulk requests take; None: there are none."""
        if not self.bulk_path:
            return None
        may = {Action.UPDATE: self.can_update, Action.DELETE: self.can_delete}
        actions = (Action.CREATE, *(action for action, is_taken in may.items() if is_taken))
        return Terms(self.bulk_path, self.limit, actions)

    @property
    def natural_key(self) -> str:
        """The field by which a record is known outside BigLedger."""
        return self.identifiers[-1]

    @property
    def settling(self) -> Listing:
        """The list that shows what became of a row."""
        return self.settlement.listing or self.listing

    @cached_property
    def rules(self) -> dict[str, str]:
        """Every column that may be written, with dots for nesting → its rule."""
        return {name: _description(info) for name, info in _leaf_fields(self.model)}

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """Every column that is marked with a kind, as in `rules` → that kind."""
        return {name: kind for name, info in _leaf_fields(self.model) if (kind := _kind(info))}

    @cached_property
    def readers(self) -> dict[str, TypeAdapter[Any]]:
        """Every column that may be written, as in `rules` → what reads a value of it alone."""
        marked: Any = Annotated
        return {
            name: TypeAdapter(marked[(info.annotation, *info.metadata, name)])
            for name, info in _leaf_fields(self.model)
        }

    @cached_property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """Every column that takes one of a few words → these words."""
        leaves = ((name, _choices(info)) for name, info in _leaf_fields(self.model))
        return {name: words for name, words in leaves if words}

    @cached_property
    def whole_numbers(self) -> dict[str, str]:
        """Every column of a text that takes whole numbers → the pattern of those."""
        return {
            name: mark.pattern
            for name, info in _leaf_fields(self.model)
            for mark in _marks(info)
            if isinstance(mark, TakesNumber)
        }

    @cached_property
    def open_ended(self) -> frozenset[str]:
        """Fields below which any name is allowed, as in `customFields.industry`."""
        return frozenset(name for name, info in _fields(self.model) if _is_mapping(info))

    def rule(self, column: str) -> str:
        """Return the rule of a column that is known, or of the open-ended field it lies under."""
        whole = {name: _description(info) for name, info in _fields(self.model)}
        return self.rules.get(column) or whole.get(column.partition(".")[0], "")

    def is_writable(self, column: str) -> bool:
        """Tell whether a column may be written."""
        head, dot, rest = column.partition(".")
        if head in self.open_ended:
            return bool(dot and rest and "." not in rest)
        return column in self.rules or (column == self.lines)


def _leaf_fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, info in _fields(model):
        inner = _inner_model(info)
        if inner:
            yield from _leaf_fields(inner, f"{prefix}{name}.")
        else:
            yield prefix + name, info


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, info in model.model_fields.items():
        yield info.alias or name, info


def _description(info: FieldInfo) -> str:
    """Return a field's description; one that may be None has it with its other kind."""
    kinds = (getattr(kind, "__metadata__", ()) for kind in get_args(info.annotation))
    inner = (each.description for kind in kinds for each in kind if isinstance(each, FieldInfo))
    return info.description or next(filter(None, inner), "")


def _kind(info: FieldInfo) -> Kind | None:
    """Return the kind that a field is marked with, alone or where it may be None as well."""
    return next((mark for mark in _marks(info) if isinstance(mark, Kind)), None)


def _marks(info: FieldInfo) -> Iterator[Any]:
    yield from info.metadata
    for kind in get_args(info.annotation):
        yield from getattr(kind, "__metadata__", ())


def _choices(info: FieldInfo) -> tuple[str, ...]:
    return get_args(info.annotation) if get_origin(info.annotation) is Literal else ()


def _inner_model(info: FieldInfo) -> type[BaseModel] | None:
    kinds = (info.annotation, *get_args(info.annotation))
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)


def _is_mapping(info: FieldInfo) -> bool:
    return any(get_origin(k) is dict for k in (info.annotation, *get_args(info.annotation)))
