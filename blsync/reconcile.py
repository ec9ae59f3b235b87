"""What BigLedger's own reports say, as figures that the marts are compared with.

The five reports are asked for today and for the last month end (contract, section 5), right after a
pull, so that both sides speak of the same books. They are asked again only when something landed
since, or when the day has changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa

from blsync.client import Answer, Client
from blsync.errors import ApiError, Unauthorized
from blsync.lake import Lake
from blsync.ledger import Ledger, loads
from blsync.quota import pace_for
from blsync.settings import Company, Settings

FIGURES = pa.schema(
    [
        ("company_id", pa.string()),
        ("report", pa.string()),
        ("as_of_date", pa.date32()),
        ("period_from", pa.date32()),
        ("entity_key", pa.string()),
        ("measure", pa.string()),
        ("value", pa.decimal128(18, 4)),
        ("request_id", pa.string()),
        ("fetched_at", pa.timestamp("us", "UTC")),
    ]
)
COMPANIES = pa.schema(
    [
        ("company_id", pa.string()),
        ("company_name", pa.string()),
        ("currency", pa.string()),
        ("timezone", pa.string()),
        ("today", pa.date32()),
        ("built_at", pa.timestamp("us", "UTC")),
    ]
)

_VALUATION = ("/reports/stock-valuation", "/inventory/reports/valuation")
_JSON = msgspec.json.Decoder(float_hook=Decimal)
_Figure = tuple[str, str, Any]  # entity_key, measure, value


@dataclass
class Facts:
    """What BigLedger said of one company: itself, and its reports' figures."""

    name: str | None = None
    currency: str | None = None
    figures: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0
    throttled_ms: int = 0


