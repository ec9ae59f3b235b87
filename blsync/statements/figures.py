"""The figures of statements of account, read from the marts and compared with each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from blsync.errors import BuildError, ConfigError
from blsync.marts.frames import Marts
from blsync.settings import Company
from blsync.user_tables import month_end

ZERO = Decimal("0.00")
BUCKETS = {
    "current": "Up to 30 days",
    "days_31_60": "31 to 60",
    "days_61_90": "61 to 90",
    "over_90": "Over 90",
}
"""What is open by days past due, as `ar_aging` has it, and what it is called."""
_MOST_NAMED = 3

_COMPANY = """
select company_name, currency, timezone, today, built_at from finance.dim_company
where company_id = $company
"""
_CUSTOMERS = """
with accounts as (
    select customer_id, max(customer_number) as number, max(customer_name) as name
    from finance.customers where company_id = $company group by all
),
moved as (
    select customer_id, invoice_id, sum(debit - credit) as open, max(event_date) as moved_on
    from finance.customer_statement
    where company_id = $company and customer_id is not null and event_date <= $until group by all
)
select customer_id, number, name, is_wanted from accounts full outer join (
    select customer_id, bool_or(open <> 0 or moved_on >= $first) as is_wanted
    from moved group by all
) using (customer_id)
"""
_ADDRESS = """
select coalesce(billing_address, address) as address from history.customers
where company_id = $company and customer_id = $customer
order by known_from desc limit 1
"""
_EVENTS = """
select event_no, event_date, event_type, document_number, invoice_id, debit, credit,
    running_balance, is_inferred
from finance.customer_statement where company_id = $company and customer_id = $customer
order by event_no
"""
_INVOICES = """
select invoice_id, max_by(invoice_date, known_from) as invoice_date,
    max_by(due_date, known_from) as due_date, max(known_from) as changed_at
from history.invoices where company_id = $company and invoice_id in (
    select invoice_id from finance.customer_statement
    where company_id = $company and customer_id = $customer
    union all
    select invoice_id from finance.ar_open_items
    where company_id = $company and customer_id = $customer
)
group by all
"""
_OPEN_ITEMS = """
select invoice_id, invoice_number, open_amount from finance.ar_open_items
where company_id = $company and customer_id = $customer and as_of_date = $day
"""
_OF_THE_DAY = """
from finance.ar_open_items where company_id = $company and as_of_date = $day limit 1
"""
_AGEING = """
select "current", days_31_60, days_61_90, over_90, total_outstanding from finance.ar_aging
where company_id = $company and customer_id = $customer and as_of_date = $day
"""
_NAMELESS = """
select count(*) as count, coalesce(sum(open), 0) as balance from (
    select invoice_id, sum(debit - credit) as open from finance.customer_statement
    where company_id = $company and customer_id is null and event_date <= $until group by all
) where open <> 0
"""


@dataclass(frozen=True)
class Customer:
    """Who a statement is for. What of it is not known is empty."""

    customer_id: str
    number: str = ""
    name: str = ""

    @property
    def called(self) -> str:
        """What messages and files call it: nothing of a person."""
        return self.number or self.customer_id


@dataclass(frozen=True)
class OpenItem:
    """An invoice that is not paid, at a day."""

    invoice_id: str
    number: str
    invoice_date: date | None
    due_date: date | None
    days_past_due: int | None
    bucket: str
    amount: Decimal


@dataclass(frozen=True)
class Statement:
    """A customer's statement: `entries` are the rows of `customer_statement` in the period."""

    customer: Customer
    address: list[str]
    opening: Decimal
    entries: list[dict[str, Any]]
    closing: Decimal
    open_items: list[OpenItem]
    overpaid: Decimal
    """What was paid beyond invoices: the closing balance is what is open, less this."""
    notes: list[str] = field(default_factory=list)

    @property
    def ageing(self) -> dict[str, Decimal]:
        """What is open by days past due, by the names of BUCKETS."""
        return {
            name: sum((i.amount for i in self.open_items if i.bucket == name), ZERO)
            for name in BUCKETS
        }


