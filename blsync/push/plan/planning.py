"""The plan: what each row of a file would change at BigLedger. Sends nothing."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from blsync.api.client import Client
from blsync.errors import ConfigError, InputFileError
from blsync.ledger import Ledger, evidence, plans
from blsync.ledger.approvals import Saying
from blsync.ledger.plans import Operation, Plan, Problem
from blsync.ledger.states import (
    FILE_MODES,
    SENDS,
    Action,
    EvidenceState,
    Mode,
    OnConflict,
    PlanState,
    Verdict,
)
from blsync.push.compare import from_text, to_text
from blsync.push.dialects import dialect_of, endpoints_of, reachable, terms_of
from blsync.push.endpoint import Endpoint
from blsync.push.endpoints import endpoint_named
from blsync.push.known import Known
from blsync.push.lookup import RecordIndex, look_up, read_in_full
from blsync.push.plan.check import Check
from blsync.push.plan.confirmation import new_code
from blsync.push.plan.decide import Decision, key_without_token
from blsync.push.plan.references import Near, resolve
from blsync.push.plan.rejects import check_target, write_rejects
from blsync.push.plan.validate import ParsedRow, unique, validate
from blsync.push.report import PlanReport, report_of
from blsync.push.source.form import DateOrder, Decimals, Form, maps_of
from blsync.push.source.memory import remember, remembered
from blsync.push.source.read import read
from blsync.push.source.sheet import Sheet
from blsync.session import Session
from blsync.settings import Company, Settings, require_credentials
from blsync.text.natural_keys import normal_form
from blsync.user_tables import closed_months


@dataclass(frozen=True)
class PlanOptions:
    """How a file is planned, in the words of `FILE_MODES` and `OnConflict`.

    `mode` create rejects rows whose record exists with other values, update those whose record does
    not; with delete each row names, by its key alone, a record that is to go. `on_conflict` says
    whose version holds where a record changed since the row's basis; abort leaves the row out. With
    `hidden`, rows and columns of a worksheet are planned that are hidden there. `rejects` is a file
    to write the rejected rows to, to be mended and planned again. `reading` says what the file's
    columns and cells mean. With `has_check` BigLedger is asked what it would refuse, and writes
    nothing (`blsync.push.plan.check`).
    """

    mode: str = Mode.UPSERT
    on_conflict: str = OnConflict.ABORT
    rejects: Path | None = None
    hidden: bool = False
    reading: ReadingOptions = field(default_factory=lambda: ReadingOptions())
    has_check: bool = False


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
    rows, sheet = _read(session.settings, endpoint, source, options)
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
        deleted=plans.deleted_by(session.ledger, company.company_id, kind.name),
    )
    client = session.client(company)
    near = Known(session.settings, company.company_id).near
    decision, rows = asyncio.run(_informed(session, client, decision, rows, near))
    operations = reachable(session.settings, kind, decision.operations(rows))
    notes = sheet.notes
    if options.has_check:
        check = asyncio.run(_checked(session.client(company), kind, operations))
        notes = (*notes, *check.notes(operations))
        refused = [_with_refusal(row, check.refused) for row in rows]
        operations = reachable(session.settings, kind, decision.anew().operations(refused))
    draft = draft_of(session, company, kind, sheet.path.name, notes)
    readings = to_text([vars(each) for each in sheet.readings]) if sheet.readings else None
    draft = replace(draft, mode=decision.mode, on_conflict=decision.on_conflict, readings=readings)
    stored = store(session.ledger, draft, operations)
    if options.rejects:
        write_rejects(options.rejects, sheet, operations)
    if options.reading.maps and isinstance(source, Path):
        said = maps_of(kind, options.reading.maps)
        remember(session.settings.data, kind, _headers(sheet), said)
    report = report_of(session.ledger, stored)
    # One that is under way keeps the notes of the file that it was planned from first.
    return replace(report, plan=replace(report.plan, notes=notes))


async def _checked(client: Client, kind: Endpoint, operations: list[Operation]) -> Check:
    async with client:
        check = Check(client, kind)
        await check.ask(operations)
        return check


def _with_refusal(row: ParsedRow, refused: Mapping[int, Problem]) -> ParsedRow:
    """Return a row with what the server would refuse it for."""
    why = refused.get(row.row)
    return replace(row, problems=(*row.problems, why)) if why else row


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
    settings: Settings, endpoint: str, source: Path | Sheet, options: PlanOptions
) -> tuple[list[ParsedRow], Sheet]:
    """Read and validate the rows, having refused what cannot be planned at all."""
    kind = endpoint_named(endpoint)
    takes = terms_of(settings, kind).actions
    _check_choice("--mode", options.mode, FILE_MODES)
    _check_choice("--on-conflict", options.on_conflict, OnConflict)
    if options.mode == Mode.UPDATE and not kind.can_update:
        raise ConfigError(
            f"--mode update: {kind.a_record} cannot be changed once it is there; use --mode create."
        )
    if options.mode == Mode.DELETE and not (kind.can_delete and Action.DELETE in takes):
        dialect, known = dialect_of(settings), endpoints_of(settings).values()
        terms = {one.name: dialect.terms(one) for one in known if one.can_delete}
        deletable = ", ".join(n for n, t in terms.items() if t and Action.DELETE in t.actions)
        raise ConfigError(
            f"--mode delete: {kind.a_record} cannot be deleted over the API"
            f"{_by_the_other(settings, kind)}, only records of {deletable}; `blsync push undo "
            "PLAN` plans what takes a plan back."
        )
    if options.rejects:
        check_target(options.rejects, source if isinstance(source, Path) else source.path)
    form = _form(settings.data, kind, options.reading)
    sheet = (
        read(source, lines=kind.lines, key=kind.natural_key, hidden=options.hidden, form=form)
        if isinstance(source, Path)
        else source
    )
    try:
        return validate(kind, sheet), sheet
    except InputFileError as error:  # a column that is left out may be what is missing
        raise InputFileError(" ".join((str(error), *sheet.notes))) from None


def _by_the_other(settings: Settings, kind: Endpoint) -> str:
    """Tell in which dialect records can be deleted that cannot be in the settings' one."""
    return f" by {settings.push_dialect} requests" if kind.can_delete else ""


