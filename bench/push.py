"""The push against its floor, and 10,000 creates of which a fifth of the batches is not answered.

    bench/push.py [endpoints|creates …] [--rows N] [--rounds N]

The server is a process of its own and counts the requests. The floor is a bare client that posts
the same bodies in the same batches, without plan, ledger or look-ups. Both run in this process and
take turns on one server; figures are medians of the rounds. Seconds of an apply include the ledger,
the comparison before each request and the reading back.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from peers.processes import COMPANY, KEY, Server, sandbox, table, verdict

from blsync import push, settings
from blsync.push.endpoints import ENDPOINTS
from blsync.session import open_session

Row = dict[str, Any]
DAY = "2026-03-31"
AMBIGUOUS = "only=writes,drop-after=0.08,error=0.06,error-after=0.04,truncate=0.02"


def customers(_: httpx.Client, count: int, word: str) -> list[Row]:
    return [{"email": f"{word}{n}@bench.example", "name": f"Kedai {n}"} for n in range(count)]


def invoices(http: httpx.Client, count: int, word: str) -> list[Row]:
    customer = _listed(http, "/customers", 1)[0]["id"]
    line = {"description": "Work", "quantity": 2, "unitPrice": 10.05}
    one = {"customerId": customer, "invoiceDate": DAY, "status": "draft", "items": [line] * 3}
    return [{**one, "reference": f"{word}-{n}"} for n in range(count)]


def adjustments(http: httpx.Client, count: int, word: str) -> list[Row]:
    """One row for each item and location: of two, the second waits for the first's answer."""
    one = {"adjustmentType": "increase", "quantity": 1, "unitCost": 2.5, "date": DAY}
    places = _listed(http, "/stock", count, page=200)
    return [
        {"reference": f"{word}-{n}", **one, **{k: place[k] for k in ("itemId", "locationId")}}
        for n, place in enumerate(places)
    ]


def entries(http: httpx.Client, count: int, word: str) -> list[Row]:
    debit, credit = (account["id"] for account in _listed(http, "/accounts", 2))
    lines = [{"accountId": debit, "debit": 10.05}, {"accountId": credit, "credit": 10.05}]
    one = {"date": DAY, "status": "draft", "lines": lines}
    return [{**one, "reference": f"{word}-{n}"} for n in range(count)]


def payments(http: httpx.Client, count: int, word: str) -> list[Row]:
    """One row for each invoice: of two, the second waits for the first's answer."""
    ours = {"reference[startswith]": "due-"}
    if not _listed(http, "/invoices", 1, **ours):
        due = [{**row, "status": "sent"} for row in invoices(http, count, "due")]
        _post(http, "invoices", due, ENDPOINTS["invoices"].limit)
    return [
        {
            "reference": f"{word}-{n}",
            "invoiceId": invoice["id"],
            "amount": 0.01,
            "paymentDate": DAY,
        }
        for n, invoice in enumerate(_listed(http, "/invoices", count, **ours))
    ]


ROWS: dict[str, Callable[[httpx.Client, int, str], list[Row]]] = {
    "customers": customers,
    "invoices": invoices,
    "inventory-adjustments": adjustments,
    "journal-entries": entries,
    "payments": payments,
}


def _listed(http: httpx.Client, path: str, count: int, page: int = 100, **query: str) -> list[Row]:
    found: list[Row] = []
    cursor: dict[str, str] = {}
    while len(found) < count:
        answer = http.get(path, params={"limit": page, **query, **cursor}).json()
        found += answer["data"]
        following = answer["pagination"]["nextCursor"]
        if not following:
            break
        cursor = {"cursor": following}
    return found[:count]


def client(server: Server) -> httpx.Client:
    headers = {"Authorization": f"Bearer {KEY}", "X-Company-Id": COMPANY}
    url = f"http://127.0.0.1:{server.port}/v1"
    return httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False)


def set_up(server: Server, folder: Path) -> settings.Settings:
    """Point the settings at the server, with a quota that makes nobody wait."""
    for name in [name for name in os.environ if name.startswith(("BIGLEDGER_", "BLSYNC_"))]:
        del os.environ[name]
    os.environ |= {
        "BIGLEDGER_BASE_URL": f"http://127.0.0.1:{server.port}/v1",
        "BIGLEDGER_API_KEY": KEY,
        "BIGLEDGER_COMPANY_ID": COMPANY,
        "BLSYNC_DATA": str(folder / "data"),
        "BLSYNC_ENV_FILE": os.devnull,
        "BLSYNC_QUOTA_PER_HOUR": "100000000",
        "BLSYNC_QUOTA_PER_SECOND": "1000000",
    }
    return settings.load()


def asked(server: Server) -> Counter[str]:
    """Count the requests since the last reset: those that write, and the others."""
    routes: dict[str, int] = server.control("stats")["routes"]
    counted: Counter[str] = Counter()
    for route, count in routes.items():
        counted["writes" if route.startswith("POST /bulk") else "reads"] += count
    server.control("reset-stats", {})
    return counted


