"""The lake: exact types, quarantine, files that appear whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rig.depth import is_deep

from blsync.entities import ENTITIES
from blsync.errors import StorageError
from blsync.lake.store import Lake
from blsync.lake.typing import Fingerprints, RawRecord, type_records

PULLED_AT = datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)
ACCOUNTS, CUSTOMERS, INVOICES, ITEMS, STOCK = (
    ENTITIES[name] for name in ("accounts", "customers", "invoices", "items", "stock")
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "data")


def received(*payloads: str | bytes) -> list[RawRecord]:
    texts = [p.encode() if isinstance(p, str) else p for p in payloads]
    return [
        RawRecord(msgspec.Raw(text), f"req_{number}", PULLED_AT)
        for number, text in enumerate(texts)
    ]


def land(lake: Lake, *payloads: str | bytes, entity=CUSTOMERS, load_id="load") -> tuple[int, int]:
    """Land one batch; return how many rows landed, and how many went to quarantine."""
    with lake.landing(entity, "c1", load_id) as landing:
        rejects: list[dict] = []
        landing.add(type_records(entity, "c1", load_id, received(*payloads), rejects), rejects)
        landing.facts = {"load_id": load_id}
    return landing.rows, landing.rejected


def rows(lake: Lake, layer: str = "landing", entity=CUSTOMERS) -> list[dict]:
    files = sorted((lake.data / layer / entity.name / "company_id=c1").glob("*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def files(lake: Lake) -> list[str]:
    return sorted(str(p.relative_to(lake.data)) for p in lake.data.rglob("*") if p.is_file())


def test_decimals_are_those_of_the_text(lake):
    land(
        lake,
        '{"id":"1","total":9999999999.99,"amountDue":-0.01,"exchangeRate":4.12345678,'
        '"items":[{"quantity":0.0001,"unitPrice":1234567.891234},{"quantity":1E+2}]}',
        '{"id":"2","total":0.1,"subtotal":1.50000,"shippingCost":0}',
        entity=INVOICES,
    )
    first, second = rows(lake, entity=INVOICES)
    assert first["total"] == Decimal("9999999999.99")
    assert first["amountDue"] == Decimal("-0.01")
    assert first["exchangeRate"] == Decimal("4.12345678")
    assert [line["quantity"] for line in first["items"]] == [Decimal("0.0001"), Decimal(100)]
    assert first["items"][0]["unitPrice"] == Decimal("1234567.891234")
    assert (second["total"], second["subtotal"]) == (Decimal("0.10"), Decimal("1.50"))
    assert second["shippingCost"] == 0


def test_numbers_and_flags_sent_as_text_convert(lake):
    land(
        lake,
        '{"id":"1","creditLimit":"9999999999.99","paymentTerms":"30",'
        '"contacts":[{"isPrimary":"true"}]}',
        '{"id":"2","paymentTerms":30.0}',
    )
    first, second = rows(lake)
    assert first["creditLimit"] == Decimal("9999999999.99")
    assert first["paymentTerms"] == second["paymentTerms"] == 30
    assert first["contacts"][0]["isPrimary"] is True


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-01T00:30:00Z", datetime(2026, 3, 1, 0, 30)),
        ("2026-03-01T08:30:00+08:00", datetime(2026, 3, 1, 0, 30)),
        ("2026-03-01T00:30:00+08:00", datetime(2026, 2, 28, 16, 30)),
        ("2026-02-28T19:00:00-05:30", datetime(2026, 3, 1, 0, 30)),
        ("2026-03-01T00:30:00.5Z", datetime(2026, 3, 1, 0, 30, 0, 500_000)),
        ("2026-03-01T08:30:00.123456+08:00", datetime(2026, 3, 1, 0, 30, 0, 123_456)),
        ("2026-03-01T00:30:00.123Z", datetime(2026, 3, 1, 0, 30, 0, 123_000)),
        ("2026-03-01T00:30:00", datetime(2026, 3, 1, 0, 30)),
        ("2026-03-01 00:30:00Z", datetime(2026, 3, 1, 0, 30)),
    ],
)
def test_every_spelling_of_an_instant_lands_as_the_same_utc(lake, text, instant):
    land(lake, f'{{"id":"1","updatedAt":"{text}","lastSaleDate":"2026-02-28"}}')
    (row,) = rows(lake)
    assert row["updatedAt"] == instant.replace(tzinfo=UTC)
    assert row["lastSaleDate"] == date(2026, 2, 28)


def test_the_payload_is_the_servers_own_bytes(lake):
    payload = (
        '{ "id" : "1",\t"name":"Kedai \\ud83c\\udf5c 🍜\\nBaris dua","unknownField": {"a" : 1.10},'
        ' "customFields":{"z": 1.0,  "a":null}}'
    )
    land(lake, payload)
    (row,) = rows(lake)
    assert row["_payload"] == payload
    assert row["name"] == "Kedai 🍜 🍜\nBaris dua"
    assert row["customFields"] == '{"z": 1.0,  "a":null}'
    assert (row["_company_id"], row["_load_id"], row["_op"]) == ("c1", "load", "upsert")
    assert (row["_request_id"], row["_pulled_at"]) == ("req_0", PULLED_AT)


def test_what_is_absent_or_null_lands_as_null(lake):
    land(lake, '{"id":"1"}', '{"id":"2","name":null,"address":null,"customFields":null}')
    for row in rows(lake):
        assert [row[name] for name in ("name", "address", "customFields", "updatedAt")] == [
            None
        ] * 4


@pytest.mark.parametrize(
    "odd",
    [
        '{"name":"no id"}',
        '{"id":""}',
        '{"id":null}',
        '{"id":7}',
        '{"id":"x","lastSaleDate":"2026-02-31"}',
        '{"id":"x","createdAt":"last Tuesday"}',
        '{"id":"x","creditLimit":"fifty thousand"}',
        '{"id":"x","creditLimit":"NaN"}',
        '{"id":"x","creditLimit":"Infinity"}',
        '{"id":"x","creditLimit":1e400}',
        '{"id":"x","creditLimit":0.00001}',
        '{"id":"x","creditLimit":123456789012345678.00}',
        '{"id":"x","paymentTerms":30.5}',
        '{"id":"x","paymentTerms":123456789012345678901234567890}',
        '{"id":"x","address":[]}',
        '{"id":"x","contacts":[null]}',
        '{"id":"x","name":"\\ud800"}',
        b'{"id":"x","name":"\xff"}',
        b'{"id":"x","unknownField":"\xff"}',
        b'{"id":"x","customFields":{"a":"\xff"}}',
        '{"id":"x","unknownField":' + "[" * 5000 + "]" * 5000 + "}",
        "5",
        "null",
    ],
    ids=lambda odd: str(odd)[:60],
)
def test_an_odd_record_goes_to_quarantine_and_the_others_land(lake, odd):
    landed = land(lake, '{"id":"before","creditLimit":1.5}', odd, '{"id":"after"}')
    assert landed == (2, 1)
    assert [row["id"] for row in rows(lake)] == ["before", "after"]
    (reject,) = rows(lake, "quarantine")
    text = odd.replace(b"\xff", rb"\uefff").decode() if isinstance(odd, bytes) else odd
    assert reject["_payload"] == text
    assert reject["_reason"]
    assert (reject["_request_id"], reject["_load_id"]) == ("req_1", "load")


@pytest.mark.parametrize("text", ['"\\u00e9"', "1.0", '[ "a" ]', '{"a":1.10}'])
def test_json_of_any_shape_inside_a_field_lands_as_its_text(lake, text):
    land(lake, f'{{"id":"1","pricing":{{"costPrice":1,"priceGroups":{text}}}}}', entity=ITEMS)
    land(lake, '{"id":"2","pricing":{"priceGroups":null}}', entity=ITEMS, load_id="other")
    first, second = rows(lake, entity=ITEMS)
    assert first["pricing"]["priceGroups"] == text
    assert second["pricing"]["priceGroups"] is None


ZEROS = "0" * 45
SAME = {
    f"12.5{ZEROS}": Decimal("12.50"),
    f'"12.5{ZEROS}"': Decimal("12.50"),
    f'"\\u00312.5{ZEROS}"': Decimal("12.50"),
    f"125{ZEROS}e-46": Decimal("12.50"),
    "0e-2000000000": Decimal("0.00"),
    '"0\\u0065-5000"': Decimal("0.00"),
    "0.0E-41": Decimal("0.00"),
    f"12.5{ZEROS}1": Decimal("12.50"),
}
"""Money in texts that are far longer than it is, or far off."""
LOST = ["1e-41", "1E-41", '"1e-15097"', "1e-5000000", "12.50001", '"1\\u0065-41"', '"1.e-41"']
"""Numbers of which a column of money would lose something."""


@pytest.mark.parametrize("beside", ["", ',"id":"1"'], ids=["together", "one by one"])
@pytest.mark.parametrize(
    ("entity", "record"),
    [
        (CUSTOMERS, '"creditLimit":%s'),
        (ACCOUNTS, '"balance":{"debit":%s}'),
        (INVOICES, '"items":[{"lineTotal":%s}]'),
    ],
    ids=["a field", "a field inside another", "a field in a list"],
)
def test_a_number_lands_as_it_is_or_not_at_all_however_it_is_written(lake, entity, record, beside):
    """`beside` names the id twice, which is never read together with others."""
    record = f'{{"id":"1"{beside},{record}}}'
    usual = record % "12.50"
    texts = [record % text for text in (*SAME, *LOST)]
    assert land(lake, usual, *texts, entity=entity) == (1 + len(SAME), len(LOST))
    land(lake, *(record % value for value in SAME.values()), entity=entity, load_id="plain")
    name, *_ = (n for n in ("creditLimit", "balance", "items") if n in record)
    landed = [row[name] for row in rows(lake, entity=entity)]
    assert landed[1 : 1 + len(SAME)] == landed[1 + len(SAME) :]
    assert [row["_payload"] for row in rows(lake, "quarantine", entity)] == texts[len(SAME) :]


VALUES = [
    *(text.encode() for text in (*SAME, *LOST)),
    *(b"null", b"true", b"7", b"-0", b"1.50", b"1.505", b"1e2", b"1E-3", b"1e400", b"12345678901"),
    *(b"99999999999999999999", b"0.00000000000000000000000000000000000000000", b"{}", b"[]"),
    *(b'"7"', b'"1.50"', b'" 1.5"', b'"+1"', b'"1_0"', b'"1,000"', b'"NaN"', b'""', b'"true"'),
    *(b'"\xd9\xa1"', b'"\xff"', b'"\\ud83c\\udf5c"', b'"\\ud800"', b'"\\u0000"', b'"a\\nb"'),
    *(b'"2026-02-28"', b'"2026-02-31"', b'"20260228"', b'"2026-2-8"', b'"0000-01-01"'),
    *(b'"2026-02-28T10:30:00Z"', b'"2026-02-28 10:30:00.123456+08:00"', b'"2026-02-28T10:30:00"'),
    *(b'"2026-02-28T10"', b'"2026-02-28T10:30Z"', b'"2026-02-28T10:30:00+08"', b'"T10:30"'),
    *(b'"2026-02-28T10:30:00.1234567Z"', b'"2026-02-28t10:30:00z"', b'"0001-01-01T00:00:00+08:00"'),
    *(b"[null]", b"[[]]", b"[{}]", b'["a"]', b'[{"quantity":"1.5","a":1}]', b'{"status":null}'),
    *(b'[{"quantity":1.5,"lineTotal":0.10},{"description":"x"}]', b'[{"lineTotal":0.001},null]'),
    *(b'{"status":"x","acceptedAt":"2026-02-28T10:30:00Z"}', b'{"acceptedAt":"2026-02-28"}'),
]


def usual(kind: pa.DataType) -> bytes:
    text = {"bool": b"true", "int64": b"30", "date32[day]": b'"2026-02-28"'}.get(str(kind), b'"x"')
    text = b"-1.50" if pa.types.is_decimal(kind) else text
    return b'"2026-02-28T10:30:00Z"' if pa.types.is_timestamp(kind) else text


def values(kind: pa.DataType) -> st.SearchStrategy[bytes]:
    """JSON for a column of that type: usual, null, or anything."""
    if pa.types.is_struct(kind):
        fitting = fields(list(kind), 3).map(lambda parts: b"{" + b",".join(parts) + b"}")
    elif pa.types.is_list(kind):
        parts = st.lists(values(kind.value_type), max_size=2)
        fitting = parts.map(lambda parts: b"[" + b",".join(parts) + b"]")
    else:
        fitting = st.just(usual(kind))
    return fitting | fitting | st.just(b"null") | st.sampled_from(VALUES)


def fields(of: list[pa.Field], most: int) -> st.SearchStrategy[list[bytes]]:
    nested = [field for field in of if pa.types.is_nested(field.type)]
    unknown = pa.field("unheardOf", pa.string())
    one = st.sampled_from([*of, *4 * nested, unknown]).flatmap(
        lambda field: values(field.type).map(lambda text: b'"%b":%b' % (field.name.encode(), text))
    )
    return st.lists(one, max_size=most)


def records(entity) -> st.SearchStrategy[list[list[bytes]]]:
    modelled = [f for f in entity.schema if not f.name.startswith("_") and f.name not in entity.key]
    return st.lists(fields(modelled, 5), max_size=3)


@given(
    st.sampled_from(list(ENTITIES.values())).flatmap(lambda e: st.tuples(st.just(e), records(e)))
)
@example((CUSTOMERS, [[b'"tags":["a",null]']]))
@example((ITEMS, [[b'"pricing":{"priceGroups":"a"}']]))
@example((INVOICES, [[b'"_op":null']]))
@example((INVOICES, [[b'"items":[{"weight":null}]']]))
@example((INVOICES, [[b'"exchangeRate":12345678901']]))
@example((INVOICES, [[b'"updatedAt":"2026-02-28T10:30Z"']]))
@pytest.mark.drawn
@settings(max_examples=400 if is_deep() else 100, deadline=None)
def test_a_record_is_read_the_same_whatever_stands_beside_it(drawn):
    entity, parts = drawn
    ids = [b",".join(b'"%b":"%d"' % (k.encode(), n) for k in entity.key) for n in range(9)]
    texts = [b"{" + b",".join([ids[n], *own]) + b"}" for n, own in enumerate(parts)]

    def read(*payloads: bytes) -> tuple[pa.Table, list[dict], set[str]]:
        rejects: list[dict] = []
        unknown: set[str] = set()
        table = type_records(entity, "c1", "load", received(*payloads), rejects, unknown)
        table.validate(full=True)
        return table.combine_chunks(), rejects, unknown

    alone, rejects, unknown = read(*texts)
    # What names a field twice is not read together with others.
    beside, *others = read(*texts, b"{" + ids[8] + b"," + ids[8] + b"}")
    assert alone.equals(beside.slice(0, beside.num_rows - 1).combine_chunks())
    assert others == [rejects, unknown]


MANY_NAMES = """
import pyarrow as pa
from test_lake import CUSTOMERS, received
from blsync.lake.typing import type_records
rest = '{"id":"%d","customFields":{%s},"unheardOf":{%s}}'
names = [",".join(f'"{n}-{m}":"value"' for m in range(20)) for n in range(1000)]
payloads = [rest % (n, names[n], names[n]) for n in range(1000)]
rejects, unknown = [], set()
table = type_records(CUSTOMERS, "c1", "load", received(*payloads), rejects, unknown)
assert table["customFields"].to_pylist() == ["{%s}" % name for name in names]
assert (rejects, unknown) == ([], {"unheardOf"})
print(pa.default_memory_pool().max_memory() / sum(map(len, payloads)))
"""


@pytest.mark.deep
def test_fields_of_any_name_take_no_memory_for_each_name_that_there_is():
    command = [sys.executable, "-c", MANY_NAMES]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 20


def test_the_reason_repeats_nothing_of_the_record(lake):
    land(lake, b'{"id":"x","name":"Siti","unknownField":"\xff"}')
    (reject,) = rows(lake, "quarantine")
    assert "Siti" not in reject["_reason"]


def test_the_reason_names_the_field(lake):
    land(lake, '{"id":"x","creditLimit":"fifty"}', '{"id":"y","creditLimit":0.00001}')
    assert all("creditLimit" in row["_reason"] for row in rows(lake, "quarantine"))


def test_a_record_whose_key_has_two_parts_needs_both(lake):
    landed = land(lake, '{"itemId":"i","locationId":"l"}', '{"itemId":"i"}', entity=STOCK)
    assert landed == (1, 1)


def test_a_load_of_nothing_but_odd_records_makes_no_landing_file(lake):
    assert land(lake, '{"id":null}') == (0, 1)
    assert files(lake) == ["quarantine/customers/company_id=c1/load.parquet"]


def test_the_footer_tells_what_the_load_was(lake):
    land(lake, '{"id":"1"}', '{"id":null}')
    for layer in ("landing", "quarantine"):
        path = lake.data / layer / "customers/company_id=c1/load.parquet"
        assert lake.facts_of(path) == {"load_id": "load"}


def test_a_load_that_breaks_off_leaves_nothing(lake):
    def break_off() -> None:
        with lake.landing(CUSTOMERS, "c1", "load") as landing:
            landing.add(type_records(CUSTOMERS, "c1", "load", received('{"id":"1"}'), []))
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        break_off()
    assert files(lake) == []


def test_small_pages_make_no_small_row_groups(lake):
    pages = [[f'{{"id":"{page}-{n}"}}' for n in range(100)] for page in range(30)]
    with lake.landing(CUSTOMERS, "c1", "load") as landing:
        for page in pages:
            landing.add(type_records(CUSTOMERS, "c1", "load", received(*page), []))
    metadata = pq.read_metadata(lake.file_of(CUSTOMERS, "c1", "load"))
    assert (metadata.num_rows, metadata.num_row_groups) == (3000, 1)


def test_only_versions_in_the_window_or_without_a_time_are_held(lake):
    old = '{"id":"1","updatedAt":"2026-01-01T00:00:00Z"}'
    new = '{"id":"2","updatedAt":"2026-03-01T08:00:00+08:00"}'
    timeless = '{"id":"3"}'
    land(lake, old, new, timeless)
    versions = [text.encode() for text in (old, new, timeless)]
    march = datetime(2026, 3, 1, tzinfo=UTC)
    assert lake.stored(CUSTOMERS, "c1", None).are_new(versions) == [False, False, False]
    assert lake.stored(CUSTOMERS, "c1", march).are_new(versions) == [True, False, False]
    assert lake.stored(CUSTOMERS, "c2", None).are_new(versions) == [True, True, True]


def test_versions_are_told_apart_however_many_there_are():
    known = Fingerprints()
    pages = [[b"%d-%d" % (page, n) for n in range(1000)] for page in range(150)]
    assert all(all(known.add(page)) for page in pages)
    assert not any(any(known.are_new(page)) for page in pages)
    assert known.are_new([b"another", b"another", b"3-7"]) == [True, False, False]


def test_an_entity_without_records_has_an_empty_file_of_its_schema(lake):
    lake.ensure_schema(CUSTOMERS, "c1")
    land(lake, '{"id":"1"}')
    first, second = (lake.data / "landing/customers/company_id=c1").glob("*.parquet")
    assert pq.read_schema(first).equals(pq.read_schema(second))


def test_a_file_in_the_place_of_the_folder_is_a_storage_error(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(StorageError, match="BLSYNC_DATA") as caught:
        Lake(tmp_path / "data")
    assert caught.value.exit_code == 1


FULL_DISK = """
import resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
import msgspec
from blsync.entities import ENTITIES
from blsync.errors import StorageError
from blsync.lake.store import Lake
from blsync.lake.typing import RawRecord, type_records
from blsync.ledger.loads import SpooledPage
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
lake = Lake(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
batches = [
    [
        RawRecord(msgspec.Raw(b'{"id":"%d-%d"}' % (page, n)), "r", datetime.now(UTC))
        for n in range(100)
    ]
    for page in range(40)
]
try:
    if sys.argv[2] == "land":
        entity = ENTITIES["customers"]
        with lake.landing(entity, "c1", "load") as landing:
            for batch in batches:
                landing.add(type_records(entity, "c1", "load", batch, []))
    else:
        page = SpooledPage("updatedAt", 1, "r", datetime.now(UTC))
        lake.put_page(lake.spool("load", page), b"x" * 100_000)
except StorageError as error:
    print(error)
    sys.exit(7)
"""


@pytest.mark.parametrize("what", ["land", "spool"])
def test_a_full_disk_is_a_storage_error_and_leaves_nothing_half_landed(lake, what):
    """A limit on the size of files stands for the full disk: it holds for root too."""
    command = [sys.executable, "-c", FULL_DISK, str(lake.data), what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    assert "Free some room" in done.stdout
    assert [name for name in files(lake) if not name.startswith("spool/")] == []


def test_pandas_stays_out_until_somebody_asks_for_it():
    # In a process of its own: whether pyarrow has looked for pandas is decided once.
    program = (
        "import sys, blsync.lake.store, pyarrow as pa\n"
        "table = pa.table({'a': [1]})\n"
        "assert 'pandas' not in sys.modules\n"
        "assert table.to_pandas()['a'].sum() == 1\n"
        "import pandas as pd\n"
        "assert pa.array(pd.Series([1, 2])).to_pylist() == [1, 2]\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
