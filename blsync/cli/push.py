"""The commands of `blsync push`. No logic of their own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from blsync import push, settings
from blsync.cli.alerts import told_afterwards
from blsync.cli.screen import Json, print_json, print_table, say, tell
from blsync.errors import ConfigError
from blsync.ledger.states import Mode, OnConflict
from blsync.push.source.values import told as told_reading
from blsync.push.source.views import source_of
from blsync.session import open_session

app = typer.Typer(
    no_args_is_help=True,
    help="Plan changes, look at them, apply them."
    "\n\nExample: `blsync push plan customers changes.csv`",
)

ENDPOINTS = (
    f"{', '.join(push.ENDPOINTS)}; where BLSYNC_PUSH_DIALECT is batch also "
    f"{', '.join(name for name in push.EVERY if name not in push.ENDPOINTS)}"
)
MOST_ROWS = 200
"""Rows that are printed; a file has all of them."""

Plan = Annotated[str, typer.Argument(help="The plan's id, or the beginning of it.")]
Rejects = Annotated[Path | None, typer.Option(help="Write rejected rows to this csv or xlsx file.")]
Company = Annotated[
    str | None, typer.Option("--company", help="Which company, where several are set.")
]


@app.command("plan")
def plan_command(
    endpoint: Annotated[str, typer.Argument(help=ENDPOINTS)],
    file: Annotated[
        Path | None,
        typer.Argument(help="csv, xlsx, json, jsonl or parquet with the API's field names."),
    ] = None,
    from_view: Annotated[
        str | None, typer.Option(help="A view of the marts' schema proposals, not a file.")
    ] = None,
    mode: Annotated[str, typer.Option(help="create, update, upsert or delete.")] = Mode.UPSERT,
    on_conflict: Annotated[str, typer.Option(help="abort, ours or theirs.")] = OnConflict.ABORT,
    rejects: Rejects = None,
    hidden: Annotated[
        bool, typer.Option("--hidden", help="Read rows and columns that a worksheet hides.")
    ] = False,
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", help="A header and the column it is: 'Cust Email=email'; repeat."),
    ] = None,
    sheet: Annotated[
        str | None, typer.Option(help="The worksheet to read; else the one whose header fits.")
    ] = None,
    dates: Annotated[
        str | None, typer.Option(help="The order of days like 03/04/2026: dmy, mdy or ymd.")
    ] = None,
    decimals: Annotated[
        str | None, typer.Option(help="What stands before decimals, as in 1,234: point or comma.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a file with a column that is not known.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Ask BigLedger what it would refuse; it writes nothing."),
    ] = False,
    company: Company = None,
    as_json: Json = False,
) -> None:
    """Compare a file of changes with BigLedger and store the plan; sends nothing.

    A cell that is empty leaves the field alone; the word (clear) empties it. The lines of invoices
    and journal entries are written one a row, with columns like items.quantity. Of a worksheet
    what it shows is planned. Headers and cells are read as people write them, and the plan tells
    how; --map is remembered for the next sheet with the same headers. With --mode delete each row
    names a record that is to go (customers, drafts of invoices and journal entries); nothing is
    ever deleted for being absent from a file. With --check BigLedger itself is asked, by /batch
    with validateOnly whatever BLSYNC_PUSH_DIALECT is, and what it would refuse is rejected here.

    Examples: `blsync push plan customers changes.csv --rejects mend.csv`,
    `blsync push plan customers list.xlsx --map 'Cust Email=email' --dates dmy`,
    `blsync push plan payments bank.xlsx --mode create`,
    `blsync push plan invoices march.csv --check`,
    `blsync push plan invoices wrong.csv --mode delete`,
    `blsync push plan customers --from-view push_customers_credit_limit`
    """
    current = settings.load()
    chosen = current.chosen(company)
    source = source_of(current, chosen, endpoint, file, from_view)
    reading = push.ReadingOptions(tuple(maps or ()), sheet, dates, decimals, strict)
    options = push.PlanOptions(mode, on_conflict, rejects, hidden, reading, check)
    with open_session(current, say=say) as session:
        report = push.plan(session, chosen, endpoint, source, options)
    _print_plan(report, as_json, has_code=True)


@app.command("template")
def template_command(
    endpoint: Annotated[str, typer.Argument(help=ENDPOINTS)],
    output: Annotated[
        Path | None, typer.Option(help="The workbook to write; else ENDPOINT.xlsx here.")
    ] = None,
    with_data: Annotated[
        bool,
        typer.Option("--with-data", help="Add the customers, items, accounts, locations known."),
    ] = False,
    company: Company = None,
) -> None:
    """Write a workbook to fill in: needed columns marked, drop-downs, an example that is not sent.

    What is filled in is planned as it is. With --with-data it has lists of what the published marts
    know, for its drop-downs to choose from.

    Examples: `blsync push template invoices --output invoices.xlsx`,
    `blsync push template inventory-adjustments --with-data`
    """
    from blsync.push.template import write_template  # here: what writes workbooks loads slowly

    current = settings.load()
    chosen = current.chosen(company)
    target = output or Path(f"{endpoint}.xlsx")
    sheets = write_template(current, chosen, endpoint, target, with_data=with_data)
    tell(f"{target}: {', '.join(sheets)}")
    tell(f"next: blsync push plan {endpoint} {target}")


@app.command("apply")
def apply_command(
    plan: Plan,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Send a plan; run again after a crash or a timeout, it goes on where it was.

    Refused (exit 4) are plans older than a day, those that a newer plan has superseded, and those
    above the caps BLSYNC_PUSH_MAX_CREATES, BLSYNC_PUSH_MAX_UPDATES, BLSYNC_PUSH_MAX_DELETES and
    BLSYNC_PUSH_MAX_MONEY; those that were rejected, and those that lack an approval which
    BLSYNC_PUSH_APPROVAL asks for.

    Example: `blsync push apply 3f2a --yes`
    """
    current = settings.load()
    with told_afterwards(current), open_session(current, say=say) as session:
        if not (yes or dry_run):
            _confirm(push.show(session, plan))
        report = push.apply(session, plan, dry_run=dry_run)
    _print_plan(report, as_json)
    raise typer.Exit(report.exit_code)


