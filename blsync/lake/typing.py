"""Records: from the bytes that came to Arrow rows, and what is odd about them on the way.

Records are typed in up to three steps, each slower than the one before and more exact about what
is wrong. A record that is whole comes out the same whichever step typed it:

1. Arrow reads the whole batch at once. It does so for nearly every batch.
2. Where anything is odd, msgspec types the records one by one, and one table is made of those that
   it could type. The others are quarantined.
3. Where a column cannot hold some record's value, a table is made of each record alone, so that
   only that record is quarantined.

An example, four customers in one batch:

    {"id": "c1", "creditLimit": 12.50}                  landed, 12.50
    {"id": "c2", "creditLimit": "12.5", "weight": 3}    landed, 12.50; `weight` is an unknown field
    {"id": "c3", "creditLimit": 1e-41}                  quarantined in step 3: above 2 decimals
    {"id": "c4", "creditLimit": "much"}                 quarantined in step 2: no number

Arrow would read c3 as 0, so step 1 gives the batch up as soon as it sees such a number
(`_FAR_DECIMALS`). Without c3 and c4 step 1 would have typed the batch, `weight` included.
"""

from __future__ import annotations

import re
import types
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from functools import cache
from itertools import accumulate, compress
from operator import attrgetter
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from msgspec.structs import astuple

from blsync.entity import LOAD_COLUMNS, NOTHING, Entity, Record
from blsync.lake import splitting
from blsync.lake.numbers import exact
from blsync.lake.spellings import respelt
from blsync.redaction import redact

MOST_NESTING = 100
"""How deep a record may be nested; the API's own are nested four deep. Programs that read JSON give
up, or break down, at some thousand."""
UNTYPED = (msgspec.MsgspecError, UnicodeDecodeError, OverflowError, RecursionError)
"""Raised by a record that cannot be typed."""
CENTS = 2
"""Decimals of money in the marts."""
NO_YEAR = 1
"""A date of the year 1 is how programs that know no null write that there is none."""
KEY_SEPARATOR = "\x1f"
"""Stands between the parts of a key that is held as one text."""
_UNFIT = (pa.ArrowInvalid, OverflowError, UnicodeDecodeError)
"""Raised by a value that its column cannot hold."""
_SPELLINGS = {
    pa.date32(): r"^[12]\d{3}-\d\d-\d\d$",
    pa.timestamp("us", "UTC"): (
        r"^[12]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$"
    ),
}
"""Dates and times that Arrow and msgspec read alike. Arrow also reads others, which msgspec
refuses: those are left to msgspec."""
_FAR_DECIMALS = r"[\d.][eE]-0*\d{1,10}[\s\",}\]]|\.\d{30}|\\u00(3\d|2[DEde]|[46]5)"
"""Finds numbers that may have more decimals than Arrow can count. It reads 1e-41 as 0, and others
as whatever lies in memory beside its tables. The last alternative finds such a number in a text
where its digits, sign, point or exponent are escaped."""
_NO_FORM = (msgspec.Raw(b"[]"), NOTHING)
"""Free forms that Arrow may be given: of an empty list and of null it makes no columns."""
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_PARTS = msgspec.json.Decoder(list[msgspec.Raw])
_NO_TEXT = re.compile("[\udc80-\udcff]")
_BYTE = re.compile(rb"\\uef([89a-f][\da-f])")
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_RECENT = 65_536
_LARGEST_BLOCK = 2**30
"""Bytes that Arrow reads at a time, at most: it counts them in 31 bits."""


class RawRecord(msgspec.Struct, frozen=True, gc=False):
    """A record as it came: its bytes, and the request that brought it."""

    payload: msgspec.Raw
    request_id: str
    pulled_at: datetime


Payload = bytes | msgspec.Raw
Marks = np.ndarray[Any, np.dtype[np.uint64]]


class Versions:
    """Versions of records in the order in which they were pulled, in 24 bytes each."""

    def __init__(self) -> None:
        self._parts: list[Marks] = [np.empty((3, 0), np.uint64)]

    def add(
        self, keys: Sequence[str], times: Sequence[datetime], payloads: Sequence[str | None]
    ) -> None:
        """Add versions with their keys and times of pull; no payload: the record was deleted."""
        marks = [fingerprint(payload.encode()) if payload else 0 for payload in payloads]
        pulled = [int(at.timestamp() * 1_000_000) for at in times]
        numbered = [fingerprint(key.encode()) for key in keys]
        self._parts.append(np.array([numbered, pulled, marks], np.uint64))

    def latest(self) -> Marks:
        """Return the fingerprint of each record's latest version."""
        keys, pulled, marks = np.concatenate(self._parts, axis=1)
        order = np.lexsort((pulled, keys))
        is_last = np.append(np.diff(keys[order]) != 0, True)[: len(order)]
        latest: Marks = marks[order][is_last]
        seen: Marks = latest[latest != 0]
        return seen


