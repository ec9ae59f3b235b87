"""What BigLedger's own reports say, as figures that the marts are compared with.

The reports (bigledger-api.md, section 5) are asked for today, those of the ledger for the last
closed month end too, that of the tills for yesterday, right after a pull, so that both sides speak
of the same books. They are asked again only when something landed since, when the day has changed,
or when they did not tie out. A server need not have those on cash, payables and tills. With the
first of them it is asked for the receivables of the twelve month ends before the first sync, which
are kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from blsync import user_tables
from blsync.api.client import Client
from blsync.api.envelope import Answer, read
from blsync.api.exchange import said
from blsync.clock import is_ahead, plausible
from blsync.entities import SHIPPED
from blsync.errors import ApiError, BlsyncError
from blsync.lake.numbers import exact
from blsync.ledger import loads
from blsync.marts.figures import NOT_THERE, VALUE, CompanyFacts, stored_facts
from blsync.session import Session
from blsync.settings import Company, Settings

_RECEIVABLES = ("/reports/aged-receivables",)
_VALUATION = ("/reports/stock-valuation", "/inventory/reports/valuation")
_PAYABLES = ("/reports/aged-payables", "/reports/purchasing/aged-payables")
_TILLS = ("/pos/reports/daily",)
_PAST = "past_receivables"
_Figure = tuple[str, str, Any]  # entity_key, measure, value


def ask(session: Session, company: Company, *, again: bool = False) -> CompanyFacts:
    """Return the company's facts, asking BigLedger where those kept are out of date, or `again`.

    A report that the key may not read, or that the server cannot give, is left out and said.
    Raises Unauthorized, QuotaSpent.
    """
    known = stored_facts(session.lake, company)
    synced_at = loads.first_start(session.ledger, company.company_id, "invoices")
    questions = _due(session, company, known, again, synced_at)
    return asyncio.run(_ask(session, company, known, questions)) if questions else known


def requests_due(session: Session, company: Company, *, again: bool = False) -> int:
    """Return how many requests `ask` would send; 0 where what is kept is up to date."""
    known = stored_facts(session.lake, company)
    # A first sync that has yet to come will ask for what was before it.
    synced_at = loads.first_start(session.ledger, company.company_id, "invoices")
    questions = _due(session, company, known, again, synced_at or session.clock())
    if not questions:
        return 0
    # What was not there is looked for at each of its addresses.
    absent = {row["report"] for row in known.figures if row["unavailable"]}
    return 1 + sum(len(q.paths) if q.report in absent else 1 for q in questions)


def _due(
    session: Session,
    company: Company,
    known: CompanyFacts,
    again: bool,
    synced_at: datetime | None,
) -> list[_Question]:
    """Return what to ask of a company whose invoices were first synced then; nothing where what is
    known is up to date.
    """
    now = session.clock()
    today = now.astimezone(session.settings.zone).date()
    landed_at = loads.last_change(session.ledger, company.company_id)
    fetched_at = max((row["fetched_at"] for row in known.figures), default=None)
    days = (today, last_closed(session.settings, company.company_id, now))
    are_kept = set(days) <= {row["as_of_date"] for row in known.figures}
    # What is dated ahead was asked by a clock that was wrong: it would be the newest for years.
    if fetched_at and is_ahead(fetched_at, now):
        fetched_at = None
    is_newer = fetched_at and (landed_at is None or landed_at < fetched_at)
    if is_newer and are_kept and not again:
        return []
    questions = [*_questions(*days)]
    if synced_at and not known.figures:
        questions += _past_questions(synced_at.astimezone(session.settings.zone).date())
    return questions


def trial_balance(session: Session, company: Company, day: date) -> list[dict[str, Any]]:
    """Ask BigLedger for its trial balance as of a day, for one request.

    Returns a row for each account and side: `entity_key` (the account's id), `measure` (debit or
    credit), `value`, and what all rows share: `request_id`, `fetched_at`, `told_dates` (of which
    day the report says it is, where that is another). Raises ApiError and what a client raises.
    """
    question = next(q for q in _questions(day, day) if q.report == "trial_balance")

    async def asked() -> list[dict[str, Any]]:
        async with session.client(company) as client:
            return await _figures(client, question, session.say, _Keys(session, company))

    return asyncio.run(asked())


def last_closed(settings: Settings, company_id: str, now: datetime) -> date:
    """Return the end of the last month that the user's period_close.csv closes.

    Where it closes none, the end of the last calendar month. Raises ConfigError.
    """
    today = now.astimezone(settings.zone).date()
    months = user_tables.closed_months(settings.seeds, company_id, now)
    ends = [user_tables.month_end(month) for month in months]
    calendar = today.replace(day=1) - timedelta(days=1)
    return max((end for end in ends if end <= today), default=calendar)


async def _ask(
    session: Session, company: Company, known: CompanyFacts, questions: list[_Question]
) -> CompanyFacts:
    say = session.say
    async with session.client(company) as client:
        facts = await _about(client, known, say)
        key_of = _Keys(session, company)
        asked = (_figures(client, q, say, key_of) for q in questions)
        answers = await asyncio.gather(*asked)
    facts.figures += [row for row in known.figures if row["report"] == _PAST]
    for rows in answers:
        facts.figures += [{"company_id": company.company_id, **row} for row in rows]
    facts.requests, facts.throttled_ms = client.requests, round(client.limiter.throttled * 1000)
    return facts


class _Keys:
    """The ids of accounts, also of those that a report names by their number alone."""

    def __init__(self, session: Session, company: Company) -> None:
        self._session, self._company_id = session, company.company_id
        self._by_number: dict[str, str] | None = None

    def __call__(self, key: str | None) -> str | None:
        """Return the key of a figure; of an account that is not held its number."""
        if not isinstance(key, _Coded):
            return key
        if self._by_number is None:
            lake, accounts = self._session.lake, SHIPPED["accounts"]
            self._by_number = lake.keys_by(accounts, self._company_id, "accountNumber")
        return self._by_number.get(key, str(key))


async def _about(client: Client, known: CompanyFacts, say: Callable[[str], None]) -> CompanyFacts:
    try:
        about = (await client.get("/company")).read()
        return CompanyFacts(
            _text(about.get("name")) or known.name, _text(about.get("currency")) or known.currency
        )
    except (BlsyncError, MemoryError) as error:
        if not isinstance(error, ApiError):
            raise
        told = str(error)
    except Exception as error:
        told = f"the answer has another shape than documented ({type(error).__name__}: {error})."
    say(f"The company's name and currency stay what they were: {told}")
    return CompanyFacts(known.name, known.currency)


def _text(value: Any) -> str | None:
    return said(value) if isinstance(value, str) else None


@dataclass(frozen=True)
class _Question:
    report: str
    paths: tuple[str, ...]
    as_of: date
    period_from: date | None
    read: Callable[[Any], Iterable[_Figure]]
    day_name: str = "asOfDate"
    is_optional: bool = False
    """Whether a server, or a key, may well not have it."""

    def spellings(self) -> list[tuple[str, dict[str, str]]]:
        """The addresses and periods as the vendor's pages write them, the likeliest first."""
        if self.period_from is None:
            return [(path, {self.day_name: str(self.as_of)}) for path in self.paths]
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
        yield _Question(
            "cash_flow", ("/reports/cash-flow",), as_of, first, _cash_flow, is_optional=True
        )
    yield _Question("aged_receivables", _RECEIVABLES, today, None, _receivables)
    yield _Question("stock_valuation", _VALUATION, today, None, _valuation)
    yield _Question("aged_payables", _PAYABLES, today, None, _payables, is_optional=True)
    for day in (today, today - timedelta(days=1)):
        yield _Question("pos_daily", _TILLS, day, None, _pos_daily, "date", is_optional=True)


