"""A desk at which pushes are tried: a sandbox, settings, and a clock that only a sleep moves.

Every desk has a word of its own in the emails and references that it writes, so that tests share
one server and each counts its own records alone.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest

from blsync import push, settings
from blsync.ledger import evidence
from blsync.ledger.evidence import Evidence
from blsync.ledger.plans import Operation
from blsync.ledger.states import EvidenceState
from blsync.push.compare import to_text
from blsync.push.token import unmarked
from blsync.sandbox import Options, running
from blsync.session import Session
from rig import commands, patient

Row = dict[str, Any]
OPTIONS = Options(customers=15, items=6, invoices=5, months=1, limits=False, per_hour=10**6)


@dataclass
class Desk:
    """A sandbox, the settings for it, and a clock that only a sleep moves."""

    folder: Path
    http: httpx.Client
    now: datetime
    word: str = field(default_factory=lambda: f"d{uuid.uuid4().hex[:8]}")

    @property
    def settings(self) -> settings.Settings:
        return settings.load()

    @cached_property
    def today(self) -> date:
        return self.now.astimezone(self.settings.zone).date()

    def clock(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def has_seen_all(self, session: Session) -> None:
        """Write into the ledger that look-ups find what every endpoint writes."""
        company = self.settings.companies()[0]
        for name in push.EVERY:
            seen = Evidence(name, company.base_url, EvidenceState.KEPT, self.now)
            evidence.learn(session.ledger, company.company_id, seen)

    def evidence(self) -> dict[str, str]:
        """Return what the ledger knows of the server, by endpoint."""
        company_id = self.settings.companies()[0].company_id
        found = commands.within(
            self.settings, lambda session: evidence.seen(session.ledger, company_id)
        )
        return {one.endpoint: one.state.value for one in found}

    def settled(self) -> None:
        self.now += timedelta(seconds=self.settings.push_settle_seconds)

    def own(self, text: str) -> str:
        """Put this desk's domain, which no other test has, in the place of x.example."""
        return re.sub(r"@x\.example", f"@{self.word}.example", text, flags=re.IGNORECASE)

    def file(self, content: str | list[Row], name: str = "") -> Path:
        is_text = isinstance(content, str)
        path = self.folder / (name or ("changes.csv" if is_text else "changes.json"))
        text = content if isinstance(content, str) else to_text(content)
        path.write_bytes(self.own(text).encode())
        return path

    def plan(
        self, content: str | list[Row] | Path, to: str = "customers", **options: Any
    ) -> push.PlanReport:
        path = content if isinstance(content, Path) else self.file(content)
        company = self.settings.companies()[0]
        return commands.plan(self.settings, company, to, path, clock=self.clock, **options)

    def apply(self, plan_id: str, **options: Any) -> push.PlanReport:
        return commands.apply(self.settings, plan_id, clock=self.clock, sleep=self.sleep, **options)

    def settle(self, **options: Any) -> list[push.PlanReport]:
        return commands.settle_all(self.settings, clock=self.clock, sleep=self.sleep, **options)

    def retry(self, plan_id: str) -> push.PlanReport:
        return commands.retry(self.settings, plan_id, clock=self.clock)

    def undo(self, plan_id: str, **options: Any) -> push.PlanReport:
        return commands.undo(self.settings, plan_id, clock=self.clock, **options)

    def approve(self, plan_id: str, by: str, reason: str | None = None) -> push.PlanReport:
        return commands.approve(self.settings, plan_id, reason, clock=self.clock, actor=by)

    def reject(self, plan_id: str, by: str, reason: str | None = None) -> push.PlanReport:
        return commands.reject(self.settings, plan_id, reason, clock=self.clock, actor=by)

    def records(self, path: str, **params: str) -> list[Row]:
        """Read a list, or a record, as it is at the server now."""
        answer = self.http.get(f"/v1{path}", params={"limit": "100", **params})
        data: list[Row] = json.loads(answer.content, parse_float=Decimal)["data"]
        return data

    def customers(self, **params: str) -> list[Row]:
        return self.records("/customers", **params)

    def emails(self) -> Counter[str]:
        """Count this desk's customers at the server by their emails, page after page."""
        found = Counter[str]()
        params = {"limit": "100", "email[endswith]": f"@{self.word}.example"}
        while True:
            answer = self.http.get("/v1/customers", params=params).json()
            found.update(record["email"] for record in answer["data"])
            if not answer["pagination"]["hasMore"]:
                return found
            params["cursor"] = answer["pagination"]["nextCursor"]

    def named(self, email: str) -> list[Row]:
        return self.customers(email=self.own(email))

    def seeded(self) -> Row:
        """Return a customer that was there before any test."""
        return next(
            c
            for c in self.customers(**{"email[endswith]": "@example.my"})
            if c["email"] and c["billingAddress"] and c["creditLimit"]
        )

    def account(self, number: str) -> Row:
        return self.records("/accounts", accountNumber=number)[0]

    def write(self, path: str, body: Any, method: str = "POST") -> Row:
        """Change BigLedger as somebody else would, past the push."""
        answer = self.http.request(method, f"/v1{path}", json=body)
        answer.raise_for_status()
        data: Row = json.loads(answer.content, parse_float=Decimal)["data"]
        return data

    def written(self, endpoint: str, rows: list[Row]) -> list[Row]:
        """Create records in one bulk request, past the push, and return them."""
        operations = [{"operation": "create", "data": row} for row in rows]
        body = self.write(f"/bulk/{endpoint}", {"operations": json.loads(to_text(operations))})
        assert body["failed"] == 0, body
        return [result["data"] for result in body["results"]]

    def faults(self, text: str = "") -> None:
        self.http.post("/sandbox/faults", json={"faults": text}).raise_for_status()

    def requests(self, part: str = "") -> int:
        routes = self.http.get("/sandbox/stats").json()["routes"]
        return sum(count for route, count in routes.items() if part in route)

    def posts(self, endpoint: str = "") -> int:
        """Return how many requests have sent operations, in whichever dialect."""
        return sum(self.requests(f"POST /{dialect}/{endpoint}") for dialect in push.DIALECTS)

    def forget_requests(self) -> None:
        self.http.post("/sandbox/reset-stats").raise_for_status()