def _confirm(report: push.PlanReport) -> None:
    if not sys.stdin.isatty():
        raise ConfigError("Nobody is there to confirm; add --yes.")
    counts = report.counts
    money = f", {report.money:,.2f} in all," if report.money else ""
    deleted = f", delete {counts['delete']}" if counts["delete"] else ""
    question = f"Create {counts['create']} and update {counts['update']} records{deleted}{money}"
    where = f"of company {report.plan.company} at BigLedger ({report.plan.base_url})"
    typer.confirm(f"{question} {where}?", abort=True, err=True)


@app.command("show")
def show_command(plan: Plan, rejects: Rejects = None, as_json: Json = False) -> None:
    """Tell what became of each row of a plan.

    Examples: `blsync push show 3f2a --json`, `blsync push show 3f2a --rejects mend.csv`
    """
    with open_session(settings.load()) as session:
        report = push.show(session, plan, rejects=rejects)
    _print_plan(report, as_json, has_code=True)


@app.command("list")
def list_command(as_json: Json = False) -> None:
    """List all plans, the newest first.

    Example: `blsync push list`
    """
    with open_session(settings.load()) as session:
        plans = push.list_plans(session)
    if as_json:
        print_json(plans)
    elif plans:
        headers = ("plan_id", "endpoint", "state", "created_at", "source", "actor")
        rows = [[*(plan[name] for name in headers), _said(plan["approvals"])] for plan in plans]
        print_table(None, (*headers, "approvals"), rows)
    else:
        tell("No plans yet. Make one: blsync push plan customers FILE")


@app.command("settle")
def settle_command(as_json: Json = False) -> None:
    """Look up what became of rows that were sent and not answered, in all plans.

    Rows whose settle time is not over are left alone. What was lost is sent once more where that
    can do no harm; a payment or a posting waits for a person.

    Example: `blsync push settle`
    """
    current = settings.load()
    with told_afterwards(current), open_session(current, say=say) as session:
        reports = push.settle_all(session)
    if as_json:
        print_json([report.to_json() for report in reports])
    elif reports:
        headers = ("plan_id", "endpoint", "state", "applied", "rejected", "held")
        rows = [
            (
                *(report.plan.plan_id, report.plan.endpoint, report.plan.state),
                *(report.outcomes[name] for name in headers[3:]),
            )
            for report in reports
        ]
        print_table(None, headers, rows)
    else:
        tell("Nothing is held.")
    raise typer.Exit(max((report.exit_code for report in reports), default=0))


