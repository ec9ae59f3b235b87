"""The only reader of the environment; docs/reference/interface.md has the settings' table.

Values come from environment variables, then from `.env` (or the file that BLSYNC_ENV_FILE names):
at the root of a checkout of the repository, elsewhere in the working folder. A relative path is
taken from the folder of the file that names it, in a variable from the working folder. Secrets are
`SecretStr`: printing a setting never prints one.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import ipaddress
import json
import os
import pwd
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self
from unicodedata import category
from urllib.parse import unquote, unquote_plus, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import (
    BaseModel,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from blsync import redaction
from blsync.errors import ConfigError
from blsync.files import permissions, places

ROOT = places.ROOT
PRODUCTION = "https://api.bigledger.com/v1"
TOKEN_URL = "https://auth.bigledger.com/oauth/token"  # noqa: S105 (an address)
PSYCOPG2 = "postgresql+psycopg2://"
"""How an address begins that SQLAlchemy opens with psycopg2: without, it takes another library."""
ENV_FILE = "BLSYNC_ENV_FILE"
"""The variable that names another file than `.env`; it stands in the environment alone."""

_ENCODING = "utf-8-sig"
"""UTF-8, with or without the mark that Windows editors put in front."""
_SQLITE_FILE = re.compile(r"(sqlite(?:\+\w+)?:///(?:file:)?)([^?]+)(.*)", re.DOTALL)
"""SQLAlchemy URL of a SQLite file: what goes before, the path, what comes after."""
_STORE = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()=-]+)*/?")
"""A bucket's name as S3 allows them, and a prefix of characters that need no quoting."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_OAUTH_NAMES = ("BIGLEDGER_CLIENT_ID", "BIGLEDGER_CLIENT_SECRET", "BIGLEDGER_REFRESH_TOKEN")


def _default_seeds(known: Mapping[str, Any]) -> Path:
    return places.default_user_tables(known.get("data") or places.default_data())


class OAuth(BaseModel, frozen=True):
    """What access tokens are asked for with (bigledger-api.md, section 1)."""

    client_id: SecretStr
    client_secret: SecretStr
    refresh_token: SecretStr
    """As it was given; the server may have put another in its place since (`blsync.api.oauth`)."""
    token_url: str
    names: tuple[str, str, str] = _OAUTH_NAMES
    """The variables that hold the three, for messages."""

    def model_post_init(self, _: Any) -> None:
        """Keep the secrets out of all that is said."""
        _register(self.client_secret, self.refresh_token)


class Company(BaseModel, frozen=True):
    """One company's books: where they are and with what they are read.

    `name` is the partition key in Dagster; `start` the first day partition.
    """

    name: str
    company_id: str
    base_url: str
    start: date
    api_key: SecretStr | None = None
    api_key_name: str = "BIGLEDGER_API_KEY"
    """The variable that holds the key, for messages."""
    oauth: OAuth | None = None
    """Used where there is no key."""
    oauth_unset: tuple[str, ...] = ()
    """The variables that are not set of those that OAuth needs, where some are."""

    def model_post_init(self, _: Any) -> None:
        """Keep the key out of all that is said."""
        _register(self.api_key)

    @property
    def key_id(self) -> str:
        """A name for the credential that gives nothing away: requests are counted by it.

        With OAuth it stays the same over all tokens that come of one sign-in.
        """
        credential = self.api_key.get_secret_value() if self.api_key else ""
        if self.oauth and not self.api_key:
            secrets = (self.oauth.client_id, self.oauth.refresh_token)
            given = (secret.get_secret_value() for secret in secrets)
            credential = " ".join((self.oauth.token_url, *given))
        return hashlib.sha256(f"{self.base_url} {credential}".encode()).hexdigest()[:16]


