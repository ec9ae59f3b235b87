"""What stands in front of Dagster's web server, over a real socket, and the whole as a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from rig import patient
from rig.ui_process import Ui, descendants, serving_ui

from blsync.ui import lifeline
from blsync.ui.guard import door, guarded
from blsync.ui.token import secret_path, token_of

pytestmark = pytest.mark.deep
"""Each test starts Dagster's web server and daemon."""

TOKEN = "t" * 43
PATH = secret_path(TOKEN)
MUTATION = "mutation { launchRun }"


@dataclass
class Guarded:
    """A tiny app behind the guard, and what came through to it."""

    port: int
    came: list[str] = field(default_factory=list)

    def ask(self, request: str, *headers: str, body: str = "", host: str | None = None) -> int:
        """Send a request just as it is written; returns the answer's status."""
        return int(self.answer(request, *headers, body=body, host=host).split()[1])

    def answer(self, request: str, *headers: str, body: str = "", host: str | None = None) -> str:
        """Send a request just as it is written; returns the whole answer."""
        is_upgrade = "Upgrade: websocket" in headers
        given = [f"Host: {host or f'127.0.0.1:{self.port}'}", *headers]
        given += [] if is_upgrade else ["Connection: close"]
        if body:
            given.append(f"Content-Length: {len(body)}")
        text = "\r\n".join([f"{request} HTTP/1.1", *given, "", body])
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(text.encode())
            found = b""
            while part := connection.recv(65536):
                found += part
                if is_upgrade and b"\r\n\r\n" in found:
                    break
        return found.decode(errors="replace")

    @property
    def cookie(self) -> str:
        return f"Cookie: blsync_ui_{self.port}={TOKEN}"

    @property
    def origin(self) -> str:
        return f"Origin: http://127.0.0.1:{self.port}"


BEARER = f"Authorization: Bearer {TOKEN}"
JSON = "Content-Type: application/json"
SITE = "Sec-Fetch-Site: "
UPGRADE = (
    *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
)


