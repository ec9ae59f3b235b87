"""The plan: what each row of a file would change at BigLedger. Sends nothing."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from blsync.api.client import Client
from blsync.errors import ConfigError, InputFileError
from blsync.ledger import Ledger, evidence, plans
from blsync.ledger.plans import Operation, Plan
from blsync.ledger.states import (
    KEPT_BACK,
    SENDS,
    EvidenceState,
    Mode,
    OnConflict,
    OperationState,
    PlanState,
)
from blsync.push.apply.settle import is_for_a_person
from blsync.push.compare import from_text, to_text
from blsync.push.endpoint import Endpoint
from blsync.push.endpoints import endpoint_named
from blsync.push.known import Known
from blsync.push.lookup import RecordIndex, look_up, read_in_full
from blsync.push.plan.confirmation import new_code
from blsync.push.plan.decide import Decision, key_without_token
from blsync.push.plan.references import Near, resolve
from blsync.push.plan.rejects import check_target, write_rejects
from blsync.push.plan.validate import ParsedRow, problem, unique, validate
from blsync.push.report import PlanReport, report_of, sheet_of
from blsync.push.source.form import DateOrder, Decimals, Form, maps_of
from blsync.push.source.memory import remember, remembered
from blsync.push.source.read import read
from blsync.push.source.sheet import Sheet
from blsync.push.work import company_of, plan_named
from blsync.session import Session
from blsync.settings import Company, require_credentials
from blsync.text.natural_keys import normal_form
from blsync.user_tables import closed_months


@dataclass(frozen=True)
class PlanOptions:
    """How a file is planned, in the words of `Mode` and `OnConflict`.

    `mode` create rejects rows whose record exists with other values, update those whose record does
    not. `on_conflict` says whose version holds where a record changed since the row's basis; abort
    leaves the row out. With `hidden`, rows and columns of a worksheet are planned that are hidden
    there. `rejects` is a file to write the rejected rows to, to be mended and planned
    again. `reading` says what the file's columns and cells mean.
    """

    mode: str = Mode.UPSERT
    on_conflict: str = OnConflict.ABORT
    rejects: Path | None = None
    hidden: bool = False
    reading: ReadingOptions = field(default_factory=lambda: ReadingOptions())


@dataclass(frozen=True)
class ReadingOptions:
    """What was said of a file's columns and cells.

    `maps` are headers and the columns that they are ('Cust Email=email'), `sheet` is the worksheet
    to read, `dates` the order of days (dmy, mdy or ymd), `decimals` what stands before decimals
    (point or comma). With `strict`, a column that is not known refuses the file.
    """

    maps: tuple[str, ...] = ()
    sheet: str | None = None
    dates: str | None = None
    decimals: str | None = None
    strict: bool = False


AS_USUAL = PlanOptions()


def plan(
    session: Session,
    company: Company,
    endpoint: str,
    source: Path | Sheet,
    options: PlanOptions = AS_USUAL,
) -> PlanReport:
    """Compare a file of changes with what BigLedger has now and store what would be sent.

    `source` is a file, or rows that were read elsewhere. The same file against the same records is
    the same plan.

    Raises ConfigError, InputFileError, ApiError, StorageError, or QuotaSpent where the session does
    not wait.
    """
    rows, sheet = _read(session.settings.data, endpoint, source, options)
    require_credentials(company)
    kind, now = endpoint_named(endpoint), session.clock()
    decision = Decision(
        kind,
        company.company_id,
        Mode(options.mode),
        OnConflict(options.on_conflict),
        RecordIndex(),
        plans.held_elsewhere(session.ledger, company.company_id, kind.name),
        now.astimezone(session.settings.zone).date(),
        closed_months(session.settings.seeds, company.company_id, now),
        session.settings.push_reference_token,
    )
    client = session.client(company)
    near = Known(session.settings, company.company_id).near
    operations = asyncio.run(_decided(client, session.ledger, decision, rows, near))
    stored = _store(session.ledger, company, decision, sheet, operations, now)
    if options.rejects:
        write_rejects(options.rejects, sheet, operations)
    if options.reading.maps and isinstance(source, Path):
        said = maps_of(kind, options.reading.maps)
        remember(session.settings.data, kind, _headers(sheet), said)
    return replace(report_of(session.ledger, stored), notes=sheet.notes)


def _headers(sheet: Sheet) -> list[str]:
    return [sheet.headers.get(name, name) for name in sheet.columns]


def _form(data: Path, kind: Endpoint, options: ReadingOptions) -> Form:
    """Return how a file is read. Raises ConfigError."""
    if options.dates is not None:
        _check_choice("--dates", options.dates, DateOrder)
    if options.decimals is not None:
        _check_choice("--decimals", options.decimals, Decimals)
    return Form(
        kind,
        maps_of(kind, options.maps),
        remembered(data, kind),
        options.sheet,
        DateOrder(options.dates) if options.dates else None,
        Decimals(options.decimals) if options.decimals else None,
        options.strict,
    )


def _read(
    data: Path, endpoint: str, source: Path | Sheet, options: PlanOptions
) -> tuple[list[ParsedRow], Sheet]:
    """Read and validate the rows, having refused what cannot be planned at all."""
    kind = endpoint_named(endpoint)
    _check_choice("--mode", options.mode, Mode)
    _check_choice("--on-conflict", options.on_conflict, OnConflict)
    if options.mode == Mode.UPDATE and not kind.can_update:
        raise ConfigError(
            f"--mode update: a {kind.record} cannot be changed once it is there; use --mode create."
        )
    if options.rejects:
        check_target(options.rejects, source if isinstance(source, Path) else source.path)
    form = _form(data, kind, options.reading)
    sheet = (
        read(source, lines=kind.lines, key=kind.natural_key, hidden=options.hidden, form=form)
        if isinstance(source, Path)
        else source
    )
    try:
        return validate(kind, sheet), sheet
    except InputFileError as error:  # a column that is left out may be what is missing
        raise InputFileError(" ".join((str(error), *sheet.notes))) from None


def retry(session: Session, plan_id: str) -> PlanReport:
    """Plan the rejected rows of a plan anew, and those that are held for a person to decide.

    A held row is given up in the old plan first: whoever asks for this has looked at BigLedger, and
    the new plan adopts what it finds there. Rows whose settle time is not over stay held. Raises
    what `plan` raises, and ConfigError where there is nothing to retry.
    """
    ledger = session.ledger
    old = plan_named(ledger, plan_id)
    rows = plans.operations_of(ledger, old.plan_id)
    again = [row for row in rows if _is_for_retry(row)]
    if not again:
        left = sum(row.state == OperationState.HELD for row in rows)
        still = f"; {left} rows are being settled, run push settle first" if left else ""
        raise ConfigError(f"Plan {old.plan_id} has no rejected rows to retry{still}.")
    message = "given up after look-ups that found nothing, and planned anew by push retry"
    given_up = [row.row for row in again if row.state == OperationState.HELD]
    plans.give_up(ledger, old.plan_id, given_up, problem("GIVEN_UP", None, message))
    if given_up:
        plans.finish(ledger, old.plan_id, session.clock())
    company = company_of(session.settings, old)
    options = PlanOptions(old.mode, old.on_conflict)
    return plan(session, company, old.endpoint, sheet_of(old, again), options)


def _is_for_retry(row: Operation) -> bool:
    if row.state == OperationState.HELD:
        return is_for_a_person(row)
    return row.state == OperationState.REJECTED or row.action in KEPT_BACK


def _check_choice(option: str, value: str, choices: type[StrEnum]) -> None:
    if value not in tuple(choices):
        raise ConfigError(f"{option} {value!r} is none of {', '.join(choices)}.")


async def _decided(
    client: Client, ledger: Ledger, decision: Decision, rows: list[ParsedRow], near: Near
) -> list[Operation]:
    endpoint = decision.endpoint
    async with client:
        rows = await resolve(client, ledger, endpoint, rows, near)
        decision = replace(decision, sent=_sent(ledger, decision, rows))
        rows = unique(endpoint, [decision.without_token(row) for row in rows])
        for name in endpoint.identifiers:
            values = [
                value
                for row in rows
                if name in row.named and not row.problems
                for value in decision.spellings(row, name)
            ]
            await look_up(client, endpoint.listing, name, values, decision.known)
        names = {name for row in rows for name in row.data if not row.problems}
        await read_in_full(client, endpoint.listing, decision.known, names)
        await _remember(client, ledger, decision, rows)
    return decision.operations(rows)


async def _remember(
    client: Client, ledger: Ledger, decision: Decision, rows: list[ParsedRow]
) -> None:
    """Read what earlier plans have created of these rows, where the server was not seen to show
    the natural key of what it takes: there, a look-up finds nothing of what was pushed before.
    """
    endpoint, company = decision.endpoint, client.company
    state = evidence.state_of(ledger, company.company_id, endpoint.name, company.base_url)
    if state == EvidenceState.KEPT:
        return
    done = evidence.applied_creates(ledger, company.company_id, endpoint.name)
    keys = {normal_form(row.key) for row in rows if not row.problems}
    before = {key: o for o in done if (key := normal_form(o.natural_key)) in keys}
    decision.remembered.rows.update(before)
    if not endpoint.settlement.is_own_record:
        return
    known = RecordIndex()
    ids = [row.remote_id for row in before.values() if row.remote_id]
    await look_up(client, endpoint.listing, "id", ids, known)
    for key, row in before.items():
        name = endpoint.natural_key
        for record in known.find("id", row.remote_id or ""):
            shown = record.get(name) or from_text(row.body).get(name)
            decision.remembered.records[key] = {**record, name: shown}


def _sent(ledger: Ledger, decision: Decision, rows: list[ParsedRow]) -> dict[str, set[str]]:
    """Return with which references the rows' natural keys were sent before."""
    if not decision.endpoint.is_tokened:
        return {}
    keys = {normal_form(key) for row in rows for key in (row.key, key_without_token(row))}
    return plans.references_sent(ledger, decision.company_id, decision.endpoint.name, keys)


