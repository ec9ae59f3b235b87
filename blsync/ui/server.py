"""Dagster's web server in this process, its code server and its daemon as children, or elsewhere.

Only the guarded port is open. The code server, which runs what it is told to, listens on a Unix
socket in a folder that this user alone can enter.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import uvicorn

from blsync.errors import BlsyncError, ConfigError
from blsync.lake.store import Lake
from blsync.settings import Settings, paths_in_environment
from blsync.ui import lifeline
from blsync.ui.guard import App, Door, door, guarded
from blsync.ui.lifeline import Child
from blsync.ui.token import secret_path, token_in, token_of

ADDRESS = "127.0.0.1"
CODE_LOCATION = "blsync"
LONGEST_FOLDER = 60
"""Characters of a folder's path that leave room for a socket's name, of about 100 in all."""
_LOOK_SECONDS = 0.2
_CLOSE_SECONDS = 5
"""How long open connections may take to end when the server stops."""
_POLL_MS = 2000
"""How often the UI asks for news, as under `dagster dev`."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Say = Callable[[str], None]


def open_ui(
    settings: Settings,
    port: int,
    *,
    hosts: Iterable[str] = (),
    say: Say = lambda _: None,
    show_address: Say = lambda _: None,
) -> None:
    """Serve Dagster's UI on loopback, and run its daemon, until a signal ends both.

    `hosts` are further names, with a port where it is not https's, under which browsers reach it
    through a reverse proxy or a tunnel. `show_address` is given the address with its token once the
    UI answers.

    Raises ConfigError where the port or a name cannot be used, BlsyncError where Dagster's daemon
    or code server ends by itself, StorageError.
    """
    is_over = threading.Event()
    with (
        _listening(port) as listener,
        _told_by_signals(is_over),
        _private_folder() as folder,
        contextlib.ExitStack() as children,
    ):
        Lake(settings.data)
        home = _instance_home()
        token = token_of(home, say)
        known = _door(token, port, hosts)
        os.environ |= {**paths_in_environment(settings), "DAGSTER_HOME": str(home)}
        say("Starting Dagster …")
        code_server = _start_code_server(children, folder, home)
        if not _is_up(code_server, folder, is_over):
            return
        workspace = _workspace(folder)
        daemon = _start(children, home, ["dagster._daemon", "run", "-w", str(workspace)])
        with _dagster(workspace, known.path) as app, _serving(guarded(app, known), listener):
            show_address(f"http://{ADDRESS}:{port}/?token={token}")
            _watch({"daemon": daemon, "code server": code_server}, is_over)


def serve_ui(
    workspace: Path,
    token_file: Path,
    address: tuple[str, int],
    *,
    hosts: Iterable[str] = (),
    say: Say = lambda _: None,
    show_address: Say = lambda _: None,
) -> None:
    """Serve Dagster's UI alone, behind the same guard, until a signal ends it.

    The daemon and the code location that `workspace` names run elsewhere, with the same instance,
    which DAGSTER_HOME names. Nothing of blsync's is read but the token in `token_file`, and nothing
    is written. `address` is a host and a port to listen on. `show_address` is given the UI's
    address without its token: what a container prints is kept where others read it.

    Raises ConfigError where the instance, the token, the address or a name cannot be used.
    """
    host, port = address
    token = token_in(token_file)
    known = _door(token, port, hosts)
    home = os.environ.get("DAGSTER_HOME", "")
    if not (Path(home) / "dagster.yaml").is_file():
        raise ConfigError(
            "A UI by itself needs the instance of the daemon and the code location beside it: "
            f"DAGSTER_HOME has to name the folder of their dagster.yaml, and is {home!r}."
        )
    if not workspace.is_file():
        raise ConfigError(f"--workspace: there is no file {workspace}.")
    is_over = threading.Event()
    with _listening(port, host) as listener, _told_by_signals(is_over):
        say("Starting Dagster …")
        with _dagster(workspace, known.path) as app, _serving(guarded(app, known), listener):
            show_address(f"http://{ADDRESS}:{port}/?token=TOKEN, with the token of {token_file}")
            is_over.wait()


def is_free(port: int) -> bool:
    """Tell whether a server may listen on a loopback port."""
    try:
        with _listening(port):
            return True
    except ConfigError:
        return False


@contextlib.contextmanager
def _listening(port: int, host: str = ADDRESS) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()
        except OSError as error:
            raise ConfigError(
                f"Port {port} on {host} cannot be used: {error.strerror}. Choose another with "
                f"--port (make ui PORT={port + 1})."
            ) from None
        yield listener


