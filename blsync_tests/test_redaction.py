"""No secret is in anything that is printed, shown or kept, whatever way a text took.

A server here repeats the credentials it is sent, in every way that they may be written, wherever it
says something that is no record. The commands run once, as processes, in the module's fixtures; the
tests search every byte of what they said and left on the disk.
"""

from __future__ import annotations

import base64
import html
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import Asked, Reply, TinyServer, listed, serving, spied, spy_on_children
from rig.warm import PYTHON
from test_cli import blsync, environment

from blsync import redaction

KEY = "Zk7+Quiet/Words_0123456789.abcdefXYZ"
CLIENT_SECRET, REFRESH = "client&Secret%0123456789~words", "Refresh-me-0123456789/with+signs"
ACCESS = "Access_granted-9876543210+by/this=server"
SECRETS = {"key": KEY, "client": CLIENT_SECRET, "refresh": REFRESH, "access": ACCESS}

Encoder = Callable[[str], str]
ENCODERS: dict[str, Encoder] = {
    "as it is": str,
    "in capitals": str.upper,
    "percent-encoded": lambda s: quote(s, safe=""),
    "percent-encoded twice": lambda s: quote(quote(s, safe=""), safe=""),
    "percent-encoded whole": lambda s: "".join(f"%{byte:02x}" for byte in s.encode()),
    "as JSON": lambda s: json.dumps(f'"{s}"'),
    "as JSON in JSON": lambda s: json.dumps(json.dumps(f'"\n{s}"')),
    "with a slash escaped": lambda s: s.replace("/", "\\/"),
    "in \\u escapes": lambda s: "".join(f"\\u{ord(c):04X}" for c in s),
    "as bytes' repr": lambda s: repr(b"\x00" + s.encode()),
    "in \\x escapes": lambda s: "".join(f"\\x{ord(c):02x}" for c in s),
    "as HTML": html.escape,
    "in HTML numbers": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "in hexadecimal": lambda s: s.encode().hex(),
    "in hexadecimal with spaces": lambda s: s.encode().hex(" ").upper(),
    "folded": lambda s: f"{s[:9]}\n    {s[9:]}",
    "folded in JSON": lambda s: json.dumps(f"{s[:9]}\n    {s[9:]}"),
    "coloured": lambda s: f"\x1b[1m{s[:9]}\x1b[0m{s[9:]}",
    **{
        f"in base64 after {before!r}": lambda s, before=before: base64.b64encode(
            f"{before}{s}:tail".encode()
        ).decode()
        for before in ("", "a", "ab", "Bearer ")
    },
    "in base64 for addresses": lambda s: base64.urlsafe_b64encode(f"??{s}??".encode()).decode(),
    "in base64 in lines": lambda s: base64.encodebytes(f"{'x' * 40}{s}{s}".encode()).decode(),
}


def cores(secret: str) -> set[str]:
    """What of the base64 texts stands for the secret alone, but for a few letters at its ends."""
    found = set()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + secret.encode()).decode().rstrip("=")[4:-4]
        found |= {text, text.replace("+", "-").replace("/", "_")}
    return found


def leaks(content: bytes, secrets: dict[str, str] = SECRETS) -> list[str]:
    """Name the ways in which a text holds one of the secrets, read line by line or as a whole."""
    text = content.decode("utf-8", "replace")
    squeezed = "".join(text.split())
    found = []
    for name, secret in secrets.items():
        forms = {how: encode(secret) for how, encode in ENCODERS.items()}
        forms |= {f"base64 {core}": core for core in cores(secret)}
        for how, form in forms.items():
            if form in text or "".join(form.split()) in squeezed:
                found.append(f"{name} {how}")
    return found


@pytest.mark.parametrize("length", [34, 35, 36])
@pytest.mark.parametrize("how", ENCODERS)
def test_a_secret_is_found_however_it_is_written(how, length):
    """Of every length, as it ends in base64."""
    secret = f"{length}-{KEY}"[:length]
    redaction.register(secret)
    written = ENCODERS[how](secret)
    redacted = redaction.redact(f"before {written} after")
    assert redaction.REPLACEMENT in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    assert leaks(redacted.encode(), {"key": secret}) == []
    assert redaction.redact(redacted) == redacted


@pytest.mark.parametrize("how", ENCODERS)
def test_what_is_almost_a_secret_many_times_over_hides_no_secret_and_comes_to_an_end(how):
    redaction.register(KEY)
    written = ENCODERS[how](f"{KEY[:-1]}!") * 20
    assert redaction.redact(f"{written} {KEY}").endswith("[secret]")


