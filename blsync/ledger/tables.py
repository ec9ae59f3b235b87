"""The ledger's tables. Instants are UTC; the quota's and the tokens' are unix seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
)
from sqlalchemy.types import TypeDecorator

from blsync.errors import LedgerDamaged
from blsync.ledger.states import (
    Action,
    AttemptOutcome,
    ConditionKind,
    EvidenceState,
    LoadKind,
    LoadState,
    Mode,
    OnConflict,
    OperationState,
    PlanState,
)


class Instant(TypeDecorator[datetime]):
    """An aware datetime in UTC, whatever the database makes of time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Write UTC."""
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Read UTC; SQLite hands it back naive, PostgreSQL in the session's time zone."""
        instant: datetime | None = value
        if instant is None:
            return None
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)


class Choice(TypeDecorator[StrEnum]):
    """One word of a closed set, stored as its text and read as the member of `words`."""

    impl = String(16)
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        """Write the text. Raises ValueError for a word that is none of the set."""
        return None if value is None else self.words(value).value

    def process_result_value(self, value: Any, dialect: Dialect) -> StrEnum | None:
        """Return the member. Raises LedgerDamaged for a word that is none of the set."""
        try:
            return None if value is None else self.words(value)
        except ValueError:
            raise LedgerDamaged(
                f"The ledger is damaged: it has {value!r:.40} where only "
                f"{', '.join(self.words)} can be. Nothing is pulled or pushed with it. Restore it "
                "from a backup, or run `blsync repair`: it makes a new one, brings loads back from "
                "the lake and plans from their backups."
            ) from None

    @property
    def python_type(self) -> type[str]:
        """The kind of value that a row has."""
        return str


metadata = MetaData()

VERSION = 9
"""The ledger's own version, kept in `meta`: raised with every release that changes the tables, so
that an earlier program leaves the ledger alone. One without `meta` is of version 1."""

meta = Table(
    "meta",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
)

lakes = Table(
    "lakes",
    metadata,
    Column("place", Integer, primary_key=True, autoincrement=False),  # 1: there is one row alone
    Column("lake_id", String(64), nullable=False),  # the data folder that the ledger belongs to
)

companies = Table(
    "companies",
    metadata,
    Column("company_id", String(128), primary_key=True),
    Column("name", String(128), nullable=False),  # in the settings
    Column("base_url", Text, nullable=False),  # the server that its records come from
)

loads = Table(
    "loads",
    metadata,
    Column("load_id", String(64), primary_key=True),
    Column("company_id", String(128), nullable=False),
    Column("entity", String(64), nullable=False),
    Column(
        "kind",
        Choice(LoadKind),
        nullable=False,
        default=LoadKind.CHANGE,
        server_default=LoadKind.CHANGE.value,
    ),
    Column("state", Choice(LoadState), nullable=False),
    Column("window_start", Instant),  # null: no lower bound
    Column("window_end", Instant),  # null while open: up to the server's now
    Column("rows", BigInteger, nullable=False, default=0),
    Column("deleted", BigInteger, nullable=False, default=0),
    Column("quarantined", BigInteger, nullable=False, default=0),
    Column("requests", Integer, nullable=False, default=0),
    Column("throttled_ms", BigInteger, nullable=False, default=0),
    Column("is_sorted", Boolean),  # whether the server kept the order that was asked for
    Column("page_limit", Integer),  # the largest page that the server gave
    Column("findings", Text),  # JSON: see LoadResult
    Column("started_at", Instant, nullable=False),
    Column("committed_at", Instant),
    Index("loads_by_entity", "company_id", "entity", "state"),
)

walks = Table(
    "walks",
    metadata,
    Column("load_id", ForeignKey("loads.load_id"), primary_key=True),
    Column("feed", String(64), primary_key=True),  # `updatedAt`; its second slice `updatedAt/2`
    Column("is_done", Boolean, nullable=False, default=False),
    Column("is_sorted", Boolean, nullable=False, default=True),
    Column("lower", Instant),  # the lower bound that `cursor` belongs to; null: none
    Column("upper", Instant),  # the upper bound that `cursor` belongs to
    Column("stop_at", Instant),  # from here on another slice reads; null: to the end
    Column("cursor", Text),  # where the next page begins; null: at `lower`
    Column("position", Instant),  # latest change time held
    Column("as_of", Instant, nullable=False),  # the server's clock at the first answer
    Column("pages", Integer, nullable=False, default=0),
    Column("records", BigInteger, nullable=False, default=0),
    Column("total", BigInteger),
)

