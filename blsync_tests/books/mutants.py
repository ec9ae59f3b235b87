"""Models with one thing broken, compiled beside the sound ones and run straight in DuckDB.

dbt compiles all of them at once. To try a mutant, its SQL takes the place of the model's, whatever
the check reads of what depends on it is made anew, and all of it is rolled back.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from test_warehouse import WAREHOUSE

from blsync.marts import dbt_executable
from books.checks import CHECKS, expected_of, wrong
from books.company import Book
from books.making import write_inputs, write_landing, write_seeds
from books.reports import reports_of

Node = dict[str, Any]
MACRO = re.compile(r"\bmacro (\w+)\(")
AS_KNOWN = "as_known"
"""Stands for the model whose hook makes the table macro for analysts."""


@dataclass(frozen=True)
class Mutation:
    """A breakage of a file under `warehouse/`, and the law or the check of books that sees it."""

    name: str
    file: str
    old: str
    new: str
    caught_by: str

    @property
    def key(self) -> str:
        return re.sub(r"\W+", "_", self.name)


class Workshop:
    """A copy of the project with all mutants, and a build of some books to try them on."""

    def __init__(self, folder: Path, books: list[Book], mutations: Iterable[Mutation]) -> None:
        self.books, self.expected = books, expected_of(books)
        self.project = folder / "warehouse"
        names = ("models", "macros", "dbt_project.yml", "profiles.yml", "tests")
        for name in names:
            source, target = WAREHOUSE / name, self.project / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        (self.project / "models/mutants").mkdir()
        self._put_model(AS_KNOWN, "{{ create_trial_balance_as_known() }}", AS_KNOWN)
        for mutation in mutations:
            self._put(mutation)
        self._lay_out(folder, books)
        self.nodes = self._compiled(folder)
        self.connection = duckdb.connect(str(folder / "data/build.duckdb"))
        self.connection.execute("set TimeZone = 'UTC'")
        self._build_all()

    def _put(self, mutation: Mutation) -> None:
        """Write the mutant's models."""
        path = WAREHOUSE / mutation.file
        text = path.read_text().replace(mutation.old, mutation.new)
        if path.parent.name == "macros":
            self._put_macro(mutation, text)
        else:
            self._put_model(f"{mutation.key}__{path.stem}", text, mutation.key)

    def _put_macro(self, mutation: Mutation, text: str) -> None:
        """Give the macros names of their own, and each model that calls one a mutant that does."""
        names = "|".join(MACRO.findall(text))
        calls, own = re.compile(rf"\b({names})\("), rf"\1_{mutation.key}("
        (self.project / "macros" / f"{mutation.key}.sql").write_text(calls.sub(own, text))
        for path in (self.project / "models").rglob("*.sql"):
            model = path.read_text()
            if path.parent.name != "mutants" and calls.search(model):
                self._put_model(f"{mutation.key}__{path.stem}", calls.sub(own, model), mutation.key)
        if AS_KNOWN in names:
            call = f"{{{{ create_trial_balance_as_known_{mutation.key}() }}}}"
            self._put_model(f"{mutation.key}__{AS_KNOWN}", call, mutation.key)

    def _put_model(self, name: str, text: str, schema: str) -> None:
        own = f"\n{{{{ config(alias='{name}', schema='mutants', materialized='table') }}}}\n"
        (self.project / "models/mutants" / f"{name}.sql").write_text(text + own)

    def _lay_out(self, folder: Path, books: list[Book]) -> None:
        write_seeds(folder / "seeds", books)
        write_landing(folder / "data", books)
        write_inputs(folder / "data", books, [row for book in books for row in reports_of(book)])

    def _compiled(self, folder: Path) -> dict[str, Node]:
        """Return models and laws by name, with their SQL."""
        target = folder / "target"
        places = ["--project-dir", self.project, "--profiles-dir", self.project]
        places += ["--target-path", target, "--log-path", target]
        command = [dbt_executable(), "--no-use-colors", "compile", *places]
        paths = {"BLSYNC_DATA": str(folder / "data"), "BLSYNC_SEEDS": str(folder / "seeds")}
        done = subprocess.run(
            [*map(str, command)],
            env=os.environ | paths,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        nodes = json.loads((target / "manifest.json").read_text())["nodes"].values()
        return {node["name"]: node for node in nodes}

    def _build_all(self) -> None:
        schemas = {node["schema"] for node in self.nodes.values()}
        for schema in schemas:
            self.connection.execute(f'create schema if not exists "{schema}"')
        for name in self._in_order(self.models()):
            self._make(name, name)

    def models(self) -> set[str]:
        """All models but the mutants."""
        models = {n for n, node in self.nodes.items() if node["resource_type"] == "model"}
        return {n for n in models if "mutants" not in self.nodes[n]["fqn"]} | {AS_KNOWN}

    def _parents(self, name: str) -> list[str]:
        ids = self.nodes[name]["depends_on"]["nodes"]
        return [unique.split(".")[2] for unique in ids if unique.startswith("model.")]

    def _in_order(self, wanted: set[str]) -> Iterator[str]:
        done: set[str] = set()

        def visit(name: str) -> Iterator[str]:
            if name not in done:
                done.add(name)
                for parent in self._parents(name):
                    yield from visit(parent)
                if name in wanted:
                    yield name

        for name in sorted(wanted):
            yield from visit(name)

    def _make(self, name: str, source: str) -> None:
        """Make a model by the SQL of another, its mutant."""
        sql = self.nodes[source]["compiled_code"]
        if name != AS_KNOWN:
            kind = "view" if self.nodes[name]["config"]["materialized"] == "view" else "table"
            sql = f"create or replace {kind} {self.nodes[name]['relation_name']} as ({sql}\n)"
        self.connection.execute(sql)

    def _read_by(self, check: str) -> set[str]:
        """Return the models that a check stands on, those behind them included."""
        tables = {"trial_balance_as_known": {AS_KNOWN}, "reconciliation": {"reconciliation"}}
        found = list(tables.get(check, {check})) if check in CHECKS else self._parents(check)
        for name in found:
            found += [parent for parent in self._parents(name) if parent not in found]
        return set(found)

    def findings(self, check: str) -> list[str]:
        """Return what a law or a check of books finds in the build as it is."""
        ask = lambda sql: self.connection.execute(sql).fetchall()  # noqa: E731
        if check in CHECKS:
            return wrong(check, self.books, self.expected, ask)
        law = self.nodes[check]
        assert law["config"]["severity"].lower() == "error", f"{check} is but a warning"
        return [str(row) for row in ask(law["compiled_code"])]

    def findings_with(self, mutation: Mutation, check: str) -> list[str]:
        """Return what a check finds where the mutant's models take the place of the sound ones."""
        prefix = f"{mutation.key}__"
        mutants = {n.removeprefix(prefix): n for n in self.nodes if n.startswith(prefix)}
        read = self._read_by(check)
        self.connection.execute("begin")
        try:
            touched: set[str] = set()
            for name in self._in_order(read):
                if name in mutants or touched.intersection(self._parents(name)):
                    touched.add(name)
                    self._make(name, mutants.get(name, name))
            return self.findings(check)
        finally:
            self.connection.execute("rollback")