def endpoints(folder: Path, count: int, rounds: int) -> None:
    """Rows a second and requests of each endpoint, beside a client that only posts."""
    lines, more = [], 0
    with (
        sandbox(limits=False, invoices=100, items=count // 2) as server,
        client(server) as http,
    ):
        current = set_up(server, folder)
        for name, make in ROWS.items():
            limit, made = ENDPOINTS[name].limit, len(make(http, count, "w"))
            planned, applied, bare = [], [], []
            for _ in range(rounds):
                word = uuid.uuid4().hex[:8]
                bare.append(_post(http, name, make(http, count, f"f{word}"), limit))
                path = folder / f"{name}.json"
                path.write_text(json.dumps(make(http, count, word)))
                asked(server)
                began = time.perf_counter()
                with open_session(current) as session:
                    report = push.plan(session, current.companies()[0], name, path)
                planned.append(time.perf_counter() - began)
                reads = asked(server)["reads"]
                began = time.perf_counter()
                with open_session(current) as session:
                    report = push.apply(session, report.plan.plan_id)
                applied.append(time.perf_counter() - began)
                assert report.outcomes["verified"] == made, report.outcomes
                requests = asked(server)
            seconds = statistics.median(applied)
            floor = statistics.median(bare)
            more += requests["writes"] - -(-made // limit)
            lines.append(
                (
                    *(name, f"{made:,}", f"{statistics.median(planned):.2f}", f"{seconds:.2f}"),
                    *(f"{made / seconds:,.0f}", f"{made / floor:,.0f}", f"{floor / seconds:.2f}"),
                    *(f"{requests['writes']}", f"{reads} + {requests['reads']}"),
                )
            )
    header = ("", "rows", "plan s", "apply s", "rows/s", "floor", "of floor", "writes", "look-ups")
    table(
        f"push: no limits, medians of {rounds}; look-ups of the plan + of the apply", header, lines
    )
    verdict("writes more than rows/limit, rounded up", more, 0, "d", most=True)


def _post(http: httpx.Client, name: str, rows: list[Row], limit: int) -> float:
    began = time.perf_counter()
    for start in range(0, len(rows), limit):
        operations = [{"operation": "create", "data": r} for r in rows[start : start + limit]]
        answer = http.post(f"/bulk/{name}", json={"operations": operations}).json()
        assert answer["data"]["failed"] == 0, str(answer)[:400]
    return time.perf_counter() - began


def creates(folder: Path, count: int, _: int) -> None:
    """Customers in batches of which a fifth is not answered; the clock runs on between applies."""
    now = datetime.now(UTC)

    def clock() -> datetime:
        return now

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += timedelta(seconds=seconds)

    with sandbox(limits=False, invoices=10, customers=5) as server, client(server) as http:
        current = set_up(server, folder)
        path = folder / "creates.json"
        path.write_text(json.dumps(customers(http, count, "c")))
        began = time.perf_counter()
        with open_session(current, clock=clock) as session:
            plan = push.plan(session, current.companies()[0], "customers", path)
        server.control("faults", {"faults": AMBIGUOUS})
        held, applies = 0, 0
        while applies < 50:
            with open_session(current, clock=clock, sleep=sleep) as session:
                report = push.apply(session, plan.plan.plan_id)
            applies += 1
            held += report.outcomes["held"]
            if report.exit_code == 0:
                break
            now += timedelta(seconds=current.push_settle_seconds)
        seconds = time.perf_counter() - began
        counted = asked(server)
        answer = httpx.get(
            f"http://127.0.0.1:{server.port}/sandbox/records", params={"entity": "customers"}
        )
    emails = Counter(str(customer["email"]).lower() for customer in answer.json())
    found = {email: n for email, n in emails.items() if email.endswith("@bench.example")}
    doubled = sum(n - 1 for n in found.values())
    batches = -(-count // ENDPOINTS["customers"].limit)
    table(
        f"creates: {count:,} customers in {batches} batches, {AMBIGUOUS}",
        ("rows", "verified", "lost", "doubled", "held meanwhile", "writes", "applies", "seconds"),
        [
            (
                *(f"{count:,}", f"{report.outcomes['verified']:,}", str(count - len(found))),
                *(str(doubled), f"{held:,}", str(counted["writes"]), str(applies)),
                f"{seconds:.1f}",
            )
        ],
    )
    verdict("lost or doubled", count - len(found) + doubled, 0, "d", most=True)


def main() -> None:
    every = {"endpoints": endpoints, "creates": creates}
    parser = argparse.ArgumentParser(description="The push against its floor.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="all unless named")
    parser.add_argument("--rows", type=int, default=2000, help="of each endpoint")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    scenarios = chosen.scenarios or list(every)
    if unknown := set(scenarios) - set(every):
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(every)}")
    for scenario in scenarios:
        with tempfile.TemporaryDirectory(prefix="bench-push-") as name:
            count = chosen.rows if scenario == "endpoints" else 10_000
            every[scenario](Path(name), count, chosen.rounds)


if __name__ == "__main__":
    main()
