"""What a person sees of a command, and what a program that keeps its log does."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from test_cli import Done, blsync, call, environment  # noqa: F401

from blsync import __version__
from blsync.cli.screen import print_table
from blsync.sandbox import Handle, Options, running


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Handle]:
    with running(Options(invoices=20, customers=8, items=5, months=1, limits=False)) as handle:
        yield handle


def printed(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
    rows: list[tuple[Any, ...]],
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    print_table("Rows", ("entity", "rows", "row", "amount", "error or warning"), rows)
    return capsys.readouterr().out.splitlines()


ROWS = [
    ("accounts", 1234567, 1234, Decimal("1234.50"), None),
    ("invoices", 3, 5, Decimal("-2"), "the list told two totals in one walk, and was read anew"),
]


def test_numbers_are_aligned_to_the_right_with_separators_of_thousands(capsys, monkeypatch):
    lines = printed(capsys, monkeypatch, 120, ROWS)
    first = next(line for line in lines if "accounts" in line)
    second = next(line for line in lines if "invoices" in line)
    assert {"1,234,567", "1,234.50", "1234"} <= set(first.split())
    end = first.index("1,234,567") + len("1,234,567")
    assert second[end - 2 : end + 1] == " 3 "


@pytest.mark.parametrize("columns", [120, 80, 60, 40, 20])
def test_no_word_of_a_table_is_broken_however_narrow_the_terminal_is(capsys, monkeypatch, columns):
    lines = printed(capsys, monkeypatch, columns, ROWS)
    words = " ".join(lines).split()
    assert {"accounts", "1,234,567", "1,234.50", "warning", "walk,", "anew"} <= set(words)
    assert columns == 20 or max(map(len, lines)) <= columns


def test_a_table_that_is_wider_than_the_terminal_becomes_records(capsys, monkeypatch):
    lines = printed(capsys, monkeypatch, 40, ROWS)
    assert sum(line.startswith("entity ") for line in lines) == len(ROWS)
    assert "rows              1,234,567" in lines


def on_terminal(columns: int, *words: str, env: dict[str, str]) -> str:
    """What a command prints on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "blsync.cli", *words]
    kept = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        command, env={**kept, "TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    told = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        told += part
    process.wait(timeout=60)
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*m", "", told.decode())


def test_status_on_a_terminal_of_80_columns_keeps_words_whole_and_names_the_zone(tmp_path):
    env = environment(tmp_path, "http://127.0.0.1:9/v1", BLSYNC_TIMEZONE="Asia/Tokyo")
    told = on_terminal(80, "status", env=env)
    assert "times in Asia/Tokyo" in told
    assert {"stock_adjustments", "journal_entries"} <= set(told.split())
    assert max(map(len, told.splitlines())) <= 80


def events(done: Done) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.fixture(scope="module")
def logged(sandbox: Handle, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The events of a sync."""
    env = environment(tmp_path_factory.mktemp("logged"), sandbox.base_url)
    command = [sys.executable, "-m", "blsync.cli"]
    command += ["sync", "customers", "items", "--no-build", "--verbose", "--log-format", "json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.deep
def test_a_log_in_json_says_of_each_event_what_it_is_about(logged):
    for event in logged:
        assert {"at", "level", "command", "event", "company", "entity", "run", "request_id"} <= {
            *event
        }
        assert event["command"] == "sync"
    pulled = {event["entity"]: event for event in logged if event["event"] == "entity pulled"}
    assert set(pulled) == {"customers", "items"}
    assert pulled["customers"]["company"] == "company_sandbox"
    assert pulled["customers"]["rows"] == 8
    assert pulled["customers"]["run"] == pulled["items"]["run"]


def test_a_verbose_log_has_each_request_with_its_id_and_without_its_query(logged):
    asked = [event for event in logged if event["event"] == "request"]
    assert "/v1/customers" in {event["path"] for event in asked}
    assert all(event["request_id"] and event["status"] == 200 for event in asked)


def test_an_error_in_json_has_its_exit_code_and_no_value_that_it_quotes(call, tmp_path):  # noqa: F811
    env = environment(tmp_path, "https://example.com/v1")
    done = call("sync", "--from", "puan.siti@example.com", "--log-format=json", env=env)
    (error,) = events(done)
    assert (done.returncode, error["event"], error["exit_code"]) == (2, "error", 2)
    assert "siti" not in done.stderr


def test_quiet_leaves_errors_and_warnings_alone_behind_the_command_as_before_it(call, tmp_path):  # noqa: F811
    env = environment(tmp_path, "https://example.com/v1", BLSYNC_QUOTA_PER_HUOR="3")
    for words in (["--quiet", "push", "list"], ["push", "list", "--quiet"]):
        done = call(*words, env=env)
        assert done.returncode == 0
        assert "No plans yet" in done.stdout
        assert [line.split(":")[0] for line in done.stderr.splitlines()] in (["Warning"], [])
    done = call("push", "show", "nothing", "--quiet", env=env)
    assert done.stderr.splitlines()[-1].startswith("Error: ")


def test_an_entity_that_failed_is_told_once(sandbox, tmp_path):
    env = environment(tmp_path, sandbox.base_url)
    blocked = tmp_path / "landing" / "items"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("in the way")
    done = blsync("sync", "items", "--no-build", env=env)
    assert done.returncode != 0
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert str(blocked) in error
    assert str(blocked) not in done.stdout


def test_the_sandbox_announces_itself_once_it_listens_with_the_company_and_key_it_was_given():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "blsync.cli", "sandbox", "--port", str(port)]
    command += ["--invoices", "5", "--company-id", "acme", "--api-key", "blg_test_sk_acme"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            told = process.stderr.readline()
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)) == 0
        finally:
            process.terminate()
    assert "company acme, key blg_test_sk_acme" in told


def test_a_sandbox_with_a_key_that_is_no_test_key_is_refused(call, tmp_path):  # noqa: F811
    env = environment(tmp_path, "https://example.com/v1")
    done = call("sandbox", "--api-key", "blg_live_sk_x", env=env)
    assert done.returncode == 2
    assert "blg_test_sk_" in done.stderr


def test_init_writes_all_that_one_company_needs_and_sync_takes_it(call, sandbox, tmp_path):  # noqa: F811
    folder = tmp_path / "my books"
    env = environment(tmp_path / "unused", sandbox.base_url, BLSYNC_ENV_FILE=str(folder / ".env"))
    del env["BLSYNC_DATA"]
    done = call("init", str(folder), "--company-id", "company_sandbox", env=env)
    assert done.returncode == 0, done.stderr
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    assert "python_module" in (folder / "workspace.yaml").read_text()
    assert "blsync sync" in (folder / "README.md").read_text()
    told = json.loads(call("doctor", "--json", env=env).stdout)
    places = next(check["message"] for check in told["checks"] if check["name"] == "settings")
    for path in (folder / "data", folder / ".env", folder / "data" / "user"):
        assert str(path) in places
    assert told["ok"], told


def test_init_writes_over_nothing(call, tmp_path):  # noqa: F811
    (tmp_path / ".env").write_text("BLSYNC_TIMEZONE=Asia/Tokyo\n")
    env = environment(tmp_path / "unused", "https://example.com/v1")
    done = call("init", str(tmp_path), env=env)
    assert done.returncode == 0
    assert f"kept as it is: {tmp_path / '.env'}" in done.stdout
    assert (tmp_path / ".env").read_text() == "BLSYNC_TIMEZONE=Asia/Tokyo\n"
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert call("init", str(tmp_path), env=env).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    ("words", "told"), [(["--company-id", "a b"], "BIGLEDGER_COMPANY_ID"), ([], "no folder")]
)
def test_an_init_that_cannot_be_is_one_clear_line(call, tmp_path, words, told):  # noqa: F811
    (tmp_path / "file").write_text("")
    env = environment(tmp_path / "unused", "https://example.com/v1")
    done = call("init", str(tmp_path / "file"), *words, env=env)
    assert done.returncode == 2
    assert told in done.stderr


def test_a_folder_says_which_version_wrote_it_and_one_of_a_newer_form_is_refused(
    call,  # noqa: F811
    sandbox,
    tmp_path,
):
    env = environment(tmp_path / "data", sandbox.base_url)
    file = tmp_path / "data" / "lake.json"
    assert call("push", "list", env=env).returncode == 0
    told = json.loads(file.read_text())
    assert told["written_by"] == __version__
    file.write_text(json.dumps({**told, "format": told["format"] + 1, "written_by": "9.1.0"}))
    before = {path: path.read_bytes() for path in [file, file.with_name("ledger.db")]}
    for words in (["sync"], ["build"], ["push", "list"], ["repair"]):
        done = call(*words, env=env)
        assert done.returncode == 1, words
        assert "9.1.0" in done.stderr
    assert "9.1.0" in call("status", env=env).stdout
    assert {path: path.read_bytes() for path in before} == before


def test_a_folder_of_an_earlier_version_is_taken_and_says_so_from_then_on(call, sandbox, tmp_path):  # noqa: F811
    env = environment(tmp_path / "data", sandbox.base_url)
    file = Path(env["BLSYNC_DATA"]) / "lake.json"
    assert call("push", "list", env=env).returncode == 0
    told = json.loads(file.read_text())
    file.write_text(json.dumps({name: told[name] for name in ("lake_id", "companies")}))
    assert call("push", "list", env=env).returncode == 0
    assert json.loads(file.read_text()) == told
