"""What a build reads beside the landing: the companies, BigLedger's figures, loads and pushes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa

from blsync import user_tables
from blsync.api.targets import TARGETS_MS
from blsync.clock import is_ahead
from blsync.entities import SHIPPED
from blsync.errors import BuildError, ConfigError, StorageError
from blsync.files.aside import clear
from blsync.files.atomic import storage_errors
from blsync.files.places import USER_TABLES
from blsync.lake import payments
from blsync.lake.landed import has_loads
from blsync.lake.store import Lake
from blsync.ledger import events, loads, plans, response_times
from blsync.ledger.states import Action
from blsync.marts.build import ask_for_full_build, build_lock
from blsync.marts.figures import COMPANIES, FIGURES, LIST_TOTALS, CompanyFacts, marked, totals
from blsync.marts.published import fetch_rows
from blsync.personal_data import (
    PERSONAL_FIELDS,
    SHORTENED,
    shortened_address,
    shortened_addresses,
)
from blsync.session import Session
from blsync.settings import Company, Settings

_INSTANT = pa.timestamp("us", "UTC")
LOADS = pa.schema(
    [
        ("company_id", pa.string()),
        ("load_id", pa.string()),
        ("entity", pa.string()),
        ("window_start", _INSTANT),
        ("window_end", _INSTANT),
        ("rows", pa.int64()),
        ("deleted", pa.int64()),
        ("quarantined", pa.int64()),
        ("requests", pa.int64()),
        ("throttled_ms", pa.int64()),
        ("started_at", _INSTANT),
        ("committed_at", _INSTANT),
    ]
)
PUSH_LOG = pa.schema(
    [
        ("company_id", pa.string()),
        ("plan_id", pa.string()),
        ("row", pa.int64()),
        ("attempt_no", pa.int64()),
        ("entity", pa.string()),
        ("action", pa.string()),
        ("natural_key", pa.string()),
        ("state", pa.string()),
        ("outcome", pa.string()),
        ("remote_id", pa.string()),
        ("batch_id", pa.string()),
        ("request_id", pa.string()),
        ("error_code", pa.string()),
        ("error", pa.string()),
        ("is_verified", pa.bool_()),
        ("planned_at", _INSTANT),
        ("sent_at", _INSTANT),
        ("answered_at", _INSTANT),
        ("planned_by", pa.string()),
        ("actor", pa.string()),
        ("approved_by", pa.string()),
        ("before", pa.string()),
        ("after", pa.string()),
    ]
)
WEBHOOK_LOG = pa.schema(
    [
        ("company_id", pa.string()),
        ("event_id", pa.string()),
        ("event", pa.string()),
        ("entity", pa.string()),
        ("record_id", pa.string()),
        ("source", pa.string()),
        ("sent_at", _INSTANT),
        ("received_at", _INSTANT),
        ("duplicates", pa.int64()),
        ("satisfied_by", pa.string()),
        ("satisfied_at", _INSTANT),
    ]
)
PAYMENTS = pa.schema(
    [
        ("company_id", pa.string()),
        ("event_id", pa.string()),
        ("payment_id", pa.string()),
        ("invoice_id", pa.string()),
        ("customer_id", pa.string()),
        ("amount", pa.decimal128(20, 4)),
        ("payment_currency", pa.string()),
        ("payment_date", pa.date32()),
        ("payment_method", pa.string()),
        ("reference", pa.string()),
        ("status", pa.string()),
        ("created_at", _INSTANT),
        ("received_at", _INSTANT),
    ]
)
RESPONSE_TIMES = pa.schema(
    [
        ("company_id", pa.string()),
        ("day", pa.date32()),
        ("kind", pa.string()),
        ("ms", pa.int64()),
        ("target_ms", pa.int64()),
        ("requests", pa.int64()),
    ]
)
COLUMNS = {
    "companies": COMPANIES,
    "report_figures": FIGURES,
    "loads": LOADS,
    "push_log": PUSH_LOG,
    "webhook_log": WEBHOOK_LOG,
    "webhook_payments": PAYMENTS,
    "response_times": RESPONSE_TIMES,
}
"""The columns of each input."""
TIMES_KEPT = timedelta(days=400)
"""For how long it is remembered how long answers took."""
_CHANGES = msgspec.json.Decoder(dict[str, tuple[Any, Any]], float_hook=Decimal)
_EXACT = msgspec.json.Encoder(decimal_format="number")


def write_inputs(
    session: Session, companies: Iterable[tuple[Company, CompanyFacts]]
) -> dict[str, int]:
    """Write what a build reads beside the landing; returns the rows of each input.

    Companies that are not given keep what is known of them. Raises StorageError, and ConfigError
    where one of the user's tables is missing.
    """
    seeds = session.settings.seeds
    if seeds == session.settings.data / USER_TABLES:  # ours to make, as all in that folder
        with storage_errors(seeds):
            user_tables.make_missing(seeds)
    user_tables.check(seeds)
    # Another process may be reading what this one adds to.
    busy = "Another machine is writing what builds read; waiting for it."
    with (
        build_lock(session.settings, session.say),
        session.ledger.blocking_lock(session.lake.inputs_lock, session.say, busy),
    ):
        session.bring()
        return _write_inputs(session, companies)


def _write_inputs(
    session: Session, companies: Iterable[tuple[Company, CompanyFacts]]
) -> dict[str, int]:
    settings, lake = session.settings, session.lake
    built_at = datetime.now(UTC)
    about = {row["company_id"]: row for row in lake.read_input("companies", COMPANIES)}
    before = [row["built_at"] for row in about.values() if row.get("built_at")]
    if any(is_ahead(at, built_at) for at in before):
        # The build before was of a day that is still to come: what it took for past is not known.
        ask_for_full_build(settings)
    figures = lake.read_input("report_figures", FIGURES)
    for company, facts in companies:
        about[company.company_id] = {
            "company_id": company.company_id,
            "company_name": facts.name,
            "currency": facts.currency,
        }
        figures = [row for row in figures if row["company_id"] != company.company_id]
        figures += facts.figures
    for row in about.values():
        row["timezone"] = settings.timezone
        row["today"] = built_at.astimezone(settings.zone).date()
        row["built_at"] = built_at
    done = loads.history(session.ledger)
    figures = [row for row in figures if row["report"] != LIST_TOTALS]
    figures += [row for name in about for row in totals(session, name)]
    pushed = [_without_addresses(row) for row in plans.history(session.ledger)]
    lake.write_input("companies", list(about.values()), COMPANIES)
    figures = marked(figures, compared_before(settings))
    lake.write_input("report_figures", figures, FIGURES)
    lake.write_input("loads", done, LOADS)
    lake.write_input("push_log", pushed, PUSH_LOG)
    told = _told_by_events(session, list(about), built_at)
    return told | {
        "companies": len(about),
        "report_figures": len(figures),
        "loads": len(done),
        "push_log": len(pushed),
    }


def _told_by_events(session: Session, company_ids: list[str], now: datetime) -> dict[str, int]:
    """Write what the ledger knows of events and of response times; returns the rows of each."""
    ledger, lake = session.ledger, session.lake
    events.forget_old(ledger, now)
    response_times.forget_before(ledger, (now - TIMES_KEPT).date().isoformat())
    received = events.log(ledger)
    paid = [
        {
            "company_id": row["_company_id"],
            "event_id": row["_request_id"],
            "payment_id": row["id"],
            "invoice_id": row["invoiceId"],
            "customer_id": row["customerId"],
            "amount": row["amount"],
            "payment_currency": row["currency"],
            "payment_date": row["paymentDate"],
            "payment_method": row["paymentMethod"],
            "reference": row["reference"],
            "status": row["status"],
            "created_at": row["createdAt"],
            "received_at": row["_pulled_at"],
        }
        for row in payments.landed(lake, company_ids)
    ]
    times = [
        row | {"day": date.fromisoformat(row["day"]), "target_ms": TARGETS_MS[row["kind"]]}
        for row in response_times.counted(ledger)
        if row["kind"] in TARGETS_MS
    ]
    lake.write_input("webhook_log", received, WEBHOOK_LOG)
    lake.write_input("webhook_payments", paid, PAYMENTS)
    lake.write_input("response_times", times, RESPONSE_TIMES)
    return {
        "webhook_log": len(received),
        "webhook_payments": len(paid),
        "response_times": len(times),
    }


def _without_addresses(row: dict[str, Any]) -> dict[str, Any]:
    """Mask mail addresses: a customer's is its key, and the server repeats it in its messages.

    What stands in the key's place where it is none may be a name, and is left out.
    """
    key, error = (shortened_addresses(row[name] or "") for name in ("natural_key", "error"))
    if row["entity"] == "customers" and "@" in key:
        key = shortened_address(key)
    elif row["entity"] == "customers" and row["action"] == Action.REJECT:
        key = SHORTENED
    before, after = _sides_of(row)
    return {name: value for name, value in row.items() if name != "changes"} | {
        "natural_key": key or None,
        "error": error or None,
        "before": before,
        "after": after,
    }


def _sides_of(row: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return what an operation changes, before and after, each a JSON object of its fields. A
    person's values are masked, numbers have just their own digits.
    """
    told = _CHANGES.decode(row["changes"] or "{}")
    if not told:
        return None, None
    personal = PERSONAL_FIELDS.get(row["entity"], frozenset())

    def shown(side: int) -> str:
        values = {
            name: SHORTENED if pair[side] and name.partition(".")[0] in personal else pair[side]
            for name, pair in told.items()
        }
        return shortened_addresses(_EXACT.encode(values).decode())

    return shown(0), shown(1)


