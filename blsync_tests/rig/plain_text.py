"""Programs that share nothing with blsync, and verify a ledger as plain-text accounting."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

_POSTING = re.compile(r"^(\s+\S.*?\s\s)(-?[\d.]+)( \w+.*)$")


def verified_by_beancount(path: Path) -> bool:
    program = Path(sys.executable).with_name("bean-check")
    return subprocess.run([program, path], capture_output=True, check=False).returncode == 0


def verified_by_hledger(path: Path) -> bool:
    command = ["hledger", "-f", str(path), "check"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


PROGRAMS = [
    pytest.param("beancount", verified_by_beancount, id="beancount"),
    pytest.param(
        "hledger",
        verified_by_hledger,
        id="hledger",
        marks=pytest.mark.skipif(not shutil.which("hledger"), reason="there is no hledger"),
    ),
]
"""Kind of export, and what verifies it."""


def move_a_cent(path: Path) -> None:
    """Move a cent from one account of an entry to another of it, so that it goes on to balance."""
    lines = path.read_text("utf-8").split("\n")
    places: list[int] = []
    for number, line in enumerate(lines):
        if not line.strip():
            places = []
        elif found := _POSTING.match(line):
            if not places or _account(lines[places[0]]) != found[1].strip():
                places.append(number)
            if len(places) == 2:
                break
    for place, cent in zip(places, (Decimal("0.01"), Decimal("-0.01")), strict=True):
        found = _POSTING.fullmatch(lines[place])
        assert found
        lines[place] = f"{found[1]}{Decimal(found[2]) + cent}{found[3]}"
    path.write_text("\n".join(lines), "utf-8")


def _account(line: str) -> str:
    found = _POSTING.fullmatch(line)
    return found[1].strip() if found else ""