def set_up(monkeypatch: pytest.MonkeyPatch, folder: Path, base_url: str) -> None:
    (folder / "seeds").mkdir(parents=True, exist_ok=True)
    for name, value in {
        "BIGLEDGER_BASE_URL": base_url,
        "BIGLEDGER_API_KEY": OPTIONS.api_key,
        "BIGLEDGER_COMPANY_ID": OPTIONS.company_id,
        "BLSYNC_ENV_FILE": os.devnull,
        "BLSYNC_DATA": str(folder / "data"),
        "BLSYNC_SEEDS": str(folder / "seeds"),
        "BLSYNC_QUOTA_PER_HOUR": "1000000",
        "BLSYNC_QUOTA_PER_SECOND": "10000",
        "BLSYNC_QUOTA_RESERVE": "0",
        "BLSYNC_BATCHES_PER_MINUTE": "1000000",
        "BLSYNC_LARGE_BATCHES_PER_MINUTE": "1000000",
    }.items():
        monkeypatch.setenv(name, value)


@contextmanager
def server(options: Options = OPTIONS) -> Iterator[httpx.Client]:
    """Run a sandbox; the client asks it as anybody may."""
    with running(options) as handle:
        headers = {"Authorization": f"Bearer {handle.api_key}", "X-Company-Id": handle.company_id}
        with patient.client(base_url=handle.url, headers=headers, trust_env=False) as http:
            yield http


@contextmanager
def opened(
    http: httpx.Client,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_known: bool = True,
) -> Iterator[Desk]:
    """Open a desk with a ledger and a word of its own.

    The server `is_known` by earlier pushes to keep what look-ups go by, unless a test says no.
    """
    set_up(monkeypatch, folder, f"{str(http.base_url).rstrip('/')}/v1")
    desk = Desk(folder, http, datetime.now(UTC))
    if is_known:
        commands.within(desk.settings, desk.has_seen_all)
    desk.forget_requests()
    yield desk
    desk.faults()


def rows_of(report: push.PlanReport) -> dict[int, Operation]:
    return {operation.row: operation for operation in report.operations}


