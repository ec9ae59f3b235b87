"""What `blsync status` tells, as metrics in OpenMetrics' text format."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest

from blsync import __version__
from blsync.errors import ConfigError
from blsync.files.atomic import atomic_write, storage_errors
from blsync.ledger.states import ConditionKind

_OF_ENTITY = {
    "records": ("records", "Records held."),
    "rows": ("versions", "Versions of records that have landed."),
    "deleted": ("deleted", "Records found deleted."),
    "quarantined": ("quarantined", "Records that could not be typed, over all loads."),
    "drift": ("drift", "BigLedger's total less the records held, when they were last compared."),
}
"""Of an entity, by its name in status: the metric and what it says."""
_TIMES_OF_ENTITY = {
    "covered_until": ("covered_until", "Up to when all changes have been asked for."),
    "last_load": ("last_load", "When a load last landed."),
}
_QUANTILES = {"p50_ms": "0.5", "p95_ms": "0.95", "p99_ms": "0.99"}


def written(report: dict[str, Any]) -> str:
    """Return a report of `status` as OpenMetrics text; times are unix seconds. What is not known
    has no sample.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(report))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text.decode()


def write(path: Path, text: str) -> None:
    """Write the text to a file, whole or not at all; one that was there keeps its permissions.

    Raises ConfigError where the folder does not exist, StorageError where it cannot be written.
    """
    if not path.parent.is_dir():
        raise ConfigError(f"The folder {path.parent} does not exist.")
    with storage_errors(path):
        mode = path.stat().st_mode & 0o777 if path.exists() else None
        with atomic_write(path) as draft:
            draft.write_text(text, encoding="utf-8")
            if mode is not None:
                draft.chmod(mode)


class _Told:
    """A report of `status` for the library's registry."""

    def __init__(self, report: dict[str, Any]) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        report = self._report
        yield InfoMetricFamily("blsync", "The program.", {"version": __version__})
        at = report["published_at"]
        yield _gauge("published_timestamp_seconds", "When marts were last published.", _time(at))
        is_fitting = float(report["problem"] is None)
        yield _gauge("fits", "1 where folder, ledger and settings fit together.", is_fitting)
        yield self._off()
        yield from self._of_companies()
        yield from self._of_entities()
        yield self._response_times()

    def _off(self) -> Metric:
        names = ["company", "kind"]
        found = _family("off", "What holds that somebody should know, by its kind.", names)
        companies = {one["company"] or "" for one in self._report["off"]}
        for company in sorted({"", *self._report["companies"], *companies}):
            for kind in ConditionKind:
                of_kind = [
                    one
                    for one in self._report["off"]
                    if (one["company"] or "", one["kind"]) == (company, kind)
                ]
                found.add_metric([company, kind.value], len(of_kind))
        return found

    def _of_companies(self) -> Iterator[Metric]:
        fresh = _family("fresh_until_timestamp_seconds", "Up to when all is known.", ["company"])
        left = _family("quota_left_requests", "Requests left in this hour.", ["company"])
        names = ["company", "result"]
        compared = _family("comparisons", "Figures compared with BigLedger's own.", names)
        events = _family("events", "Events that are remembered.", ["company", "state"])
        for name, company in self._report["companies"].items():
            _add(fresh, [name], _time(company["fresh_until"]))
            _add(left, [name], company["quota_left"])
            for result in ("pass", "fail", "not_comparable"):
                _add(compared, [name, result], (company["reconciliation"] or {}).get(result))
            for state in ("received", "waiting", "unknown"):
                _add(events, [name, state], (company["events"] or {}).get(state))
        yield from (fresh, left, compared, events)

    def _of_entities(self) -> Iterator[Metric]:
        names = ["company", "entity"]
        entities = [
            ([name, entity], found)
            for name, company in self._report["companies"].items()
            for entity, found in company["entities"].items()
        ]
        for key, (metric, text) in _OF_ENTITY.items():
            family = _family(metric, text, names)
            for labels, found in entities:
                _add(family, labels, found[key])
            yield family
        for key, (metric, text) in _TIMES_OF_ENTITY.items():
            family = _family(f"{metric}_timestamp_seconds", text, names)
            for labels, found in entities:
                _add(family, labels, _time(found[key]))
            yield family
        failing = _family("failing", "1 where the last pull of the entity failed.", names)
        available = _family("available", "0 where BigLedger has no such list here.", names)
        for labels, found in entities:
            last = found["last_error"]
            failing.add_metric(labels, float(bool(last and last["since"])))
            available.add_metric(labels, float(not found["unavailable"]))
        yield from (failing, available)

    def _response_times(self) -> Metric:
        names = ["company", "request", "quantile"]
        text = "How long answers took on the last day that had any."
        family = _family("response_seconds", text, names)
        for name, company in self._report["companies"].items():
            for kind, took in company["response_times"].items():
                for key, quantile in _QUANTILES.items():
                    family.add_metric([name, kind, quantile], took[key] / 1000)
        return family


def _family(name: str, text: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"blsync_{name}", text, labels=labels)


def _gauge(name: str, text: str, value: float | None) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"blsync_{name}", text, value=value)


def _add(family: GaugeMetricFamily, labels: list[str], value: float | None) -> None:
    if value is not None:
        family.add_metric(labels, value)


def _time(instant: str | None) -> float | None:
    return datetime.fromisoformat(instant).timestamp() if instant else None