def test_a_credential_of_bigledgers_shape_is_found_whoever_it_belongs_to():
    for secret in ("blg_live_sk_a1b2", "blg_test_sk_x-y_z", "blg_oauth_at_77", "blg_oauth_rt_abc"):
        assert redaction.redact(f"the key {secret}.") == "the key [secret]."
    kept = "Check BIGLEDGER_API_KEY: a blg_live_ key works against production alone."
    assert redaction.redact(kept) == kept


def test_the_password_of_an_address_is_found_however_short_it_is():
    assert redaction.redact("postgresql://me:pw@host/db") == "postgresql://me:[secret]@host/db"


def test_a_secret_that_is_a_word_spoils_no_other_word():
    redaction.register("trombone")
    assert redaction.redact("a trombone, %22trombone%22") == "a [secret], %22[secret]%22"
    assert redaction.redact("two trombones") == "two trombones"
    redaction.register("abc")
    assert redaction.redact("abc") == "abc"


def test_text_without_a_secret_stays_as_it_is():
    redaction.register(KEY)
    for text in ("", "100 % \\ & \x1b[1mbold\x1b[0m", "\udce9\ud800", '{"a": "\\u00e9\\n"}'):
        assert redaction.redact(text) == text


PROGRAM = """
import asyncio, logging, sys, threading, warnings
from blsync import redaction

early = logging.StreamHandler()
logging.getLogger("early").addHandler(early)
key = sys.argv[1]
redaction.guard_streams()
redaction.register(key)
for part in (key[:5], key[5:], "\\n"):
    sys.stdout.write(part)
sys.stdout.buffer.write(f"bytes {key}\\n".encode())
print("lines", key, sep="\\n", end="")
logging.getLogger("early").error("logged %s", key)
logging.error("logged %s", key)
warnings.warn(key)

def crash():
    held = key
    raise RuntimeError(key)

thread = threading.Thread(target=crash)
thread.start()
thread.join()

async def main():
    task = asyncio.create_task(asyncio.to_thread(crash))
    await asyncio.sleep(0.1)
    del task

asyncio.run(main())
crash()
"""


def test_no_stream_log_warning_or_traceback_of_a_process_has_a_secret():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, KEY], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert leaks(done.stdout.encode() + done.stderr.encode()) == []
    assert done.stdout == "[secret]\nbytes [secret]\nlines\n[secret]"
    assert done.stderr.count("logged [secret]") == 2
    assert done.stderr.count("RuntimeError: [secret]") == 3


def echoing(asked: Asked) -> Reply:
    """Answer as the route wants it; what is no record repeats the credentials."""
    secret = asked.headers.get("authorization", "").removeprefix("Bearer ") or REFRESH
    said = " ; ".join(f"{how}: {encode(secret)}" for how, encode in ENCODERS.items())
    said += f" ; X-Company-Id {asked.headers.get('x-company-id')}"
    if asked.path == "/oauth/token":
        said += f" ; {CLIENT_SECRET}"
    headers = {
        "X-Request-Id": f"req {secret} {quote(secret, safe='')}",
        "Location": f"https://elsewhere.example/?key={quote(secret, safe='')}",
    }
    details = [{"field": secret, "message": said, "code": secret, "required_scope": said}]
    error = {"code": f"BAD_{secret}", "message": said, "details": details}
    refused = json.dumps({"success": False, "error": error}).encode()
    if asked.path in ("/customers", "/items", "/accounts"):
        page = listed([], total=0)
        return Reply(page.body, headers=headers)
    if asked.path == "/stock":
        return Reply(listed([], f"cursor {secret}", total=3).body, headers=headers)
    if asked.path == "/oauth/token":
        return Reply(refused, 400, headers)
    if asked.path == "/bulk/customers":
        results = [{"index": n, "success": False, "error": error} for n in range(2)]
        answer = {"success": True, "data": {"batchId": secret, "results": results}}
        return Reply(json.dumps(answer).encode(), headers=headers)
    status = {"/invoices": 403, "/journal-entries": 307, "/company": 404}.get(asked.path, 422)
    return Reply(refused, status, headers)


def granting(asked: Asked) -> Reply:
    """Grant an access token, and repeat it when it is used."""
    if asked.path == "/oauth/token":
        return Reply(json.dumps({"access_token": ACCESS, "refresh_token": REFRESH[::-1]}).encode())
    return echoing(asked)


@dataclass
class Told:
    """What a command said, and how it ended."""

    command: str
    code: int
    stdout: str
    stderr: str