class Settings(BaseSettings):
    """Everything that can be set from outside, checked."""

    model_config = SettingsConfigDict(
        extra="ignore",
        frozen=True,
        case_sensitive=True,
        env_ignore_empty=True,
        use_attribute_docstrings=True,
    )

    api_key: Annotated[SecretStr | None, Field(alias="BIGLEDGER_API_KEY")] = None
    """The API key: the vendor's own name for it."""
    company_id: Annotated[str | None, Field(alias="BIGLEDGER_COMPANY_ID")] = None
    """The company's id at BigLedger: the vendor's own name for it."""
    base_url: Annotated[str, Field(alias="BIGLEDGER_BASE_URL")] = PRODUCTION
    """Any address that ends in `/v1`; plain http for loopback only."""
    client_id: Annotated[SecretStr | None, Field(alias="BIGLEDGER_CLIENT_ID")] = None
    """OAuth instead of a key, with the next two. Only one kind of credential may be set."""
    client_secret: Annotated[SecretStr | None, Field(alias="BIGLEDGER_CLIENT_SECRET")] = None
    """OAuth's client secret."""
    refresh_token: Annotated[SecretStr | None, Field(alias="BIGLEDGER_REFRESH_TOKEN")] = None
    """OAuth's first refresh token. Those that replace it are kept encrypted in the ledger, so
    each machine needs a sign-in of its own.
    """
    token_url: Annotated[str, Field(alias="BIGLEDGER_TOKEN_URL")] = TOKEN_URL
    """Where access tokens come from; plain http for loopback only."""
    companies_file: Annotated[Path | None, Field(alias="BLSYNC_COMPANIES")] = None
    """TOML file that lists several companies: `[companies.NAME]` with `company_id`, `api_key_env`
    (the name of the variable that holds the key), optional `base_url` and `start`; for OAuth,
    instead of `api_key_env`: `client_id_env`, `client_secret_env`, `refresh_token_env`, optional
    `token_url`.
    """
    data: Path = Field(alias="BLSYNC_DATA", default_factory=places.default_data)
    """Everything that the program writes; outside a checkout by default the folder that the
    platform has for a user's data, such as `~/.local/share/blsync`. The folder's name may hold
    anything but `[`, `*`, `#`, `?`, backslashes and control characters, which other programs would
    read as something else.
    """
    ledger_url_given: Annotated[SecretStr | None, Field(alias="BLSYNC_LEDGER_URL")] = None
    """SQLAlchemy URL of the ledger: SQLite (`sqlite:///PATH`; a relative path is taken from the
    folder of the file that names it), or `postgresql://…`. Where it is not set it is
    `ledger.db` in BLSYNC_DATA. A ledger serves one BLSYNC_DATA alone, or with BLSYNC_STORE
    those of several machines.
    """
    store: Annotated[str | None, Field(alias="BLSYNC_STORE")] = None
    """Where the lake is that several machines share: `s3://BUCKET/PREFIX`, with the credentials and
    the address (AWS_ENDPOINT_URL_S3) that boto3 finds; needs `blsync[s3]` and a ledger on
    PostgreSQL. Where it is not set, the lake is in BLSYNC_DATA alone.
    """
    dagster_storage: Annotated[SecretStr | None, Field(alias="BLSYNC_DAGSTER_STORAGE")] = None
    """The PostgreSQL database of Dagster's runs, events and schedules, blsync's alone:
    `postgresql+psycopg2://USER:PASSWORD@HOST/DATABASE`, spelled like that because Dagster's own
    programs read it too; needs `blsync[postgres]`. Where it is not set, they are SQLite files in
    BLSYNC_DATA.
    """
    night_on_workers: Annotated[bool, Field(alias="BLSYNC_NIGHT_ON_WORKERS")] = False
    """Whether a night that Dagster's schedule begins is spread over workers: a run a company that
    pulls alone, then one run that builds and publishes. Without it, each company's run does all.
    """
    build_tags_given: Annotated[str | None, Field(alias="BLSYNC_BUILD_TAGS")] = None
    """Tags of Dagster's runs that build and publish, and of the jobs that push, as a JSON object of
    texts, such as `{"dagster-celery/queue": "build"}`: where there are several workers they bring
    these runs to the one machine that has the published marts.
    """
    start: Annotated[date, Field(alias="BLSYNC_START")] = date(2026, 1, 1)
    """First day partition; it has no lower bound, so older changes come with it."""
    timezone: Annotated[str, Field(alias="BLSYNC_TIMEZONE")] = "Asia/Kuala_Lumpur"
    """Business days, partitions and the schedule are in this zone."""
    quota_per_hour: Annotated[int, Field(alias="BLSYNC_QUOTA_PER_HOUR", gt=0)] = 1000
    """Requests that the key may make in an hour."""
    quota_per_second: Annotated[int, Field(alias="BLSYNC_QUOTA_PER_SECOND", gt=0)] = 10
    """Requests that the key may make in a second."""
    batches_per_minute: Annotated[int, Field(alias="BLSYNC_BATCHES_PER_MINUTE", gt=0)] = 10
    """Batches that the key may send in a minute, where `BLSYNC_PUSH_DIALECT` is `batch`; they count
    in the hour as well.
    """
    large_batches_per_minute: Annotated[
        int, Field(alias="BLSYNC_LARGE_BATCHES_PER_MINUTE", gt=0)
    ] = 5
    """Those of them that may have more than 100 records."""
    quota_window_seconds: Annotated[
        float, Field(alias="BLSYNC_QUOTA_WINDOW_SECONDS", gt=0, allow_inf_nan=False)
    ] = 3600
    """Length of the "hour", for tests; no wait for the quota is longer."""
    quota_reserve: Annotated[float, Field(alias="BLSYNC_QUOTA_RESERVE", ge=0, lt=1)] = 0.1
    """Share of the hour that is left to other programs on the key."""
    entities: Annotated[str | None, Field(alias="BLSYNC_ENTITIES")] = None
    """Which optional entities are pulled, as a comma list; all of them where it is empty. Those
    that the marts need are pulled whether or not they are named.
    """
    live_share: Annotated[float, Field(alias="BLSYNC_LIVE_SHARE", ge=0, le=1)] = 0.5
    """Share of the hour, the reserve taken off, that events may use; beyond it what they tell of
    waits for a later hour, or for the next sync.
    """
    webhook_secret: Annotated[SecretStr | None, Field(alias="BLSYNC_WEBHOOK_SECRET")] = None
    """The secret with which BigLedger signs its webhooks; `blsync listen subscribe` makes one where
    it is not set.
    """
    live_gather_seconds: Annotated[
        float, Field(alias="BLSYNC_LIVE_GATHER_SECONDS", ge=0, le=3600, allow_inf_nan=False)
    ] = 1
    """For how long events are gathered before what they tell of is pulled together."""
    detail_fetch: Annotated[str | None, Field(alias="BLSYNC_DETAIL_FETCH")] = None
    """Entities, as a comma list or `all`, of which each changed record is fetched by its id where
    the list leaves out fields that `GET /{id}` has: one request a record.
    """
    drift_hours: Annotated[float, Field(alias="BLSYNC_DRIFT_HOURS", ge=0, allow_inf_nan=False)] = 24
    """How often at most ids are walked to find deletes; 0: at every sync where totals differ."""
    quarantine_share: Annotated[float, Field(alias="BLSYNC_QUARANTINE_SHARE", ge=0, le=1)] = 0.05
    """An entity fails when a larger share of a load of 20 records or more cannot be typed."""
    delete_share: Annotated[float, Field(alias="BLSYNC_DELETE_SHARE", ge=0, le=1)] = 0.2
    """An entity of which 20 records or more are held fails when a larger share of them seems
    deleted; `--allow` lets them through once.
    """
    seeds: Path = Field(alias="BLSYNC_SEEDS", default_factory=_default_seeds)
    """The folder of the user's own tables, outside a checkout by default `user` in BLSYNC_DATA:
    `account_roles.csv` (company_id, account_number, account_role), `period_close.csv` (company_id,
    period, closed_at in UTC), `fiscal_year.csv` (company_id, start_month; 1 where a company is
    absent), and optional `accepted_exceptions.csv` (company_id, record_id, rule, reason,
    accepted_by), `tax_cycles.csv` (company_id, start, cycle_months, basis), `tax_codes.csv`
    (company_id, tax_code, tax_type, tariff_code), `budget.csv` (company_id, account_number,
    period, amount, version), `dimensions.csv` (company_id, dimension, value, account_from,
    account_to, customer_tag, item_category, reference), `exchange_rates.csv` (currency,
    presentation_currency, period, average_rate, closing_rate) and `group.toml` (groups of
    companies).
    """
    push_dialect: Annotated[str, Field(alias="BLSYNC_PUSH_DIALECT")] = "bulk"
    """How changes are sent: `bulk`, in BigLedger's bulk requests, or `batch`, in its batches, which
    take more rows at once and suppliers, bills, items and accounts as well.
    """
    push_settle_seconds: Annotated[float, Field(alias="BLSYNC_PUSH_SETTLE_SECONDS", ge=0)] = 900
    """How long a write that was not answered is left alone before look-ups decide; the two
    look-ups that must both find nothing are a fifteenth of it apart.
    """
    push_max_reject_rate: Annotated[
        float, Field(alias="BLSYNC_PUSH_MAX_REJECT_RATE", ge=0, le=1)
    ] = 0.05
    """`push apply` stops when the server has rejected a larger share of the rows that it
    answered, from 100 answered rows on.
    """
    push_max_creates: Annotated[int | None, Field(alias="BLSYNC_PUSH_MAX_CREATES", ge=0)] = 10_000
    """A plan that creates more is not applied."""
    push_max_updates: Annotated[int | None, Field(alias="BLSYNC_PUSH_MAX_UPDATES", ge=0)] = 10_000
    """A plan that updates more is not applied."""
    push_max_deletes: Annotated[int | None, Field(alias="BLSYNC_PUSH_MAX_DELETES", ge=0)] = 1_000
    """A plan that deletes more is not applied."""
    push_max_money: Annotated[
        Decimal | None, Field(alias="BLSYNC_PUSH_MAX_MONEY", ge=0, allow_inf_nan=False)
    ] = None
    """A plan that moves more, in the company's currency, is not applied: payments, journal
    debits, adjustments at unit cost, invoices before tax.
    """
    actor_given: Annotated[str | None, Field(alias="BLSYNC_ACTOR")] = None
    """Who plans, approves and applies, as plans and `finance.push_log` have it; where it is not
    set, the login name.
    """
    push_approval: Annotated[str, Field(alias="BLSYNC_PUSH_APPROVAL")] = "none"
    """Which plans a second person has to approve before they are sent: `none`, `always`, or an
    amount in the company's currency, above which (or where it is not known) a plan needs it.
    """
    push_reference_token: Annotated[bool, Field(alias="BLSYNC_PUSH_REFERENCE_TOKEN")] = True
    """Whether references of what is created get the token by which look-ups know what is ours."""
    push_policies: Annotated[Path | None, Field(alias="BLSYNC_PUSH_POLICIES")] = None
    """TOML file of what a schedule may push: `[VIEW]` with `max_creates`, `max_updates`,
    `max_money`, optional `companies` and `on_conflict`; read at each tick.
    """
    push_from_ui: Annotated[bool, Field(alias="BLSYNC_PUSH_FROM_UI")] = False
    """Whether a plan may be sent from Dagster, with its confirmation code; policies have their
    own file.
    """
    engine: Annotated[Literal["duckdb", "spark"], Field(alias="BLSYNC_ENGINE")] = "duckdb"
    """What builds the marts: `duckdb`, in this process, what has news; or `spark`, all of them each
    time, on as many machines as BLSYNC_SPARK has; needs `blsync[spark]` and Java 17 or later.
    """
    spark: Annotated[str, Field(alias="BLSYNC_SPARK")] = "local[*]"
    """Spark's master: `local[*]` for all of this machine's cores, `spark://HOST:7077` for a cluster
    whose machines have BLSYNC_DATA at the same path.
    """
    project: Annotated[Path | None, Field(alias="BLSYNC_PROJECT")] = None
    """The folder of the user's own part of the project, built in the same run: dbt models in
    `models/`, macros in `macros/`, laws in `tests/`, kinds of record in `entities/`
    ([extending](../extending.md#your-own-project)).
    """
    publish_to_given: Annotated[Path | None, Field(alias="BLSYNC_PUBLISH_TO")] = None
    """The folder in which `blsync.duckdb`, `blsync.previous.duckdb` and `report.html` appear,
    outside BLSYNC_DATA; where it is not set, BLSYNC_DATA itself.
    """
    publish_mode: Annotated[int, Field(alias="BLSYNC_PUBLISH_MODE")] = 0o600
    """Who may read those three: this user alone, or with 0640 the folder's group too (then
    BLSYNC_PUBLISH_TO is needed).
    """
    alerts_given: Annotated[SecretStr | None, Field(alias="BLSYNC_ALERTS")] = None
    """Who is told of a night that failed or is late, of what is off and of its end: one or several
    addresses of [Apprise](https://github.com/caronc/apprise/wiki) (mail, Slack, Teams, Telegram and
    others), apart by a comma or a blank. No message has anything of a customer.
    """
    heartbeat_url: Annotated[SecretStr | None, Field(alias="BLSYNC_HEARTBEAT_URL")] = None
    """An http or https address that is asked for after each whole night that ended well: a service
    that misses it tells what no program here could tell any more.
    """
    openlineage_url: Annotated[str | None, Field(alias="BLSYNC_OPENLINEAGE_URL")] = None
    """A collector of [OpenLineage](https://openlineage.io) (Marquez, DataHub and others), an http
    or https address without `/api/v1/lineage`: it is told from which lists and tables each table
    came, and nothing of a record; needs `blsync[openlineage]`.
    """
    openlineage_api_key: Annotated[SecretStr | None, Field(alias="BLSYNC_OPENLINEAGE_API_KEY")] = (
        None
    )
    """The key that the collector takes, where it takes one; over https except on this machine."""
    openlineage_namespace: Annotated[
        str, Field(alias="BLSYNC_OPENLINEAGE_NAMESPACE", min_length=1)
    ] = "blsync"
    """Under which name the collector has the jobs and tables of this data folder."""
    retention_days: Annotated[int, Field(alias="BLSYNC_RETENTION_DAYS", ge=0, le=36_500)] = 90
    """For how many days Dagster's runs and their events are kept; 0: for good. What was pulled and
    published has no term.
    """
    push_retention_days: Annotated[
        int, Field(alias="BLSYNC_PUSH_RETENTION_DAYS", ge=0, le=36_500)
    ] = 90
    """For how many days after its last event a plan keeps what its rows held: what was sent, what
    it replaced, the sheet's cells; 0: for good. What proves that it was sent has no term.
    """
    retry_until: Annotated[time, Field(alias="BLSYNC_RETRY_UNTIL")] = time(6)
    """Until when, in BLSYNC_TIMEZONE, a run that a schedule of Dagster's began and
    `blsync sync --retry` try again what BigLedger did not answer.
    """
    retry_seconds: Annotated[
        float, Field(alias="BLSYNC_RETRY_SECONDS", gt=0, le=86_400, allow_inf_nan=False)
    ] = 300
    """The pause before it tries again for the first time; each later one is twice as long, up to an
    hour.
    """
    pdf_font: Annotated[Path | None, Field(alias="BLSYNC_PDF_FONT")] = None
    """A font file (ttf, otf, ttc) for letters in PDFs that DejaVu Sans lacks, such as Chinese.
    Without it such a letter is a box, and a warning names whose statement has any.
    """
    export_url: Annotated[SecretStr | None, Field(alias="BLSYNC_EXPORT_URL")] = None
    """The PostgreSQL database of `blsync export postgres`:
    `postgresql://USER:PASSWORD@HOST/DATABASE`, over TLS except on this machine.
    """

    def model_post_init(self, _: Any) -> None:
        """Keep the secrets out of all that is said."""
        _register(self.api_key, self.client_secret, self.refresh_token, self.webhook_secret)
        for url in (self.ledger_url_given, self.export_url, self.dagster_storage):
            if url:
                _register_passwords(url.get_secret_value())
        _register(self.heartbeat_url, self.openlineage_api_key)
        for address in self.alerts:
            _register_address(address)

    @field_validator("base_url")
    @classmethod
    def _secure_url(cls, value: str) -> str:
        return _checked_url(value)

    @field_validator("token_url")
    @classmethod
    def _secure_token_url(cls, value: str) -> str:
        return _checked_address(value, TOKEN_URL)

    @field_validator(
        "api_key",
        "client_id",
        "client_secret",
        "refresh_token",
        "webhook_secret",
        "openlineage_api_key",
    )
    @classmethod
    def _printable(cls, value: SecretStr | None) -> SecretStr | None:
        return _checked_key(value)

    @field_validator("dagster_storage")
    @classmethod
    def _is_dagsters(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(PSYCOPG2):
            raise ValueError(
                "must be the address of a PostgreSQL database that begins with the driver which "
                f"Dagster uses, like {PSYCOPG2}USER:PASSWORD@HOST/DATABASE"
            )
        return value

    @field_validator("build_tags_given")
    @classmethod
    def _are_tags(cls, value: str | None) -> str | None:
        try:
            found = _tags(value)
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
            raise ValueError(
                'must be a JSON object of texts, like {"dagster-celery/queue": "build"}'
            )
        return value

    @field_validator("alerts_given")
    @classmethod
    def _are_addresses(cls, value: SecretStr | None) -> SecretStr | None:
        for place, address in enumerate(_addresses(value), start=1):
            if not _ADDRESS.fullmatch(address):  # the address itself stays unsaid: it is a secret
                raise ValueError(
                    f"address {place} must be one of Apprise's, like mailto://USER:PASSWORD@HOST "
                    "or slack://TOKEN_A/TOKEN_B/TOKEN_C"
                )
        return value

    @field_validator("heartbeat_url")
    @classmethod
    def _is_http(cls, value: SecretStr | None) -> SecretStr | None:
        parts = urlsplit(value.get_secret_value()) if value else None
        if parts and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("must be an http or https address, like https://hc-ping.com/ID")
        return value

    @field_validator("openlineage_url")
    @classmethod
    def _is_collector(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "")
        if value and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("must be an http or https address, like http://marquez.internal:5000")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "must hold neither credentials nor a query; a key is BLSYNC_OPENLINEAGE_API_KEY"
            )
        return value.rstrip("/") if value else None

    @model_validator(mode="after")
    def _keeps_its_key(self) -> Self:
        parts = urlsplit(self.openlineage_url or "")
        is_readable = parts.scheme == "http" and not is_loopback(parts.hostname or "")
        if self.openlineage_api_key and is_readable:
            raise ValueError(
                "BLSYNC_OPENLINEAGE_URL is plain http, which would send "
                "BLSYNC_OPENLINEAGE_API_KEY readable; use https (http is for loopback only)"
            )
        return self

    @field_validator("actor_given")
    @classmethod
    def _is_name(cls, value: str | None) -> str | None:
        name = " ".join((value or "").split())
        if len(name) > LONGEST_ACTOR or not name.isprintable():
            raise ValueError(
                f"must be a name of at most {LONGEST_ACTOR} characters on one line, like a login "
                "name"
            )
        return name or None

    @field_validator("push_approval")
    @classmethod
    def _is_approval(cls, value: str) -> str:
        word = value.strip().lower()
        if word not in APPROVALS and _amount(word) is None:
            raise ValueError(
                f"{value!r:.40} must be none, always, or an amount in the company's currency, "
                "written like 5000.00"
            )
        return word

    @field_validator("push_dialect")
    @classmethod
    def _known_dialect(cls, value: str) -> str:
        if value not in DIALECTS:
            raise ValueError(f"{value!r:.40} must be one of {', '.join(DIALECTS)}")
        return value

    @field_validator("store")
    @classmethod
    def _is_bucket(cls, value: str | None) -> str | None:
        if value and not _STORE.fullmatch(value):
            raise ValueError(f"{value!r:.60} must be a place in a bucket, like s3://books/blsync")
        return value.rstrip("/") if value else None

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"{value!r} is not a time zone; write one like Asia/Kuala_Lumpur"
            ) from None
        return value

    @field_validator("publish_mode", mode="before")
    @classmethod
    def _known_mode(cls, value: object) -> object:
        modes = {"600": 0o600, "640": 0o640}
        bits = modes.get(str(value).strip().removeprefix("0o").lstrip("0"))
        if bits is None and value not in modes.values():
            raise ValueError(
                f"{value!r} must be 0600 (this user alone reads what is published) or 0640 (the "
                "folder's group does too)"
            )
        return value if bits is None else bits

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.publish_to != self.data and self.publish_to.is_relative_to(self.data):
            raise ValueError(
                f"BLSYNC_PUBLISH_TO {self.publish_to} lies inside BLSYNC_DATA, which is closed to "
                "others and holds files of blsync's own; name a folder outside it"
            )
        if self.publish_mode != 0o600 and self.publish_to == self.data:
            raise ValueError(
                "BLSYNC_PUBLISH_MODE lets a group read what is published, but it is published in "
                f"{self.data}, which is closed to everybody else; set BLSYNC_PUBLISH_TO to a "
                "folder outside it"
            )
        return self

    @model_validator(mode="after")
    def _is_shared(self) -> Self:
        if self.store and not self.ledger_url.startswith("postgresql"):
            raise ValueError(
                "BLSYNC_STORE is for several machines, which need one ledger: set "
                "BLSYNC_LEDGER_URL to postgresql://USER:PASSWORD@HOST/DATABASE"
            )
        return self

    @field_validator(
        *("data", "seeds", "companies_file", "push_policies", "publish_to_given", "project"),
        "pdf_font",
    )
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return _checked_path(value) if value else None

    @field_validator("data")
    @classmethod
    def _no_pattern(cls, value: Path) -> Path:
        return _checked_path(value, _PATTERN)

    @field_validator("ledger_url_given")
    @classmethod
    def _with_absolute_file(cls, value: SecretStr | None) -> SecretStr | None:
        found = _SQLITE_FILE.fullmatch(value.get_secret_value()) if value else None
        if found is None or found[2] == ":memory:":
            return value
        return SecretStr(f"{found[1]}{Path(found[2]).absolute()}{found[3]}")

    def fetches_details(self, entity: str) -> bool:
        """Tell whether changed records of an entity are fetched by their ids too."""
        names = {name.strip() for name in (self.detail_fetch or "").split(",")}
        return entity in names or "all" in names

    @property
    def alerts(self) -> list[str]:
        """The addresses of who is told, each a secret."""
        return _addresses(self.alerts_given)

    @property
    def build_tags(self) -> dict[str, str]:
        """Tags of runs that build and publish."""
        return dict(_tags(self.build_tags_given))

    @property
    def actor(self) -> str:
        """Who acts: as the settings say, or the login name of the process's user."""
        if self.actor_given:
            return self.actor_given
        try:
            return pwd.getpwuid(os.getuid()).pw_name[:LONGEST_ACTOR]
        except KeyError:  # a container's user that has no name
            return f"uid {os.getuid()}"

    @property
    def approval_above(self) -> Decimal | None:
        """The amount above which a plan needs approval, where there is one."""
        return _amount(self.push_approval)

    @property
    def zone(self) -> ZoneInfo:
        """Business days are days in this zone."""
        return ZoneInfo(self.timezone)

    @property
    def ledger_url(self) -> str:
        """SQLAlchemy URL of the ledger; a file's path in it is absolute."""
        if self.ledger_url_given:
            return self.ledger_url_given.get_secret_value()
        return f"sqlite:///{self.data / 'ledger.db'}"

    @property
    def publish_to(self) -> Path:
        """The folder of what analysts read: the marts' file and the report."""
        return self.publish_to_given or self.data

    def companies(self) -> list[Company]:
        """All companies, with the credentials found for each. Raises ConfigError.

        A company whose credentials are missing is listed without them: `require_credentials` says
        so once something needs to be asked of BigLedger.
        """
        found = (
            _companies_of(self.companies_file, self) if self.companies_file else [self._company()]
        )
        for company in found:
            if company.start > datetime.now(self.zone).date():
                raise ConfigError(
                    f"BLSYNC_START {company.start} of {company.name} lies in the future; it is the "
                    "first day whose changes are pulled."
                )
        return found

    def _company(self) -> Company:
        oauth = (self.client_id, self.client_secret, self.refresh_token)
        has_oauth = [name for name, value in zip(_OAUTH_NAMES, oauth, strict=True) if value]
        if self.api_key and has_oauth:
            raise ConfigError(
                f"BIGLEDGER_API_KEY and {' and '.join(has_oauth)} are both set, and only one kind "
                "of credential can be used. Take the key out to use OAuth, or the others to use "
                "the key."
            )
        return Company(
            name=_checked_name(self.company_id or "default", "BIGLEDGER_COMPANY_ID"),
            company_id=self.company_id or "",
            base_url=self.base_url,
            start=self.start,
            api_key=self.api_key,
            **(_oauth_fields(_OAUTH_NAMES, oauth, self.token_url) if has_oauth else {}),
        )

    def chosen(self, name: str | None) -> Company:
        """The company of that name, or the only one there is. Raises ConfigError."""
        companies = self.companies()
        if name is None and len(companies) > 1:
            known = ", ".join(company.name for company in companies)
            raise ConfigError(f"Which company? Name one of {known} (--company, or company).")
        return self.company(name) if name else companies[0]

    def company(self, name: str) -> Company:
        """The company of that name. Raises ConfigError, naming those that are known."""
        known = {company.name: company for company in self.companies()}
        if name not in known:
            raise ConfigError(f"Unknown company {name!r}. Known: {', '.join(known)}.")
        return known[name]