@pytest.fixture(scope="module")
def server() -> Iterator[Guarded]:
    """A tiny app behind the guard, on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    tiny = Guarded(listener.getsockname()[1])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            tiny.came.append(f"WEBSOCKET {scope['path']}")
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close"})
            return
        tiny.came.append(f"{scope['method']} {scope['path']}")
        headers = [(b"x-frame-options", b"SAMEORIGIN"), (b"content-security-policy", b"own")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"in"})

    hosts = ("dagster.example.com", "proxy.example.com:8443", "localhost:1")
    app = guarded(app, door(TOKEN, PATH, tiny.port, hosts))
    config = uvicorn.Config(app, log_level="critical", lifespan="off")
    web = uvicorn.Server(config)
    thread = threading.Thread(target=web.run, args=([listener],), daemon=True)
    thread.start()
    yield tiny
    web.should_exit = True
    thread.join()


@pytest.fixture
def tiny(server: Guarded) -> Guarded:
    server.came.clear()
    return server


def test_a_script_with_the_token_asks_graphql_where_dagster_has_it(tiny: Guarded) -> None:
    assert tiny.ask("POST /graphql", BEARER, JSON, body="{}") == 200
    assert tiny.ask(f"GET {PATH}/runs", BEARER) == 200
    assert tiny.came == [f"POST {PATH}/graphql", f"GET {PATH}/runs"]


def test_the_address_with_the_token_gives_a_strict_cookie_bound_to_a_secret_path(
    tiny: Guarded,
) -> None:
    answer = tiny.answer(f"GET /?token={TOKEN}")
    assert answer.startswith("HTTP/1.1 200")
    (cookie,) = [line for line in answer.splitlines() if line.lower().startswith("set-cookie")]
    assert f"blsync_ui_{tiny.port}={TOKEN}; Path={PATH}; HttpOnly; SameSite=Strict" in cookie
    assert "Secure" not in cookie
    page = answer.partition("\r\n\r\n")[2]
    assert f"url={PATH}/" in page
    assert TOKEN not in page
    assert len(PATH) > 20


def test_the_cookie_of_an_https_proxy_is_sent_over_https_alone(tiny: Guarded) -> None:
    assert "; Secure" in tiny.answer(f"GET /?token={TOKEN}", host="dagster.example.com")


def test_a_browser_with_the_cookie_gets_pages_posts_json_and_opens_a_websocket(
    tiny: Guarded,
) -> None:
    own = (tiny.cookie, tiny.origin, f"{SITE}same-origin")
    assert tiny.ask(f"GET {PATH}/runs", tiny.cookie, f"{SITE}none") == 200
    assert tiny.ask(f"POST {PATH}/graphql", *own, f"{JSON}; charset=utf-8", body="{}") == 200
    assert tiny.ask(f"GET {PATH}/graphql", tiny.cookie, tiny.origin, *UPGRADE) == 101
    assert len(tiny.came) == 3


def test_another_cookie_of_the_name_beside_ours_locks_nobody_out(tiny: Guarded) -> None:
    name = f"blsync_ui_{tiny.port}"
    assert tiny.ask(f"GET {PATH}/", f"Cookie: {name}=tossed; a=b; {name}={TOKEN}") == 200


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LocalHost", "[::1]"])
def test_loopback_is_known_by_each_of_its_names(tiny: Guarded, name: str) -> None:
    assert tiny.ask("GET /server_info", BEARER, host=f"{name}:{tiny.port}") == 200


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("dagster.example.com", "https://dagster.example.com"),
        ("proxy.example.com:8443", "https://proxy.example.com:8443"),
        ("localhost:1", "http://localhost:1"),
    ],
)
def test_a_name_that_was_allowed_is_known_with_its_own_origin(
    tiny: Guarded, host: str, origin: str
) -> None:
    asked = ("POST /graphql", BEARER, JSON)
    assert tiny.ask(*asked, f"Origin: {origin}", body="{}", host=host) == 200
    other = origin.replace("https:", "http:") if "https:" in origin else "https://localhost:1"
    assert tiny.ask(*asked, f"Origin: {other}", body="{}", host=host) == 403


@pytest.mark.parametrize("host", ["a b", "user@host", "host/path", "host:port", ""])
def test_a_name_that_is_none_cannot_be_allowed(host: str) -> None:
    with pytest.raises(ValueError, match="no host name"):
        door(TOKEN, PATH, 3000, [host])


# Each of these has the token, so that its own rule is what it fails by.


@pytest.mark.parametrize(
    "host",
    ["evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1:{port}.evil.example", "dagster"],
)
@pytest.mark.parametrize("request_", ["GET /", "POST /graphql", "GET /graphql"])
def test_a_foreign_host_name_is_refused(tiny: Guarded, host: str, request_: str) -> None:
    upgrade = UPGRADE if request_ == "GET /graphql" else ()
    status = tiny.ask(request_, BEARER, JSON, *upgrade, host=host.format(port=tiny.port))
    assert status in (403, 421)
    assert not tiny.came


def test_two_host_names_or_none_are_refused(tiny: Guarded) -> None:
    assert tiny.ask("GET /", f"Host: 127.0.0.1:{tiny.port}", BEARER) == 400
    with socket.create_connection(("127.0.0.1", tiny.port), timeout=10) as connection:
        connection.sendall(f"GET / HTTP/1.0\r\n{BEARER}\r\n\r\n".encode())
        assert b"200" not in connection.recv(100).splitlines()[0]
    assert not tiny.came


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}", ""]
)
@pytest.mark.parametrize("request_", ["GET /runs", "POST /graphql", "GET /graphql"])
def test_a_page_of_another_origin_is_refused(tiny: Guarded, origin: str, request_: str) -> None:
    told = f"Origin: {origin.format(port=tiny.port)}"
    upgrade = UPGRADE if request_ == "GET /graphql" else ()
    assert tiny.ask(request_, BEARER, JSON, told, *upgrade) == 403
    assert not tiny.came


@pytest.mark.parametrize("site", ["cross-site", "same-site", "unheard-of"])
@pytest.mark.parametrize("request_", ["GET /runs", "HEAD /runs", "GET /graphql", "POST /graphql"])
def test_a_request_that_another_site_begins_is_refused(
    tiny: Guarded, site: str, request_: str
) -> None:
    told = (BEARER, JSON, f"{SITE}{site}", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image")
    assert tiny.ask(request_, *told) == 403
    assert not tiny.came


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_on_another_site_leads_to_no_page_but_where_it_brings_the_token(
    tiny: Guarded, site: str
) -> None:
    opened = (f"{SITE}{site}", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
    assert tiny.ask(f"GET {PATH}/runs", *opened, tiny.cookie) == 401
    assert tiny.ask(f"GET /?token={TOKEN}", *opened) == 200
    assert tiny.ask(f"GET /?token={TOKEN}", opened[0], opened[1], "Sec-Fetch-Dest: iframe") == 403
    assert not tiny.came


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FROB"])
def test_other_methods_are_refused(tiny: Guarded, method: str) -> None:
    answer = tiny.answer(f"{method} /graphql", BEARER, JSON, body="{}")
    assert answer.split()[1] in ("405", "400")  # 400: the server knows no such method
    assert "access-control" not in answer.lower()
    assert not tiny.came


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "text/plain",
        "text/plain; application/json",
        "multipart/form-data; boundary=application/json",
        "application/graphql",
        "application/jsonp",
        None,
    ],
)
@pytest.mark.parametrize("path", ["/graphql", "/report_asset_materialization/push/customers/apply"])
def test_a_post_that_is_no_json_is_refused(tiny: Guarded, kind: str | None, path: str) -> None:
    told = [f"Content-Type: {kind}"] if kind else []
    assert tiny.ask(f"POST {path}?query={MUTATION[:8]}", BEARER, *told, body="{}") == 415
    assert not tiny.came


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/%67raphql", f"{PATH}/graphql"])
def test_graphql_by_get_is_refused(tiny: Guarded, method: str, path: str) -> None:
    assert tiny.ask(f"{method} {path}?query=mutation", BEARER) == 405
    assert not tiny.came


@pytest.mark.parametrize(
    "known",
    [
        (),
        ("Authorization: Bearer wrong",),
        (f"Authorization: Basic {TOKEN}",),
        ("Authorization: Bearer",),
        (f"Authorization: Bearer {TOKEN}x",),
        ("Cookie: blsync_ui_{port}=wrong",),
        (f"Cookie: blsync_ui_1={TOKEN}",),
        ("Authorization: Bearer \u00fc",),
    ],
)
@pytest.mark.parametrize(
    "request_",
    [
        "GET /",
        f"GET {PATH}/",
        "POST /graphql",
        "GET /graphql",
        "GET /logs/x/y.out",
        "GET /download_debug/1",
        "GET /?token=wrong",
        "GET /?token=",
        f"GET /runs?token={TOKEN}",
        f"POST /?token={TOKEN}",
        "POST /report_asset_materialization/raw/invoices",
    ],
)
def test_nothing_is_told_to_whoever_has_no_token(
    tiny: Guarded, known: tuple[str, ...], request_: str
) -> None:
    told = [header.format(port=tiny.port) for header in known]
    answer = tiny.answer(request_, JSON, *told, body="{}" if "POST" in request_ else "")
    assert answer.split()[1] == "401"
    assert "`blsync ui` prints" in answer
    assert TOKEN not in answer
    assert PATH not in answer
    assert not tiny.came


def test_the_icon_alone_needs_no_token(tiny: Guarded) -> None:
    assert tiny.ask("GET /favicon-run-success.svg") == 200
    assert tiny.came == [f"GET {PATH}/favicon-run-success.svg"]
    assert tiny.ask("GET /favicon.svg", f"{SITE}cross-site") == 403
    for path in ("/favicon/../graphql", "/favicon.svg/x", "/x/favicon.svg", "/favicon.html"):
        assert tiny.ask(f"GET {path}") == 401
    assert tiny.ask("POST /favicon.svg", JSON, body="{}") == 401
    assert tiny.ask("GET /favicon.svg", *UPGRADE) == 403
    assert len(tiny.came) == 1


def test_a_websocket_needs_the_token(tiny: Guarded) -> None:
    assert tiny.ask(f"GET {PATH}/graphql", tiny.origin, *UPGRADE) == 403
    assert not tiny.came


def test_the_cookie_alone_posts_nothing_and_opens_no_websocket(tiny: Guarded) -> None:
    assert tiny.ask(f"POST {PATH}/graphql", tiny.cookie, JSON, body="{}") == 401
    assert tiny.ask(f"GET {PATH}/graphql", tiny.cookie, *UPGRADE) == 403
    assert not tiny.came


@pytest.mark.parametrize("request_", [f"GET {PATH}/", "GET /", "GET /?token=" + TOKEN])
def test_no_answer_can_be_framed_or_tells_where_it_came_from(tiny: Guarded, request_: str) -> None:
    answer = tiny.answer(request_, tiny.cookie).lower()
    assert "content-security-policy: frame-ancestors 'none'" in answer
    assert answer.count("x-frame-options: deny") == answer.count("x-frame-options") == 1
    assert "referrer-policy: no-referrer" in answer
    assert "cross-origin-resource-policy: same-origin" in answer


def test_dagsters_own_policy_of_contents_stays_beside_ours(tiny: Guarded) -> None:
    answer = tiny.answer(f"GET {PATH}/", tiny.cookie).lower()
    assert "content-security-policy: own" in answer


# The token's file


def test_the_token_stays_over_restarts_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    said: list[str] = []
    token = token_of(tmp_path, said.append)
    assert stat.S_IMODE((tmp_path / "ui_token").stat().st_mode) == 0o600
    assert token_of(tmp_path, said.append) == token
    assert not said
    assert {path.name for path in tmp_path.iterdir()} == {"ui_token", "ui_token.lock"}


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o604])
def test_a_token_that_others_could_read_is_replaced_and_that_is_said(
    tmp_path: Path, mode: int
) -> None:
    said: list[str] = []
    old = token_of(tmp_path, said.append)
    (tmp_path / "ui_token").chmod(mode)
    new = token_of(tmp_path, said.append)
    assert new != old
    assert "Others could read or change" in said[0]
    assert stat.S_IMODE((tmp_path / "ui_token").stat().st_mode) == 0o600
    assert token_of(tmp_path, said.append) == new


@pytest.mark.parametrize("content", ["", "short", "\x00" * 43])
def test_a_file_that_holds_no_token_is_written_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "ui_token").write_text(content)
    (tmp_path / "ui_token").chmod(0o600)
    token = token_of(tmp_path, lambda _: None)
    assert len(token) == 43
    assert token_of(tmp_path, lambda _: None) == token


def test_two_that_start_at_once_have_one_token(tmp_path: Path) -> None:
    found: list[str] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        found.append(token_of(tmp_path, lambda _: None))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8


# Children that end with their parent

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""
PARENT = """
import sys, time
from blsync.ui import lifeline
child = lifeline.start([sys.executable, "-c", sys.argv[1], sys.argv[2]])
if len(sys.argv) > 3:
    time.sleep(1)
    child.release()
    sys.exit()