@dataclass
class Story:
    """All commands that ran against the server that repeats, and the folder they worked in."""

    told: list[Told]
    data: Path
    asked: list[Asked]
    of_dbt: list[dict[str, str]]
    """The environments of the dbt processes that ran."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    data = tmp_path_factory.mktemp("echo")
    told: list[Told] = []
    start = str(datetime.now(UTC).date())
    spy = spy_on_children(data.parent / "spy", "dbt")

    def run(server: TinyServer, *arguments: str, **more: str) -> Told:
        env = environment(
            data,
            server.base_url,
            BIGLEDGER_API_KEY=KEY,
            BIGLEDGER_COMPANY_ID="co_echo",
            BLSYNC_START=start,
            COLUMNS="60",
        )
        env |= spy | {"ANOTHER_PROGRAMS_PASSWORD": "never-mind-0123456789", "A_COPY": KEY}
        done = blsync(*arguments, env=env | more)
        told.append(Told(" ".join(arguments), done.returncode, done.stdout, done.stderr))
        return told[-1]

    def dagster_run(server: TinyServer) -> None:
        """Materialize assets by Dagster's own command, without ours."""
        env = environment(
            data,
            server.base_url,
            BIGLEDGER_API_KEY=KEY,
            BIGLEDGER_COMPANY_ID="co_echo",
            BLSYNC_START=start,
            DAGSTER_HOME=str(data / "dagster"),
        )
        command = [PYTHON, "-m", "dagster", "asset", "materialize"]
        command += ["-m", "blsync.definitions", "--select", "key:raw/invoices"]
        command += ["--partition", f"co_echo|{start}"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
        told.append(Told("dagster", done.returncode, done.stdout, done.stderr))

    changes = data.parent / "changes.csv"
    changes.write_text("email,name\none@new.example,One\ntwo@new.example,Two\n")
    with serving(echoing) as server:
        run(server, "doctor")
        run(server, "plan", "--json")
        run(server, "sync", "--no-build", "--json")
        run(server, "sync", "customers")
        run(server, "status", "--json")
        run(server, "query", f"select '{KEY}' as known, 1 as one")
        run(server, "docs")
        dagster_run(server)
        planned = run(server, "push", "plan", "customers", str(changes), "--json")
        plan_id = json.loads(planned.stdout)["plan_id"]
        run(server, "push", "apply", plan_id, "--yes")
        run(server, "push", "show", plan_id, "--json", "--rejects", str(data / "mend.csv"))
        oauth = {
            "BIGLEDGER_API_KEY": "",
            "BIGLEDGER_CLIENT_ID": "an-application",
            "BIGLEDGER_CLIENT_SECRET": CLIENT_SECRET,
            "BIGLEDGER_REFRESH_TOKEN": REFRESH,
            "BIGLEDGER_TOKEN_URL": f"{server.base_url}/oauth/token",
        }
        run(server, "doctor", "--json", **oauth)
        asked = list(server.asked)
    with serving(granting) as server:
        granted = oauth | {"BIGLEDGER_TOKEN_URL": f"{server.base_url}/oauth/token"}
        run(server, "doctor", **granted)
        yield Story(told, data, asked + server.asked, spied(data.parent / "spy"))


@pytest.mark.deep
def test_each_command_came_to_where_the_server_repeats_credentials(story):
    codes = [told.code for told in story.told]
    assert codes == [1, 3, 3, 0, 0, 0, 0, 1, 0, 3, 0, 2, 2]
    assert {"/stock", "/invoices", "/bulk/customers", "/oauth/token"} <= {
        asked.path for asked in story.asked
    }
    assert any(asked.path.startswith("/reports/") for asked in story.asked)
    assert any(asked.headers.get("authorization") == f"Bearer {ACCESS}" for asked in story.asked)
    assert sum("[secret]" in told.stdout + told.stderr for told in story.told) >= 7


@pytest.mark.deep
def test_no_secret_is_in_what_the_commands_say(story):
    found = {t.command: leaks(f"{t.stdout}\n{t.stderr}".encode()) for t in story.told}
    assert {command: ways for command, ways in found.items() if ways} == {}
    for told in story.told:
        if "--json" in told.command and told.stdout:
            json.loads(told.stdout)


@pytest.mark.deep
def test_no_secret_is_in_what_they_leave_on_the_disk(story):
    files = [path for path in story.data.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"ledger.db", "runs.db", "mend.csv"} <= names
    assert any(path.suffix == ".err" for path in files)
    contents = {path.relative_to(story.data): path.read_bytes() for path in files}
    assert sum(b"[secret]" in content for content in contents.values()) >= 3
    found = {str(path): leaks(content) for path, content in contents.items()}
    assert {path: ways for path, ways in found.items() if ways} == {}


@pytest.mark.deep
def test_dbt_is_given_what_it_needs_and_no_credentials(story):
    assert story.of_dbt
    for environment_of_dbt in story.of_dbt:
        assert Path(environment_of_dbt["BLSYNC_DATA"]).is_relative_to(story.data)
        assert leaks(json.dumps(environment_of_dbt).encode()) == []
        given = {
            name
            for name in environment_of_dbt
            if name.startswith(("BIGLEDGER_", "BLSYNC_")) or "PASSWORD" in name
        }
        needed = {"BLSYNC_DATA", "BLSYNC_BUILD_MEMORY", "BLSYNC_PACKAGES"}
        assert given == needed


CRASH = """
import httpx

async def send(self, request, **more):
    raise RuntimeError(f"nobody foresaw {dict(request.headers)}\\nin two lines")

httpx.AsyncClient.send = send
"""


@pytest.fixture
def crashing(tmp_path: Path) -> dict[str, str]:
    """The environment of a command whose every request fails as nobody foresaw."""
    folder = tmp_path / "fault"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(CRASH)
    return environment(
        tmp_path / "data",
        "http://127.0.0.1:9/v1",
        BIGLEDGER_API_KEY=KEY,
        BLSYNC_START=str(datetime.now(UTC).date()),
        PYTHONPATH=str(folder),
    )


@pytest.mark.deep
@pytest.mark.parametrize("command", [("plan",), ("sync", "invoices", "--no-build")])
def test_an_unexpected_error_is_one_line_that_names_a_file_with_the_details(
    crashing, tmp_path, command
):
    done = blsync(*command, env=crashing)
    assert done.returncode in (1, 3)
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "nobody foresaw" in line
    assert "RuntimeError" in line
    errors = tmp_path / "data" / "errors"
    (file,) = errors.iterdir()
    assert str(file) in line
    assert (file.stat().st_mode & 0o777, errors.stat().st_mode & 0o777) == (0o600, 0o700)
    assert "Traceback" in file.read_text()
    everything = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert leaks(b"\n".join([done.stdout.encode(), done.stderr.encode(), *everything])) == []


CRASH_BETWEEN = f"""
import dagster._core.execution.plan.execute_plan as plan

def execute(step_context):
    raise RuntimeError("nobody foresaw {KEY}")
    yield

plan.dagster_event_sequence_for_step = execute
"""


@pytest.mark.deep
def test_a_run_that_fails_outside_our_steps_says_why_too(crashing, tmp_path):
    (tmp_path / "fault" / "sitecustomize.py").write_text(CRASH_BETWEEN)
    done = blsync("sync", "invoices", "--no-build", env=crashing)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "RuntimeError: nobody foresaw [secret]" in line
    (file,) = (tmp_path / "data" / "errors").iterdir()
    assert str(file) in line
    everything = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert leaks(b"\n".join([done.stdout.encode(), done.stderr.encode(), *everything])) == []


def test_only_the_newest_details_of_unexpected_errors_are_kept(tmp_path):
    from blsync.files.unexpected import MOST_FILES, unexpected

    for number in range(MOST_FILES + 3):
        last = unexpected(ValueError(f"number {number}"), tmp_path)
    files = list((tmp_path / "errors").iterdir())
    assert len(files) == MOST_FILES
    assert any(str(file) in str(last) for file in files)


def test_an_unexpected_error_is_told_where_its_details_cannot_be_kept(tmp_path):
    from blsync.files.unexpected import unexpected

    (tmp_path / "errors").write_text("a file in the folder's place")
    assert "could not be kept" in str(unexpected(KeyError("x"), tmp_path))
    assert "ValueError: of settings" in str(unexpected(ValueError("of settings"), None))


def test_dagsters_databases_are_redacted_and_the_ledger_stays_exact(tmp_path):
    """In a process of its own: what listens there listens for good."""
    program = """
import sys
import sqlalchemy as sa
from blsync import redaction
from blsync.orchestration import steps
from blsync.ledger import Ledger

key, folder = sys.argv[1:]
redaction.register(key)
steps.guard_databases()
for engine in (Ledger(f"sqlite:///{folder}/ledger.db")._engine, sa.create_engine("sqlite://")):
    with engine.begin() as db:
        db.execute(sa.text("create table kept (what text)"))
        rows = [{"what": f"with {key}"}, {"what": None}]
        db.execute(sa.text("insert into kept values (:what)"), rows)
        print(db.execute(sa.text("select what from kept")).scalars().all())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, KEY, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.splitlines() == [f"['with {KEY}', None]", "['with [secret]', None]"], (
        done.stderr
    )