_BETWEEN_ADDRESSES = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)")
"""What parts addresses: a comma within one is a part of it."""
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s]+")


def _addresses(given: SecretStr | None) -> list[str]:
    text = given.get_secret_value().strip(" \t\r\n,") if given else ""
    return [*dict.fromkeys(_BETWEEN_ADDRESSES.split(text))] if text else []


def _tags(given: str | None) -> Any:
    return json.loads(given) if given else {}


APPROVALS = ("none", "always")
"""Words of BLSYNC_PUSH_APPROVAL; anything else is an amount."""
DIALECTS = ("bulk", "batch")
LONGEST_ACTOR = 100
"""Characters of a name of who acts."""
_PLAIN_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,2})?")


def _amount(text: str) -> Decimal | None:
    return Decimal(text) if _PLAIN_AMOUNT.fullmatch(text) else None


class Described(NamedTuple):
    """A setting for a reader: the variable, its default, and what it means (Markdown)."""

    name: str
    default: str
    meaning: str


def described() -> list[Described]:
    """Return every setting, in the order in which the class has them.

    Paths are relative to the repository's root; a default of "–" is none.
    """
    found = [
        Described(
            field.alias or name,
            _written(name, field.get_default(call_default_factory=True, validated_data={})),
            " ".join(text.split()),
        )
        for name, field in Settings.model_fields.items()
        for text in [field.description or ""]
    ]
    return [*found, Described(ENV_FILE, "`.env`", "Another file to read settings from.")]


