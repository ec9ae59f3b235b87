"""A headless Chromium, driven over its DevTools protocol."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--remote-debugging-port=0", "--window-size=1400,900"),
)
START_SECONDS = 60


def program() -> str | None:
    """Return Chromium's path, None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One tab. What happens in it is kept in `events`, as (name, parameters)."""

    def __init__(self, connection: ClientConnection, session: str) -> None:
        self._connection, self._session = connection, session
        self._numbers = itertools.count(1)
        self.events: list[tuple[str, Any]] = []
        for domain in ("Page", "Runtime", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> Any:
        """Send a command and return its result."""
        number = next(self._numbers)
        told = {"id": number, "method": method, "params": parameters}
        self._connection.send(json.dumps(told | {"sessionId": self._session}))
        while True:
            message = self._read(60)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def _read(self, seconds: float) -> Any:
        message = json.loads(self._connection.recv(timeout=seconds))
        if "method" in message and message.get("sessionId") == self._session:
            self.events.append((message["method"], message["params"]))
        return message

    def look(self) -> None:
        """Take in what has happened until now."""
        with suppress(TimeoutError):
            while True:
                self._read(0.05)

    def open(self, address: str) -> None:
        """Go to an address, in front: a page behind another one is told to rest."""
        self.ask("Page.bringToFront")
        self.ask("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """Return what an expression gives; a promise is waited for."""
        told = self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def text(self) -> str:
        return str(self.run("document.body ? document.body.innerText : ''"))

    def wait(self, is_so: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        """Wait until something is so, and return what it gave."""
        deadline = time.monotonic() + seconds
        while True:
            with suppress(AssertionError):  # a page that is changing has no context to ask in
                if found := is_so():
                    return found
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}: {self.text()}"
            self.look()

    def wait_for_text(self, text: str, seconds: float = 60) -> None:
        self.wait(lambda: text in self.text(), repr(text), seconds)

    def picture(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))


class Browser:
    """A running Chromium."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(10**6)

    def _ask(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._connection.recv(timeout=60))
            if message.get("id") == number:
                return message["result"]

    def page(self) -> Page:
        """Open a tab."""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self._connection, session)


@contextmanager
def browsing(folder: Path, *flags: str) -> Iterator[Browser]:
    """Run Chromium with a new profile in a folder."""
    command = [str(program()), *FLAGS, *flags, f"--user-data-dir={folder}", "about:blank"]
    log = (folder.parent / "chromium.log").open("wb")
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with connect(_address(folder, process), max_size=None, proxy=None) as connection:
            yield Browser(connection)
            with suppress(ConnectionClosed):
                connection.send(json.dumps({"id": 1, "method": "Browser.close"}))
                process.wait(timeout=20)
    finally:
        process.kill()
        process.wait()
        log.close()


def _address(folder: Path, process: subprocess.Popen[bytes]) -> str:
    file = folder / "DevToolsActivePort"
    deadline = time.monotonic() + START_SECONDS
    while not (file.exists() and len(file.read_text().splitlines()) == 2):
        assert process.poll() is None, "Chromium did not start; see chromium.log beside its profile"
        assert time.monotonic() < deadline, "Chromium did not start in time"
        time.sleep(0.1)
    port, path = file.read_text().splitlines()
    return f"ws://127.0.0.1:{port}{path}"
