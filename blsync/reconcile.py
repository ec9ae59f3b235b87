"""What BigLedger's own reports say, as figures that the marts are compared with.

The five reports (bigledger-api.md, section 5) are asked for today, those of the ledger for the last
closed month end too, right after a pull, so that both sides speak of the same books. They are asked
again only when something landed since, when the day has changed, or when they did not tie out.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa

from blsync.binding import open_ledger
from blsync.client import Answer, Client, read
from blsync.clock import is_ahead, plausible
from blsync.entities import ENTITIES
from blsync.errors import ApiError, BlsyncError
from blsync.exchange import said
from blsync.lake import Lake
from blsync.ledger import Ledger, loads
from blsync.quota import pace_for
from blsync.records import exact
from blsync.settings import Company, Settings

VALUE = pa.decimal128(36, 4)
"""Type of a figure, money or a quantity: wider than a record's, because a report adds them up."""
FIGURES = pa.schema(
    [
        ("company_id", pa.string()),
        ("report", pa.string()),
        ("as_of_date", pa.date32()),
        ("period_from", pa.date32()),
        ("entity_key", pa.string()),
        ("measure", pa.string()),
        ("value", VALUE),
        ("request_id", pa.string()),
        ("fetched_at", pa.timestamp("us", "UTC")),
        ("made_at", pa.timestamp("us", "UTC")),
        ("failed_before", pa.bool_()),
    ]
)
LIST_TOTALS = "list_totals"
"""Stands for a report: the totals that BigLedger tells of its lists."""
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
    again: bool = False,
    wait: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> Facts:
    """Return the company's facts, asking BigLedger where those kept are out of date, or `again`.

    A report that the key may not read, or that the server cannot give, is left out and said.
    Raises Unauthorized, QuotaSpent.
    """
    known = kept(settings, company)
    ledger = open_ledger(settings)
    try:
        days = _days_due(settings, company, ledger, known, again)
        if days is None:
            return known
        return asyncio.run(_ask(settings, company, ledger, known, days, wait, say))
    finally:
        ledger.close()


def requests_due(
    settings: Settings, company: Company, ledger: Ledger, *, again: bool = False
) -> int:
    """Return how many requests `ask` would send; 0 where what is kept is up to date."""
    days = _days_due(settings, company, ledger, kept(settings, company), again)
    return 1 + sum(1 for _ in _questions(*days)) if days else 0


def _days_due(
    settings: Settings, company: Company, ledger: Ledger, known: Facts, again: bool
) -> tuple[date, date] | None:
    """Return the days to ask about; None where what is known is up to date."""
    now = datetime.now(UTC)
    today = now.astimezone(settings.zone).date()
    landed_at = loads.last_change(ledger, company.company_id)
    fetched_at = max((row["fetched_at"] for row in known.figures), default=None)
    days = (today, last_closed(settings, company.company_id, today))
    are_kept = set(days) <= {row["as_of_date"] for row in known.figures}
    # What is dated ahead was asked by a clock that was wrong: it would be the newest for years.
    if fetched_at and is_ahead(fetched_at, now):
        fetched_at = None
    is_newer = fetched_at and (landed_at is None or landed_at < fetched_at)
    return None if is_newer and are_kept and not again else days


def last_closed(settings: Settings, company_id: str, today: date) -> date:
    """Return the end of the last month that the user's period_close.csv closes.

    Where it closes none, the end of the last calendar month.
    """
    ends = []
    with contextlib.suppress(OSError), (settings.seeds / "period_close.csv").open() as file:
        for row in csv.DictReader(file):
            # What is wrong with a row is dbt's to say.
            with contextlib.suppress(KeyError, ValueError, AttributeError):
                day = date.fromisoformat(row["period"].strip())
                if row["company_id"].strip() == company_id and row["closed_at"].strip():
                    after = (day.replace(day=1) + timedelta(days=31)).replace(day=1)
                    ends.append(after - timedelta(days=1))
    calendar = today.replace(day=1) - timedelta(days=1)
    return max((end for end in ends if end <= today), default=calendar)


def totals(settings: Settings, ledger: Ledger, company_id: str) -> list[dict[str, Any]]:
    """Return the totals that BigLedger last told of its lists, as figures."""
    found = {entity: loads.drift_of(ledger, company_id, entity) for entity in ENTITIES}
    return [
        {
            "company_id": company_id,
            "report": LIST_TOTALS,
            "as_of_date": drift.checked_at.astimezone(settings.zone).date(),
            "entity_key": entity,
            "measure": "records",
            "value": Decimal(drift.total),
            "request_id": drift.request_id,
            "fetched_at": drift.checked_at,
        }
        for entity, drift in found.items()
        if drift
    ]