def _past_questions(first: date) -> Iterator[_Question]:
    """Yield those about the twelve month ends of which the marts rebuild what was open by then."""
    day = first
    for _ in range(12):
        day = day.replace(day=1) - timedelta(days=1)
        yield _Question(_PAST, _RECEIVABLES, day, None, _all_receivables, is_optional=True)


async def _figures(
    client: Client,
    question: _Question,
    say: Callable[[str], None],
    key_of: Callable[[str | None], str | None],
) -> list[dict[str, Any]]:
    try:
        answer = await _answer(client, question)
        data = answer.read()
        told = _told_dates(question, data)
        asked = {
            "report": question.report,
            "as_of_date": question.as_of,
            "period_from": question.period_from,
            "request_id": answer.request_id,
            "fetched_at": datetime.now(UTC),
            "made_at": _made_at(answer),
            "told_dates": told,
        }
        figures = [
            {**asked, "entity_key": key_of(key), "measure": measure, "value": _figure(value)}
            for key, measure, value in question.read(data)
        ]
        if told:
            say(
                f"{question.report} as of {question.as_of} is not comparable: BigLedger says that "
                f"it is of {told}."
            )
        # A row of its own says that the report came, even where it lists nothing.
        return [{**asked, "entity_key": None, "measure": None, "value": Decimal(0)}, *figures]
    except ApiError as error:
        if question.is_optional and error.status in (403, 404):
            return [_not_there(question, error)]
        say(f"{question.report} as of {question.as_of} cannot be compared: {error}")
    except (BlsyncError, MemoryError):
        raise
    except Exception as error:  # whatever a report holds, the others are asked for all the same
        say(
            f"{question.report} as of {question.as_of} cannot be compared: the answer has another "
            f"shape than documented ({type(error).__name__}: {error})."
        )
    return []


