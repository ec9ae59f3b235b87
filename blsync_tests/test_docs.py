"""The documents: what they name exists, what they cite and link is there, what they show runs.

What a block of a document is depends on the word after its fence:

- `sh`: a shell runs it, all of a document one after another, in a folder with `.venv`, `examples`,
  `.env.example` and `warehouse/data`, where the books of a company `acme` are published; its
  sandbox is running, and the environment has its address and key.
- `sql`: `blsync query` would answer it. `python`: Python runs it, in the same folder.
- `console`, `text` and the like are not run: what needs another machine, a person, or does not end.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pytest
from rig import warm
from rig.warm import PYTHON
from typer.main import get_command

from blsync.cli.app import app
from blsync.errors import BlsyncError
from blsync.sandbox import Options, running
from blsync.settings import ENV_FILE, ROOT, Settings

DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
DOCUMENTS = sorted(
    path
    for folder in (".", "docs", "examples")
    for path in (ROOT / folder).glob("*.md" if folder == "." else "**/*.md")
)
SOURCES = sorted(
    path
    for pattern in ("blsync/**/*", "blsync_tests/**/*.py", "bench/**/*.py", "docs/**/*.py",
                    "examples/**/*", "warehouse/*/**/*", "warehouse/*.yml", "*.toml", "Makefile")
    for path in ROOT.glob(pattern)
    if path.suffix in {".py", ".sql", ".yml", ".toml", ".html", ".csv"} or path.name == "Makefile"
    if not {"data", "target", "logs", "dbt_packages"} & {*path.relative_to(ROOT).parts}
)  # fmt: skip
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = {"sh", "sql", "python"}
SHOWN = {"console", "text", "toml", "csv", "json", "yaml", "ini"}


@dataclass(frozen=True)
class Block:
    """A fenced block, and where it begins."""

    path: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{named(self.path)}:{self.line}"


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    return [
        Block(path, text.count("\n", 0, found.start()) + 1, found[1], found[2])
        for found in FENCE.finditer(text)
    ]


BLOCKS = [block for path in DOCUMENTS for block in blocks(path)]


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def section(document: str, heading: str) -> str:
    """Return what stands below a heading, up to the next one that is not deeper."""
    lines = (REFERENCE / document).read_text(encoding="utf-8").splitlines()
    start = lines.index(heading)
    level = heading.partition(" ")[0]
    for end in range(start + 1, len(lines)):
        marks, _, _ = lines[end].partition(" ")
        if marks and set(marks) == {"#"} and len(marks) <= len(level):
            return "\n".join(lines[start + 1 : end])
    return "\n".join(lines[start + 1 :])


def first_cells(text: str) -> set[str]:
    """Return what stands in the first column of the tables, without marks."""
    rows = (line.split("|") for line in text.splitlines() if line.startswith("| "))
    return {cells[1].strip().strip("`") for cells in rows} - {"", "---"}


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    """The script that writes the generated parts."""
    spec = importlib.util.spec_from_file_location("tables", REFERENCE / "tables.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(REFERENCE.glob("*.md")), ids=named)
def test_what_code_renders_of_a_reference_is_what_stands_in_it(
    tables: ModuleType, path: Path
) -> None:
    text = path.read_text(encoding="utf-8")
    assert tables.rendered(text) == text, "`make reference` writes it anew"


def commands(command: Any, path: str = "blsync") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        if inner.hidden:
            continue
        yield from commands(inner, f"{path} {name}")


COMMANDS = dict(commands(get_command(app)))
GROUPS = {path for path, command in COMMANDS.items() if getattr(command, "commands", None)}


def spellings(command: Any) -> set[str]:
    """Return the options of a command, `--no-…` among them."""
    options = (p for p in command.params if p.param_type_name == "option")
    return {text for option in options for text in (*option.opts, *option.secondary_opts)}


def test_the_interface_names_every_command_with_its_options_and_no_other() -> None:
    lines = section("interface.md", "## 4. Commands").splitlines()
    headings = {line: " ".join(re.findall(r"\b[a-z]+\b", line)) for line in lines if "###" in line}
    assert {*headings.values(), *GROUPS} == {*COMMANDS}
    for heading, path in headings.items():
        told = first_cells(section("interface.md", heading))
        options = {option for cell in told for option in cell.split(", ") if option[:2] == "--"}
        assert options == spellings(COMMANDS[path]), path


CODE = re.compile(r"^```\w*\n.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
CALL = re.compile(r"(?<![\w/.-])(?:\.venv/bin/)?blsync(?P<words>(?: +[^\s`|;&)]+)*)")


def calls(path: Path) -> Iterator[list[str]]:
    """Yield the words after `blsync`, wherever a document calls the command."""
    for code in CODE.findall(path.read_text(encoding="utf-8")):
        for found in CALL.finditer(re.sub(r"\"[^\"]*\"|'[^']*'|#.*", "TEXT", code)):
            yield found["words"].split()


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_a_document_calls_commands_that_exist_with_options_that_they_have(path: Path) -> None:
    for words in calls(path):
        called = "blsync"
        while words and f"{called} {words[0]}" in COMMANDS:
            called = f"{called} {words.pop(0)}"
        own = spellings(COMMANDS["blsync"]) | {"--help"}  # may stand behind a command, too
        is_named = not words or called not in GROUPS or words[0] in {"…", *own}
        # A group that does something by itself takes options.
        is_named = is_named or (called != "blsync" and words[0].startswith("--"))
        assert is_named, f"blsync has no command {words[0]!r}"
        given = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        assert given <= spellings(COMMANDS[called]) | own, (called, given)


SETTINGS = {*(field.alias for field in Settings.model_fields.values()), ENV_FILE}
VARIABLE = re.compile(r"\b(?:BLSYNC|BIGLEDGER)_[A-Z_]*[A-Z]\b")


def test_the_interface_names_every_setting_and_no_other() -> None:
    assert first_cells(section("interface.md", "## 1. Settings")) - {"name"} == SETTINGS


@pytest.mark.parametrize("path", [*DOCUMENTS, ROOT / ".env.example"], ids=named)
def test_a_document_names_settings_that_exist(path: Path) -> None:
    of_benches = {
        name for file in ROOT.glob("bench/*.py") for name in VARIABLE.findall(file.read_text())
    }
    found = {*VARIABLE.findall(path.read_text(encoding="utf-8"))} - of_benches
    # A company of several has its key in a variable of its own: BIGLEDGER_API_KEY_ACME.
    unknown = [name for name in found if not any(name.startswith(known) for known in SETTINGS)]
    assert unknown == []


def test_the_interface_tells_every_exit_code() -> None:
    def codes(error: type[BlsyncError]) -> set[int]:
        return {error.exit_code}.union(*map(codes, error.__subclasses__()))

    told = first_cells(section("interface.md", "## 3. Exit codes")) - {"code"}
    assert told == {"0", *map(str, codes(BlsyncError))}


HEADING = re.compile(r"^#{1,6} +(.*?) *$", re.MULTILINE)


def headings(path: Path) -> list[str]:
    return HEADING.findall(FENCE.sub("", path.read_text(encoding="utf-8")))


def anchors(path: Path) -> set[str]:
    """Return the names by which GitHub lets a heading be linked."""
    found: set[str] = set()
    for heading in headings(path):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = 0
        while (anchor := f"{name}-{number}" if number else name) in found:
            number += 1
        found.add(anchor)
    return found


LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)")


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_every_link_between_documents_leads_somewhere(path: Path) -> None:
    broken = []
    for target, anchor in LINK.findall(CODE.sub("", path.read_text(encoding="utf-8"))):
        place = (path.parent / target).resolve() if target else path
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.append(f"{target}#{anchor}" if anchor else target)
    assert broken == []


CITATION = re.compile(
    r"(?P<document>[\w./-]+\.md),\s+(?:(?:#|--)\s+)?sections?\s+"
    r"(?P<numbers>\d+(?:(?:, | and | to )\d+)*)"
)
MENTION = re.compile(r"(?<![\w{*/.-])[\w/-]+(?:\.[\w-]+)*\.md\b(?!\()")
NAMELESS = re.compile(r"\bcontract,\s+(?:(?:#|--)\s+)?sections?\b")


def document_named(name: str) -> list[Path]:
    """Return the documents that a name, or the end of a path, means."""
    return [path for path in DOCUMENTS if f"/{named(path)}".endswith(f"/{name}")]


def sections_of(name: str) -> set[str]:
    """Return the numbers of a document's sections, none where the name means no one document."""
    found = document_named(name)
    return {h.partition(".")[0] for h in headings(found[0])} if len(found) == 1 else set()


