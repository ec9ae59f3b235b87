"""Serving the sandbox on loopback: for good, or for the length of a with block."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvicorn

from blsync.sandbox.http.app import create_app
from blsync.sandbox.options import Options

DEFAULT_PORT = 8765
START_SECONDS = 30


@dataclass(frozen=True)
class Handle:
    """A sandbox that runs: where it is and how to get in. ``url`` has the control routes."""

    url: str
    api_key: str
    company_id: str

    @property
    def base_url(self) -> str:
        """The address a client is given."""
        return f"{self.url}/v1"

    @property
    def token_url(self) -> str:
        """Where a client with OAuth gets its tokens."""
        return f"{self.url}/oauth/token"


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} on {host} is taken: stop what uses it, or choose another"
            raise OSError(errno.EADDRINUSE, message) from error
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


class _Announcing(uvicorn.Server):
    """Calls `when_ready` once it listens and answers."""

    def __init__(self, config: uvicorn.Config, when_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._when_ready = when_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._when_ready()


def _server(options: Options, when_ready: Callable[[], None] = lambda: None) -> uvicorn.Server:
    config = uvicorn.Config(
        create_app(options),
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=False,  # the gateway tells the time, or does not
        timeout_graceful_shutdown=1,
    )
    return _Announcing(config, when_ready)


def serve(
    options: Options,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    when_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until interrupted. Prints nothing; `when_ready` is called once it listens.

    Raises OSError when the port is taken, before the books are made, and ValueError for
    faults it does not know.
    """
    with contextlib.closing(_listen(host, port)) as listener:
        _server(options, when_ready).run(sockets=[listener])


@contextlib.contextmanager
def running(options: Options | None = None, port: int = 0) -> Iterator[Handle]:
    """Run a sandbox in a thread on a loopback port (0: a free one) while the block lasts.

    Raises OSError when the port is taken and RuntimeError when the server does not start.
    """
    options = options or Options()
    listener = _listen("127.0.0.1", port)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with contextlib.closing(listener):
        server = _server(options)
        arguments = {"sockets": [listener]}
        thread = threading.Thread(target=server.run, kwargs=arguments, daemon=True)
        thread.start()
        try:
            _await_start(server, thread)
            yield Handle(url, options.api_key, options.company_id)
        finally:
            server.should_exit = True
            thread.join()


def _await_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the sandbox did not start")
        time.sleep(0.002)
