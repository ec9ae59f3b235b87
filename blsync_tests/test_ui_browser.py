"""Dagster's UI in a real browser: it works in full, and no page of another origin reaches it."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from rig import patient
from rig.chromium import Browser, Page, browsing, program
from rig.listening import listening
from rig.ui_process import Ui, serving_ui

from blsync.ui.token import secret_path

pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(
        program() is None, reason="there is no Chromium on PATH: apt-get install chromium"
    ),
]

JOB = "push_settle"
"""A job that asks nobody anything where nothing is held."""
LAUNCH = f"""
mutation {{ launchRun(executionParams: {{ selector: {{
  repositoryLocationName: "blsync", repositoryName: "__repository__", jobName: "{JOB}"
}}, runConfigData: {{}} }}) {{ __typename ... on LaunchRunSuccess {{ run {{ runId }} }} }} }}
"""
RUNS = "{ runsOrError { ... on Runs { results { runId status } } } }"

ATTACK = """
(async () => {
  const [base, socketBase, paths, query] = ARGUMENTS;
  const body = JSON.stringify({query});
  const seen = {};
  const note = (name, promise) =>
    Promise.race([promise, new Promise(done => setTimeout(() => done("no answer"), 3000))])
      .then(value => { seen[name] = String(value); }, error => { seen[name] = "refused"; });
  const loaded = element => new Promise(done => {
    element.onload = () => done("loaded"); element.onerror = () => done("refused");
    document.body.append(element);
  });
  const make = (name, values) => Object.assign(document.createElement(name), values);
  const form = (address, type, fields) => {
    const frame = make("iframe", {name: "frame" + Math.random()});
    document.body.append(frame);
    const sent = make("form", {method: "post", action: address, enctype: type, target: frame.name});
    for (const [name, value] of Object.entries(fields))
      sent.append(make("input", {type: "hidden", name, value}));
    document.body.append(sent);
    const done = new Promise(done => { frame.onload = () => done("loaded"); });
    sent.submit();
    return done;
  };
  const ask = (address, more) =>
    fetch(address, {credentials: "include", ...more}).then(answer => answer.type);
  const work = [];
  for (const path of paths) {
    const address = base + path, asked = address + "?query=" + encodeURIComponent(query);
    const text = {"Content-Type": "text/plain"}, json = {"Content-Type": "application/json"};
    work.push(
      note("image " + path, loaded(make("img", {src: asked + "&image"}))),
      note("script " + path, loaded(make("script", {src: asked + "&script"}))),
      note("frame " + path, loaded(make("iframe", {src: asked + "&frame"}))),
      note("style " + path, loaded(make("link", {rel: "stylesheet", href: asked + "&style"}))),
      note("form " + path, form(asked + "&form", "application/x-www-form-urlencoded", {query})),
      note("text form " + path, form(asked + "&textform", "text/plain",
        {[body.slice(0, -1) + ',"x":"']: '"}'})),
      note("parts form " + path, form(asked + "&parts", "multipart/form-data", {query})),
      note("get form " + path, ask(asked + "&getfetch", {mode: "no-cors"})),
      note("text fetch " + path, ask(asked + "&textfetch",
        {mode: "no-cors", method: "POST", headers: text, body})),
      note("blind fetch " + path, ask(asked + "&blind", {mode: "no-cors", method: "POST", body})),
      note("json fetch " + path, ask(asked + "&json", {method: "POST", headers: json, body})),
      note("cors get " + path, ask(asked + "&corsget", {})),
      note("beacon " + path, navigator.sendBeacon(asked + "&beacon", body)),
      note("socket " + path, new Promise((done, failed) => {
        const socket = new WebSocket(socketBase + path, "graphql-ws");
        socket.onopen = () => { socket.send(body); done("open"); };
        socket.onerror = failed;
      })),
    );
  }
  await Promise.all(work);
  return seen;
})()
"""
WAYS = 14


@dataclass
class Recorder:
    """A server of a page on a port of its own, and what was asked of it."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)