class Fingerprints:
    """Which versions of records are known, in 8 bytes each."""

    def __init__(self, marks: Marks | None = None) -> None:
        self._sorted = np.empty(0, np.uint64) if marks is None else np.unique(marks)
        self._recent: set[int] = set()

    def include(self, other: Fingerprints) -> None:
        """Remember what another one knows too."""
        self._sorted = np.union1d(self._sorted, other._sorted)
        self._recent |= other._recent

    def are_new(self, payloads: Sequence[Payload]) -> list[bool]:
        """Return for each version whether it is unknown, or was until earlier in the list."""
        return self._look(payloads)[1]

    def add(self, payloads: Sequence[Payload]) -> list[bool]:
        """Remember these versions; return for each what `are_new` would."""
        marks, are_new = self._look(payloads)
        self._recent.update(compress(marks, are_new))
        if len(self._recent) > _RECENT:
            recent = np.fromiter(self._recent, np.uint64, len(self._recent))
            self._recent.clear()
            self._sorted = np.concatenate([self._sorted, recent])
            self._sorted.sort()  # in place: np.union1d makes several copies
        return are_new

    def _look(self, payloads: Sequence[Payload]) -> tuple[list[int], list[bool]]:
        marks = [fingerprint(payload) for payload in payloads]
        wanted = np.array(marks, np.uint64)
        places = np.searchsorted(self._sorted, wanted)
        is_held = np.zeros(len(marks), bool)
        inside = places < len(self._sorted)
        is_held[inside] = self._sorted[places[inside]] == wanted[inside]
        are_new, met = [], set[int]()
        for mark, held in zip(marks, is_held.tolist(), strict=True):
            are_new.append(not held and mark not in self._recent and mark not in met)
            met.add(mark)
        return marks, are_new


def fingerprint(payload: Payload) -> int:
    """Return 64 bits that tell one version of a record from another, in this process alone."""
    return hash(bytes(payload)) & 0xFFFF_FFFF_FFFF_FFFF


def as_text(payload: Payload) -> str:
    r"""Return what came as text; a byte that is none as an escape of no letter, `\uefff` for FF."""
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError:
        told = str(payload, "utf-8", "surrogateescape")
        return _NO_TEXT.sub(lambda byte: rf"\uef{ord(byte[0]) & 0xFF:02x}", told)


def as_bytes(text: str) -> bytes:
    """Return what came, of what `as_text` made of it."""
    return _BYTE.sub(lambda byte: bytes.fromhex(byte[1].decode()), text.encode())


def is_too_deep(payload: Payload) -> bool:
    """Tell whether JSON is nested deeper than MOST_NESTING."""
    text = bytes(payload)
    if text.count(b"[") + text.count(b"{") <= MOST_NESTING:
        return False
    brackets = _STRINGS.sub(b"", text).translate(None, _NO_BRACKETS)
    opens = np.frombuffer(brackets, np.uint8) & 2  # a bit that [ and { have, and ] and } have not
    return int(np.cumsum(opens.astype(np.int64) - 1).max(initial=0)) > MOST_NESTING


def key_of(entity: Entity, payload: Payload) -> str | None:
    """Return a record's key as one text; None where a part of it is missing or no text."""
    try:
        fields = raw_fields(payload)
        parts = [msgspec.json.decode(fields[name], type=str) for name in entity.key]
    except (KeyError, *UNTYPED):
        return None
    return KEY_SEPARATOR.join(parts) if all(parts) else None


def raw_fields(payload: Payload) -> Mapping[str, Payload]:
    """Return a record's fields as they came, those of a damaged one up to where it breaks off.

    Raises MsgspecError where it is no object, or a name of a field is no text.
    """
    try:
        return _FIELDS.decode(payload)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return splitting.fields_in(bytes(payload))