def _store(
    ledger: Ledger,
    company: Company,
    decision: Decision,
    sheet: Sheet,
    operations: list[Operation],
    at: datetime,
) -> str:
    """Store the plan under the hash of what it does, and return its id.

    Where a plan of the same content was applied to its end already, another one is stored beside
    it, with another id. Otherwise its rejected rows could never be sent again.
    """
    content: list[Any] = [decision.endpoint.name, company.company_id, company.base_url]
    content += [decision.mode, decision.on_conflict]
    content += [
        [o.row, o.natural_key, o.action, o.remote_id, o.body, o.changes, o.error]
        for o in operations
    ]
    does_send = any(o.action in SENDS for o in operations)
    for number in range(1_000_000):
        plan_id = hashlib.sha256(to_text([*content, number]).encode()).hexdigest()[:12]
        known = plans.find(ledger, plan_id)
        if not (known and known[0].state == PlanState.APPLIED and does_send):
            break
    stored = Plan(
        plan_id=plan_id,
        company=company.name,
        company_id=company.company_id,
        base_url=company.base_url,
        endpoint=decision.endpoint.name,
        state=PlanState.PLANNED,
        source=sheet.path.name,
        mode=decision.mode,
        created_at=at,
        on_conflict=decision.on_conflict,
        confirmation_code=new_code(),
        readings=to_text([vars(each) for each in sheet.readings]) if sheet.readings else None,
        notes=to_text(list(sheet.notes)) if sheet.notes else None,
    )
    plans.put(ledger, stored, operations)
    return plan_id