@contextmanager
def recording() -> Iterator[Recorder]:
    """Serve a page to whoever asks for anything, on a free port."""

    recorder = Recorder()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            recorder.asked.append(f"{self.command} {self.path}")
            recorder.headers.append(self.headers.as_string())
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>page</title><body>page")

        def do_POST(self) -> None:
            self.do_GET()

        def do_OPTIONS(self) -> None:
            self.do_GET()

    with listening(Handler) as recorder.port:
        yield recorder


@dataclass
class Scene:
    """The UI, a browser that is signed in to it, and a foreign page's server."""

    ui: Ui
    browser: Browser
    foreign: Recorder
    page: Page
    folder: Path

    @property
    def path(self) -> str:
        return secret_path(self.ui.token)

    def ask(self, query: str) -> Any:
        headers = {"Authorization": f"Bearer {self.ui.token}"}
        answer = patient.post(f"{self.ui.url}/graphql", json={"query": query}, headers=headers)
        return answer.json()["data"]

    def runs(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.ask(RUNS)["runsOrError"]["results"]
        return found

    def attack(self, page: Page, host: str, port: int) -> dict[str, str]:
        """Have the open page try each way to launch a run; returns what it saw of each."""
        paths = ["/graphql", f"{self.path}/graphql"]
        told = [f"http://{host}:{port}", f"ws://{host}:{port}", paths, LAUNCH]
        seen: dict[str, str] = page.run(ATTACK.replace("ARGUMENTS", json.dumps(told)))
        return seen


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("browser")
    rules = "--host-resolver-rules=MAP *.example 127.0.0.1"
    with ExitStack() as stack:
        ui = stack.enter_context(serving_ui(folder))
        browser = stack.enter_context(browsing(folder / "profile", rules))
        foreign = stack.enter_context(recording())
        page = browser.page()
        page.open(ui.address)
        page.wait(lambda: secret_path(ui.token) in page.run("location.href"), "the UI's address")
        yield Scene(ui, browser, foreign, page, folder)


def test_the_attacks_reach_a_server_that_has_no_guard(scene: Scene) -> None:
    """Or what the other tests show would be nothing."""
    with recording() as open_server:
        page = scene.browser.page()
        page.open(f"http://evil.example:{scene.foreign.port}/")
        page.wait_for_text("page")
        scene.attack(page, "127.0.0.1", open_server.port)
    asked = [line for line in open_server.asked if f"{scene.path}/graphql" in line]
    for way in ("image", "script", "frame", "form", "textform", "parts", "textfetch", "beacon"):
        assert [line for line in asked if line.endswith(f"&{way}")], way
    assert [line for line in asked if line.startswith("OPTIONS ") and line.endswith("&json")]


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("evil.example", "127.0.0.1"),  # cross-site
        ("127.0.0.1", "127.0.0.1"),  # another port of the same site: the cookie comes along
        ("localhost", "127.0.0.1"),
        ("evil.example", "rebound.example"),  # a foreign name that leads to loopback
        ("rebound.example", "rebound.example"),
    ],
)
def test_no_page_of_another_origin_has_anything_run(scene: Scene, name: str, target: str) -> None:
    before = scene.runs()
    page = scene.browser.page()
    page.open(f"http://{name}:{scene.foreign.port}/")
    page.wait_for_text("page")
    seen = scene.attack(page, target, scene.ui.port)
    assert len(seen) == 2 * WAYS
    for way, came in seen.items():
        if way.startswith(("image", "script", "style", "json", "cors", "socket")):
            assert came == "refused", way
    time.sleep(0.5)
    assert scene.runs() == before