@contextlib.contextmanager
def _told_by_signals(is_over: threading.Event) -> Iterator[None]:
    """Have signals end the UI in order. A script's `&` has SIGINT ignored: here it is not."""
    before = {number: signal.signal(number, lambda *_: is_over.set()) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    """Yield a folder for sockets that only this user can enter; the system's temporary ones cannot
    be guessed, but others may connect to what they find there.
    """
    base = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix="blsync-", dir=base if len(base) < LONGEST_FOLDER else "/tmp")  # noqa: S108
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _instance_home() -> Path:
    """Import Dagster only where it is needed: it takes seconds."""
    from blsync.orchestration.home import instance_home

    return instance_home()


def _door(token: str, port: int, hosts: Iterable[str]) -> Door:
    try:
        return door(token, secret_path(token), port, hosts)
    except ValueError as error:
        raise ConfigError(
            f"--allow-host: {error}. Write it as the browser's address line has it, such as "
            "dagster.example.com or localhost:8080."
        ) from None


def _start(
    children: contextlib.ExitStack,
    home: Path,
    command: list[str],
    environment: Mapping[str, str] | None = None,
) -> Child:
    # In its home, or Dagster warns of a dagster.yaml that it finds here and does not use.
    command = [sys.executable, "-m", *command]
    child = lifeline.start(command, env=environment, cwd=home)
    children.callback(child.end)
    return child


def _start_code_server(children: contextlib.ExitStack, folder: Path, home: Path) -> Child:
    """Start what loads the code location and runs its jobs, for the UI and the daemon alike."""
    command = ["dagster", "code-server", "start", "--socket", str(_socket(folder))]
    command += ["--module-name", "blsync.definitions", "--location-name", CODE_LOCATION]
    command += ["--use-python-environment-entry-point", "--log-level", "warning"]
    # It has a server of its own behind it, whose socket goes where temporary files go.
    return _start(children, home, command, {**os.environ, "TMPDIR": str(folder)})


def _socket(folder: Path) -> Path:
    return folder / "code.sock"


def _workspace(folder: Path) -> Path:
    """Write the file that tells Dagster where the code server is; JSON is YAML too."""
    server = {"socket": str(_socket(folder)), "location_name": CODE_LOCATION}
    file = folder / "workspace.yaml"
    file.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))
    return file


def _is_up(code_server: Child, folder: Path, is_over: threading.Event) -> bool:
    """Wait until the code server answers; tells whether it does, or the UI is to end before."""
    while not is_over.wait(_LOOK_SECONDS):
        _check({"code server": code_server})
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.connect(str(_socket(folder)))
            return True
    return False


@contextlib.contextmanager
def _dagster(workspace: Path, path: str) -> Iterator[App]:
    """Yield Dagster's own web server as an ASGI app whose pages are below `path`."""
    from dagster import DagsterInstance
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver import cli
    from dagster_webserver.app import create_app_from_workspace_process_context
    from dagster_webserver.version import __version__

    target = WorkspaceFileTarget(paths=[str(workspace)])
    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(
            cli.DEFAULT_DB_STATEMENT_TIMEOUT,
            cli.DEFAULT_POOL_RECYCLE,
            cli.DEFAULT_POOL_MAX_OVERFLOW,
        )
        with WorkspaceProcessContext(instance, target, version=__version__) as context:
            app: Any = create_app_from_workspace_process_context(context, path, _POLL_MS)
            yield app


@contextlib.contextmanager
def _serving(app: App, listener: socket.socket) -> Iterator[None]:
    """Serve an app on a socket. Nothing is logged of a request: an address may hold the token."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_CLOSE_SECONDS,
    )
    server = uvicorn.Server(config)
    # Not in the main thread, where it would take the signals for itself.
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def _watch(children: Mapping[str, Child], is_over: threading.Event) -> None:
    """Wait for the end. Raises BlsyncError where a child ends before."""
    while not is_over.wait(_LOOK_SECONDS):
        _check(children)


def _check(children: Mapping[str, Child]) -> None:
    for name, child in children.items():
        if child.exit_code is not None:
            raise BlsyncError(
                f"Dagster's {name} ended by itself (exit code {child.exit_code}), and without it "
                "no schedule runs: the UI ends too. What it said last stands above. Start "
                "`blsync ui` again."
            )
