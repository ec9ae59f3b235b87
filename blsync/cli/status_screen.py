"""What `blsync status` shows to a person: tables and lines of a report of `blsync.status`."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from blsync.cli.screen import print_table, say, tell
from blsync.lake.landed import told
from blsync.ledger.states import EvidenceState
from blsync.settings import Settings


def show(report: dict[str, Any], current: Settings) -> None:
    """Show a report; times are in the company's zone."""
    for name, company in report["companies"].items():
        if company["entities"]:
            left = company["quota_left"]
            title = f"{name}: {left} requests left this hour (times in {current.timezone})"
            print_table(title, *_status_table(company["entities"], current.zone))
            show_findings(company["entities"])
            _print_error("The pull as a whole", company["last_error"], current.zone)
            for entity, found in company["entities"].items():
                _print_error(entity, found["last_error"], current.zone)
        else:
            tell(f"{name}: what is covered is not known without the ledger.")
        for endpoint, seen in company["push_evidence"].items():
            if seen["state"] != EvidenceState.KEPT:
                tell(f"push to {endpoint}: {seen['meaning']}")
        _print_events(company, current.zone)
        _print_reconciliation(company["reconciliation"])
        if company["accepted_exceptions"]:
            tell(f"Accepted exceptions in the marts: {company['accepted_exceptions']}")
    at = report["published_at"]
    published = f"{_to_minute(at, current.zone)} ({current.timezone})" if at else "nothing yet"
    tell(f"Published: {published}")
    for step, error in report["last_errors"].items():
        _print_error(step, error, current.zone)
    for one in report["off"]:
        tell(f"Off: {one['told']}")
    if report["problem"]:
        tell(report["problem"])
    if line := told(report["strays"]):
        say(line)


def show_off(report: dict[str, Any]) -> None:
    """Show what is stale, failed or off, and what does not fit together, a line each."""
    for one in report["off"]:
        tell(one["told"])
    if report["problem"]:
        tell(report["problem"])
    if not report["off"] and not report["problem"]:
        tell("Nothing is stale, failed or off.")


def _print_error(name: str, error: dict[str, Any] | None, zone: ZoneInfo) -> None:
    if error:
        at, since = (_to_minute(error[part], zone) for part in ("at", "since"))
        when = f"since {since}, the last time at {at}" if error["since"] else f"at {at}, not since"
        tell(f"{name} failed {when}: {error['message']}")


def _print_events(company: dict[str, Any], zone: ZoneInfo) -> None:
    if company["fresh_until"]:
        tell(f"All that is pulled is known up to {_to_minute(company['fresh_until'], zone)}.")
    events = company["events"]
    if events and events["received"]:
        at = _to_minute(events["last_received_at"], zone)
        tell(f"{events['received']} events, the last at {at}; {events['waiting']} wait for a pull.")
    if events and events["unknown"]:
        tell(f"{events['unknown']} events are about nothing that is pulled here.")
    for kind, took in company["response_times"].items():
        tell(
            f"{kind} answers on {took['day']}: half in {took['p50_ms']} ms, 95 % in "
            f"{took['p95_ms']} ms; {took['share_within']:.0%} in the {took['target_ms']} ms meant."
        )


def _print_reconciliation(compared: dict[str, Any] | None) -> None:
    if compared is None:
        return
    counts = ", ".join(f"{compared[name]} {name.replace('_', ' ')}" for name in _COUNTS)
    healed = f" ({compared['healed']} of them healed)" if compared["healed"] else ""
    tell(f"Compared with BigLedger's own figures: {counts}{healed}")
    for check, off in compared["failing"].items():
        figures = "figure" if off["rows"] == 1 else "figures"
        tell(
            f"{check}: {off['rows']} {figures} differ, by {off['difference']} in all",
        )


_COUNTS = ("fail", "not_comparable", "pass")


def _status_table(entities: dict[str, Any], zone: ZoneInfo) -> tuple[list[str], list[list[Any]]]:
    """Return headers and rows; columns that would say nothing are left out."""
    always = ("covered_until", "records", "rows", "last_load")
    order = (
        "covered_until",
        "records",
        "rows",
        "deleted",
        "quarantined",
        "last_load",
        "drift",
        "open_load",
        "unavailable",
    )
    columns = [n for n in order if n in always or any(e[n] for e in entities.values())]
    rows = [
        [entity, *(_cell(name, e[name], zone) for name in columns)]
        for entity, e in entities.items()
    ]
    headers = ("versions" if name == "rows" else name.replace("_", " ") for name in columns)
    return ["entity", *headers], rows


def _cell(name: str, value: Any, zone: ZoneInfo) -> Any:
    if name in ("covered_until", "last_load"):
        return _to_minute(value, zone)
    if name == "unavailable":
        return "unavailable" if value else None
    if name == "open_load" and value:
        total = value["total"]
        if total is None:
            return f"{value['records']} read" if value["records"] else "begun, nothing read"
        return f"{value['records']} of {total} read"
    return value


def show_findings(entities: dict[str, Any]) -> None:
    """Say what was noticed of each entity's records; a sync shows the same."""
    for name, entity in entities.items():
        if entity["unknown_fields"]:
            fields = ", ".join(entity["unknown_fields"])
            tell(
                f"{name}: fields that the model does not know: {fields}",
            )
        if entity["newly_null"]:
            fields = ", ".join(entity["newly_null"])
            tell(f"{name}: null for the first time: {fields}")
        if entity["noisy_numbers"]:
            fields = "; ".join(entity["noisy_numbers"])
            tell(f"{name}: numbers computed in binary, rounded to the short ones meant: {fields}")
        if entity["finer_amounts"]:
            fields = "; ".join(entity["finer_amounts"])
            tell(f"{name}: amounts of more than 2 decimals, which the marts round: {fields}")


def _to_minute(instant: str | None, zone: ZoneInfo) -> str:
    return (
        f"{datetime.fromisoformat(instant).astimezone(zone):%Y-%m-%d %H:%M}" if instant else "never"
    )