@app.command("retry")
def retry_command(plan: Plan, as_json: Json = False) -> None:
    """Plan the rejected rows of a plan anew, and those held for a person; sends nothing.

    Look at BigLedger first: a held payment or posting that was done there is adopted, any other
    would be sent by the next apply.

    Example: `blsync push retry 3f2a`
    """
    current = settings.load()
    with told_afterwards(current), open_session(current, say=say) as session:
        report = push.retry(session, plan)
    _print_plan(report, as_json, has_code=True)


Reason = Annotated[str | None, typer.Option(help="Why; kept with the plan.")]


@app.command("approve")
def approve_command(plan: Plan, reason: Reason = None, as_json: Json = False) -> None:
    """Approve a plan that somebody else has made: exactly what it would send now; sends nothing.

    BLSYNC_PUSH_APPROVAL says which plans need it. Refused (exit 4) is who planned it. A plan of
    which anything changes afterwards has to be approved again.

    Example: `blsync push approve 3f2a --reason "checked against the bank statement"`
    """
    with open_session(settings.load(), say=say) as session:
        report = push.approve(session, plan, reason)
    _print_plan(report, as_json)


@app.command("reject")
def reject_command(plan: Plan, reason: Reason = None, as_json: Json = False) -> None:
    """Reject a plan: nothing of it is ever sent, or nothing more of one that was begun.

    Example: `blsync push reject 3f2a --reason "last month's prices"`
    """
    with open_session(settings.load(), say=say) as session:
        report = push.reject(session, plan, reason)
    _print_plan(report, as_json)


@app.command("undo")
def undo_command(plan: Plan, as_json: Json = False) -> None:
    """Plan what takes back all that was applied of a plan; sends nothing.

    Updated fields get back what they had where nobody has changed them since, created customers and
    drafts are deleted, postings reversed by another one; payments wait for a person. The new plan
    is looked at, approved and applied like any other. An undo is not undone.

    Example: `blsync push undo 3f2a`
    """
    with open_session(settings.load(), say=say) as session:
        report = push.undo(session, plan)
    _print_plan(report, as_json, has_code=True)


def _said(approvals: list[dict[str, Any]]) -> str:
    """Write who approved or rejected a plan."""
    return "; ".join(
        f"{one['verdict']} by {one['actor']}"
        + ("" if one["is_valid"] else " (counts no more)")
        + (f": {one['reason']}" if one["reason"] else "")
        for one in approvals
    )


def _print_plan(report: push.PlanReport, as_json: bool, *, has_code: bool = False) -> None:
    document = report.to_json()
    awaits = push.awaits_approval(settings.load(), report)
    document["awaits_approval"] = bool(awaits)
    if has_code:
        document["confirmation_code"] = report.plan.confirmation_code
    if as_json:
        print_json(document)
        return
    rows = [
        (
            o["sheet_row"],
            o["key"],
            o["action"],
            o["state"],
            report.spelled_out(operation),
            o["error"]["message"] if o["error"] else "; ".join(o["warnings"]) or None,
        )
        for o, operation in zip(document["operations"][:MOST_ROWS], report.operations, strict=False)
    ]
    title = f"Plan {document['plan_id']} ({document['endpoint']}): {document['state']}"
    print_table(title, ("row", "key", "action", "state", "changes", "error or warning"), rows)
    if len(document["operations"]) > MOST_ROWS:
        left = len(document["operations"]) - MOST_ROWS
        tell(f"… and {left} more rows: blsync push show {document['plan_id']} --json")
    if warned := sum(bool(o["warnings"]) for o in document["operations"]):
        tell(f"{warned} rows may be refused by a stricter server: see their warnings")
    for reading in report.readings:
        tell(f"read: {told_reading(reading)}")
    for part in ("counts", "outcomes"):
        told = ", ".join(f"{name} {n}" for name, n in document[part].items() if n)
        tell(f"{part}: {told or 'none'}")
    for note in report.notes:
        tell(f"note: {note}")
    if report.money:
        tell(f"money: {report.money:,.2f}")
    if document["undoes"]:
        tell(f"takes back: plan {document['undoes']}")
    tell(f"planned by: {document['actor'] or 'unknown, by an earlier version'}")
    if said := _said(document["approvals"]):
        tell(f"approvals: {said}")
    if awaits:
        tell(f"approval: {awaits}")
    if document.get("confirmation_code"):
        tell(f"confirmation code, to send it from Dagster: {document['confirmation_code']}")
    plan = report.plan
    tell(f"company: {plan.company}, at {plan.base_url}")
    if report.outcomes["pending"]:
        tell(f"next: blsync push apply {plan.plan_id}")