def test_every_section_that_is_cited_exists() -> None:
    unknown = [
        f"{named(path)}: {found[0]}"
        for path in [*SOURCES, *DOCUMENTS]
        for found in CITATION.finditer(path.read_text(encoding="utf-8"))
        if not {*re.findall(r"\d+", found["numbers"])} <= sections_of(found["document"])
    ]
    assert unknown == []


def test_code_names_the_document_that_it_cites_as_it_stands_in_this_repository() -> None:
    nameless, unknown = [], []
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        nameless += [f"{named(path)}: {found}" for found in NAMELESS.findall(text)]
        unknown += [
            f"{named(path)}: {name}" for name in MENTION.findall(text) if not document_named(name)
        ]
    assert nameless == []
    assert unknown == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_every_block_of_a_document_says_what_it_is(path: Path) -> None:
    unclear = [str(b) for b in BLOCKS if b.path == path and b.language not in RUN | SHOWN]
    assert unclear == []


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Settings for the books of `acme`, pulled from a sandbox and published."""
    data = tmp_path_factory.mktemp("published")
    options = Options(company_id="acme", invoices=120, customers=30, months=4, limits=False)
    with running(options) as handle:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))}
        kept.pop("DAGSTER_HOME", None)
        variables = {
            **kept,
            "BLSYNC_ENV_FILE": os.devnull,
            "BIGLEDGER_BASE_URL": handle.base_url,
            "BIGLEDGER_API_KEY": handle.api_key,
            "BIGLEDGER_COMPANY_ID": handle.company_id,
            "BLSYNC_DATA": str(data),
            "BLSYNC_START": str(date.today() - timedelta(days=1)),
            "BLSYNC_QUOTA_PER_HOUR": "100000",
            "BLSYNC_QUOTA_PER_SECOND": "1000",
        }
        done = run([PYTHON, "-m", "blsync.cli", "sync"], variables, ROOT)
        assert done.returncode == 0, done.stderr
        yield variables


def run(
    command: list[str], environment: dict[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def folder(environment: dict[str, str], tmp_path: Path) -> Path:
    """A folder like the repository's root, where the published books are the data."""
    (tmp_path / ".venv").symlink_to(warm.FOLDER)
    shutil.copy(ROOT / ".env.example", tmp_path)
    if (ROOT / "examples").exists():
        shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "warehouse").mkdir()
    (tmp_path / "warehouse" / "data").symlink_to(environment["BLSYNC_DATA"])
    return tmp_path