def type_records(
    entity: Entity,
    company_id: str,
    load_id: str,
    batch: list[RawRecord],
    rejects: list[dict[str, Any]],
    unknown: set[str] | None = None,
    zone: tzinfo = UTC,
    noisy: Counter[str] | None = None,
) -> pa.Table:
    """Return the records as an Arrow table of `entity.schema`; `zone` is that of the business days.

    Those that cannot be typed are added to `rejects`, as rows of the quarantine; the names of
    fields that the model does not know to `unknown` (`items[].weight` for a nested one); to `noisy`
    the fields with numbers that were rounded because they are short ones and binary noise.
    """
    deep = [is_too_deep(received.payload) for received in batch]
    if any(deep):
        reason = f"nested more than {MOST_NESTING} deep"
        rejects += [_reject(load_id, received, reason) for received in compress(batch, deep)]
        batch = [received for received, is_deep in zip(batch, deep, strict=True) if not is_deep]
    try:
        return _read_together(entity, company_id, load_id, batch, unknown)
    except (*UNTYPED, *_UNFIT):  # something is odd: one by one, then
        pass
    records, kept = [], []
    for received in batch:
        try:
            str(received.payload, "utf-8")  # the fields that are not typed may hold anything
            records.append(_typed(entity, received.payload, unknown, zone))
        except UNTYPED as error:
            reason = splitting.damage_of(bytes(received.payload)) or str(error)
            rejects.append(_reject(load_id, received, reason))
            continue
        kept.append(received)
    noisy = Counter() if noisy is None else noisy
    try:
        return _table(entity, company_id, load_id, records, kept, noisy)
    except _UNFIT:
        good = []
        for record, received in zip(records, kept, strict=True):
            try:
                good.append(_table(entity, company_id, load_id, [record], [received], noisy))
            except _UNFIT as error:
                reason = f"{error} (in {_culprit(entity, record)})"
                rejects.append(_reject(load_id, received, reason))
        return pa.concat_tables([entity.schema.empty_table(), *good])


def finer_amounts(entity: Entity, table: pa.Table) -> dict[str, tuple[int, Decimal]]:
    """Return, by field, how many amounts have more decimals than the marts keep, and by how much
    the marts make them less, all together.
    """
    found: dict[str, tuple[int, Decimal]] = {}
    for path in entity.rounded:
        values = table[path[0]].combine_chunks()
        for name in path[1:]:
            values = values.flatten() if pa.types.is_list(values.type) else values
            values = pc.struct_field(values, name)
        rest = pc.subtract(values, pc.round(values, CENTS, "half_towards_infinity"))
        rest = rest.filter(pc.not_equal(rest, pa.scalar(Decimal(0), rest.type)))
        if len(rest):
            found[".".join(path)] = (len(rest), pc.sum(rest).as_py())
    return found


def tombstones(
    entity: Entity, company_id: str, load_id: str, gone: Iterable[tuple[str, str]], at: datetime
) -> pa.Table:
    """Return delete rows for (key as one text, id of the request that no longer brought it)."""
    rows = [
        {
            **dict(zip(entity.key, key.split(KEY_SEPARATOR), strict=True)),
            "_company_id": company_id,
            "_load_id": load_id,
            "_pulled_at": at,
            "_request_id": request_id,
            "_op": "delete",
        }
        for key, request_id in gone
    ]
    return pa.Table.from_pylist(rows, entity.schema)


def _typed(entity: Entity, payload: msgspec.Raw, unknown: set[str] | None, zone: tzinfo) -> Any:
    """Type a record; only one with an unknown field, or an odd one, is read a second time, and only
    one that cannot be typed as it stands in other spellings.
    """
    try:
        record = entity.strict_decoder.decode(payload)
    except msgspec.ValidationError:
        try:
            record = entity.decoder.decode(payload)
        except msgspec.ValidationError:
            mended = respelt(entity.model, payload, zone)
            if mended is None:
                raise
            record = entity.decoder.decode(mended)
        if unknown is not None:
            _add_unknown_fields(unknown, entity.model, payload)
    return record


def _add_unknown_fields(
    found: set[str], model: type[Record], payload: msgspec.Raw, path: str = ""
) -> None:
    """Add the names of the fields that the model of a record that can be typed does not know."""
    fields = _FIELDS.decode(payload)
    names, nested = _known_fields(model)
    if not fields.keys() <= names:
        found.update(path + name for name in fields.keys() - names)
    for name, inner in nested:
        value = fields.get(name)
        if value is None:
            continue
        is_list = bytes(value).startswith(b"[")
        parts = _PARTS.decode(value) if is_list else [value]
        within = f"{path}{name}{'[]' if is_list else ''}."
        for part in parts:
            if part != NOTHING:
                _add_unknown_fields(found, inner, part, within)