time.sleep(600)
"""


def _await(is_so: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.05)
    return False


def _is_running(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _family(tmp_path: Path, *more: str) -> tuple[subprocess.Popen[bytes], list[int]]:
    """Start a parent with a child that has a child; returns the parent and the pids of the two."""
    file = tmp_path / "pids"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, STUBBORN, str(file), *more])
    assert _await(lambda: file.exists() and len(file.read_text().split()) == 2)
    return parent, [int(pid) for pid in file.read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_child_and_its_children_end_with_the_parent_however_that_ends(
    tmp_path: Path, number: signal.Signals
) -> None:
    parent, family = _family(tmp_path)
    assert all(map(_is_running, family))
    parent.send_signal(number)
    parent.wait()
    assert _await(lambda: not any(map(_is_running, family)))


def test_a_child_that_was_released_goes_on_until_its_keeper_is_told(tmp_path: Path) -> None:
    parent, family = _family(tmp_path, "release")
    assert parent.wait(timeout=30) == 0
    time.sleep(0.3)
    assert all(map(_is_running, family))
    (keeper,) = {int(Path(f"/proc/{family[0]}/stat").read_text().rpartition(")")[2].split()[1])}
    os.kill(keeper, signal.SIGTERM)
    assert _await(lambda: not any(map(_is_running, family)))


def test_a_childs_exit_code_is_told() -> None:
    child = lifeline.start([sys.executable, "-c", "import sys; sys.exit(7)"])
    assert _await(lambda: child.exit_code is not None)
    assert child.exit_code == 7
    child.end()


# The real thing


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    with serving_ui(tmp_path_factory.mktemp("ui")) as ui:
        yield ui


def test_dagster_answers_whoever_has_the_token_and_nobody_else(ui: Ui) -> None:
    query = {"query": "{ version }"}
    assert patient.post(f"{ui.url}/graphql", json=query).status_code == 401
    headers = {"Authorization": f"Bearer {ui.token}"}
    answer = patient.post(f"{ui.url}/graphql", json=query, headers=headers)
    assert answer.json()["data"]["version"]
    page = patient.get(f"{ui.url}{secret_path(ui.token)}/runs", headers=headers)
    assert f'"{secret_path(ui.token)}' in page.text


def test_nothing_but_the_guarded_port_listens(ui: Ui) -> None:
    family = {ui.process.pid, *descendants(ui.process.pid)}
    assert len(family) > 4
    listening = [address for pid in family for address in _listening_addresses(pid)]
    assert set(listening) == {("127.0.0.1", ui.port)}


def test_the_code_servers_sockets_are_in_a_folder_of_this_users_alone(ui: Ui) -> None:
    family = descendants(ui.process.pid)
    sockets = {
        Path(path) for path in _unix_sockets() if Path(path).name != "" and "/blsync-" in path
    }
    mine = {path for path in sockets if any(str(path) in _command(pid) for pid in family)}
    assert len(mine) >= 2
    for path in mine:
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_token_is_in_no_process_list_and_no_log(ui: Ui) -> None:
    for pid in (ui.process.pid, *descendants(ui.process.pid)):
        assert ui.token not in _command(pid)
        assert ui.token.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    patient.get(f"{ui.url}/?token={ui.token}")
    patient.get(f"{ui.url}/runs?token={ui.token}&x=wrong")
    said = ui.log.read_text()
    assert said.count(ui.token) == 1  # the address that is told
    kept = (ui.data / "dagster").rglob("*")
    assert [path.name for path in kept if ui.token.encode() in _content(path)] == ["ui_token"]


def _content(path: Path) -> bytes:
    """Return a file's bytes: none of a folder, or of a database's side file that has gone since."""
    with suppress(FileNotFoundError, IsADirectoryError):
        return path.read_bytes()
    return b""


def _listening_addresses(pid: int) -> list[tuple[str, int]]:
    """Return address and port of each TCP socket that a process listens on."""
    own = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            own.add(str(descriptor.readlink()))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, state, inode = (line.split()[n] for n in (1, 3, 9))
            if state == "0A" and f"socket:[{inode}]" in own:
                address, _, port = local.partition(":")
                packed = bytes.fromhex(address)[::-1]
                name = socket.inet_ntoa(packed) if table == "tcp" else address
                found.append((name, int(port, 16)))
    return found


def _unix_sockets() -> list[str]:
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    return [parts[7] for line in lines if len(parts := line.split()) > 7]


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_whatever_ends_the_ui(tmp_path: Path, number: signal.Signals) -> None:
    with serving_ui(tmp_path) as ui:
        assert _await(lambda: len(descendants(ui.process.pid)) > 4, 60)
        family = descendants(ui.process.pid)
        ui.process.send_signal(number)
        code = ui.process.wait(timeout=60)
        assert code == (0 if number != signal.SIGKILL else -9)
        assert _await(lambda: not any(map(_is_running, family)), 40)
        with closing(socket.socket()) as probe:
            assert probe.connect_ex(("127.0.0.1", ui.port)) != 0


def _daemons(ui: Ui) -> list[int]:
    family = descendants(ui.process.pid)
    return [p for p in family if "dagster._daemon" in _command(p) and "lifeline" not in _command(p)]


def test_a_daemon_that_dies_is_told_and_takes_the_ui_along(tmp_path: Path) -> None:
    with serving_ui(tmp_path) as ui:
        assert _await(lambda: len(_daemons(ui)) == 1, 60)
        (daemon,), family = _daemons(ui), descendants(ui.process.pid)
        os.kill(daemon, signal.SIGKILL)
        assert ui.process.wait(timeout=60) == 1
        assert "Error: Dagster's daemon ended by itself (exit code 137)" in ui.log.read_text()
        assert _await(lambda: not any(map(_is_running, family)), 40)


def test_a_port_that_is_taken_and_a_name_that_is_none_are_plain_errors(tmp_path: Path) -> None:
    env = {
        **os.environ,
        "BLSYNC_DATA": str(tmp_path / "data"),
        "BLSYNC_ENV_FILE": os.devnull,
    }
    command = [sys.executable, "-m", "blsync.cli", "ui", "--port"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run([*command, port], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"Port {port} on 127.0.0.1 cannot be used" in done.stderr
    named = [*command, port, "--allow-host", "http://dagster.example.com"]
    done = subprocess.run(named, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "--allow-host: 'http://dagster.example.com' is no host name" in done.stderr
    assert json.dumps(done.stdout) == '""'


@pytest.mark.parametrize(
    ("token", "mode", "home", "said"),
    [
        ("short", 0o400, True, "holds no token"),
        (TOKEN, 0o622, True, "others can write"),
        (TOKEN, 0o400, False, "DAGSTER_HOME has to name"),
        (None, 0, True, "cannot be read"),
    ],
)
def test_a_ui_by_itself_is_refused_without_a_safe_token_or_the_instance_of_the_others(
    tmp_path: Path, token: str | None, mode: int, home: bool, said: str
) -> None:
    file, workspace = tmp_path / "token", tmp_path / "workspace.yaml"
    workspace.write_text("load_from: []")
    if token:
        file.write_text(f"{token}\n")
        file.chmod(mode)
    if home:
        (tmp_path / "dagster.yaml").touch()
    command = [sys.executable, "-m", "blsync.cli", "ui", f"--workspace={workspace}"]
    done = subprocess.run(
        [*command, f"--token-file={file}"],
        env={**os.environ, "DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert TOKEN not in done.stderr