def _written(name: str, default: Any) -> str:
    """Write a default as a line of `.env` would have it."""
    if default is None:
        return "–"
    if name == "publish_mode":
        return f"`{default:04o}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default.relative_to(ROOT) if isinstance(default, Path) else default}`"


def load() -> Settings:
    """Read the environment and `.env`. Raises ConfigError, naming each setting that is wrong.

    A name that looks like a setting and is none is told on stderr, once.
    """
    path = env_file()
    _check_env_file(path)
    in_file = _values_of(path)
    try:
        settings = Settings(
            _env_file=path, _env_file_encoding=_ENCODING, **_paths_of_file(in_file, path)
        )
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None
    if settings.publish_to_given:
        permissions.check_published_folder(settings.publish_to)
    if _is_named("BLSYNC_SEEDS", in_file) and not settings.seeds.is_dir():
        raise ConfigError(
            f"BLSYNC_SEEDS: there is no folder {settings.seeds}. Make it, name the one with your "
            "tables, or take the setting out."
        )
    if settings.project:
        _check_project(settings.project)
    _tell_unknown_names(settings, in_file, path)
    return settings


def project_folder() -> Path | None:
    """Return the folder of the user's own project, without asking for any other setting.

    Raises ConfigError where there is none under its name.
    """
    path = env_file()
    in_file = _values_of(path)
    named = os.environ.get(_PROJECT) or in_file.get(_PROJECT)
    if not named:
        return None
    try:
        folder = _checked_path(Path(_paths_of_file(in_file, path).get(_PROJECT, named)))
    except ValueError as error:
        raise ConfigError(f"{_PROJECT}: {error}.") from None
    _check_project(folder)
    return folder


