"""The first thing a newcomer runs, from outside."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from conftest import spied, spy_on_children
from rig.ui_process import descendants

from blsync.files.permissions import close_data_folder
from blsync.marts.published import CHECKS


@pytest.mark.deep
def test_the_demo_ties_out_before_and_after_a_night_and_pushes_a_change(tmp_path):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))}
    # A real company's settings must not reach the demo, nor the demo its data.
    data = tmp_path / "data"
    env |= {"BLSYNC_DATA": str(data), "BIGLEDGER_API_KEY": "blg_live_sk_real"}
    env |= spy_on_children(tmp_path / "spy", "sandbox", "blsync.marts.compiled")
    done = subprocess.run(
        [sys.executable, "-m", "blsync.cli", "demo", "--json"],
        env=env,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert len(report["syncs"]) == 2
    for sync in report["syncs"]:
        assert set(sync["tie_out"]) == set(CHECKS)
        assert all(off == 0 for off in sync["tie_out"].values())
        assert sync["entities"]["invoices"]["rows"] > 0
    assert report["tie_out"] == report["syncs"][-1]["tie_out"]
    assert report["push"]["counts"]["reject"] == 2
    assert report["push"]["outcomes"]["verified"] == 10
    assert [path.name for path in data.iterdir()] == ["demo"]
    # All that a sync, a build and a push leave is known for blsync's: such a folder closes whole.
    (data / "demo").chmod(0o755)
    close_data_folder(data / "demo")
    assert (data / "demo").stat().st_mode & 0o077 == 0
    children = spied(tmp_path / "spy")
    assert children
    assert "blg_" not in str(children)
    assert "blg_live_sk_real" not in done.stdout + done.stderr


@pytest.mark.deep
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whatever_ends_the_demo_ends_its_sandbox_too(tmp_path, number):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "blsync.cli", "demo", "--keep", "--port", str(port)],
        env=env | {"BLSYNC_DATA": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert _await(lambda: (tmp_path / "demo" / "sandbox.json").exists(), 60)
        assert _listens(port)
        process.send_signal(number)
        assert process.wait(timeout=60) != 0
        assert _await(lambda: not _listens(port), 30)
    finally:
        for pid in (*descendants(process.pid), process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _await(is_so, seconds):
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