pages = Table(
    "pages",
    metadata,
    Column("load_id", ForeignKey("loads.load_id"), primary_key=True),
    Column("feed", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("request_id", Text, nullable=False),
    Column("pulled_at", Instant, nullable=False),
)

drift = Table(
    "drift",
    metadata,
    Column("company_id", String(128), primary_key=True),
    Column("entity", String(64), primary_key=True),
    Column("checked_at", Instant, nullable=False),
    Column("total", BigInteger, nullable=False),  # what the API says it has
    Column("held", BigInteger, nullable=False),  # live records in the lake and in quarantine
    Column("walked_at", Instant),  # when the ids were last compared one by one
    Column("request_id", String(128)),  # the request that told the total
    Column("cap", BigInteger),  # the total that stands for "so many or more", where there is one
)

dialects = Table(
    "dialects",
    metadata,
    Column("company_id", String(128), primary_key=True),
    Column("entity", String(64), primary_key=True),
    Column("parameter", String(128), primary_key=True),  # `sort updatedAt`; see api/dialect.py
    Column("spelling", Text, nullable=False),  # how the server takes it; `none`: not at all
    Column("reason", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("learnt_at", Instant, nullable=False),
)

quota_requests = Table(
    "quota_requests",
    metadata,
    Column("slot", Integer, primary_key=True, autoincrement=True),
    Column("key_id", String(32), nullable=False),
    Column("sent_at", Float(53), nullable=False),
    Column("answered_at", Float(53)),
    # Whether it was sent because of an event.
    Column("is_live", Boolean, nullable=False, default=False, server_default=false()),
    Column("records", Integer),  # how many a batch had; null: it was none
    Index("quota_by_answer", "key_id", "answered_at", "sent_at"),
    sqlite_autoincrement=True,  # a late answer never frees another request's slot
)

response_times = Table(
    "response_times",
    metadata,
    Column("company_id", String(128), primary_key=True),
    Column("day", String(10), primary_key=True),  # the business day, ISO
    Column("kind", String(16), primary_key=True),  # see api/targets.py
    Column("ms", Integer, primary_key=True, autoincrement=False),  # to three significant digits
    Column("requests", BigInteger, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("company_id", String(128), nullable=False),
    Column("event_id", String(255), nullable=False),  # BigLedger's
    Column("event", String(128), nullable=False),
    Column("entity", String(64)),  # the one that it is about; null: none of ours
    Column("record_id", String(255)),
    Column("sent_at", Instant, nullable=False),  # as BigLedger dates it
    Column("received_at", Instant, nullable=False),
    Column("source", String(16), nullable=False),  # webhook or stream
    Column("duplicates", Integer, nullable=False, default=0),  # times that it came again
    Column("payload", Text),  # JSON: a payment, until it has landed; of others nothing is kept
    Column("satisfied_by", String(64)),  # the load that has read what it told of
    Column("satisfied_at", Instant),
    Index("events_by_id", "company_id", "event_id", unique=True),
    Index("events_by_order", "company_id", "seq"),
    sqlite_autoincrement=True,  # a mark never stands behind a later event
)

event_marks = Table(
    "event_marks",
    metadata,
    Column("company_id", String(128), primary_key=True),
    Column("entity", String(64), primary_key=True),
    Column("seen_seq", Integer, nullable=False),  # a pull has begun after these were stored
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("company_id", String(128), primary_key=True),  # empty: of all companies together
    Column("subject", String(64), primary_key=True),  # an entity, or one of Step
    Column("succeeded_at", Instant),
    Column("failed_at", Instant),  # the last time
    Column("failing_since", Instant),  # null: it has succeeded since
    Column("error", Text),  # what it failed with the last time
    Column("error_kind", String(64)),
    Column("request_id", Text),
)

conditions = Table(
    "conditions",
    metadata,
    Column("company_id", String(128), primary_key=True),  # empty: of all companies together
    Column("kind", Choice(ConditionKind), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("size", BigInteger, nullable=False),  # of how many things
    Column("since", Instant, nullable=False),
    Column("ended_at", Instant),  # null: it holds
    Column("told", Text, nullable=False),  # JSON: to whom; see ledger/conditions.py
)

quota_keys = Table(
    "quota_keys",
    metadata,
    Column("key_id", String(32), primary_key=True),
    Column("told_limit", BigInteger),  # these three as the server last told, the time in our clock
    Column("remaining", BigInteger),
    Column("reset_at", Float(53)),
    Column("told_at", Float(53)),  # what was answered later is not in `remaining` yet
    Column("blocked_until", Float(53), nullable=False, default=0),  # a 429 said so
)

tokens = Table(
    "tokens",
    metadata,
    Column("key_id", String(32), primary_key=True),
    Column("sealed", Text),  # encrypted; null until the first token came
    Column("renew_at", Float(53), nullable=False, default=0),  # unix seconds, as the quota's
    Column("held_by", String(32)),  # who is renewing
    Column("held_until", Float(53), nullable=False, default=0),
)

plans = Table(
    "plans",
    metadata,
    Column("plan_id", String(64), primary_key=True),
    Column("company", String(128), nullable=False),  # its name in the settings
    Column("company_id", String(128), nullable=False),
    Column("base_url", Text, nullable=False),  # where the plan was compared with
    Column("endpoint", String(64), nullable=False),
    Column("state", Choice(PlanState), nullable=False),
    Column("source", Text, nullable=False),  # the file's name, never its content
    Column("mode", Choice(Mode), nullable=False),
    Column("on_conflict", Choice(OnConflict), nullable=False, default=OnConflict.ABORT),
    Column("created_at", Instant, nullable=False),
    Column("applied_at", Instant),
    Column("confirmation_code", String(16)),  # null: planned by a version that made none
    Column("notes", Text),  # JSON: what of the file was left out, or not shown; null: nothing
    Column("readings", Text),  # JSON: how the source was read otherwise than it stands; null: not
    Column("undoes", String(64)),  # the plan that this one takes back
    Column("verdicts", Text),  # JSON: who planned, approved or rejected it; see ledger/approvals.py
)

operations = Table(
    "operations",
    metadata,
    Column("plan_id", ForeignKey("plans.plan_id"), primary_key=True),
    Column("row", Integer, primary_key=True),  # 1 is the first row below the header
    Column("natural_key", Text, nullable=False),
    Column("action", Choice(Action), nullable=False),
    Column("state", Choice(OperationState), nullable=False),
    Column("remote_id", Text),
    Column("body", Text, nullable=False),  # JSON: what is sent
    Column("changes", Text, nullable=False),  # JSON: {field: [now, wanted]}
    Column("error", Text),  # JSON: {code, field, message}
    Column("looked_up_at", Instant),  # when a settling look-up first found nothing
    Column("is_verified", Boolean, nullable=False, default=False),
    Column("in_flight", String(300)),  # of those that share it only one is sent and not answered
    Column("cells", Text),  # JSON: what the file said, to plan the row anew
    Column("warnings", Text),  # JSON: what a stricter server may refuse; null: nothing
    Column("before", Text),  # JSON: what is changed or deleted, as it was in full
    Column("amount", Text),  # the document's total in the company's currency; null: not known
    Column("version", Text),  # the record's updatedAt as it was read back
    Column("names", Text),  # JSON: field → the name of the record whose id it has
    Column("sheet_row", Integer),  # its number in the source as a spreadsheet shows it
    Index("operations_by_state", "state"),
    Index("operations_by_key", "natural_key"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("attempt_id", Integer, primary_key=True, autoincrement=True),
    Column("plan_id", ForeignKey("plans.plan_id"), nullable=False),
    Column("row", Integer, nullable=False),
    Column("batch_id", String(64), nullable=False),  # the rows that were sent together
    Column("request_id", Text),  # null until an answer names it
    Column("outcome", Choice(AttemptOutcome), nullable=False),
    Column("error_code", Text),
    Column("sent_at", Instant, nullable=False),
    Column("answered_at", Instant),
    Column("actor", String(128)),  # who had it sent; null: sent by a version that did not know
    Column("job_id", Text),  # BigLedger's job that carries it out; null: it answers at once
    Index("attempts_by_operation", "plan_id", "row"),
    Index("attempts_by_batch", "batch_id"),
)

evidence = Table(
    "push_evidence",
    metadata,
    Column("company_id", String(128), primary_key=True),
    Column("endpoint", String(64), primary_key=True),
    Column("base_url", Text, nullable=False),  # the server at which it was seen
    Column("state", Choice(EvidenceState), nullable=False),
    Column("seen_at", Instant, nullable=False),
)

holds = Table(
    "holds",
    metadata,
    Column("name", String(300), primary_key=True),
    Column("token", Integer, nullable=False),  # counts up whenever another takes the lock
    Column("holder", Text, nullable=False),
    Column("taken_at", Instant, nullable=False),
    Column("renewed_at", Instant, nullable=False),
)

generations = Table(
    "generations",
    metadata,
    Column("company_id", String(128), primary_key=True),
    Column("entity", String(64), primary_key=True),
    Column("layer", String(16), primary_key=True),
    Column("number", Integer, nullable=False),
)