PARTS_OF_PROJECT = ("entities", "macros", "models", "tests")
"""The folders that a user's own project may have."""


def _check_project(folder: Path) -> None:
    """Raise ConfigError where a folder cannot be the user's own project: what it holds is run."""
    if not folder.is_dir():
        raise ConfigError(
            f"{_PROJECT}: there is no folder {folder}. Make it, name the one with your models, or "
            "take the setting out."
        )
    parts = [folder / name for name in PARTS_OF_PROJECT if (folder / name).is_dir()]
    if not parts:
        raise ConfigError(
            f"{_PROJECT}: {folder} has none of the folders {', '.join(PARTS_OF_PROJECT)}. Make one "
            "of them, or name the folder that has them."
        )
    if (folder / "dbt_project.yml").exists():
        raise ConfigError(
            f"{_PROJECT}: {folder} is a dbt project of its own (dbt_project.yml), and blsync makes "
            "it a part of its own. Take that file out; what it says of models goes to their yml."
        )
    for part in (folder, *parts):
        permissions.refuse_writable_folder(part, _PROJECT)


def env_file() -> Path:
    """Return the file that holds settings beside the environment; where BLSYNC_ENV_FILE names none
    it need not exist.
    """
    named = os.environ.get(ENV_FILE)
    return Path(named).expanduser() if named else places.default_env_file()


