"""Random books of many companies in one build: every law holds, every figure is as defined.

`make test` builds the same few each time, `make test-deep` many others. A book that fails is named
with its plan, from which `books.making.make` writes it again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import duckdb
import jinja2
import pytest
from books.checks import CHECKS, Ask, expected_of, wrong
from books.company import CLOSINGS, Book, Plan, plans
from books.making import make, write_inputs, write_landing, write_seeds
from books.reports import reports_of
from hypothesis import given
from hypothesis import strategies as st
from rig import models
from rig.depth import drawn, is_deep
from rig.plain_text import PROGRAMS, move_a_cent
from rig.seeds import hand_over
from test_cli import blsync, environment
from test_warehouse import WAREHOUSE

pytestmark = pytest.mark.drawn
"""Few books in `make test`, many in `make test-deep`."""

COMPANIES = 16 if is_deep() else 4
MOST_TOLD = 12


@drawn(1, 4)
@given(drawn=st.tuples(*map(plans, range(COMPANIES))), is_grown=st.sampled_from([True, False]))
def test_every_law_holds_and_every_figure_is_as_defined(
    drawn: tuple[Plan, ...], is_grown: bool
) -> None:
    books = [make(f"co_{place}", plan) for place, plan in enumerate(drawn)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, books, is_grown)
        with duckdb.connect(str(folder / "data/build.duckdb"), read_only=True) as connection:
            problems = wrong_in(books, lambda sql: connection.execute(sql).fetchall())
    assert not problems, told(books, problems)


def build(folder: Path, books: list[Book], is_grown: bool) -> None:
    """Build the books with their laws, at once or half of the nights after the other half."""
    figures = [figure for book in books for figure in reports_of(book)]
    write_seeds(folder / "seeds", books)
    write_inputs(folder / "data", books, figures)
    for landed in ([slice(None, None, 2)] if is_grown else []) + [slice(None)]:
        write_landing(folder / "data", books, landed)
        failed = build_models(folder)
        assert not failed, told(books, [failed])


def build_models(folder: Path) -> str:
    """Build the books in a folder; return what failed, empty where nothing did."""
    hand_over(folder / "data", folder / "seeds")
    return models.failed(models.build(folder / "data"))


def told(books: list[Book], problems: list[str]) -> str:
    rest = len(problems) - MOST_TOLD
    named = [book for book in books if any(book.company in problem for problem in problems)]
    return "\n".join(
        [
            "",
            *problems[:MOST_TOLD],
            *([f"and {rest} more"] if rest > 0 else []),
            "in the books",
            *(f"  {book.company}: {book.plan}" for book in named or books),
        ]
    )


def wrong_in(books: list[Book], ask: Ask) -> list[str]:
    expected = expected_of(books)
    return [line for name in CHECKS for line in wrong(name, books, expected, ask)]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of random books that are published as they were built."""
    folder = tmp_path_factory.mktemp("random")
    plans = [Plan(seed, closings=closings) for seed, closings in enumerate(CLOSINGS)]
    build(folder, [make(f"co_{place}", plan) for place, plan in enumerate(plans)], is_grown=False)
    return (folder / "data/build.duckdb").rename(folder / "data/blsync.duckdb").parent


@pytest.mark.deep
@pytest.mark.parametrize("place", range(len(CLOSINGS)))
@pytest.mark.parametrize(("kind", "verify"), PROGRAMS)
def test_other_programs_verify_random_ledgers_and_miss_a_cent(
    published: Path, tmp_path: Path, kind: str, verify: Callable[[Path], bool], place: int
) -> None:
    env = environment(published, "http://127.0.0.1:9/v1", BIGLEDGER_COMPANY_ID=f"co_{place}")
    output = tmp_path / "books"
    done = blsync("export", kind, "--output", str(output), env=env)
    assert done.returncode == 0, done.stderr
    assert verify(output)
    move_a_cent(output)
    assert not verify(output)


@pytest.mark.parametrize(
    ("amount", "part", "whole", "expected"),
    [
        ("2.01", "1", "2", "1.01"),  # 1.005 is no binary fraction
        ("-2.01", "1", "2", "-1.01"),
        ("2.01", "-1", "2", "-1.01"),
        ("0.01", "1", "3", "0.00"),
        ("9999999999999999.99", "9999999999999999.99", "-9999999999999999.99",
         "-9999999999999999.99"),
        ("2.01", "1", "0", None),
    ],
)  # fmt: skip
def test_a_share_is_rounded_by_its_decimals(
    amount: str, part: str, whole: str, expected: str | None
) -> None:
    macros = jinja2.Environment(extensions=["jinja2.ext.do"]).from_string(
        (WAREHOUSE / "macros/types.sql").read_text()
    )
    factors = [f"'{value}'::decimal(18, 2)" for value in (amount, part, whole)]
    (share,) = duckdb.sql(f"select {macros.module.share(*factors)}").fetchall()[0]
    assert share == (expected and Decimal(expected))