def is_known_field(entity: Entity, path: str) -> bool:
    """Tell whether the model of an entity has a field, written as `lines[].itemId`."""
    model: type[Record] | None = entity.model
    for part in path.split("."):
        if model is None:
            return False
        names, nested = _known_fields(model)
        name = part.removesuffix("[]")
        if name not in names:
            return False
        model = dict(nested).get(name)
    return True


@cache
def _known_fields(model: type[Record]) -> tuple[set[str], list[tuple[str, type[Record]]]]:
    """Return a model's fields as JSON names them, and those that hold a model, with that."""
    hints = get_type_hints(model, include_extras=True)
    names = dict(zip(model.__struct_encode_fields__, model.__struct_fields__, strict=True))
    models = ((encoded, _model_in(hints[name])) for encoded, name in names.items())
    return set(names), [(encoded, inner) for encoded, inner in models if inner]


def _model_in(hint: Any) -> type[Record] | None:
    if isinstance(hint, type) and issubclass(hint, Record):
        return hint
    if get_origin(hint) in (Union, types.UnionType, Annotated, list):
        return next(filter(None, map(_model_in, get_args(hint))), None)
    return None


def _table(
    entity: Entity,
    company_id: str,
    load_id: str,
    records: list[Any],
    batch: list[RawRecord],
    noisy: Counter[str],
) -> pa.Table:
    """Build the table column by column, which takes half the time of doing it row by row."""
    joined = b"".join(received.payload for received in batch)
    load = _load_columns(company_id, load_id, batch, joined)
    columns = _transposed(records, len(entity.schema) - len(load))
    found = Counter[str]()
    arrays = [
        _array(values, field, found, field.name)
        for values, field in zip(columns, entity.schema, strict=False)
    ]
    noisy.update(found)
    return pa.Table.from_arrays([*arrays, *load], schema=entity.schema)


def _load_columns(
    company_id: str, load_id: str, batch: list[RawRecord], joined: bytes
) -> list[pa.Array]:
    """Return the columns that blsync adds; `joined` are the payloads in one."""
    count = len(batch)
    columns: list[Sequence[Any]] = [
        [company_id] * count,
        [load_id] * count,
        [received.pulled_at for received in batch],
        [received.request_id for received in batch],
        ["upsert"] * count,
    ]
    kinds = (field.type for field in LOAD_COLUMNS)
    arrays = [pa.array(values, kind) for values, kind in zip(columns, kinds, strict=False)]
    ends = accumulate((len(received.payload) for received in batch), initial=0)
    offsets = pa.array(ends, pa.int32()).buffers()[1]
    payloads = pa.StringArray.from_buffers(count, offsets, pa.py_buffer(joined))
    return [*arrays, payloads]


def _read_together(
    entity: Entity,
    company_id: str,
    load_id: str,
    batch: list[RawRecord],
    unknown: set[str] | None,
) -> pa.Table:
    """Have Arrow read records of which none is odd: in half the time, and beside other work.

    With the checks made here it accepts no record that `_typed` would type otherwise, or reject. It
    raises instead, and the caller types the records one by one.
    """
    payloads = [received.payload for received in batch]
    joined = b"".join(payloads)
    load = _load_columns(company_id, load_id, batch, joined)
    free_forms = _free_forms(entity, payloads)
    bare = _without(entity, payloads, free_forms)
    text = joined if bare is payloads else b"".join(bare)
    if pc.any(pc.match_substring_regex(load[-1], _FAR_DECIMALS)).as_py():
        raise pa.ArrowInvalid("a number of more decimals than Arrow counts")
    found = set[str]()
    try:
        read = _read_json(entity, text, "error")
    except pa.ArrowInvalid as error:
        if "unexpected field" not in str(error):
            raise
        for payload in payloads:
            _add_unknown_fields(found, entity.model, payload)
        read = _read_json(entity, text, "ignore")
    for name in entity.key:
        if read[name].null_count or pc.any(pc.equal(read[name], "")).as_py():
            raise pa.ArrowInvalid("a record without an id")
    for records in read.to_struct_array().chunks:
        _look_over(records, entity.record_type)
    columns = [
        _array(free_forms[field.name], field, Counter(), field.name)
        if field.name in free_forms
        else read[field.name].cast(field.type)
        for field in entity.record_type
    ]
    table = pa.Table.from_arrays([*columns, *load], schema=entity.schema)
    table.validate(full=True)  # a decimal with too many digits before its point was let in
    if unknown is not None:
        unknown |= found
    return table


