"""The first thing a newcomer runs, from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from conftest import spied, spy_on_children

from blsync.marts import CHECKS


def test_the_demo_ties_out_before_and_after_a_night_and_pushes_a_change(tmp_path):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("BIGLEDGER_", "BLSYNC_"))}
    # A real company's settings must not reach the demo, nor the demo its data.
    data = tmp_path / "data"
    env |= {"BLSYNC_DATA": str(data), "BIGLEDGER_API_KEY": "blg_live_sk_real"}
    env |= spy_on_children(tmp_path / "spy", "sandbox", "dbt")
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
    children = spied(tmp_path / "spy")
    assert len(children) >= 3
    assert "blg_" not in str(children)
    assert "blg_live_sk_real" not in done.stdout + done.stderr