def compared_before(settings: Settings) -> list[dict[str, Any]]:
    """Return what did not tie out at the last published build, or had not at the one before."""
    try:
        names, rows = fetch_rows(
            settings, "from finance.reconciliation where status = 'fail' or failed_before"
        )
    except (BuildError, ConfigError, StorageError):  # nothing published, or by an earlier version
        return []
    return [dict(zip(names, row, strict=True)) for row in rows]


def mend_inputs(settings: Settings, say: Callable[[str], None]) -> None:
    """Take damaged inputs away, so that BigLedger is asked for what they held. Raises StorageError.

    What they held of a company that the settings no longer name is lost with them.
    """
    lake = Lake(settings.data)
    for name, schema in (("companies", COMPANIES), ("report_figures", FIGURES)):
        try:
            lake.read_input(name, schema)
        except StorageError as error:
            say(f"{error} Doing so now.")
            with storage_errors(lake.input_file(name)):
                clear(lake.input_file(name))


def refresh_inputs(session: Session) -> dict[str, int]:
    """Bring the inputs up to date without asking BigLedger: the day, and the ledger's loads;
    returns the rows of each.

    A company that was pulled and never asked about itself has its currency from its accounts.
    Raises BuildError where nothing was ever pulled.
    """
    settings, lake = session.settings, session.lake
    if lake.mirror:  # it may have come to this machine for nothing but a build
        with build_lock(settings, session.say):
            session.bring()
    known = {row["company_id"] for row in lake.read_input("companies", COMPANIES)}
    pulled = [
        company
        for company in settings.companies()
        if company.company_id not in known and has_loads(settings.data, [company.company_id])
    ]
    if not known and not pulled:
        raise BuildError("There is nothing to build from yet. Run `blsync sync` first.")
    facts = [(company, _facts_of_landed(session, company)) for company in pulled]
    return write_inputs(session, facts)


def _facts_of_landed(session: Session, company: Company) -> CompanyFacts:
    """Return what the landing tells of a company, and say what it does not."""
    currency = session.lake.most_frequent(SHIPPED["accounts"], company.company_id, "currency")
    session.say(
        f"{company.name}: BigLedger was not asked about the company and for its reports yet, so "
        f"nothing is compared with them. Its currency is taken to be {currency or 'unknown'}, "
        f"{'that of its accounts' if currency else 'as no account has landed'}. `blsync sync` asks."
    )
    return CompanyFacts(currency=currency)
