"""The commands of `blsync listen`. No logic of their own."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import sys
import threading
from typing import Annotated, Any

import typer

from blsync import settings
from blsync.cli.alerts import told_afterwards
from blsync.cli.screen import Json, print_json, print_table, say, spoken, tell
from blsync.session import open_session

app = typer.Typer(
    invoke_without_command=True,
    help="Hear from BigLedger what changed, and pull it at once.\n\n"
    "Example: `blsync listen --port 8787`",
)
PATIENT = 5
"""By how much who pulls and builds steps back from the processor, for who answers BigLedger."""
NoBuild = Annotated[bool, typer.Option("--no-build", help="Only pull.")]
OfCompany = Annotated[
    str | None, typer.Option("--company", help="Its name, where several are set.")
]


@app.callback()
def listen(
    context: typer.Context,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where webhooks come in; 0: a free port.")
    ] = 8787,
    host: Annotated[
        str, typer.Option(help="On which address; loopback, where your TLS proxy reaches it.")
    ] = "127.0.0.1",
    stream: Annotated[
        bool, typer.Option("--stream", help="Read BigLedger's WebSocket too, or alone.")
    ] = False,
    no_build: NoBuild = False,
) -> None:
    """Receive webhooks at `POST /webhooks`, pull what they tell of, build and publish it.

    BLSYNC_WEBHOOK_SECRET is the subscription's secret. An event is stored before it is answered;
    what it tells of is pulled by change window, within BLSYNC_LIVE_SHARE of the hour.

    Examples: `blsync listen`, `blsync listen --stream --no-build`,
    `blsync listen subscribe https://books.example.com/webhooks`, `blsync listen status`
    """
    if context.invoked_subcommand:
        return
    from blsync.live.listener import Listener

    current = settings.load()
    with open_session(current, say=say) as session:
        listener = Listener(session, _follower(no_build), host, port, has_stream=stream)
        asyncio.run(listener.run())


def _follower(no_build: bool) -> list[str]:
    """Return the command that pulls what the listener tells it, and tells as it does."""
    words = [sys.executable, "-m", "blsync.cli", *spoken(), "listen", "follow"]
    return [*words, "--no-build"] if no_build else words


@app.command()
def subscribe(
    url: Annotated[str, typer.Argument(help="The https address of your proxy, with /webhooks.")],
    event: Annotated[list[str] | None, typer.Option(help="Only these events.")] = None,
    company: OfCompany = None,
    as_json: Json = False,
) -> None:
    """Have BigLedger send events to an address; one that is subscribed already is changed.

    Signed with BLSYNC_WEBHOOK_SECRET; where it is not set, a secret is made and shown this once.

    Example: `blsync listen subscribe https://books.example.com/webhooks`
    """
    from blsync.live import subscription

    current = settings.load()
    with open_session(current, say=say) as session:
        done = subscription.subscribe(session, current.chosen(company), url, event)
    document: dict[str, Any] = {
        "id": done.subscription.id,
        "url": url,
        "events": done.subscription.events,
        "is_new": done.is_new,
        "secret": done.made_secret,
    }
    if as_json:
        print_json(document)
        return
    made = "made" if done.is_new else "changed"
    tell(f"Subscription {done.subscription.id} to {url} {made}.")
    if done.made_secret:
        tell("Its secret, shown this once; put the line into .env before you listen:")
        tell(f"BLSYNC_WEBHOOK_SECRET={done.made_secret}")


@app.command()
def unsubscribe(
    which: Annotated[
        str | None, typer.Argument(help="Its id or address; without, all that blsync has made.")
    ] = None,
    company: OfCompany = None,
    as_json: Json = False,
) -> None:
    """End a subscription at BigLedger.

    Example: `blsync listen unsubscribe`
    """
    from blsync.live import subscription

    current = settings.load()
    with open_session(current, say=say) as session:
        ended = subscription.unsubscribe(session, current.chosen(company), which)
    if as_json:
        print_json({"ended": ended})
    else:
        tell(f"Ended: {', '.join(ended)}." if ended else "There was none.")


@app.command("status")
def status_command(company: OfCompany = None, as_json: Json = False) -> None:
    """Show the subscriptions at BigLedger, and what came of the events received.

    Example: `blsync listen status`
    """
    from blsync.live import subscription
    from blsync.status import events_of

    current = settings.load()
    chosen = current.chosen(company)
    with open_session(current, say=say) as session:
        listed = subscription.subscriptions(session, chosen)
        counted = events_of(session.ledger, chosen)
        document = {
            "subscriptions": [
                {
                    "id": one.id,
                    "url": one.url,
                    "events": one.events,
                    "active": one.active,
                    "is_ours": one.is_ours,
                    "statistics": one.statistics,
                }
                for one in listed
            ],
            "events": counted,
        }
    if as_json:
        print_json(document)
        return
    rows = [
        (one.id, one.url, "yes" if one.active else "no", len(one.events), one.is_ours)
        for one in listed
    ]
    print_table(None, ("subscription", "address", "active", "events", "ours"), rows)
    print_table(None, ("events", ""), list(counted.items()))


@app.command("pull")
def pull_command(no_build: NoBuild = False, as_json: Json = False) -> None:
    """Pull now what stored events told of, then build and publish where it brought anything.

    Example: `blsync listen pull`
    """
    from blsync.orchestration import live

    current = settings.load()
    with told_afterwards(current):
        done = live.pull_news(current, say, has_build=not no_build)
    if as_json:
        print_json(done.to_json())
    else:
        for name, results in done.results.items():
            rows = [(entity, r.rows, r.requests) for entity, r in results.items()]
            print_table(name, ("entity", "rows", "requests"), rows)
        for line in done.waits:
            tell(line)
    for error in done.failed.values():
        raise error


@app.command(hidden=True)
def follow(no_build: NoBuild = False) -> None:
    """Pull whenever a line on stdin tells of news; end with it. `blsync listen` starts it."""
    from blsync.orchestration.live import Follower

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for who started it
    os.nice(PATIENT)
    words: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            words.put(line.strip())
        words.put(None)

    threading.Thread(target=read, daemon=True).start()
    Follower(settings.load(), words, say, has_build=not no_build).follow()
