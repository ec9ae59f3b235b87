"""What reading staging costs after 1,000 nights: as landed, after `blsync compact`, in one file.

Each night lands 100 customers. The query is the one of staging: the latest version of each key.
The floor in the same run is the same rows in one file.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from blsync import maintenance, settings
from blsync.entities import ENTITIES
from blsync.lake.store import Lake
from blsync.lake.typing import RawRecord, type_records
from blsync.ledger import Ledger, loads
from blsync.session import open_session

ROUNDS = 5
ROWS = 100
KEYS = 20_000
FOLDER = "landing/customers/company_id=c1"
CUSTOMERS = ENTITIES["customers"]
STAGING = """
create or replace temp table staged as
with latest as (
    select filename, file_row_number
    from (
        select filename, file_row_number, row_number() over (
            partition by _company_id, id
            order by _pulled_at desc, "updatedAt" desc nulls last, _load_id desc,
                file_row_number desc
        ) as recency
        from read_parquet('{pattern}', hive_partitioning = false, union_by_name = true)
        where _op = 'upsert'
    )
    where recency = 1
)
select landing.* exclude (_payload)
from read_parquet('{pattern}', hive_partitioning = false, union_by_name = true) as landing
inner join latest on landing.filename = latest.filename
    and landing.file_row_number = latest.file_row_number
"""


def land_nights(data: Path, nights: int) -> None:
    lake, ledger = Lake(data), Ledger(f"sqlite:///{data / 'ledger.db'}")
    lake.ensure_schema(CUSTOMERS, "c1")
    for night in range(nights):
        at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=night)
        load_id = f"{at:%Y%m%dT%H%M%S%f}Z-{night:08x}"
        received = []
        for row in range(ROWS):
            number = (night * 7919 + row * 104_729) % KEYS
            record = {
                "id": f"cust_{number}",
                "name": f"Kedai Runcit {number}",
                "email": f"owner{number}@example.com",
                "creditLimit": number + night / 4,
                "paymentTerms": 30,
                "billingAddress": {"street": f"{number} Jalan Besar", "city": "Ipoh"},
                "tags": ["retail", f"route-{number % 40}"],
                "updatedAt": at.isoformat(),
            }
            payload = msgspec.Raw(json.dumps(record).encode())
            received.append(RawRecord(payload, f"req_{night}", at))
        table = type_records(CUSTOMERS, "c1", load_id, received, [])
        facts = {
            "load_id": load_id,
            "company_id": "c1",
            "entity": "customers",
            "window_start": (at - timedelta(days=1)).isoformat(),
            "window_end": at.isoformat(),
            "started_at": at.isoformat(),
            "rows": ROWS,
        }
        with lake.landing(CUSTOMERS, "c1", load_id) as landing:
            landing.add(table)
            landing.facts = facts
        loads.adopt(ledger, facts)
    ledger.close()


def write_floor(nights: Path, floor: Path) -> None:
    (floor / FOLDER).mkdir(parents=True)
    files = sorted((nights / FOLDER).glob("2*.parquet"))
    table = pa.concat_tables(pq.ParquetFile(file).read() for file in files)
    pq.write_table(table, floor / FOLDER / "all.parquet", compression="zstd", row_group_size=65_536)


def compacted(data: Path) -> str:
    os.environ |= {"BLSYNC_DATA": str(data), "BIGLEDGER_COMPANY_ID": "c1"}
    os.environ["BLSYNC_ENV_FILE"] = os.devnull
    current = settings.load()
    started = time.perf_counter()
    with open_session(current) as session:
        (done,) = maintenance.compact(session, current.companies(), [CUSTOMERS])
    took = time.perf_counter() - started
    return f"{done.files_before} files → {done.files_after} in {took:.1f} s"


def main(nights: int = 1000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = {name: Path(folder) / name for name in ("nights", "compacted", "floor")}
        land_nights(data["nights"], nights)
        shutil.copytree(data["nights"], data["compacted"])
        write_floor(data["nights"], data["floor"])
        print(f"compaction: {compacted(data['compacted'])}")
        times: dict[str, list[float]] = {name: [] for name in data}
        with duckdb.connect() as db:
            for number in range(ROUNDS + 1):  # the first round warms the caches
                for name, place in data.items():
                    sql = STAGING.format(pattern=place / "landing/customers/**/*.parquet")
                    started = time.perf_counter()
                    db.execute(sql)
                    if number:
                        times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in times.items()}
    labels = {
        "nights": f"{nights} files, as landed",
        "compacted": "after blsync compact",
        "floor": f"floor: the same {nights * ROWS} rows in one file",
    }
    for name, label in labels.items():
        ratio = medians[name] / medians["floor"]
        print(f"{label:44} {medians[name] * 1000:8.0f} ms  {ratio:5.2f} × floor (median)")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