@dataclass(frozen=True)
class Books:
    """A company's receivables, and the month that is asked for.

    `last` is the day of which the statements are: the month's last, or today in the running one.
    `until` is the day up to which events count: in the running month what is dated ahead does, too.
    """

    marts: Marts
    company_id: str
    company_name: str
    currency: str
    zone: ZoneInfo
    today: date
    built_at: datetime
    first: date
    last: date
    until: date

    def customer(self, named: str) -> Customer:
        """Return the customer of a number, an id or a name. Raises ConfigError."""
        known = self._known()
        for fits in (
            [c for c in known if named in (c.number, c.customer_id)],
            [
                c
                for c in known
                if named.strip().casefold() in (c.number.casefold(), c.name.casefold())
            ],
        ):
            if len(fits) == 1:
                return fits[0]
            if fits:
                ids = ", ".join(c.customer_id for c in fits[:_MOST_NAMED])
                raise ConfigError(
                    f"{len(fits)} customers of {self.company_id} are called {named!r}. Name one by "
                    f"its id: {ids}."
                )
        raise ConfigError(
            f"The marts of {self.company_id} have no customer {named!r}. Name one by its number, "
            "its id or its whole name; finance.customers lists them."
        )

    def customers(self) -> list[Customer]:
        """Return who owes something at the period's end, or moved in it, by number."""
        return self._known(is_wanted=True)

    def nameless(self) -> tuple[int, Decimal]:
        """Return how many open invoices name no customer, and what is open on them."""
        (row,) = self._rows(_NAMELESS)
        return row["count"], row["balance"]

    def statement(self, customer: Customer) -> Statement:
        """Return a customer's statement, compared with open items and ageing.

        Raises BuildError, with the figures, where they do not foot.
        """
        who = {"customer": customer.customer_id}
        events = self._rows(_EVENTS, **who)
        invoices = {row["invoice_id"]: row for row in self._rows(_INVOICES, **who)}
        _check_running(customer, events)
        self._check_today(customer, events, invoices)
        counted = [event for event in events if event["event_date"] <= self.until]
        entries = [event for event in counted if event["event_date"] >= self.first]
        before = counted[: len(counted) - len(entries)]
        items, overpaid = open_at(self.last, counted, invoices)
        closing = counted[-1]["running_balance"] if counted else ZERO
        statement = Statement(
            customer,
            _lines(self._rows(_ADDRESS, **who)),
            before[-1]["running_balance"] if before else ZERO,
            entries,
            closing,
            items,
            overpaid,
        )
        aged = sum(statement.ageing.values(), ZERO)
        if aged - overpaid != closing:
            raise _off(
                customer,
                f"at {self.last} the balance is {closing:,.2f}, and {aged:,.2f} is open less "
                f"{overpaid:,.2f} overpaid",
            )
        if any(entry["is_inferred"] for entry in entries):
            statement.notes.append(
                "BigLedger lists no payments: each is told by its invoice, with the day of the "
                "latest; credits have the day on which the invoice changed."
            )
        statement.notes.extend(self._changed_since(customer, events, items, invoices))
        return statement

    def _check_today(
        self, customer: Customer, events: list[dict[str, Any]], invoices: Mapping[str, Any]
    ) -> None:
        """Compare all that is known with what the marts say is open today."""
        who = {"customer": customer.customer_id, "day": self.today}
        items, _ = open_at(self.today, events, invoices)
        ours = {item.invoice_id: item.amount for item in items}
        theirs = {row["invoice_id"]: row["open_amount"] for row in self._rows(_OPEN_ITEMS, **who)}
        for invoice in sorted({*ours, *theirs}):
            mine, other = ours.get(invoice, ZERO), theirs.get(invoice, ZERO)
            if mine != other:
                raise _off(
                    customer,
                    f"at {self.today} {mine:,.2f} is open of invoice {invoice}, in ar_open_items "
                    f"{other:,.2f}",
                )
        aged = self._rows(_AGEING, **who)
        for name in BUCKETS:
            mine = sum((i.amount for i in items if i.bucket == name), ZERO)
            other = aged[0][name] if aged else ZERO
            if mine != other:
                raise _off(
                    customer,
                    f"at {self.today} {mine:,.2f} is open in {name}, in ar_aging {other:,.2f}",
                )

    def _changed_since(
        self,
        customer: Customer,
        events: list[dict[str, Any]],
        items: list[OpenItem],
        invoices: Mapping[str, Any],
    ) -> list[str]:
        """Compare a past month end with what was known to be open then: `ar_open_items` keeps that
        as it was. Only an invoice that came or changed afterwards, or has an event that is dated
        later, may differ; notes say so.
        """
        if self.last == self.today:
            return []
        who = {"customer": customer.customer_id, "day": self.last}
        of_the_day = self._rows(_OF_THE_DAY, **who)
        # What was made afterwards from the same documents is no second word about them.
        if not of_the_day or of_the_day[0].get("is_reconstructed"):
            return []
        ours = {item.invoice_id: item.amount for item in items}
        then = {row["invoice_id"]: row["open_amount"] for row in self._rows(_OPEN_ITEMS, **who)}
        midnight = datetime.combine(self.last + timedelta(days=1), time(), self.zone).astimezone(
            UTC
        )
        later = {e["invoice_id"] for e in events if e["event_date"] > self.last}
        changed = []
        for invoice in sorted({*ours, *then}):
            mine, other = ours.get(invoice, ZERO), then.get(invoice, ZERO)
            if mine == other:
                continue
            changed_at = invoices[invoice]["changed_at"] if invoice in invoices else None
            is_later = changed_at and changed_at.replace(tzinfo=UTC) >= midnight
            if not is_later and invoice not in later:
                raise _off(
                    customer,
                    f"at {self.last} {mine:,.2f} is open of invoice {invoice}, in ar_open_items "
                    f"{other:,.2f}, and it has not changed since",
                )
            changed.append(mine - other)
        if not changed:
            return []
        sum_then = sum(then.values(), ZERO)
        return [
            f"On {self.last} itself {sum_then:,.2f} was known to be open; what came to be known of "
            f"{len(changed)} invoices since makes {sum(changed, ZERO):+,.2f} of difference."
        ]

    def _known(self, *, is_wanted: bool = False) -> list[Customer]:
        rows = self._rows(_CUSTOMERS)
        found = [
            Customer(row["customer_id"], row["number"] or "", row["name"] or "")
            for row in rows
            if row["is_wanted"] or not is_wanted
        ]
        return sorted(found, key=lambda c: (c.number, c.customer_id))

    def _rows(self, query: str, **more: Any) -> list[dict[str, Any]]:
        values = {"company": self.company_id, "first": self.first, "until": self.until}
        return self.marts.rows(query, values | more)


