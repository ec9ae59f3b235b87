"""The units of deploy/systemd: systemd understands them, and each starts a command of ours."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from blsync.cli.app import app

UNITS = Path(__file__).parent.parent / "deploy/systemd"
NAMES = sorted(path.name for path in UNITS.iterdir() if path.is_file())
ANALYZE = shutil.which("systemd-analyze")
HOST = Path("/lib/systemd/system")
"""The targets that units hang on."""

needs_systemd = pytest.mark.skipif(
    ANALYZE is None or not HOST.is_dir(), reason="there is no systemd-analyze on PATH"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine with nothing but the units, the program that they start, and systemd's own."""
    root = tmp_path_factory.mktemp("machine")
    shutil.copytree(UNITS, root / "etc/systemd/system")
    shutil.copytree(HOST, root / "usr/lib/systemd/system", symlinks=True)
    program = root / "opt/blsync/bin/blsync"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return root


def analyzed(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(ANALYZE), f"--root={root}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=-3)


@needs_systemd
@pytest.mark.parametrize("name", NAMES)
def test_systemd_understands_every_line_of_a_unit(root: Path, name: str) -> None:
    told = analyzed(root, "verify", "--man=no", name)
    assert (told.returncode, told.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".service")])
def test_a_service_may_touch_little_of_its_machine(root: Path, name: str) -> None:
    told = analyzed(root, "security", "--offline=true", "--no-pager", "--threshold=25", name)
    assert told.returncode == 0, told.stdout[-400:]


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".service")])
def test_what_a_service_starts_is_a_command_with_options_that_it_has(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(UNITS / name)
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert program == "/opt/blsync/bin/blsync"
    app([*arguments, "--help"], standalone_mode=False)
    assert "Usage" in capsys.readouterr().out


def test_every_timer_has_the_service_that_it_starts() -> None:
    timers = [Path(name) for name in NAMES if name.endswith(".timer")]
    assert timers
    assert {f"{timer.stem}.service" for timer in timers} <= {*NAMES}