def marked(figures: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the figures, each with whether it failed when a report before this one was compared.

    `before` are rows of the published reconciliation. One as of the same day or an earlier one
    counts. A key that failed and is not listed any more is listed as 0.
    """
    earlier: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    keys: dict[tuple[Any, ...], set[tuple[str, str]]] = {}
    for row in before:
        report = row["check_name"].replace("profit_and_loss", "profit_loss")
        key, _, measure = row["entity_key"].rpartition(":")
        place = (row["company_id"], report, row["period_from"])
        keys.setdefault(place, set()).add((key, measure))
        earlier.setdefault((*place, key, measure), []).append(row)
    listed = {(row["as_of_date"], *_place_of(row)) for row in figures}
    found = []
    for row in figures:
        found.append(row | {"failed_before": _failed(earlier, row)})
        if row["entity_key"] is None:
            for key, measure in sorted(keys.get(_place_of(row)[:3], ())):
                new = row | {"entity_key": key, "measure": measure, "failed_before": True}
                is_listed = (new["as_of_date"], *_place_of(new)) in listed
                found += [new] if not is_listed and _failed(earlier, new) else []
    return found


def _place_of(row: dict[str, Any]) -> tuple[Any, ...]:
    names = ("company_id", "report", "period_from", "entity_key", "measure")
    return tuple(row.get(name) for name in names)


def _failed(earlier: dict[tuple[Any, ...], list[dict[str, Any]]], row: dict[str, Any]) -> bool:
    before = earlier.get(_place_of(row), [])
    for old in before:  # the same report, built anew: what was said of it stays
        if (old["source_request_id"], old["as_of_date"]) == (row["request_id"], row["as_of_date"]):
            return bool(old["failed_before"])
    return any(r["status"] == "fail" and r["as_of_date"] <= row["as_of_date"] for r in before)


def kept(settings: Settings, company: Company) -> Facts:
    """Return what was asked before; empty where nothing was."""
    lake = Lake(settings.data)
    known = [
        r for r in lake.read_input("companies", COMPANIES) if r["company_id"] == company.company_id
    ]
    if not known:
        return Facts()
    figures = [
        row
        for row in lake.read_input("report_figures", FIGURES)
        if row["company_id"] == company.company_id and row["report"] != LIST_TOTALS
    ]
    return Facts(known[0]["company_name"], known[0]["currency"], figures)


async def _ask(
    settings: Settings,
    company: Company,
    ledger: Ledger,
    known: Facts,
    days: tuple[date, date],
    wait: bool,
    say: Callable[[str], None],
) -> Facts:
    pace = pace_for(settings, ledger, company.key_id)
    pace.wait_for_hour, pace.say = wait, say
    async with Client(company, pace) as client:
        facts = await _about(client, known, say)
        answers = await asyncio.gather(*(_figures(client, q, say) for q in _questions(*days)))
    for rows in answers:
        facts.figures += [{"company_id": company.company_id, **row} for row in rows]
    facts.requests, facts.throttled_ms = client.requests, round(pace.throttled * 1000)
    return facts


async def _about(client: Client, known: Facts, say: Callable[[str], None]) -> Facts:
    try:
        about = (await client.get("/company")).read()
        return Facts(
            _text(about.get("name")) or known.name, _text(about.get("currency")) or known.currency
        )
    except (BlsyncError, MemoryError) as error:
        if not isinstance(error, ApiError):
            raise
        told = str(error)
    except Exception as error:
        told = f"the answer has another shape than documented ({type(error).__name__}: {error})."
    say(f"The company's name and currency stay what they were: {told}")
    return Facts(known.name, known.currency)


def _text(value: Any) -> str | None:
    return said(value) if isinstance(value, str) else None


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


def _questions(today: date, month_end: date) -> Iterator[_Question]:
    for as_of in dict.fromkeys((today, month_end)):
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
            "made_at": _made_at(answer),
        }
        figures = [
            {**asked, "entity_key": key, "measure": measure, "value": _figure(value)}
            for key, measure, value in question.read(answer.read())
        ]
        # A row of its own says that the report came, even where it lists nothing.
        return [{**asked, "entity_key": None, "measure": None, "value": Decimal(0)}, *figures]
    except ApiError as error:
        say(f"{question.report} as of {question.as_of} cannot be compared: {error}")
    except (BlsyncError, MemoryError):
        raise
    except Exception as error:  # whatever a report holds, the others are asked for all the same
        say(
            f"{question.report} as of {question.as_of} cannot be compared: the answer has another "
            f"shape than documented ({type(error).__name__}: {error})."
        )
    return []


_MADE = ("generatedAt", "generated_at", "cachedAt", "cached_at", "asOf")


def _figure(value: Any) -> Decimal:
    figure: Decimal = exact([Decimal(value)], VALUE)[0].as_py()
    return figure


def _made_at(answer: Answer) -> datetime | None:
    """Return when the report was made: the earliest that its headers or its body say, if any do.

    Where a report has its time is documented nowhere.
    """
    body = read(msgspec.Raw(answer.body), answer.request_id)
    told = [answer.made_at]
    for part in (body.get("meta"), body.get("data")):
        for name in _MADE if isinstance(part, dict) else ():
            with contextlib.suppress(msgspec.ValidationError):
                told.append(plausible(msgspec.convert(part.get(name), datetime)))
    return min(filter(None, told), default=None)


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