def errors_of(report: push.PlanReport) -> list[tuple[Any, Any, str]]:
    """Return code, field and message of each row that has an error, in the file's order."""
    return [
        (o.error["code"], o.error["field"], str(o.error["message"]))
        for o in report.operations
        if o.error
    ]


@dataclass(frozen=True)
class Kind:
    """A kind of rows that are pushed, and how the server tells what became of each.

    `rows` makes rows of a file: the n-th moves `amount(n)`, by which it is known again. Rows of an
    `is_update` kind change records that moved another amount before.
    """

    name: str
    endpoint: str
    rows: Callable[[Desk, int], list[Row]]
    is_safe_to_resend: bool = True
    is_update: bool = False

    def __str__(self) -> str:
        return self.name

    def live(self, desk: Desk) -> dict[str, list[Decimal]]:
        """Return the amounts of the desk's live records at the server, by email or reference."""
        found: dict[str, list[Decimal]] = defaultdict(list)
        for record in _listed(desk, self.endpoint):
            name = next(str(record[key]) for key in NAMES if record.get(key))
            found[unmarked(name).casefold()].append(_amount_of(record))
        return found


def amount(number: int) -> Decimal:
    """Return what row `number` moves; no two sums of them are the same."""
    return Decimal(2**number) + Decimal("0.05")


def _listed(desk: Desk, endpoint: str) -> list[Row]:
    if endpoint in ("customers", "suppliers"):
        return desk.records(f"/{endpoint}", **{"email[endswith]": f"@{desk.word}.example"})
    if name := {"items": "itemCode", "accounts": "accountNumber"}.get(endpoint):
        return desk.records(f"/{endpoint}", **{f"{name}[startswith]": f"{desk.word}-"})
    if endpoint == "bills":
        return desk.records("/bills", **{"supplierInvoiceNumber[startswith]": f"{desk.word}-"})
    path = {"invoices": "/invoices", "inventory-adjustments": "/inventory/adjustments"}.get(
        endpoint, "/journal-entries"
    )
    found = desk.records(path, **{"reference[startswith]": f"{desk.word}-"})
    return [record for record in found if record["status"] not in ("void", "cancelled")]


def _amount_of(record: Row) -> Decimal:
    if "pricing" in record:
        return Decimal(record["pricing"]["sellingPrice"])
    names = ("creditLimit", "subtotal", "totalValue", "totalDebit", "description")
    return Decimal(next(record[name] for name in names if name in record))


NAMES = ("email", "itemCode", "accountNumber", "supplierInvoiceNumber", "reference")
"""What a record is known by, whichever it has."""


def customer_rows(desk: Desk, count: int) -> list[Row]:
    return [
        {"email": f"r{n}@{desk.word}.example", "name": f"Kedai {n}", "creditLimit": amount(n)}
        for n in range(1, count + 1)
    ]


def invoice_rows(desk: Desk, count: int) -> list[Row]:
    return [
        {
            "reference": f"{desk.word}-{n}",
            "customerId": desk.seeded()["id"],
            "invoiceDate": desk.today,
            "items": [{"description": "Work", "quantity": 1, "unitPrice": amount(n)}],
        }
        for n in range(1, count + 1)
    ]


def adjustment_rows(desk: Desk, count: int) -> list[Row]:
    places = [(row["itemId"], row["locationId"]) for row in desk.records("/stock")]
    assert count <= len(places)
    return [
        {
            "reference": f"{desk.word}-{n}",
            "itemId": item,
            "locationId": place,
            "adjustmentType": "increase",
            "quantity": 1,
            "unitCost": amount(n),
            "reason": "found",
        }
        for n, (item, place) in enumerate(places[:count], start=1)
    ]


def entry_rows(desk: Desk, count: int, **more: str) -> list[Row]:
    return [
        {
            "reference": f"{desk.word}-{n}",
            "date": desk.today,
            "lines": [
                {"accountNumber": "6030", "debit": amount(n)},
                {"accountNumber": "1010", "credit": amount(n)},
            ],
            **more,
        }
        for n in range(1, count + 1)
    ]


