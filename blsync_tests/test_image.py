"""The image of deploy/image: built offline without a daemon, a demo run from its unpacked root."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from blsync import __version__
from blsync.files.places import ROOT

pytestmark = [
    pytest.mark.scale,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, ("buildah", "mmdebstrap", "unshare"))),
        reason="building an image without a daemon needs root, buildah, mmdebstrap and unshare",
    ),
]
BASE = "localhost/base"
IMAGE = "localhost/blsync:test"
MAKE = ("make", "-o", ".venv/installed")
"""The environment of the tests is as it is, however old its mark."""
OFFLINE = ("unshare", "--net")
USER = 10001
ALLOWED = {"HOME", "BLSYNC_DATA", "PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}

RUN = """
set -e
cd {root}
mount --bind . {root}
mount -o remount,bind,ro {root}
mount --bind {home} {root}/var/lib/blsync
mount -t tmpfs -o mode=1777 tmpfs {root}/tmp
mount -t proc proc {root}/proc
mount --bind /dev {root}/dev
mount -t tmpfs -o mode=1777 tmpfs {root}/dev/shm
{loopback}
exec chroot {root} setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs \
  --bounding-set=-all --inh-caps=-all env -i {environment} sh -c {command}
"""
"""What a container's runtime does: a root that is only read, no network but loopback, no rights."""
LOOPBACK = (
    "import fcntl, socket, struct; s = socket.socket(); "
    "fcntl.ioctl(s, 0x8914, struct.pack('16sh14x', b'lo', 0x49))"
)
"""Loopback is down in a network of its own, and `ip` is not on every machine."""


def run(*command: object, timeout: float = 900) -> str:
    done = subprocess.run(
        [*map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout


class Image(NamedTuple):
    root: Path
    config: dict[str, Any]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("image")
    buildah = ("buildah", "--root", folder / "store", "--runroot", folder / "run")
    # Not every disk can do overlays; without them each step is a whole copy.
    overlay = (*buildah, "--storage-driver", "overlay")
    can_overlay = not subprocess.run([*overlay, "info"], capture_output=True).returncode
    buildah = overlay if can_overlay else (*buildah, "--storage-driver", "vfs")
    include = "--include=python3,python3-venv,ca-certificates"
    debian = ["mmdebstrap", "--quiet", "--variant=minbase", include, "bookworm"]
    base = folder / "base.tar"
    try:
        with subprocess.Popen([*debian, base], stderr=subprocess.PIPE, text=True) as making:
            run(*MAKE, "image-files")
            _, said = making.communicate(timeout=600)
        assert making.returncode == 0, said[-1000:]
        made = run(*buildah, "from", "scratch").strip()
        run(*buildah, "add", "--quiet", made, base, "/")
        run(*buildah, "commit", "--quiet", "--rm", made, BASE)
        build = ("BUILDER=" + shlex.join(map(str, buildah)), f"BASE={BASE}", f"IMAGE={IMAGE}")
        options = "BUILD_OPTIONS=--isolation chroot --pull-never"
        run(*OFFLINE, *MAKE, "-o", "image-files", "image", *build, options)
        told = json.loads(run(*buildah, "inspect", "--type", "image", IMAGE))
        container = run(*buildah, "from", "--pull-never", IMAGE).strip()
        root = Path(run(*buildah, "mount", container).strip())
        yield Image(root, told["OCIv1"]["config"])
    finally:
        subprocess.run([*map(str, buildah), "rm", "--all"], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(ROOT / "dist/image", ignore_errors=True)


def inside(image: Image, home: Path, command: str) -> str:
    """Run a shell's command in the image as its user, and return what it printed."""
    script = RUN.format(
        root=image.root,
        home=home,
        user=USER,
        loopback=f"python3 -c {shlex.quote(LOOPBACK)}",
        environment=shlex.join(image.config["Env"]),
        command=shlex.quote(f"cd; {command}"),
    )
    isolated = ("unshare", "--mount", "--net", "--pid", "--ipc", "--fork", "sh", "-c", script)
    return run(*isolated, timeout=540)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A volume as a runtime gives it: the image's own folder and its owner."""
    os.chown(tmp_path, USER, USER)
    tmp_path.chmod(0o700)
    return tmp_path


def test_the_image_names_a_user_by_number_and_holds_neither_secrets_nor_what_builds_it(
    image: Image,
) -> None:
    assert image.config["User"] == f"{USER}:{USER}"
    assert {pair.partition("=")[0] for pair in image.config["Env"]} == ALLOWED
    # Dagster's jobs on Kubernetes give the whole command as arguments.
    assert not image.config.get("Entrypoint")
    assert image.config["Labels"]["org.opencontainers.image.version"] == __version__
    held = image.root / "opt/blsync"
    assert not [
        *held.glob("bin/pip*"),
        *held.rglob("site-packages/pip"),
        *image.root.glob("wheels"),
    ]
    assert not [path for path in held.rglob("*") if path.stat(follow_symlinks=False).st_uid]
    assert [*held.rglob("site-packages/blsync/__pycache__/__init__.*.pyc")]
    assert not [*held.rglob("blsync_tests"), *held.rglob(".env")]


def test_a_demo_runs_in_the_image_as_its_user_from_a_root_that_is_only_read(
    image: Image, home: Path
) -> None:
    told = inside(image, home, "id -u; touch /opt/x 2>/dev/null || echo refused; blsync demo")
    first, second, *rest = told.splitlines()
    assert (first, second) == (str(USER), "refused")
    assert "Push: rows planned, and what became of them" in "\n".join(rest)
    assert (home / "data/demo/blsync.duckdb").is_file()
    assert {path.stat().st_uid for path in home.rglob("*")} == {USER}


def test_the_programs_that_the_deployments_start_are_in_the_image(image: Image, home: Path) -> None:
    programs = ["dagster", "dagster-daemon", "dagster-celery", "blsync"]
    look = f"for name in {' '.join(programs)}; do command -v $name; done"
    told = inside(image, home, f"{look}; python -c 'import boto3, dagster_k8s, redis'")
    assert told.split() == [f"/opt/blsync/bin/{name}" for name in programs]
