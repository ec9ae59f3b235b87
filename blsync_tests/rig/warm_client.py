"""What stands in for a program that `warm_server.py` runs: its streams, its end, its signals.

Where Python is told what to load first (PYTHONPATH), the program itself runs: a fork could not.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path


def main(folder: str, python: str, name: str) -> None:
    arguments = sys.argv[1:]
    if "PYTHONPATH" in os.environ:
        own = [python] if name == "python" else [python, str(Path(python).with_name(name))]
        os.execv(python, [*own, *arguments])
    umask = os.umask(0o077)
    told = {
        "arguments": [name, *arguments],
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "umask": umask,
    }
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(f"{folder}/socket")
        message = json.dumps(told).encode() + b"\n"
        sent = socket.send_fds(server, [message], [0, 1, 2])
        server.sendall(message[sent:])
        answers = server.makefile()
        pid = int(answers.readline())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: os.kill(pid, number))
        for number in range(3):
            os.close(number)  # who reads what we print waits for the other process alone
        code = int(answers.readline())
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code)