def test_a_page_that_has_rebound_its_name_to_the_ui_has_nothing_run(scene: Scene) -> None:
    """It is of the origin then that it asks: only the Host header tells."""
    before = scene.runs()
    page = scene.browser.page()
    page.open(f"http://rebound.example:{scene.ui.port}/")
    page.wait_for_text("This address is not served here")
    seen = scene.attack(page, "rebound.example", scene.ui.port)
    assert seen["socket /graphql"] == "refused"
    assert scene.runs() == before


def test_a_link_on_a_foreign_page_shows_no_page_of_the_ui(scene: Scene) -> None:
    links = (f"{scene.path}/graphql?query={quote(LAUNCH)}", f"{scene.path}/runs")
    for name, link in itertools.product(("evil.example", "127.0.0.1"), links):
        page = scene.browser.page()
        page.open(f"http://{name}:{scene.foreign.port}/")
        page.wait_for_text("page")
        page.run(f"location.href = {json.dumps(scene.ui.url + link)}; 0")
        told = "GraphQL by POST" if "graphql" in link else "Open it by the address"
        page.wait_for_text(told)
    assert scene.runs() == []


def test_a_browser_without_the_token_sees_nothing_of_dagster(scene: Scene) -> None:
    page = scene.browser.page()
    page.open(f"{scene.ui.url.replace('127.0.0.1', 'localhost')}{scene.path}/runs")
    page.wait_for_text("Open it by the address with a token")


def test_the_cookie_goes_to_no_other_port_of_the_machine(scene: Scene) -> None:
    """Another user of the machine may listen there."""
    page = scene.browser.page()
    page.open(f"http://127.0.0.1:{scene.foreign.port}/")
    page.wait_for_text("page")
    for path in ("/", "/graphql", "/ui-/graphql"):
        page.run(f"fetch('{path}', {{credentials: 'include'}}).then(answer => answer.text())")
    told = "\n".join(scene.foreign.headers)
    assert told.count("User-Agent") >= 4
    assert scene.ui.token not in told


def test_the_ui_launches_a_run_and_shows_its_log_as_it_comes(scene: Scene) -> None:
    page = scene.page
    page.open(f"{scene.ui.url}{scene.path}/locations/__repository__@blsync/jobs/{JOB}/playground")
    page.wait(lambda: page.run(_BUTTON.format(action="!button.disabled")), "the button", 120)
    page.run(_BUTTON.format(action="(button.click(), true)"))
    page.wait(lambda: "/runs/" in page.run("location.pathname"), "the run's page", 60)
    page.wait_for_text("RUN_SUCCESS", 120)
    page.picture(scene.folder / "run.png")
    (run,) = scene.runs()
    assert run["status"] == "SUCCESS"
    assert run["runId"] in page.run("location.pathname")
    page.look()
    opened = [told["url"] for name, told in page.events if name == "Network.webSocketCreated"]
    assert f"ws://127.0.0.1:{scene.ui.port}{scene.path}/graphql" in opened
    frames = [
        told["response"]["payloadData"]
        for name, told in page.events
        if name == "Network.webSocketFrameReceived"
    ]
    assert any("RunStartEvent" in frame or "RUN_START" in frame for frame in frames)
    failed = [
        (told["response"]["status"], told["response"]["url"])
        for name, told in page.events
        if name == "Network.responseReceived" and told["response"]["status"] >= 400
    ]
    assert not failed
    violations = [told for name, told in page.events if name == "Runtime.exceptionThrown"]
    assert not violations


_BUTTON = """
(() => {{
  const button = [...document.querySelectorAll("button")]
    .find(button => button.innerText.trim() === "Launch Run");
  return Boolean(button && {action});
}})()
"""


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/overview", "Timeline"),
        ("/assets", "finance / accounts"),
        ("/automation", "nightly_sync"),
        ("/runs", JOB),
    ],
)
def test_the_uis_pages_load_with_their_data(scene: Scene, path: str, text: str) -> None:
    page = scene.browser.page()
    page.open(f"{scene.ui.url}{scene.path}{path}")
    page.wait_for_text(text)
    page.picture(scene.folder / f"{path[1:]}.png")
