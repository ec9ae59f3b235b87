"""How soon the sandbox's books are ready, and how fast it answers a page of 100 invoices.

The floor in the same run is the same server answering its smallest document.
"""

from __future__ import annotations

import statistics
import sys
import time

import httpx

from blsync.sandbox import Options, create_app, running

ROUNDS = 15


def main(invoices: int = 5000) -> None:
    started = time.perf_counter()
    create_app(Options(invoices=invoices, limits=False))
    print(f"{invoices} invoices ready       {time.perf_counter() - started:8.2f} s")
    with running(Options(invoices=invoices, limits=False)) as handle:
        headers = {
            "Authorization": f"Bearer {handle.api_key}",
            "X-Company-Id": handle.company_id,
        }
        with httpx.Client(base_url=handle.base_url, headers=headers) as http:
            first = {"limit": "100", "sort": "updatedAt:asc"}
            cursor = http.get("/invoices", params=first).json()["pagination"]["nextCursor"]
            cases = {
                "floor: /auth/verify": ("/auth/verify", {}),
                "first page of 100": ("/invoices", first),
                "next page of 100": ("/invoices", {**first, "cursor": cursor}),
            }
            times: dict[str, list[float]] = {name: [] for name in cases}
            for _ in range(ROUNDS):
                for name, (path, params) in cases.items():
                    answer = http.get(path, params=params)
                    answer.raise_for_status()
                    times[name].append(float(answer.headers["X-Response-Time"].removesuffix("ms")))
    for name, values in times.items():
        print(f"{name:26} {statistics.median(values):8.1f} ms of server time (median)")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
