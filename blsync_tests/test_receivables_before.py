"""What customers owed before the first sync, beside what BigLedger itself says of those days."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from rig import patient
from test_cli import blsync, environment

from blsync.sandbox import Handle, Options, running

pytestmark = pytest.mark.deep

TODAY = datetime.now(ZoneInfo("Asia/Kuala_Lumpur")).date()
BOOKS = Options(invoices=400, customers=12, items=8, months=15, modules=False, limits=False)
HEADERS = {"Authorization": f"Bearer {BOOKS.api_key}", "X-Company-Id": BOOKS.company_id}
BUCKETS = ("totalOwing", "current", "days31to60", "days61to90", "over90days")
MARTS = ("total_outstanding", '"current"', "days_31_60", "days_61_90", "over_90")
Owed = dict[str, tuple[Decimal, ...]]
"""Customer → what is owed in all, and by bucket."""


def month_ends() -> list[date]:
    """The twelve month ends before this month, the last first."""
    found = [TODAY]
    for _ in range(12):
        found.append(found[-1].replace(day=1) - timedelta(days=1))
    return found[1:]


DAYS = month_ends()


def asked(sandbox: Handle, method: str, path: str, **more: Any) -> Any:
    """Return what the server answers, numbers as decimals."""
    with patient.client(base_url=sandbox.base_url, headers=HEADERS) as http:
        answer = http.request(method, path, **more)
    assert answer.is_success, answer.text
    return json.loads(answer.text, parse_float=Decimal)["data"]


def reported(sandbox: Handle) -> dict[date, Owed]:
    """What BigLedger says each customer owed at the end of those days, in all and by bucket."""
    found = {}
    for day in DAYS:
        report = asked(sandbox, "GET", "/reports/aged-receivables", params={"asOfDate": str(day)})
        found[day] = {
            line["customerId"]: tuple(Decimal(line[name]) for name in BUCKETS)
            for line in report["customers"]
        }
    return found


def published(data: Path) -> dict[date, Owed]:
    """What the marts say of those days."""
    found: dict[date, Owed] = {day: {} for day in DAYS}
    with duckdb.connect(str(data / "blsync.duckdb"), read_only=True) as marts:
        rows = marts.execute(
            f"select as_of_date, customer_id, {', '.join(MARTS)} from finance.ar_aging "
            "where is_reconstructed"
        ).fetchall()
    for day, customer, *amounts in rows:
        found[day][customer] = tuple(amounts)
    return found


def sell(sandbox: Handle, day: date, price: int) -> str:
    """Issue an invoice dated then; return its id."""
    (customer, *_) = asked(sandbox, "GET", "/customers", params={"limit": 1, "status": "active"})
    line = {"description": "Advice", "quantity": 1, "unitPrice": price}
    invoice = {"customerId": customer["id"], "invoiceDate": str(day), "items": [line]}
    made: str = asked(sandbox, "POST", "/invoices", json={**invoice, "status": "sent"})["id"]
    return made


def pay(sandbox: Handle, invoice: str, day: date, amount: float) -> None:
    payment = {"amount": amount, "paymentDate": str(day), "paymentMethod": "cheque"}
    asked(sandbox, "POST", f"/invoices/{invoice}/payment", json=payment)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Handle]:
    """Books in which some is paid in parts, entered late, cancelled, still a draft."""
    with running(BOOKS) as handle:
        in_parts = sell(handle, DAYS[9], 1000)
        for place, amount in ((8, 100), (5, 250.5), (2, 0.01)):
            pay(handle, in_parts, DAYS[place], amount)
        on_the_last_day = sell(handle, DAYS[6], 400)
        pay(handle, on_the_last_day, DAYS[4], 300)
        pay(handle, on_the_last_day, DAYS[3] + timedelta(days=1), 100)
        cancelled = sell(handle, DAYS[7], 777)
        asked(handle, "PUT", f"/invoices/{cancelled}", json={"status": "cancelled"})
        yield handle


@pytest.fixture(scope="module")
def told(sandbox: Handle) -> dict[date, Owed]:
    """What BigLedger said before anything was synced."""
    return reported(sandbox)


@pytest.fixture(scope="module")
def env(
    sandbox: Handle, told: dict[date, Owed], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The settings of a company that was synced once."""
    given = environment(tmp_path_factory.mktemp("before") / "data", sandbox.base_url)
    done = blsync("sync", env=given)
    assert done.returncode == 0, done.stderr
    return given


def test_what_was_owed_at_the_twelve_month_ends_before_the_first_sync_is_what_bigledger_says(
    env, told
):
    assert published(Path(env["BLSYNC_DATA"])) == told
    assert all(len(owed) > 3 for owed in told.values())


def test_a_cent_that_is_paid_late_shows_beside_the_report_and_changes_no_past_that_was_known(
    env, told, sandbox
):
    data = Path(env["BLSYNC_DATA"])
    (late, *_) = asked(
        sandbox, "GET", "/invoices", params={"limit": 1, "status": "overdue", "sort": "dueDate:asc"}
    )
    pay(sandbox, late["id"], DAYS[1], 0.01)
    now, marts = reported(sandbox), published(data)
    off = {
        (day, customer): marts[day][customer][0] - owed[0]
        for day in DAYS
        for customer, owed in now[day].items()
        if owed != marts[day][customer]
    }
    assert off == {(day, late["customerId"]): Decimal("0.01") for day in DAYS[:2]}

    sell(sandbox, DAYS[11], 55)
    done = blsync("sync", env=env)
    assert done.returncode == 0, done.stderr
    assert published(data) == told
    with duckdb.connect(str(data / "blsync.duckdb"), read_only=True) as file:
        assert file.execute(
            "select status, count(distinct as_of_date), count(*) from finance.reconciliation "
            "where check_name = 'past_receivables' group by all"
        ).fetchall() == [("pass", 12, 60)]
