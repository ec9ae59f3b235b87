"""The user's accepted_exceptions.csv, as people keep such a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_warehouse import WAREHOUSE

from blsync import user_tables
from blsync.errors import ConfigError

HEADER = "company_id,record_id,rule,reason,accepted_by"
ROW = {
    "company_id": "acme",
    "record_id": "je_1",
    "rule": "unbalanced_entry",
    "reason": "rounding, mended in May",
    "accepted_by": "Mei",
}


def read(tmp_path: Path, content: str, encoding: str = "utf-8") -> list[dict[str, str]]:
    (tmp_path / user_tables.ACCEPTED).write_bytes(content.encode(encoding))
    return user_tables.accepted_exceptions(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        f'{HEADER}\nacme,je_1,unbalanced_entry,"rounding, mended in May",Mei\n',
        f'\ufeff{HEADER}\r\n\r\n acme , je_1,unbalanced_entry,"rounding, mended in May",Mei\r\n'
        ",,,,\r\n",
        f'"{HEADER.replace(",", chr(34) + ";" + chr(34))}"\n'
        "acme;je_1;unbalanced_entry;rounding, mended in May;Mei",
        "accepted_by\treason\trule\trecord_id\tcompany_id\n"
        "Mei\trounding, mended in May\tunbalanced_entry\tje_1\tacme\n",
    ],
    ids=["plain", "of a spreadsheet", "semicolons", "tabs, in another order"],
)  # fmt: skip
def test_the_file_is_read_as_people_keep_it(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, content) == [ROW]


def test_no_file_and_one_with_its_header_alone_accept_nothing(tmp_path: Path) -> None:
    assert user_tables.accepted_exceptions(tmp_path) == []
    assert read(tmp_path, f"{HEADER}\n") == []
    assert read(tmp_path, "") == []
    assert user_tables.accepted_exceptions(WAREHOUSE / "seeds") == []


GOOD = "acme,je_1,unbalanced_entry,why,Mei"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("company_id,record_id\nacme,je_1\n", "line 1 names the columns company_id, record_id"),
        (f"{HEADER}\n{GOOD}\nacme,je_2,unbalanced_entry,,Mei\n", "line 3 has no reason"),
        (f"{HEADER}\nacme,je_1,unbalanced_entry,why,\n", "line 2 has no accepted_by"),
        (f"{HEADER}\nacme,je_1,off,why,Mei\n", "line 2: rule 'off' is none; they are unbalanced"),
        (f"{HEADER}\nacme,je_1,unbalanced_entry,why\n", "line 2 has 4 values where the header"),
        (f"{HEADER}\n{GOOD}\n\n{GOOD}\n", "line 4 says again what line 2 says: acme, je_1"),
        (f'{HEADER}\nacme,je_1,unbalanced_entry,"why,Mei\n', "is not well-formed csv"),
    ],
)
def test_what_is_wrong_with_the_file_is_told_with_line_and_column(
    tmp_path: Path, content: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        read(tmp_path, content)


def test_a_file_in_another_encoding_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="line 2 is not UTF-8"):
        read(tmp_path, f"{HEADER}\nacme,je_1,unbalanced_entry,café,Mei\n", "latin-1")


def test_every_rule_of_the_exceptions_can_be_accepted_and_no_other() -> None:
    text = (WAREHOUSE / "models/marts/trust/trust.yml").read_text()
    (values,) = re.findall(r"rule in \((.unbalanced_entry.*)\)", text)
    assert set(values.replace("'", "").split(", ")) == set(user_tables.RULES)
