"""The `blsync` command: arguments in, tables or JSON out, exit codes. No logic of its own.

The commands of `blsync push` and `blsync company` are in `cli.push` and `cli.company`.
"""

from __future__ import annotations

import os
import re
import sys
import webbrowser
from datetime import date, timedelta
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer
from typer.core import TyperGroup

from blsync import __version__, alerts, doctor, marts, redaction, settings, status
from blsync.alerts import MAX_AGE
from blsync.cli import estimate, status_screen
from blsync.cli.alerts import app as alerts_app
from blsync.cli.alerts import told_afterwards
from blsync.cli.closing import close
from blsync.cli.company import app as company_app
from blsync.cli.listen import app as listen_app
from blsync.cli.pack import pack
from blsync.cli.progress import showing
from blsync.cli.push import app as push_app
from blsync.cli.screen import (
    Json,
    LogFormat,
    complain,
    err,
    print_json,
    print_table,
    say,
    speak,
    stdout,
    tell,
)
from blsync.cli.statement import statement
from blsync.entities import select
from blsync.errors import BlsyncError, ConfigError, PartlyFailed
from blsync.files import permissions
from blsync.files.unexpected import unexpected
from blsync.session import open_session

if TYPE_CHECKING:
    from blsync.maintenance import Repair


class _Everywhere(TyperGroup):
    """Takes the options of `blsync` itself behind a command's name too: `blsync sync --quiet`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put what is the program's own in front of the command."""
        own: list[str] = []
        others: list[str] = []
        rest = iter(args)
        for word in rest:
            if word == "--":
                others += [word, *rest]
            elif word == "--log-format":
                own += [word, *islice(rest, 1)]
            elif word in ("--quiet", "--verbose") or word.startswith("--log-format="):
                own.append(word)
            else:
                others.append(word)
        return super().parse_args(ctx, own + others)


app = typer.Typer(
    name="blsync",
    help="BigLedger's books every night: pulled, tied out to the cent, changes pushed back once."
    "\n\nExamples: `blsync demo` (needs no key), `blsync doctor`, `blsync sync`",
    cls=_Everywhere,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they would print local variables, keys among them
    rich_markup_mode="markdown",
)
app.add_typer(push_app, name="push")
app.add_typer(company_app, name="company")
app.add_typer(listen_app, name="listen")
app.add_typer(alerts_app, name="alerts")
app.command()(close)
app.command()(pack)
app.command()(statement)

NoWait = Annotated[
    bool, typer.Option("--no-wait", help="End with exit 3 where the hour's quota is used up.")
]

Allow = Annotated[
    bool,
    typer.Option(
        "--allow",
        help="Let through once what a safety bound held back: deletes above BLSYNC_DELETE_SHARE, "
        "a collapsed reconciliation.",
    ),
]