def _not_there(question: _Question, error: ApiError) -> dict[str, Any]:
    """Return the row that says that a report is none of this server's, or not for this key."""
    reason = "has no such report" if error.status == 404 else "keeps this report from the key"
    key, measure = NOT_THERE
    return {
        "report": question.report,
        "as_of_date": question.as_of,
        "period_from": question.period_from,
        "request_id": error.request_id,
        "fetched_at": datetime.now(UTC),
        "entity_key": key,
        "measure": measure,
        "value": Decimal(0),
        "unavailable": f"BigLedger {reason} ({error.status}).",
    }


_MADE = ("generatedAt", "generated_at", "cachedAt", "cached_at", "asOf")


def _figure(value: Any) -> Decimal:
    figure: Decimal = exact([Decimal(value)], VALUE)[0][0].as_py()
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
            if error.status not in (400, 404, 422):
                raise
    return await client.get(*last)


def _trial_balance(data: Any) -> Iterator[_Figure]:
    for line in _part(data, "accounts"):
        key = line.get("accountId") or _Coded(_first(line, _NUMBERS))
        yield key, "debit", line.get("debit") or 0
        yield key, "credit", line.get("credit") or 0


def _balance_sheet(data: Any) -> Iterator[_Figure]:
    for name in ("assets", "liabilities", "equity"):
        yield name, "balance", _total(_part(data, name))


def _profit_loss(data: Any) -> Iterator[_Figure]:
    revenue, expenses = _part(data, "revenue"), _part(data, "expenses")
    yield "operating_revenue", "amount", _total(revenue["operatingRevenue"])
    yield "other_revenue", "amount", _total(revenue.get("otherRevenue") or 0)
    yield "cost_of_goods_sold", "amount", _total(_part(data, "costOfGoodsSold"))
    yield "gross_profit", "amount", _total(_part(data, "grossProfit"))
    yield "operating_expense", "amount", _total(expenses["operatingExpenses"])
    yield "other_expense", "amount", _total(expenses.get("otherExpenses") or 0)
    yield "net_profit", "amount", _total(_part(data, "netProfit"))


_BUCKETS = {
    "current": "current",
    "days_31_60": "days31to60",
    "days_61_90": "days61to90",
    "over_90": "over90days",
    "total": "totalOwing",
}


