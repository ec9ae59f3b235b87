"""Programs of ours that start at once: `blsync`, and any Python that works with it.

Most of what a short program takes is the import of Dagster. One process of the whole test session
has done that, and each program is a fork of it, with arguments, environment, folder and streams of
its own. `PYTHON` takes `-m` and `-c` as Python does. `FOLDER` is a virtual environment like the one
of the tests, with a `bin/blsync` that starts at once.

Tests of how a program starts, or of processes and their families, start `sys.executable` instead.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NAME = "WARM_PROGRAMS"
IS_OWNER = _NAME not in os.environ
"""Whether this is the process that begins the tests; its workers have the variable from it."""
FOLDER = Path(os.environ.get(_NAME) or tempfile.mkdtemp(prefix="warm-"))
os.environ[_NAME] = str(FOLDER)
PYTHON = str(FOLDER / "bin/warm-python")
_ROOM = Path(__file__).parent
_CLIENT = """#!{python} -ISs
import sys
sys.path.insert(0, {room!r})
from warm_client import main
main({folder!r}, {own!r}, {name!r})
"""


@contextmanager
def serving_programs() -> Iterator[None]:
    """Let programs be started, here and in all workers; those that still run then are killed."""
    _set_up_environment()
    lifeline, end = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(FOLDER / "socket"))
        listener.listen(16)
        inherited = (listener.fileno(), lifeline)
        command = [FOLDER / "bin/python", _ROOM / "warm_server.py", *map(str, inherited)]
        log = (FOLDER / "server.log").open("wb")
        server = subprocess.Popen(command, pass_fds=inherited, stdin=-3, stdout=log, stderr=log)
    os.close(lifeline)
    try:
        yield
    finally:
        os.close(end)
        server.wait()
        log.close()
        shutil.rmtree(FOLDER, ignore_errors=True)


def _set_up_environment() -> None:
    """Make a virtual environment that shares all but its programs with the one of the tests."""
    (FOLDER / "bin").mkdir()
    own = FOLDER / "bin/python"
    own.symlink_to(Path(sys.executable).resolve())
    (FOLDER / "lib").symlink_to(Path(sys.prefix) / "lib")
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", FOLDER)
    for file, name in ((PYTHON, "python"), (str(FOLDER / "bin/blsync"), "blsync")):
        places = {"python": sys.executable, "room": str(_ROOM), "folder": str(FOLDER)}
        Path(file).write_text(_CLIENT.format(**places, own=sys.executable, name=name))
        Path(file).chmod(0o700)
    for program in (Path(sys.prefix) / "bin").iterdir():
        if not (FOLDER / "bin" / program.name).exists():
            (FOLDER / "bin" / program.name).symlink_to(program)
