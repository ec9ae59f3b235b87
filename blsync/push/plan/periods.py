"""Accounting periods that are closed: nothing is dated into one (interface.md, section 1)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from blsync.errors import ConfigError


def closed_periods(seeds: Path, company_id: str, now: datetime) -> Mapping[date, str]:
    """Return the first days of a company's closed months → when each was closed, as written.

    Read from `period_close.csv` (company_id, period, closed_at in UTC); a close in the future has
    not happened yet. Raises ConfigError for a line that cannot be read.
    """
    path = seeds / "period_close.csv"
    try:
        lines = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Save it as UTF-8 text.") from None
    closed = {}
    for number, line in enumerate(lines, start=2):
        if line.get("company_id") != company_id or not line.get("closed_at"):
            continue
        try:
            month = date.fromisoformat(f"{line['period'][:7]}-01")
            at = datetime.fromisoformat(line["closed_at"])
        except (KeyError, TypeError, ValueError):
            raise ConfigError(
                f"{path.name} line {number}: write a period like 2026-03-01 and a closed_at like "
                "2026-04-05T10:00:00Z."
            ) from None
        if (at if at.tzinfo else at.replace(tzinfo=UTC)) <= now:
            closed[month] = line["closed_at"]
    return closed