def _is_env_file_named() -> bool:
    return bool(os.environ.get(ENV_FILE))


def _values_of(path: Path) -> dict[str, str]:
    """Return what a file of settings says, less what is empty."""
    values = dotenv_values(path, encoding=_ENCODING) if path.exists() else {}
    return {name: value for name, value in values.items() if value}


def _is_named(name: str, in_file: Mapping[str, str]) -> bool:
    return bool(os.environ.get(name) or in_file.get(name))


_PROJECT = "BLSYNC_PROJECT"
_PATHS = (
    *("BLSYNC_COMPANIES", "BLSYNC_DATA", "BLSYNC_SEEDS"),
    *("BLSYNC_PUSH_POLICIES", "BLSYNC_PUBLISH_TO", "BLSYNC_PDF_FONT", _PROJECT),
)
_LEDGER_URL = "BLSYNC_LEDGER_URL"


def _paths_of_file(in_file: Mapping[str, str], path: Path) -> dict[str, Any]:
    """Return the paths that a file of settings names and the environment does not, taken from the
    folder of that file.
    """
    folder = path.absolute().parent
    named = {name: value for name, value in in_file.items() if not os.environ.get(name)}
    found: dict[str, Any] = {
        name: folder / value
        for name in _PATHS
        if (value := named.get(name)) and not value.startswith("~")
    }
    url = _SQLITE_FILE.fullmatch(named.get(_LEDGER_URL, ""))
    if url and url[2] != ":memory:":
        found[_LEDGER_URL] = f"{url[1]}{folder / url[2]}{url[3]}"
    return found


_PREFIXES = ("BLSYNC_", "BIGLEDGER_")
_FOR_DBT = ("BLSYNC_BUILD_MEMORY", "BLSYNC_PACKAGES")
"""Variables that this program sets for dbt; who runs dbt by hand sets them too."""