def books_of(marts: Marts, company: Company, month: date | None) -> Books:
    """Return a company's receivables of a month (its first day; None: the running month).

    Raises ConfigError where the marts do not have the company or the month, and BuildError where
    nothing is published.
    """
    found = marts.rows(_COMPANY, {"company": company.company_id})
    if not found:
        raise ConfigError(
            f"The marts do not have {company.name}; finance.dim_company lists the companies that "
            "there are."
        )
    (about,) = found
    today: date = about["today"]
    first = month or today.replace(day=1)
    values = {"company": company.company_id, "month": first}
    is_known = marts.rows(
        "from finance.periods where company_id = $company and period = $month", values
    )
    if first > today or not (is_known or month is None):
        raise ConfigError(
            f"The marts have no month {first:%Y-%m} of {company.name} up to today, {today}; "
            "finance.periods lists those that there are."
        )
    is_running = month_end(first) >= today
    return Books(
        marts,
        company.company_id,
        about["company_name"] or company.name,
        about["currency"] or "",
        ZoneInfo(about["timezone"]),
        today,
        about["built_at"],
        first,
        today if is_running else month_end(first),
        date.max if is_running else month_end(first),
    )


def open_at(
    day: date, events: list[dict[str, Any]], invoices: Mapping[str, Any]
) -> tuple[list[OpenItem], Decimal]:
    """Return what is open of each invoice after these events, aged at a day, oldest first; and what
    was overpaid.
    """
    balances: dict[str, Decimal] = {}
    numbers: dict[str, str] = {}
    for event in events:
        key = event["invoice_id"]
        balances[key] = balances.get(key, ZERO) + event["debit"] - event["credit"]
        numbers[key] = event["document_number"] or ""
    items = []
    for key, balance in balances.items():
        if balance > 0:
            about = invoices.get(key) or {"invoice_date": None, "due_date": None}
            due = about["due_date"]
            late = (day - due).days if due else None
            dates = about["invoice_date"], due
            items.append(OpenItem(key, numbers[key], *dates, late, _bucket(late), balance))
    overpaid = -sum((balance for balance in balances.values() if balance < 0), ZERO)
    items.sort(key=lambda item: (item.due_date or date.min, item.number))
    return items, overpaid


def _bucket(days: int | None) -> str:
    """Return where `ar_aging` counts what is due since so many days; without a day it is oldest."""
    if days is None or days > 90:
        return "over_90"
    return "current" if days <= 30 else "days_31_60" if days <= 60 else "days_61_90"


def _check_running(customer: Customer, events: list[dict[str, Any]]) -> None:
    balance = ZERO
    for event in events:
        balance += event["debit"] - event["credit"]
        if balance != event["running_balance"]:
            raise _off(
                customer,
                f"its entry {event['event_no']} has the balance {event['running_balance']:,.2f}, "
                f"and its debits less credits come to {balance:,.2f}",
            )


def _off(customer: Customer, what: str) -> BuildError:
    return BuildError(
        f"The statement of customer {customer.called} does not foot: {what}. `blsync build` makes "
        "the marts anew; if it stays, report it with these figures."
    )


def _lines(found: list[dict[str, Any]]) -> list[str]:
    """Return an address line by line, as letters have it."""
    parts = (found[0]["address"] if found else None) or {}
    place = " ".join(filter(None, (parts.get("postalCode"), parts.get("city"))))
    lines = (parts.get("street"), parts.get("street2"), place, parts.get("state"))
    return [line for line in (*lines, parts.get("country")) if line]