def main() -> NoReturn:
    """Run the command; every error is one clear message and its exit code."""
    permissions.keep_private()
    redaction.guard_streams()
    try:
        app()
    except BlsyncError as error:
        complain(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `blsync query … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        told = unexpected(error, _data_folder())
        complain(told)
        sys.exit(told.exit_code)
    sys.exit(0)


def _data_folder() -> Path | None:
    try:
        return settings.load().data
    except Exception:  # perhaps the very error that is to be told
        return None


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    is_asked: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    is_quiet: Annotated[
        bool, typer.Option("--quiet", help="Tell warnings and errors alone on stderr.")
    ] = False,
    is_verbose: Annotated[
        bool, typer.Option("--verbose", help="Tell each request on stderr, with its id.")
    ] = False,
    log_format: Annotated[
        LogFormat,
        typer.Option(
            help="What stderr has: text for people, or one JSON document a line for each thing."
        ),
    ] = LogFormat.text,
) -> None:
    """Print the version where asked, and decide how stderr is written to.

    The last three may stand behind the command's name, too.
    """
    command = context.invoked_subcommand or ""
    speak(log_format, is_quiet=is_quiet, is_verbose=is_verbose, command=command)
    if not is_asked and not command:
        sys.stdout.write(context.get_help() + "\n")
        raise typer.Exit(2)
    if is_asked:
        sys.stdout.write(f"blsync {__version__}\n")
        raise typer.Exit


@app.command()
def demo(
    keep: Annotated[bool, typer.Option(help="Leave the sandbox running afterwards.")] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The sandbox's port; 0: a free one.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Show the whole job against a local BigLedger; needs no key.

    Example: `blsync demo --keep`
    """
    from blsync.cli import demo as room

    with showing(err, say) as progress:
        report = room.run(settings.load(), keep=keep, port=port, progress=progress, say=say)
    if as_json:
        print_json(report.to_json())
    else:
        for title, headers, rows in report.tables():
            print_table(title, headers, rows)
        tell(report.next_steps())
    raise typer.Exit(report.exit_code)


@app.command()
def sandbox(
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Where to listen, on loopback.")
    ] = 8765,
    seed: Annotated[int, typer.Option(help="Which books: the same seed, the same books.")] = 1,
    customers: Annotated[int, typer.Option(help="Customers in the books.")] = 400,
    items: Annotated[int, typer.Option(help="Items in the books.")] = 150,
    invoices: Annotated[int, typer.Option(help="Sales invoices in the books.")] = 5000,
    months: Annotated[int, typer.Option(help="Months of business dates.")] = 24,
    modules: Annotated[
        bool,
        typer.Option(
            "--modules/--no-modules",
            help="Purchasing, sales orders, quotes, e-invoices, tills and stock transfers.",
        ),
    ] = True,
    suppliers: Annotated[
        int | None, typer.Option(help="Suppliers; else one for 10 customers.")
    ] = None,
    bills: Annotated[int | None, typer.Option(help="Bills; else one for 10 invoices.")] = None,
    sales_orders: Annotated[
        int | None, typer.Option(help="Sales orders; else one for 6 invoices.")
    ] = None,
    quotes: Annotated[int | None, typer.Option(help="Quotes; else one for 12 invoices.")] = None,
    transfers: Annotated[
        int | None, typer.Option(help="Stock transfers; else one for 100 invoices.")
    ] = None,
    pos_transactions: Annotated[
        int | None, typer.Option(help="Sales at the tills; else one for 5 invoices.")
    ] = None,
    transit_account: Annotated[
        bool,
        typer.Option(
            "--transit-account/--no-transit-account",
            help="An account for goods on their way between locations.",
        ),
    ] = True,
    database: Annotated[
        Path | None, typer.Option(help="Keep the books in this SQLite file.")
    ] = None,
    faults: Annotated[
        str,
        typer.Option(
            help="Faults to rehearse, as `latency=50ms,error=0.02`; `help` tells what each does."
        ),
    ] = "",
    reading: Annotated[
        list[str] | None,
        typer.Option(
            help="A reading of the vendor's pages to play, repeated or as a comma list; `help` "
            "tells what each does."
        ),
    ] = None,
    limits: Annotated[bool, typer.Option("--limits/--no-limits", help="Rate limits.")] = True,
    hour_window: Annotated[
        Literal["sliding", "fixed"], typer.Option(help="How the hour of the limit passes.")
    ] = "sliding",
    company_id: Annotated[
        str, typer.Option(help="The id of the company whose books it has.")
    ] = "company_sandbox",
    api_key: Annotated[
        str, typer.Option(help="The key it takes; begins with blg_test_sk_.")
    ] = "blg_test_sk_sandbox",
) -> None:
    """Serve a local BigLedger with generated books; Swagger UI is at /docs.

    Example: `blsync sandbox --port 8765 --invoices 500`

    `--faults help` tells all faults. While it runs, `POST /sandbox/faults {"faults": "LIST"}` sets
    others, and `POST /sandbox/readings {"readings": "LIST"}` other readings.
    """
    from blsync.sandbox import Options, fault_table, reading_table, serve

    if faults == "help":
        tell(fault_table())
        return
    if reading == ["help"]:
        tell(reading_table())
        return
    try:
        options = Options(
            seed=seed,
            customers=customers,
            items=items,
            invoices=invoices,
            months=months,
            modules=modules,
            suppliers=suppliers,
            bills=bills,
            sales_orders=sales_orders,
            quotes=quotes,
            transfers=transfers,
            pos_transactions=pos_transactions,
            transit_account=transit_account,
            database=database,
            faults=faults,
            readings=",".join(reading or []),
            limits=limits,
            hour_window=hour_window,
            company_id=company_id,
            api_key=api_key,
        )
        redaction.disclose(options.api_key)
        ready = (
            f"Sandbox at http://127.0.0.1:{port}/v1 (Swagger UI: http://127.0.0.1:{port}/docs), "
            f"company {options.company_id}, key {options.api_key}. Ctrl-C stops it."
        )
        serve(options, port=port, when_ready=lambda: say(ready))
    except ValueError as error:
        raise ConfigError(f"{error}.") from None
    except OSError as error:
        raise ConfigError(f"{error.strerror or error}; choose another with --port.") from None


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where; the working folder.")] = Path(),
    company_id: Annotated[
        str, typer.Option(help="The company's id at BigLedger, if it is known.")
    ] = "",
) -> None:
    """Write what one company needs to begin: .env, user tables, workspace.yaml, a README.

    What is there already is left as it is.

    Examples: `blsync init books`, `blsync init books --company-id acme`
    """
    from blsync.cli import beginning

    for path, is_written in beginning.begin(folder, company_id):
        tell(f"{'written' if is_written else 'kept as it is'}: {path}")
    tell(f"Next: put the key into {folder / '.env'}, then do as {folder / 'README.md'} says.")


@app.command("doctor")
def doctor_command(as_json: Json = False) -> None:
    """Check settings, your tables, credentials, company, permissions, quota, clock, disk, versions.

    Example: `blsync doctor`
    """
    report = doctor.examine()
    if as_json:
        print_json(report.to_json())
    else:
        rows = [(c.name, "ok" if c.is_ok else "FIX", c.message) for c in report.checks]
        print_table(None, ("check", "", "finding"), rows)
    raise typer.Exit(report.exit_code)


@app.command("plan")
def plan_command(
    entity: Annotated[list[str] | None, typer.Argument(help="Only these entities.")] = None,
    company: Annotated[list[str] | None, typer.Option(help="Only these companies.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="From this day on, again.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="… to this day, included.")] = None,
    as_json: Json = False,
) -> None:
    """Tell what a sync would cost before it is spent; asks one request an entity at most.

    Examples: `blsync plan`, `blsync plan invoices --from 2026-03-01 --to 2026-03-31`
    """
    days = (_day(first, "--from"), _day(last, "--to"))
    made = estimate.plan(settings.load(), companies=company or [], entities=entity or [], days=days)
    document = made.to_json()
    if as_json:
        print_json(document)
    else:
        _print_costs(document)
    if made.error:
        raise made.error


def _print_costs(document: dict[str, Any]) -> None:
    rows = [
        (
            name,
            "unavailable" if e.get("unavailable") else _or_unknown(e["records"]),
            _or_unknown(e["requests"]),
        )
        for name, e in document["entities"].items()
    ]
    rows.append(("BigLedger's reports", "", document["reports"]))
    rows.append(("together", "", _or_unknown(document["requests"])))
    print_table(None, ("entity", "records", "requests"), rows)
    minutes = _or_unknown(document["minutes"])
    left = _or_unknown(document["quota_left"])
    tell(f"About {minutes} minutes; {left} requests are left this hour.")


def _or_unknown(number: float | None) -> float | str:
    return "unknown" if number is None else number


@app.command()
def sync(
    entity: Annotated[list[str] | None, typer.Argument(help="Only these entities.")] = None,
    company: Annotated[list[str] | None, typer.Option(help="Only these companies.")] = None,
    first: Annotated[str | None, typer.Option("--from", help="Pull from this day on, again.")] = (
        None
    ),
    last: Annotated[str | None, typer.Option("--to", help="… to this day, included.")] = None,
    no_build: Annotated[bool, typer.Option("--no-build", help="Only pull.")] = False,
    no_wait: NoWait = False,
    allow: Allow = False,
    retry: Annotated[
        bool,
        typer.Option(
            "--retry",
            help="Try again what may pass by itself, such as an answer 503, with ever longer "
            "pauses until BLSYNC_RETRY_UNTIL; for cron.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Pull what is missing up to now, then build, check and publish the marts.

    Examples: `blsync sync`, `blsync sync invoices customers --no-build`,
    `blsync sync --from 2026-03-01 --to 2026-03-31`, `blsync sync customers --allow`,
    `blsync sync --quiet --retry`
    """
    from blsync.orchestration import nightly
    from blsync.orchestration.retries import until_well

    days = (_day(first, "--from"), _day(last, "--to"))
    current = settings.load()
    is_night = not (entity or company or first or last or no_build)

    def attempt() -> nightly.SyncReport:
        with showing(err, say) as progress:
            return nightly.sync(
                current,
                companies=company or [],
                entities=entity or [],
                days=days,
                has_build=not no_build,
                allow=allow,
                wait=not no_wait,
                progress=progress,
                say=say,
            )

    with told_afterwards(current, is_night=is_night):
        report = until_well(current, attempt, say) if retry else attempt()
        document = report.to_json()
        if as_json:
            print_json(document)
        else:
            _show_synced(document, published_file=marts.published_file(current))
        if report.error:
            raise report.error


def _show_synced(document: dict[str, Any], published_file: Path) -> None:
    # What failed is told in full by the error that the command ends with.
    rows = [
        (
            *(name, e["rows"], e["deleted"], e["quarantined"], e["requests"]),
            "failed" if e["error"] else "unavailable" if e["unavailable"] else None,
        )
        for name, e in document["entities"].items()
    ]
    headers = ("entity", "rows", "deleted", "quarantined", "requests", "")
    print_table(None, headers, rows)
    status_screen.show_findings(document["entities"])
    for name, found in document["entities"].items():
        if found["unannounced"]:
            tell(f"{name}: {found['unannounced']} changed without an event that told of it.")
    tell(f"{document['requests']} requests, throttled {document['throttled_s']} s.")
    if document["published"]:
        tell(f"Published {published_file}")


def _day(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} {text!r} is not a day; write it as 2026-03-31.") from None


@app.command()
def build(
    is_full: Annotated[
        bool, typer.Option("--full", help="From the landing alone, not from the build before.")
    ] = False,
    allow: Allow = False,
) -> None:
    """Build, check and publish the marts from what has landed; asks BigLedger nothing.

    What an earlier build brought into the history stays, and only new loads are read; --full reads
    all of them again.

    Examples: `blsync build`, `blsync build --full`, `blsync build --allow`
    """
    from blsync.orchestration import nightly

    current = settings.load()
    with told_afterwards(current):
        nightly.build(current, say, is_full=is_full, allow=allow)
    tell(f"Published {marts.published_file(current)}")


@app.command()
def compact(
    entity: Annotated[list[str] | None, typer.Argument(help="Only these entities.")] = None,
    as_json: Json = False,
) -> None:
    """Merge the files of many nights into few, so that builds read them fast.

    Nothing is lost or changed, and a reader never sees half of it. Waits for a sync or a build
    that is running.

    Example: `blsync compact`
    """
    from blsync import maintenance

    current = settings.load()
    with open_session(current, say=say) as session:
        done = maintenance.compact(session, current.companies(), select(entity or []))
    if as_json:
        print_json({"entities": done})
        return
    headers = ("company", "entity", "files before", "files after")
    rows = [(c.company, c.entity, c.files_before, c.files_after) for c in done]
    print_table(None, headers, rows)


@app.command()
def prune(as_json: Json = False) -> None:
    """Take out what is past its term: old runs of Dagster's, what pushed rows held of persons.

    Merges the files of entities that have very many, too. `blsync sync` does it after each night,
    as BLSYNC_RETENTION_DAYS and BLSYNC_PUSH_RETENTION_DAYS have it. What was pulled stays, and what
    proves that a change was sent.

    Example: `blsync prune`
    """
    from blsync.orchestration import upkeep

    current = settings.load()
    done = upkeep.prune(current, say)
    if as_json:
        print_json(done.to_json())
    else:
        tell(
            f"{done.runs} runs left Dagster's history ({done.freed / 2**20:,.1f} MiB), "
            f"{len(done.emptied.plans)} plans were emptied ({done.emptied.rows} rows), and the "
            f"files of {len(done.merged)} entities merged."
        )
    failed = {
        **{f"Upkeep of {name}": error for name, error in done.failed.items()},
        **{f"Plan {one}": BlsyncError(why) for one, why in done.emptied.left.items()},
    }
    if failed:
        raise PartlyFailed(" ".join(f"{name}: {error}" for name, error in failed.items()))


@app.command()
def replay(
    entity: Annotated[str, typer.Argument(help="Which entity.")],
    as_json: Json = False,
) -> None:
    """Type what was landed and quarantined again with today's model; asks BigLedger nothing.

    Do it after an entity's model was extended, then build.

    Example: `blsync replay invoices`
    """
    from blsync import maintenance

    current = settings.load()
    (chosen,) = select([entity])
    with open_session(current, say=say) as session:
        done = maintenance.replay(session, current.companies(), chosen)
    if as_json:
        print_json({"companies": done})
        return
    headers = ("company", "rows typed", "recovered from quarantine", "newly quarantined")
    print_table(None, headers, [(r.company, r.rows, r.recovered, r.quarantined) for r in done])


@app.command()
def repair(
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Bind a ledger to this data folder whose own folder is gone for good.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Rebuild the ledger from the lake and the plans' backups, after one was lost or damaged.

    A damaged ledger is moved aside. A load whose rows are gone is pulled again by the next sync.
    What a clock that ran ahead has dated is dated anew, and what it covered of the time to come is
    pulled again; it asks BigLedger for the time then, and for nothing else. Waits that hold a key
    back are cleared.

    Examples: `blsync repair`, `blsync repair --take-over`
    """
    from blsync import maintenance

    current = settings.load()
    done = maintenance.repair(
        current, current.companies(), select(), is_taken_over=take_over, say=say
    )
    if as_json:
        print_json(done)
    else:
        _tell_repaired(done)
    if done.lost_plans:
        raise PartlyFailed(
            f"The plans {', '.join(done.lost_plans)} cannot be brought back, and what they sent is "
            "not known here any more; their backups were moved aside. Restore these from a backup "
            "and run `blsync repair` again; or look at BigLedger, and plan their files again. All "
            "else is done."
        )


def _tell_repaired(done: Repair) -> None:
    tell(
        f"{len(done.adopted)} loads entered into the ledger, {len(done.forgotten)} taken out of "
        f"it, {len(done.spools)} left-over spool folders removed, {len(done.plans)} plans of "
        "pushes brought back."
    )
    if done.dated_anew or done.comparisons:
        tell(
            f"{len(done.dated_anew)} loads that were dated ahead are dated anew, "
            f"{len(done.uncovered)} of them to be pulled again; {len(done.comparisons)} "
            "comparisons with BigLedger's totals dropped."
        )
    if done.unblocked:
        tell(f"Cleared what held back the key of {', '.join(done.unblocked)}.")


@app.command("status")
def status_command(
    is_check: Annotated[
        bool,
        typer.Option("--check", help="End with exit 1 where something is stale, failed or off."),
    ] = False,
    max_age: Annotated[
        str,
        typer.Option(help="How old what is covered and published may be: 26h, 90m, 2d."),
    ] = f"{MAX_AGE // timedelta(hours=1)}h",
    as_json: Json = False,
) -> None:
    """Tell what is covered, held and published, and what is off; asks BigLedger nothing.

    With --check it tells what is off alone, tells it to BLSYNC_ALERTS too, and ends with exit 1
    where there is anything but fields that no model knows. From cron it finds a night that never
    began.

    Examples: `blsync status --json`, `blsync status --check --max-age 26h`
    """
    age = _age(max_age)
    current = settings.load()
    report = status.report(current, age)
    if as_json:
        print_json(report)
    elif is_check:
        status_screen.show_off(report)
    else:
        status_screen.show(report, current)
    if is_check:
        alerts.after_run(current, say, age)
        raise typer.Exit(0 if status.is_well(report) else 1)


_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def _age(text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,6})([mhd])", text.strip().lower())
    if found is None:
        raise ConfigError(f"--max-age {text!r} is no length of time; write it as 26h, 90m or 2d.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


@app.command()
def metrics(
    output: Annotated[
        Path | None, typer.Option(help="Write to this file, whole or not at all; else to stdout.")
    ] = None,
) -> None:
    """Write what `status` tells as metrics in OpenMetrics' text format; asks BigLedger nothing.

    Example: `blsync metrics --output /var/lib/node_exporter/blsync.prom`
    """
    from blsync.status import metrics as room

    text = room.written(status.report(settings.load()))
    if output is None:
        stdout().write(text)
    else:
        room.write(output, text)
        say(f"Metrics written to {output}")


class Format(StrEnum):
    """How a query's answer is written."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"
    xlsx = "xlsx"


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="A query on the published marts.")],
    form: Annotated[
        Format | None, typer.Option("--format", help="Default: table, or the file's suffix.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
    unpublished: Annotated[
        bool,
        typer.Option("--unpublished", help="Query the latest build, also where a law stopped it."),
    ] = False,
) -> None:
    """Query the published marts, while a build runs too: one select, on their own tables alone.

    Examples: `blsync query "from finance.trial_balance where company_id = 'acme' limit 5"
    --format csv`, `blsync query --unpublished "from finance.exceptions where severity = 'error'"`
    """
    from blsync.marts import queries

    current = settings.load()
    chosen = _format_of(form, output)
    opened = marts.open_unpublished(current, say) if unpublished else marts.open_published(current)
    with opened as db:
        answer = queries.ask(db, sql)
        if output:
            rows_written = queries.write(answer, chosen, output)
            say(f"{rows_written} rows written to {output}")
        elif chosen is Format.json:
            queries.write_json(stdout(), answer.names, answer.rows())
        elif chosen is Format.csv:
            queries.write_csv(stdout(), answer.names, answer.rows())
        else:
            print_table(None, answer.names, list(answer.rows()))


def _format_of(form: Format | None, output: Path | None) -> Format:
    if output is None:
        if form in (Format.parquet, Format.xlsx):
            raise ConfigError(f"--format {form} needs --output FILE.")
        return form or Format.table
    suffix = output.suffix.removeprefix(".").lower()
    chosen = form or (Format(suffix) if suffix in [*map(str, Format)] else Format.csv)
    if chosen is Format.table:
        raise ConfigError("A table is for the screen; choose csv, json, parquet or xlsx.")
    return chosen


class Kind(StrEnum):
    """Forms in which the marts are exported."""

    parquet = "parquet"
    iceberg = "iceberg"
    postgres = "postgres"
    beancount = "beancount"
    hledger = "hledger"


@app.command()
def export(
    kind: Annotated[Kind, typer.Argument(help="The form.")],
    output: Annotated[
        Path | None,
        typer.Option(help="The file to write; with parquet and iceberg the folder."),
    ] = None,
    company: Annotated[
        str | None, typer.Option(help="Whose ledger, where there are several companies.")
    ] = None,
) -> None:
    """Write the published marts where other programs are: all tables as Parquet files, as Iceberg
    tables (into a folder, or where pyiceberg's default catalog has them) or into PostgreSQL
    (BLSYNC_EXPORT_URL), or a company's ledger as plain-text accounting with a balance asserted for
    each account and month end.

    Examples: `blsync export parquet --output marts`, `blsync export postgres`, `blsync export
    beancount --output books.beancount` (then `bean-check books.beancount`)
    """
    from blsync import export as room

    current = settings.load()
    if company and kind in (Kind.parquet, Kind.iceberg, Kind.postgres):
        raise ConfigError(f"--company says nothing to {kind}; leave it out.")
    if kind is Kind.postgres:
        if output:
            raise ConfigError("--output says nothing to postgres; leave it out.")
        say(f"{room.write_postgres(current)} tables written to the database")
        return
    if kind is Kind.iceberg:
        written = room.write_iceberg(current, output)
        say(f"{written} tables written to {output or 'the catalog'}")
        return
    if output is None:
        raise ConfigError(f"`blsync export {kind}` needs --output.")
    if kind is Kind.parquet:
        say(f"{room.write_parquet(current, output)} tables written to {output}")
        return
    write = room.write_beancount if kind is Kind.beancount else room.write_hledger
    written = write(current, current.chosen(company), output)
    say(f"{written} entries written to {output}")


Open = Annotated[bool, typer.Option("--open", help="Open it in the browser.")]


@app.command("report")
def report_command(
    is_opened: Open = False,
    output: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
) -> None:
    """Write the published marts as one HTML page that needs no network.

    Every sync does it too, into the data folder.

    Examples: `blsync report --open`, `blsync report --output report.html`
    """
    from blsync import report

    _show_page(report.write(settings.load(), output).path, is_opened)


@app.command()
def docs(is_opened: Open = False) -> None:
    """Build the marts' documentation (dbt's site: tables, columns, lineage) as one HTML page.

    Example: `blsync docs --open`
    """
    from blsync import report

    _show_page(report.write_docs(settings.load(), say), is_opened)


def _show_page(path: Path, is_opened: bool) -> None:
    sys.stdout.write(f"{path}\n")
    if is_opened and not webbrowser.open(path.as_uri()):
        say("No browser could be started here; open the file yourself.")


@app.command()
def ui(
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Where to listen, on loopback.")
    ] = 3000,
    on_demo: Annotated[bool, typer.Option("--demo", help="On the demo's data.")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:PORT]",
            help="A name under which browsers reach it: an https reverse proxy's, or a tunnel's "
            "near end, such as localhost:8080.",
        ),
    ] = None,
    workspace: Annotated[
        Path | None,
        typer.Option(
            help="In a container: serve the UI alone, of the code location that this file names, "
            "with the daemon elsewhere. DAGSTER_HOME names the instance of all three."
        ),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="With --workspace: the file of the token that opens it.")
    ] = None,
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS", help="With --workspace: where to listen.")
    ] = "127.0.0.1",
) -> None:
    """Open Dagster's UI on loopback, and run its schedules until it is stopped.

    Prints the address to open; the token in it opens the UI in that browser, and nobody else's.

    Examples: `blsync ui --port 3000`, `blsync ui --allow-host dagster.example.com`
    """
    from blsync.cli import demo as room
    from blsync.ui import open_ui, serve_ui

    if workspace or token_file or listen != "127.0.0.1":
        if not workspace or not token_file or on_demo:
            raise ConfigError(
                "--workspace and --token-file go together, --listen with both, --demo with none."
            )
        serve_ui(
            workspace,
            token_file,
            (listen, port),
            hosts=allow_host or [],
            say=say,
            show_address=_show_address,
        )
        return
    current, hosts = settings.load(), allow_host or []
    if on_demo:
        room.ui(current, port, hosts=hosts, say=say, show_address=_show_address)
    else:
        open_ui(current, port, hosts=hosts, say=say, show_address=_show_address)


def _show_address(address: str) -> None:
    sys.stdout.write(f"Dagster's UI: {address}\n")
    sys.stdout.flush()
