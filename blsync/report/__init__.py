"""The report: one self-contained HTML page on the published marts; and dbt's documentation site."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from blsync import __version__, marts
from blsync.errors import BuildError, ConfigError
from blsync.files.atomic import atomic_write, storage_errors
from blsync.files.permissions import make_published_folder
from blsync.files.places import IS_CHECKOUT
from blsync.lake.store import Lake
from blsync.marts.figures import COMPANIES
from blsync.report import figures
from blsync.settings import Settings, environment_for_a_child

MINOR_DIGITS = dict.fromkeys(("CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF"), 0)
"""Of currencies without a hundredth (ISO 4217)."""
MOST_PICTURES = 4


@dataclass(frozen=True)
class Report:
    """A written report: `headlines` by company, and a picture of each (data URI, PNG); `amounts`
    are the headlines' figures as numbers.
    """

    path: Path
    headlines: dict[str, dict[str, str]]
    pictures: dict[str, str]
    amounts: dict[str, dict[str, Decimal]] = field(default_factory=dict)

    @property
    def markdown(self) -> str:
        """The pictures under their companies' names."""
        return "\n\n".join(
            re.sub(r"([^\w ])", r"\\\1", name) + f"\n\n![Revenue and net profit by month]({uri})"
            for name, uri in self.pictures.items()
        )


def report_file(settings: Settings) -> Path:
    """Return where the report is written unless another file is asked for."""
    return settings.publish_to / marts.REPORT


def write(settings: Settings, output: Path | None = None) -> Report:
    """Write the page on what is published.

    Raises BuildError before the first publish, ConfigError where the output's folder does not
    exist, StorageError where the file cannot be written.
    """
    if not IS_CHECKOUT:  # its fonts' cache would be in the user's home, or nowhere
        os.environ.setdefault("MPLCONFIGDIR", str(settings.data / "cache" / "matplotlib"))
    from blsync.report import plots  # matplotlib takes longer to import than most commands run

    path = output or report_file(settings)
    if not path.parent.is_dir() and output:
        raise ConfigError(f"The folder {path.parent} does not exist.")
    with marts.open_published(settings) as db:
        names = {
            row["company_id"]: row["company_name"]
            for row in Lake(settings.data).read_input("companies", COMPANIES)
        }
        companies = figures.companies_of(db, names, settings.zone)
        tables = figures.tables_of(db)
        found = [(c, figures.read(figures.Books(db, tables, c))) for c in companies]
    page = _templates(settings.zone)
    sections = []
    pictures: dict[str, str] = {}
    for number, (company, read) in enumerate(found, start=1):
        context = {
            **read,
            "company": company,
            "number": number,
            "plots": plots,
            "tables_needed": {name: needed for name, (needed, _) in figures.SECTIONS.items()},
            "headlines": headlines(company, read),
            "money": partial(money, digits=MINOR_DIGITS.get(company.currency, 2)),
        }
        sections.append(Markup(page.get_template("company.html").render(context)))  # noqa: S704 (escaped there)
        if read["profit_and_loss"] and len(pictures) < MOST_PICTURES:
            pictures[company.name] = plots.picture(read["profit_and_loss"]["months"])
    text = page.get_template("page.html").render(
        companies=companies,
        sections=sections,
        written_at=datetime.now(UTC),
        version=__version__,
    )
    with storage_errors(path):
        if output is None:
            make_published_folder(settings.publish_to, settings.publish_mode)
        with atomic_write(path) as draft:
            draft.write_text(text, encoding="utf-8")
            if output is None:
                draft.chmod(settings.publish_mode)
    told = {company.name: headlines(company, read) for company, read in found}
    known = {company.name: amounts(read) for company, read in found}
    return Report(path.absolute(), told, pictures, known)


def amounts(read: dict[str, Any]) -> dict[str, Decimal]:
    """Return a company's headline figures by names that stay the same from month to month; those of
    the profit and loss are of its latest month.
    """
    month = (read["profit_and_loss"] or {}).get("last") or {}
    debtors, creditors = (
        (read[name] or {}).get("total") or {} for name in ("receivables", "payables")
    )
    found = {
        "revenue": month.get("operating_revenue"),
        "net_profit": month.get("net_profit"),
        "cash": (read["cash"] or {}).get("now"),
        "receivables": debtors.get("total_outstanding"),
        "receivables_overdue": debtors.get("total_overdue"),
        "payables": creditors.get("total_outstanding"),
        "payables_overdue": creditors.get("total_overdue"),
        "stock": ((read["stock"] or {}).get("total") or {}).get("stock_value"),
    }
    return {name: amount for name, amount in found.items() if amount is not None}