def _check_choice(option: str, value: str, choices: Iterable[StrEnum]) -> None:
    if value not in tuple(choices):
        raise ConfigError(f"{option} {value!r} is none of {', '.join(choices)}.")


async def home_currency(session: Session, client: Client, endpoint: Endpoint) -> str | None:
    """Return the company's currency, where documents may be in another and an amount decides
    whether they need approval; None: it was not asked for. Raises ApiError.
    """
    if endpoint.currency_of is None or session.settings.approval_above is None:
        return None
    answer = await client.get("/company")
    told: Any = answer.read()
    currency = told.get("currency") if isinstance(told, dict) else None
    return str(currency) if currency else None


async def _informed(
    session: Session, client: Client, decision: Decision, rows: list[ParsedRow], near: Near
) -> tuple[Decision, list[ParsedRow]]:
    """Return the decision with what BigLedger has, and the rows with what they name."""
    endpoint, ledger = decision.endpoint, session.ledger
    async with client:
        if decision.mode != Mode.DELETE:
            rows = await resolve(client, ledger, endpoint, rows, near)
        decision = replace(decision, home=await home_currency(session, client, endpoint))
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
        if decision.mode == Mode.DELETE:  # what is deleted is kept whole, to be made anew
            names |= {name.partition(".")[0] for name in (*endpoint.required, *endpoint.rules)}
        await read_in_full(client, endpoint.listing, decision.known, names)
        await _remember(client, ledger, decision, rows)
    return decision, rows


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


def draft_of(
    session: Session, company: Company, endpoint: Endpoint, source: str, notes: tuple[str, ...]
) -> Plan:
    """Return a plan that the session's actor makes now, without rows and without an id."""
    now = session.clock()
    return Plan(
        plan_id="",
        company=company.name,
        company_id=company.company_id,
        base_url=company.base_url,
        endpoint=endpoint.name,
        state=PlanState.PLANNED,
        source=source,
        mode=Mode.UPSERT,
        created_at=now,
        notes=notes,
        confirmation_code=new_code(),
        verdicts=(Saying(Verdict.PLANNED, session.actor, now),),
    )


def store(ledger: Ledger, draft: Plan, operations: list[Operation]) -> str:
    """Store a plan under the hash of what it does, and return its id.

    Where a plan of the same content was applied to its end already, rejected or emptied, another
    one is stored beside it, with another id. Otherwise its rows could never be sent again.
    """
    content: list[Any] = [draft.endpoint, draft.company_id, draft.base_url]
    content += [draft.mode, draft.on_conflict, *([draft.undoes] if draft.undoes else [])]
    content += [
        [o.row, o.natural_key, o.action, o.remote_id, o.body, o.changes, o.error]
        + ([o.before] if o.before else [])
        for o in operations
    ]
    if endpoint_named(draft.endpoint).currency_of and any(o.amount for o in operations):
        content.append([o.amount for o in operations])
    does_send = any(o.action in SENDS for o in operations)
    ended = (PlanState.APPLIED, PlanState.REJECTED) if does_send else (PlanState.REJECTED,)
    for number in range(1_000_000):
        plan_id = hashlib.sha256(to_text([*content, number]).encode()).hexdigest()[:12]
        known = plans.find(ledger, plan_id)
        if not (known and (known[0].state in ended or known[0].emptied_at)):
            break
    plans.put(ledger, replace(draft, plan_id=plan_id), operations)
    return plan_id