def _tell_unknown_names(settings: Settings, in_file: Mapping[str, str], path: Path) -> None:
    """Say which names look like settings and are none: a slip of the pen would else be passed
    over, and the default hold.
    """
    known = {str(field.alias) for field in Settings.model_fields.values()}
    allowed = {*known, ENV_FILE, *_FOR_DBT, *_names_in(settings.companies_file)}
    told = dict.fromkeys(in_file, f"in {path}")
    told |= dict.fromkeys(os.environ, "in the environment")
    if ENV_FILE in in_file:
        permissions.warn_once(f"{ENV_FILE} counts in the environment alone, not in {path}.")
    for name, place in sorted(told.items()):
        if name.startswith(_PREFIXES) and name not in allowed:
            near = difflib.get_close_matches(name, sorted(known | {ENV_FILE}), 1)
            meant = f" Did you mean {near[0]}?" if near else ""
            permissions.warn_once(f"{name} {place} is no setting and counts for nothing.{meant}")


def _names_in(companies_file: Path | None) -> set[str]:
    """Return the variables that a file of companies names; none where it cannot be read, which
    whoever asks for the companies is told.
    """
    if companies_file is None:
        return set()
    try:
        tables = tomllib.loads(companies_file.read_text(encoding=_ENCODING))["companies"]
        return {
            value
            for table in tables.values()
            for name, value in table.items()
            if name.endswith("_env") and isinstance(value, str)
        }
    except (OSError, ValueError, KeyError, AttributeError, RecursionError):
        return set()


def paths_in_environment(settings: Settings) -> dict[str, str]:
    """Return the settings that are paths, absolute, for a process with another working folder.

    The ledger's URL is among them where it is a file's: a server's may hold a password.
    """
    paths = {
        "BLSYNC_ENV_FILE": env_file() if env_file().exists() else Path(os.devnull),
        "BLSYNC_COMPANIES": settings.companies_file,
        "BLSYNC_DATA": settings.data,
        "BLSYNC_SEEDS": settings.seeds if settings.seeds.is_dir() else None,
        "BLSYNC_PUSH_POLICIES": settings.push_policies,
        "BLSYNC_PUBLISH_TO": settings.publish_to_given,
        _PROJECT: settings.project,
    }
    told = {name: str(path.absolute()) for name, path in paths.items() if path}
    if settings.ledger_url_given and _SQLITE_FILE.fullmatch(settings.ledger_url):
        told["BLSYNC_LEDGER_URL"] = settings.ledger_url
    return told


_FOR_ANY_PROGRAM = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "TERM", "NO_COLOR"),
)
_FOR_PYTHON_AND_DBT = ("LC_", "PYTHON", "DBT_")
"""Beginnings of names."""


def environment_for_a_child(more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a program that needs no credentials: dbt, the local sandbox.

    It holds what any program needs and `more`, and nothing else of this process's environment: it
    may hold credentials under names that only the file of companies knows, or other programs'.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _FOR_ANY_PROGRAM or name.startswith(_FOR_PYTHON_AND_DBT)
        if not redaction.holds_secret(value)
    }
    return kept | dict(more)


def require_credentials(company: Company) -> None:
    """Raise ConfigError where credentials or a company id are missing, saying what to set."""
    missing = []
    if not company.company_id:
        missing.append("BIGLEDGER_COMPANY_ID")
    if not company.api_key and not company.oauth:
        missing += company.oauth_unset or [company.api_key_name]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} not set for company {company.name!r}. Put a line like "
            f"{missing[-1]}=… into {_file_for_settings()}, or try `blsync demo`, which needs no "
            "key."
        )


def _file_for_settings() -> str:
    """Return which file a person is to write a setting into."""
    path = env_file()
    if path.is_file():
        return str(path)
    return f"{'.env' if _is_env_file_named() else path} (`blsync init` makes one)"


def _register(*secrets: SecretStr | None) -> None:
    for secret in secrets:
        if secret:
            redaction.register(secret.get_secret_value())


def _register_passwords(url: str) -> None:
    """Register the password in a database's URL, as it is written there and as it is meant."""
    found = re.findall(r"^[\w+]+://[^:/]*:(.*)@|[?&](?:ssl)?password=([^&]*)", url)
    for written in (text for pair in found for text in pair if text):
        redaction.register(written)
        redaction.register(unquote_plus(written))
        redaction.register(unquote(written))


_TOKEN = re.compile(r"[^/?&=@:,]{16,}")
"""What may be a token in an address of Apprise's, wherever it stands; a host has a dot or is short.
"""


def _register_address(address: str) -> None:
    """Register an address of Apprise's as a whole, and what of it may be a token or a password."""
    redaction.register(address)
    _register_passwords(address)
    behind = address.partition("://")[2]
    for text in _TOKEN.findall(behind):
        if "." not in text:
            redaction.register(text)
            redaction.register(unquote(text))


def _check_env_file(path: Path) -> None:
    permissions.refuse_writable(path, "BLSYNC_ENV_FILE" if _is_env_file_named() else ".env")
    if warning := permissions.readable_by_others(path):
        permissions.warn_once(warning)
    try:
        text = path.read_text(encoding=_ENCODING)
    except FileNotFoundError:
        if not _is_env_file_named():
            return
        raise ConfigError(
            f"{ENV_FILE} names {path.absolute()}, and there is no such file. Name the one that has "
            f"your settings, or take the variable out ({os.devnull} stands for no file)."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Save it as UTF-8 text.") from None
    for binding in parse_stream(io.StringIO(text)):
        # The line itself stays unsaid: it may hold a key.
        if binding.error or (binding.key and binding.value is None):
            written = binding.original.string
            line = binding.original.line + len(written) - len(written.lstrip("\n"))
            raise ConfigError(f"{path.name} line {line} is not NAME=value. Mend or delete it.")


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        name = str(problem["loc"][0]) if problem["loc"] else ""
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{name}: {message}." if name else f"{message}.")
    return " ".join(lines)


def _checked_url(value: str) -> str:
    url = _checked_address(value, PRODUCTION)
    if not url.endswith("/v1"):
        raise ValueError(f"must end in /v1, as {PRODUCTION}")
    return url


def _checked_address(value: str, example: str) -> str:
    url = value.rstrip("/")
    parts = urlsplit(url)
    _ = parts.port  # ValueError for one that is no number
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"must be an address like {example}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must hold neither credentials nor a query")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(
            f"plain http to {parts.hostname} would send the key readable; use https "
            "(http is for loopback only)"
        )
    return url


