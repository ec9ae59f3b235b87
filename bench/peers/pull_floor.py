"""The floor: invoices into one Parquet file with httpx, msgspec and pyarrow, and nothing else.

No retries, no types but those that pyarrow guesses, nothing to go on from after a kill. With
PACE=N it keeps to N requests a second the way blsync does: a request waits until the answer to
the one N before it is a second old. Prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque

import httpx
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

CHUNK = 10_000


def main(path: str) -> None:
    pace = int(os.environ.get("PACE", 0))
    answered: deque[float] = deque(maxlen=pace)
    headers = {
        "Authorization": f"Bearer {os.environ['BIGLEDGER_API_KEY']}",
        "X-Company-Id": os.environ["BIGLEDGER_COMPANY_ID"],
    }
    params = {"limit": "100", "sort": "updatedAt:asc"}
    rows = 0
    held: list[dict[str, object]] = []
    writer = None
    began = time.time()
    with httpx.Client(
        base_url=os.environ["BIGLEDGER_BASE_URL"], headers=headers, trust_env=False, timeout=60
    ) as http:
        more = True
        while more:
            if pace and len(answered) == pace:
                time.sleep(max(0.0, answered[0] + 1.0 - time.monotonic()))
            answer = http.get("/invoices", params=params).raise_for_status()
            answered.append(time.monotonic())
            page = msgspec.json.decode(answer.content)
            held += page["data"]
            more = page["pagination"]["hasMore"]
            params["cursor"] = page["pagination"]["nextCursor"]
            if held and (len(held) >= CHUNK or not more):
                table = pa.Table.from_pylist(held, writer and writer.schema)
                writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
                writer.write_table(table)
                rows += len(held)
                held = []
    if writer:
        writer.close()
    print(json.dumps({"rows": rows, "began": began, "ended": time.time()}))


if __name__ == "__main__":
    main(sys.argv[1])