@pytest.mark.deep
@pytest.mark.parametrize("path", sorted({block.path for block in of("sh")}), ids=named)
def test_the_shell_blocks_of_a_document_run(
    path: Path, folder: Path, environment: dict[str, str]
) -> None:
    for block in of("sh"):
        if block.path == path:
            done = run(["bash", "-euo", "pipefail", "-c", block.text], environment, folder)
            assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_a_python_block_runs(block: Block, folder: Path, environment: dict[str, str]) -> None:
    if "create_engine" in block.text:
        pytest.importorskip("duckdb_sqlalchemy")
    done = run([PYTHON, "-c", block.text], environment, folder)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("block", of("sql"), ids=str)
def test_a_sql_block_is_answered(
    block: Block,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in os.environ:
        if name.startswith(("BIGLEDGER_", "BLSYNC_")):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app(["query", block.text, "--format", "json"], standalone_mode=False)
    assert isinstance(json.loads(capsys.readouterr().out), list)


QUESTIONS = re.findall(
    r"^\*\*(.+?)\*\*.*?^```sql\n(.+?)^```",
    (ROOT / "docs/guide/analyst.md")
    .read_text()
    .partition("## Twelve questions")[2]
    .partition("\n## ")[0],
    re.DOTALL | re.MULTILINE,
)
REVENUE = "select sum(net_revenue) from finance.revenue_monthly where company_id = 'acme'"
OF_THE_YEAR = f"{REVENUE} and period > current_date - interval 12 months"
ADDS_UP = {
    "category": ("sum(revenue)", REVENUE),
    "each customer": ("sum(revenue)", OF_THE_YEAR),
    "Where do we sell": ("sum(revenue)", OF_THE_YEAR),
    "account by account": (
        "sum(case when section like '%revenue' then last_month else -last_month end)",
        "select net_profit from finance.profit_and_loss_summary where company_id = 'acme' and "
        "period = date_trunc('month', current_date) - interval 1 month",
    ),
    "each bank account": (
        "sum(last_balance) from (select account_name, max_by(balance, journal_date) as "
        "last_balance from answer group by account_name)",
        "select sum(closing_balance) from finance.trial_balance join finance.accounts "
        "using (company_id, account_id, account_name) where account_role = 'cash' and account_name "
        "in (select account_name from answer) "
        "and period = (select max(period) from finance.trial_balance)",
    ),
    "out of stock": (
        "count(*) filter (where location_name is null or supplier_name is null)",
        "select 0",
    ),
    "by week": ("sum(amount_due)", "select sum(amount_due) from finance.payment_calendar"),
    "be mended": ("count(*)", "select count(*) from finance.einvoice_gaps"),
    "each two months": ("count(*)", "select count(*) from finance.sst_02"),
    "customers pay": (
        "sum(amount) filter (where paid_at = 'till')",
        "select sum(total) from finance.pos_daily_sales",
    ),
}
"""A word of the question → what its answer adds up to, and the same by another way."""


def test_there_are_twelve_questions_and_each_sum_belongs_to_one_of_them() -> None:
    asked = [question for question, _ in QUESTIONS]
    assert len(asked) == 12
    assert {word: sum(word in question for question in asked) for word in ADDS_UP} == dict.fromkeys(
        ADDS_UP, 1
    )


@pytest.mark.parametrize(("question", "query"), QUESTIONS, ids=[q for q, _ in QUESTIONS])
def test_an_analysts_question_is_answered_by_its_query(
    question: str, query: str, environment: dict[str, str]
) -> None:
    file = Path(environment["BLSYNC_DATA"]) / "blsync.duckdb"
    with duckdb.connect(str(file), read_only=True) as db:
        asked = query.strip().rstrip(";").replace("<= 14", "<= 3650")  # its shops are well stocked
        db.sql(f"create temp view answer as {asked}")
        (rows,) = db.sql("select count(*) from answer").fetchall()[0]
        assert rows or "after it was closed" in question  # nothing was closed
        for _, (found, expected) in (e for e in ADDS_UP.items() if e[0] in question):
            of_answer = found if " from " in found else f"{found} from answer"
            assert db.sql(f"select {of_answer}").fetchall() == db.sql(expected).fetchall()


ALWAYS = {"company_id", "currency", "built_at"}


def test_the_marts_and_their_columns_are_documented_and_no_other(
    environment: dict[str, str],
) -> None:
    file = Path(environment["BLSYNC_DATA"]) / "blsync.duckdb"
    with duckdb.connect(str(file), read_only=True) as db:
        columns = db.sql(
            "select schema_name, table_name, column_name from duckdb_columns() "
            "where schema_name in ('finance', 'history', 'proposals') and not internal"
        ).fetchall()
    published: dict[str, set[str]] = {}
    for schema, table, column in columns:
        published.setdefault(f"{schema}.{table}", set()).add(column)
    assert documented() == {name: found - ALWAYS for name, found in published.items()}


def documented() -> dict[str, set[str]]:
    """Return the columns of every table that marts.md describes, by schema and table."""
    schemas = {"13": "proposals", "14": "history"}
    found, schema = {}, ""
    for heading in headings(REFERENCE / "marts.md"):
        number, _, title = heading.partition(". ")
        if title:
            schema = schemas.get(number, "finance")
        elif schema:
            columns = first_cells(section("marts.md", f"### {heading}")) - {"column"}
            found[f"{schema}.{heading.removeprefix('history.')}"] = columns - ALWAYS
    return found