def _checked_key(key: SecretStr | None) -> SecretStr | None:
    if key and not re.fullmatch(r"[!-~]+", key.get_secret_value()):
        raise ValueError("holds a space or a character that no key has; copy it again")
    return key


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine: nothing leaves it on the way there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_ELSEWHERE = "?\\"
"""SQLite's addresses and DuckDB end a name at `?`, and DuckDB reads a backslash as a slash: both
would write in another folder."""
_PATTERN = "[*#"
"""Dagster takes the name of its home for a pattern and would not find its settings there;
dbt-duckdb takes what follows a `#` for no part of a path."""


def _checked_path(path: Path, odd: str = _ELSEWHERE) -> Path:
    """Return a path as an absolute one. Raises ValueError where a part of the program would take
    its name, with one of the characters `odd` or a control character in it, for something else.
    """
    try:
        absolute = path.expanduser().absolute()
        str(absolute).encode()
    except RuntimeError:
        raise ValueError(f"{path} names the home of a user who has none") from None
    except UnicodeEncodeError:
        raise ValueError(f"{str(path)!r} is no UTF-8; give the folder another name") from None
    found = sorted({c for c in str(absolute) if c in odd or category(c) in ("Cc", "Zl", "Zp")})
    if found:
        raise ValueError(
            f"{str(absolute)!r} has {' and '.join(map(repr, found))} in its name, which not all "
            "parts of this program read as a part of a name; give the folder another one"
        )
    return absolute


def check_company_id(company_id: str) -> None:
    """Raise ConfigError where a text cannot be a company's id."""
    _checked_name(company_id, "BIGLEDGER_COMPANY_ID")


def _checked_name(name: str, where: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: {name!r} may hold letters, digits, '_', '-' and '.' only.")
    return name


class _CompanyTable(BaseModel, extra="forbid"):
    company_id: str
    api_key_env: str | None = None
    client_id_env: str | None = None
    client_secret_env: str | None = None
    refresh_token_env: str | None = None
    token_url: str | None = None
    base_url: str | None = None
    start: date | None = None

    @field_validator("base_url")
    @classmethod
    def _secure_url(cls, value: str | None) -> str | None:
        return _checked_url(value) if value else None

    @field_validator("token_url")
    @classmethod
    def _secure_token_url(cls, value: str | None) -> str | None:
        return _checked_address(value, TOKEN_URL) if value else None

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        given = bool(self.api_key_env), *map(bool, self._oauth_names)
        if given not in ((True, False, False, False), (False, True, True, True)):
            raise ValueError(
                "a company needs api_key_env, or else client_id_env, client_secret_env and "
                "refresh_token_env: the names of the variables that hold its credentials"
            )
        return self

    @property
    def _oauth_names(self) -> tuple[str, str, str]:
        return self.client_id_env or "", self.client_secret_env or "", self.refresh_token_env or ""

    def credentials(self, values: Mapping[str, str | None], token_url: str) -> dict[str, Any]:
        """Return a company's credential fields; the token URL is used where the table has none."""
        if self.api_key_env:
            name = self.api_key_env
            return {"api_key": _secret_of(name, values), "api_key_name": name}
        secrets = [_secret_of(name, values) for name in self._oauth_names]
        return _oauth_fields(self._oauth_names, secrets, self.token_url or token_url)


def _companies_of(path: Path, settings: Settings) -> list[Company]:
    permissions.refuse_writable(path, "BLSYNC_COMPANIES")
    try:
        tables: Mapping[str, Any] = tomllib.loads(path.read_text(encoding=_ENCODING))["companies"]
        if not tables:
            raise KeyError("companies")
        listed = {name: _CompanyTable.model_validate(table) for name, table in tables.items()}
    except OSError as error:
        raise ConfigError(f"BLSYNC_COMPANIES: {path} cannot be read: {error.strerror}.") from None
    except KeyError:
        raise ConfigError(f"BLSYNC_COMPANIES: {path} has no [companies.NAME] table.") from None
    except ValidationError as error:
        raise ConfigError(f"BLSYNC_COMPANIES: {path}: {_explain(error)}") from None
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"BLSYNC_COMPANIES: {path}: {error}.") from None
    except RecursionError:
        raise ConfigError(f"BLSYNC_COMPANIES: {path} has values nested too deep.") from None
    ids = [table.company_id for table in listed.values()]
    if twice := sorted({company_id for company_id in ids if ids.count(company_id) > 1}):
        raise ConfigError(
            f"BLSYNC_COMPANIES: {path} lists {', '.join(twice)} twice; what is pulled is kept by "
            "company_id, so give the other one a BLSYNC_DATA of its own."
        )
    values = {**dotenv_values(env_file(), encoding=_ENCODING), **os.environ}
    return [
        Company(
            name=_checked_name(name, "BLSYNC_COMPANIES"),
            company_id=_checked_name(table.company_id, f"companies.{name}.company_id"),
            base_url=table.base_url or settings.base_url,
            start=table.start or settings.start,
            **table.credentials(values, settings.token_url),
        )
        for name, table in listed.items()
    ]


def _secret_of(name: str, values: Mapping[str, str | None]) -> SecretStr | None:
    secret = values.get(name)
    try:
        return _checked_key(SecretStr(secret)) if secret else None
    except ValueError as error:
        raise ConfigError(f"{name}: {error}.") from None


def _oauth_fields(
    names: tuple[str, str, str], secrets: Sequence[SecretStr | None], token_url: str
) -> dict[str, Any]:
    client_id, client_secret, refresh_token = secrets
    if not (client_id and client_secret and refresh_token):
        unset = (name for name, secret in zip(names, secrets, strict=True) if not secret)
        return {"oauth_unset": tuple(unset)}
    oauth = OAuth(
        client_id=client_id,
        client_secret=client_secret,
        refresh_token=refresh_token,
        token_url=token_url,
        names=names,
    )
    return {"oauth": oauth}
