"""The same invoices with dlt: REST client, cursor paginator, Parquet files in FOLDER.

Needs an environment of its own, see `bench/pull.py`. Set up as dlt's guide to performance advises:
whole pages are yielded, working files are not compressed. `flat` keeps invoice lines as JSON text
in the invoice's row, which is less work than the table of lines that dlt makes by itself.
Prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator

import dlt
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
from dlt.sources.helpers.rest_client.paginators import JSONResponseCursorPaginator


def main(folder: str, flat: bool) -> None:
    client = RESTClient(
        os.environ["BIGLEDGER_BASE_URL"],
        headers={"X-Company-Id": os.environ["BIGLEDGER_COMPANY_ID"]},
        auth=BearerTokenAuth(os.environ["BIGLEDGER_API_KEY"]),
        paginator=JSONResponseCursorPaginator("pagination.nextCursor", "cursor"),
        data_selector="data",
    )

    @dlt.resource(
        primary_key="id", write_disposition="append", max_table_nesting=0 if flat else None
    )
    def invoices() -> Iterator[list[dict[str, object]]]:
        yield from client.paginate("/invoices", params={"limit": 100, "sort": "updatedAt:asc"})

    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=f"{folder}/pipelines",
        destination=dlt.destinations.filesystem(f"{folder}/landing"),
        dataset_name="raw",
    )
    began = time.time()
    pipeline.run(invoices(), loader_file_format="parquet").raise_on_failed_jobs()
    rows = pipeline.last_trace.last_normalize_info.row_counts["invoices"]
    print(json.dumps({"rows": rows, "began": began, "ended": time.time()}))


if __name__ == "__main__":
    main(sys.argv[1], "flat" in sys.argv[2:])