def _free_forms(
    entity: Entity, payloads: Sequence[msgspec.Raw]
) -> dict[str, Sequence[msgspec.Raw]]:
    decoder = entity.free_form_decoder
    columns = _transposed(list(map(decoder.decode, payloads)), len(entity.free_forms))
    return dict(zip(entity.free_forms, columns, strict=True))


def _without(
    entity: Entity, payloads: Sequence[msgspec.Raw], free_forms: Mapping[str, Sequence[msgspec.Raw]]
) -> Sequence[Payload]:
    """Return the records with null for their free forms: Arrow would make a column of each key."""
    bare: dict[int, Payload] = {}
    for name, values in free_forms.items():
        key = b'"%b"' % name.encode()
        for number, value in enumerate(values):
            if value not in _NO_FORM:
                before, _, after = bytes(bare.get(number, payloads[number])).partition(key)
                gap, _, rest = after.partition(bytes(value))
                if gap.strip() == b":":  # else Arrow refuses it
                    bare[number] = b"".join((before, key, b":null", rest))
    return [bare.get(n, payload) for n, payload in enumerate(payloads)] if bare else payloads


def _read_json(entity: Entity, text: bytes, unexpected_field: str) -> pa.Table:
    return pj.read_json(
        pa.BufferReader(text),
        pj.ReadOptions(use_threads=False, block_size=min(len(text) + 1, _LARGEST_BLOCK)),
        pj.ParseOptions(entity.json_schema, unexpected_field_behavior=unexpected_field),
    )


def _look_over(values: pa.Array, kind: pa.DataType) -> None:
    """Raise ArrowInvalid for what Arrow should not have read: a null in a list, an odd time."""
    if pa.types.is_list(kind):
        parts = values.flatten()
        if parts.null_count:
            raise pa.ArrowInvalid("a null in a list")
        _look_over(parts, kind.value_type)
    elif pa.types.is_struct(kind):
        for part, field in zip(values.flatten(), kind, strict=True):
            _look_over(part, field.type)
    elif (spelling := _SPELLINGS.get(kind)) and not pc.all(
        pc.match_substring_regex(values, spelling), min_count=0
    ).as_py():
        raise pa.ArrowInvalid("a date or time in another spelling")


def _transposed(records: Sequence[Any], width: int) -> list[Sequence[Any]]:
    """Return the fields' values, one sequence a field; a record that is None has none."""
    some = next((record for record in records if record is not None), None)
    if some is None:
        return [[None] * len(records)] * width
    values = [attrgetter(name) for name in some.__struct_fields__]
    if all(records):
        return [list(map(value, records)) for value in values]
    return [[None if r is None else value(r) for r in records] for value in values]


def _array(values: Sequence[Any], field: pa.Field, noisy: Counter[str], path: str) -> pa.Array:
    kind = field.type
    if not pa.types.is_nested(kind):
        if pa.types.is_decimal(kind):
            array, count = exact(values, kind)
            noisy.update({path: count} if count else {})
            return array
        if pa.types.is_temporal(kind):
            values = [None if at is None or at.year == NO_YEAR else at for at in values]
        return pa.array(map(_json_text, values) if field.metadata else values, kind)
    nulls = [value is None for value in values]
    is_null = pa.array(nulls) if any(nulls) else None
    if pa.types.is_list(kind):
        ends = accumulate((len(value or ()) for value in values), initial=0)
        inner = _array(
            [part for value in values for part in value or ()], kind.value_field, noisy, path
        )
        offsets = pa.array(ends, pa.int32())
        return pa.ListArray.from_arrays(offsets, inner, type=kind, mask=is_null)
    fields = [kind.field(number) for number in range(kind.num_fields)]
    columns = _transposed(values, len(fields))
    inner = [
        _array(column, part, noisy, f"{path}.{part.name}")
        for column, part in zip(columns, fields, strict=True)
    ]
    return pa.StructArray.from_arrays(inner, fields=fields, mask=is_null)


def _json_text(value: msgspec.Raw | None) -> str | None:
    text = None if value is None else str(value, "utf-8")
    return None if text == "null" else text


def _reject(load_id: str, received: RawRecord, reason: str) -> dict[str, Any]:
    return {
        "_payload": as_text(received.payload),
        "_reason": redact(reason),
        "_load_id": load_id,
        "_request_id": received.request_id,
        "_pulled_at": received.pulled_at,
    }


def _culprit(entity: Entity, record: Any) -> str:
    for field, value in zip(entity.schema, astuple(record), strict=False):
        try:
            _array([value], field, Counter(), field.name)
        except _UNFIT:
            return str(field.name)
    return "the record"