def supplier_rows(desk: Desk, count: int) -> list[Row]:
    return [{**row, "paymentTerms": {"termsDays": 14}} for row in customer_rows(desk, count)]


def item_rows(desk: Desk, count: int) -> list[Row]:
    return [
        {
            "itemCode": f"{desk.word}-{n}",
            "name": f"Work {n}",
            "type": "service",
            "category": "Services",
            "unitOfMeasure": "hour",
            "sellingPrice": amount(n),
            "reorderLevel": n,
        }
        for n in range(1, count + 1)
    ]


def account_rows(desk: Desk, count: int) -> list[Row]:
    """Rows of accounts, which have no amount: their description says it."""
    return [
        {
            "accountNumber": f"{desk.word}-{n}",
            "name": f"Account {n}",
            "type": "expense",
            "category": "operating_expense",
            "parentNumber": "6000",
            "description": str(amount(n)),
        }
        for n in range(1, count + 1)
    ]


def bill_rows(desk: Desk, count: int) -> list[Row]:
    supplier = next(one for one in desk.records("/suppliers") if one["status"] == "active")
    return [
        {
            "supplierInvoiceNumber": f"{desk.word}-{n}",
            "supplierId": supplier["id"],
            "billDate": desk.today,
            "items": [
                {
                    "description": "Rent",
                    "quantity": 1,
                    "unitPrice": amount(n),
                    "accountCode": "6030",
                }
            ],
        }
        for n in range(1, count + 1)
    ]


def payment_rows(desk: Desk, count: int) -> list[Row]:
    """Rows that each pay a part of an invoice of its own."""
    return [
        {
            "reference": f"{desk.word}-{n}",
            "invoiceId": invoice["id"],
            "amount": amount(n),
            "paymentDate": desk.today,
        }
        for n, invoice in enumerate(sent_invoices(desk, count), start=1)
    ]


def sent_invoices(desk: Desk, count: int, price: int = 1000) -> list[Row]:
    """Create invoices that are sent to their customer and not paid."""
    line = {"description": "Work", "quantity": 1, "unitPrice": price}
    body = {"customerId": desk.seeded()["id"], "status": "sent", "items": [line]}
    return desk.written("invoices", [body] * count)


def _with_others(rows: Callable[[Desk, int], list[Row]]) -> Callable[[Desk, int], list[Row]]:
    """Create the rows' records with amounts that are not theirs yet."""

    def made(desk: Desk, count: int) -> list[Row]:
        wanted = rows(desk, count)
        endpoint = "customers" if "email" in wanted[0] else "invoices"
        changed = [{**row, "creditLimit": 1} for row in wanted]
        if endpoint == "invoices":
            line = {"description": "Work", "quantity": 1, "unitPrice": 1}
            changed = [{**row, "items": [line]} for row in wanted]
        desk.written(endpoint, changed)
        return wanted

    return made


CUSTOMERS = Kind("customers", "customers", customer_rows)
CUSTOMER_UPDATES = Kind(
    "customer updates", "customers", _with_others(customer_rows), is_update=True
)
INVOICES = Kind("invoices", "invoices", invoice_rows)
INVOICE_UPDATES = Kind("invoice updates", "invoices", _with_others(invoice_rows), is_update=True)
ADJUSTMENTS = Kind("adjustments", "inventory-adjustments", adjustment_rows, is_safe_to_resend=False)
DRAFTS = Kind("drafts", "journal-entries", entry_rows)
POSTINGS = Kind(
    "postings",
    "journal-entries",
    lambda desk, count: entry_rows(desk, count, status="posted"),
    is_safe_to_resend=False,
)
PAYMENTS = Kind("payments", "payments", payment_rows, is_safe_to_resend=False)
KINDS = (
    *(CUSTOMERS, CUSTOMER_UPDATES, INVOICES, INVOICE_UPDATES),
    *(ADJUSTMENTS, DRAFTS, POSTINGS, PAYMENTS),
)
BATCH_KINDS = (
    Kind("suppliers", "suppliers", supplier_rows),
    Kind("items", "items", item_rows),
    Kind("accounts", "accounts", account_rows),
    Kind("bills", "bills", bill_rows),
)
"""Kinds that batches alone take."""