def headlines(company: figures.Company, read: dict[str, Any]) -> dict[str, str]:
    """Return a company's headline figures as text, without any customer's name."""
    written = partial(money, digits=MINOR_DIGITS.get(company.currency, 2))
    told = {}
    month = (read["profit_and_loss"] or {}).get("last")
    if month:
        told[f"Revenue in {month['period']:%B %Y}"] = written(month["operating_revenue"])
        told[f"Net profit in {month['period']:%B %Y}"] = written(month["net_profit"])
    if read["cash"] and read["cash"]["now"] is not None:
        told["Cash"] = written(read["cash"]["now"])
    if read["receivables"]:
        told["Receivables"] = written(read["receivables"]["total"]["total_outstanding"])
        told["Receivables overdue"] = written(read["receivables"]["total"]["total_overdue"])
    if read["payables"]:
        told["Payables"] = written(read["payables"]["total"]["total_outstanding"])
        told["Payables overdue"] = written(read["payables"]["total"]["total_overdue"])
    if read["stock"]:
        told["Stock"] = written(read["stock"]["total"]["stock_value"])
    told = {name: f"{company.currency} {figure}" for name, figure in told.items()}
    if read["tie_out"]:
        sums = read["tie_out"]["total"]
        told["Tied out"] = f"{count(sums['passed'])} of {count(sums['compared'])}"
        for name, text in (("failed", "differ"), ("not_comparable", "not comparable")):
            if sums[name]:
                told["Tied out"] += f", {count(sums[name])} {text}"
    return told


def money(value: Decimal | None, digits: int = 2) -> str:
    """Write an amount with thousands separated; decimals that it has are never hidden."""
    if value is None:
        return "–"
    exponent = value.normalize().as_tuple().exponent
    has = -exponent if isinstance(exponent, int) else 0
    if has > digits:
        digits = max(has, 2)
    return f"{value:,.{digits}f}".replace("-", "−")


def count(value: Decimal | int | None) -> str:
    """Write a number without decimals it does not have: 12.5000 as 12.5."""
    if value is None:
        return "–"
    text = f"{value:,f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", "−")


def _templates(zone: ZoneInfo) -> Environment:
    def local(value: datetime | None) -> str:
        """Marts keep UTC without saying so."""
        if value is None:
            return "–"
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return f"{aware.astimezone(zone):%Y-%m-%d %H:%M}"

    made = Environment(
        loader=PackageLoader("blsync.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"count": count, "local": local, "month": _month, "words": _words}
    made.filters["percent"] = lambda value: "–" if value is None else money(value, 1)
    made.globals["zone"] = zone.key
    return made


def _month(value: date | None) -> str:
    return f"{value:%b %Y}" if value else "–"


def _words(name: str | None) -> str:
    text = (name or "").replace("_", " ")
    return text[:1].upper() + text[1:]


def write_docs(settings: Settings, say: Callable[[str], None] = lambda _: None) -> Path:
    """Build dbt's documentation of the published tables; returns the page, which needs no network.

    Works on a copy: dbt would hold the file, and nights go on meanwhile. Raises BuildError before
    the first publish and where dbt fails.
    """
    published = marts.published_file(settings)
    if not published.exists():
        raise BuildError(f"Nothing is published at {published} yet. Run `blsync sync` first.")
    target = settings.data / "docs" / "index.html"
    say("dbt is reading the project; this takes about half a minute.")
    with (
        storage_errors(target),
        tempfile.TemporaryDirectory(prefix=".docs.", dir=settings.data) as name,
    ):
        data = Path(name)
        shutil.copyfile(published, data / "build.duckdb")
        for layer in ("landing", "quarantine", "inputs"):
            if (settings.data / layer).is_dir():
                (data / layer).symlink_to(settings.data / layer)
        marts.write_files_of_build(settings, Lake(data).build_files)
        command = [marts.dbt_executable(), "--quiet", "--no-use-colors", "docs", "generate"]
        command += ["--static", "--project-dir", str(marts.PROJECT)]
        command += ["--profiles-dir", str(marts.PROJECT), "--target-path", str(data / "target")]
        variables = marts.dbt_environment(settings) | {"BLSYNC_DATA": str(data)}
        variables |= marts.write_packages(settings.project, data / "packages")
        done = subprocess.run(  # noqa: S603
            command,
            env=environment_for_a_child(variables),
            cwd=data,
            capture_output=True,
            text=True,
            check=False,
        )
        page = data / "target" / "static_index.html"
        if done.returncode or not page.exists():
            said = marts.said_by(done)
            raise BuildError(f"dbt could not write the documentation: {said}")
        text = page.read_text(encoding="utf-8").replace(str(data), str(settings.data))
        with atomic_write(target) as draft:
            draft.write_text(text, encoding="utf-8")
    return target