def ask(
    settings: Settings,
    company: Company,
    *,
    wait: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> Facts:
    """Return the company's facts, asking BigLedger only where those kept are out of date.

    A report that the key may not read, or that the server cannot give, is left out and said.
    Raises Unauthorized, QuotaSpent.
    """
    today = datetime.now(settings.zone).date()
    known = kept(settings, company)
    ledger = Ledger(settings.ledger_url)
    try:
        landed_at = loads.last_change(ledger, company.company_id)
        fetched_at = max((row["fetched_at"] for row in known.figures), default=None)
        is_today = any(row["as_of_date"] == today for row in known.figures)
        if fetched_at and is_today and (landed_at is None or landed_at < fetched_at):
            return known
        return asyncio.run(_ask(settings, company, ledger, known, today, wait, say))
    finally:
        ledger.close()


def kept(settings: Settings, company: Company) -> Facts:
    """Return what was asked before; empty where nothing was."""
    lake = Lake(settings.data)
    known = [r for r in lake.read_input("companies") if r["company_id"] == company.company_id]
    if not known:
        return Facts()
    figures = [
        r for r in lake.read_input("report_figures") if r["company_id"] == company.company_id
    ]
    return Facts(known[0]["company_name"], known[0]["currency"], figures)


async def _ask(
    settings: Settings,
    company: Company,
    ledger: Ledger,
    known: Facts,
    today: date,
    wait: bool,
    say: Callable[[str], None],
) -> Facts:
    pace = pace_for(settings, ledger, company.key_id)
    pace.wait_for_hour, pace.say = wait, say
    async with Client(company, pace) as client:
        facts = await _about(client, known, say)
        answers = await asyncio.gather(*(_figures(client, q, say) for q in _questions(today)))
    for rows in answers:
        facts.figures += [{"company_id": company.company_id, **row} for row in rows]
    facts.requests, facts.throttled_ms = client.requests, round(pace.throttled * 1000)
    return facts


async def _about(client: Client, known: Facts, say: Callable[[str], None]) -> Facts:
    try:
        about = _JSON.decode((await client.get("/company")).data)
        return Facts(about.get("name") or known.name, about.get("currency") or known.currency)
    except (ApiError, AttributeError) as error:
        say(f"The company's name and currency stay what they were: {error}")
        return Facts(known.name, known.currency)


@dataclass(frozen=True)
class _Question:
    report: str
    paths: tuple[str, ...]
    as_of: date
    period_from: date | None
    read: Callable[[Any], Iterable[_Figure]]

    def spellings(self) -> list[tuple[str, dict[str, str]]]:
        """The addresses and periods as the vendor's pages write them, the likeliest first."""
        if self.period_from is None:
            return [(path, {"asOfDate": str(self.as_of)}) for path in self.paths]
        return [
            (path, {first: str(self.period_from), last: str(self.as_of)})
            for path in self.paths
            for first, last in (("periodFrom", "periodTo"), ("fromDate", "toDate"))
        ]


def _questions(today: date) -> Iterator[_Question]:
    month_end = today.replace(day=1) - timedelta(days=1)
    for as_of in (today, month_end):
        first = as_of.replace(day=1)
        yield _Question("trial_balance", ("/reports/trial-balance",), as_of, None, _trial_balance)
        yield _Question("balance_sheet", ("/reports/balance-sheet",), as_of, None, _balance_sheet)
        yield _Question("profit_loss", ("/reports/profit-loss",), as_of, first, _profit_loss)
    yield _Question("aged_receivables", ("/reports/aged-receivables",), today, None, _receivables)
    yield _Question("stock_valuation", _VALUATION, today, None, _valuation)


async def _figures(
    client: Client, question: _Question, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    try:
        answer = await _answer(client, question)
        asked = {
            "report": question.report,
            "as_of_date": question.as_of,
            "period_from": question.period_from,
            "request_id": answer.request_id,
            "fetched_at": datetime.now(UTC),
        }
        figures = [
            {**asked, "entity_key": key, "measure": measure, "value": Decimal(value)}
            for key, measure, value in question.read(_JSON.decode(answer.data))
        ]
        # A row of its own says that the report came, even where it lists nothing.
        return [{**asked, "entity_key": None, "measure": None, "value": Decimal(0)}, *figures]
    except Unauthorized:
        raise
    except ApiError as error:
        say(f"{question.report} as of {question.as_of} cannot be compared: {error}")
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        say(
            f"{question.report} as of {question.as_of} cannot be compared: the answer has another "
            f"shape than documented ({type(error).__name__}: {error})."
        )
    return []


async def _answer(client: Client, question: _Question) -> Answer:
    *others, last = question.spellings()
    for path, params in others:
        try:
            return await client.get(path, params)
        except ApiError as error:
            if error.status not in (400, 404):
                raise
    return await client.get(*last)


def _trial_balance(data: Any) -> Iterator[_Figure]:
    for line in data["accounts"]:
        yield line["accountId"], "debit", line.get("debit") or 0
        yield line["accountId"], "credit", line.get("credit") or 0


def _balance_sheet(data: Any) -> Iterator[_Figure]:
    yield "assets", "balance", data["assets"]["totalAssets"]
    yield "liabilities", "balance", data["liabilities"]["totalLiabilities"]
    yield "equity", "balance", _total(data["equity"])


def _profit_loss(data: Any) -> Iterator[_Figure]:
    revenue, expenses = data["revenue"], data["expenses"]
    yield "operating_revenue", "amount", _total(revenue["operatingRevenue"])
    yield "other_revenue", "amount", _total(revenue.get("otherRevenue") or 0)
    yield "cost_of_goods_sold", "amount", _total(data["costOfGoodsSold"])
    yield "gross_profit", "amount", data["grossProfit"]
    yield "operating_expense", "amount", _total(expenses["operatingExpenses"])
    yield "other_expense", "amount", _total(expenses.get("otherExpenses") or 0)
    yield "net_profit", "amount", data["netProfit"]


def _receivables(data: Any) -> Iterator[_Figure]:
    names = {
        "current": "current",
        "days_31_60": "days31to60",
        "days_61_90": "days61to90",
        "over_90": "over90days",
        "total": "totalOwing",
    }
    for line in data["customers"]:
        for measure, name in names.items():
            yield line["customerId"], measure, line.get(name) or 0


def _valuation(data: Any) -> Iterator[_Figure]:
    for line in data["items"]:
        yield line["itemId"], "quantity", line["quantity"]
        yield line["itemId"], "value", line["totalValue"]


def _total(group: Any) -> Any:
    """A group is its total, or an object that holds it."""
    return group["total"] if isinstance(group, dict) else group