def _receivables(data: Any) -> Iterator[_Figure]:
    for line in data["customers"]:
        for measure, name in _BUCKETS.items():
            yield line["customerId"], measure, line.get(name) or 0


def _all_receivables(data: Any) -> Iterator[_Figure]:
    """All customers together: of twelve days, each would be a figure too many to keep."""
    for measure, name in _BUCKETS.items():
        yield "all", measure, sum(Decimal(line.get(name) or 0) for line in data["customers"])


def _payables(data: Any) -> Iterator[_Figure]:
    for line in data["suppliers"]:
        for measure, name in _BUCKETS.items():
            yield line["supplierId"], measure, line.get(name) or 0


def _cash_flow(data: Any) -> Iterator[_Figure]:
    """Which line an account belongs to is for each side to choose; cash itself is not."""
    names = {"net_change": "netChange", "opening": "openingCash", "closing": "closingCash"}
    for measure, name in names.items():
        yield "cash", measure, _total(_part(data, name))


def _pos_daily(data: Any) -> Iterator[_Figure]:
    names = {"gross": "grossSales", "net": "netSales"}
    for measure in ("gross", "discounts", "returns", "net", "tax", "rounding", "total"):
        yield "all", measure, data.get(names.get(measure, measure)) or 0
    for tender in data.get("payments") or []:
        yield str(tender["method"]).lower(), "amount", tender["amount"]


def _valuation(data: Any) -> Iterator[_Figure]:
    for line in data["items"]:
        yield line["itemId"], "quantity", line["quantity"]
        yield line["itemId"], "value", line["totalValue"]


class _Coded(str):
    """The number of an account that a report names in the place of its id."""


_NUMBERS = ("accountCode", "accountNumber", "code")
_PLACES = ("sections", "summary", "totals")
"""Where a report may have its parts, if not beside each other (bigledger-api.md, section 16)."""


def _part(data: Any, name: str) -> Any:
    """Return a part of a report, wherever it has it. Raises KeyError."""
    for place in (data, *(data[where] for where in _PLACES if where in data)):
        if isinstance(place, dict) and name in place:
            return place[name]
        for section in place if isinstance(place, list) else []:
            if name in (section.get("name"), section.get("type"), section.get("key")):
                return section
    raise KeyError(name)


def _first(line: Any, names: Iterable[str]) -> Any:
    return next(line[name] for name in names if line.get(name) is not None)


def _total(group: Any) -> Any:
    """Return a group's total: itself, what it calls so, or the sum of what it is made of."""
    if isinstance(group, list):
        return sum(Decimal(_total(part)) for part in group)
    if not isinstance(group, dict):
        return group
    totals = [name for name in group if name == "total" or re.fullmatch(r"total[A-Z]\w*", name)]
    if totals:
        return group[min(totals, key=len)]
    for name in ("balance", "amount"):
        if name in group:
            return group[name]
    return sum(Decimal(_total(part)) for part in group.values() if isinstance(part, dict | list))


_AS_OF = ("asOfDate", "asOf", "asAtDate")
_FROM, _TO = (
    ("periodFrom", "fromDate", "startDate", "from"),
    ("periodTo", "toDate", "endDate", "to"),
)


def _told_dates(question: _Question, data: Any) -> str | None:
    """Return the dates that a report says it is of; None where they are those that were asked for,
    or it does not say.
    """
    if not isinstance(data, dict):
        return None
    period = data.get("period")
    about = {**data, **(period if isinstance(period, dict) else {})}
    if question.period_from is None:
        pairs = [(_day(about, (question.day_name, *_AS_OF)), question.as_of)]
    else:
        pairs = [(_day(about, _FROM), question.period_from), (_day(about, _TO), question.as_of)]
    if all(told in (None, asked) for told, asked in pairs):
        return None
    return " to ".join(str(told or asked) for told, asked in pairs)


def _day(about: dict[str, Any], names: Iterable[str]) -> date | None:
    for name in names:
        with contextlib.suppress(ValueError):
            if isinstance(about.get(name), str):
                return date.fromisoformat(about[name][:10])
    return None
