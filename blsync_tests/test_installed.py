"""What is installed from a wheel: it needs no checkout, and writes nowhere but its data folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from blsync.files.places import ROOT
from blsync.marts.published import CHECKS

pytestmark = pytest.mark.deep
"""Two builds of the package, and a whole demo."""

LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", "build", "dist", "*.egg-info", ".*_cache", "data", "target"
)


def run(*command: object, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def built(kind: str, source: Path, target: Path) -> Path:
    """Build a wheel or an sdist from a source folder, asking no index."""
    target.mkdir()
    call = f"from setuptools.build_meta import build_{kind} as b; print(b({str(target)!r}))"
    run(sys.executable, "-c", call, cwd=source)
    (file,) = target.iterdir()
    return file


def contents(wheel: Path) -> dict[str, int]:
    """The files of a wheel and their checksums, less the list of these."""
    with zipfile.ZipFile(wheel) as opened:
        return {i.filename: i.CRC for i in opened.infolist() if not i.filename.endswith("/RECORD")}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, because builds leave their traces in it."""
    target = tmp_path_factory.mktemp("source") / "blsync"
    shutil.copytree(ROOT, target, ignore=LEFT_OUT)
    return target


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", source, tmp_path_factory.mktemp("built") / "wheel")


def test_the_wheel_holds_the_dbt_project_and_no_data_tests_or_tables_of_a_user(wheel: Path) -> None:
    held = set(contents(wheel))
    wanted = {
        f"blsync/installed/{path.relative_to(ROOT)}"
        for folder in ("models", "macros", "tests")
        for path in (ROOT / "warehouse" / folder).rglob("*")
        if path.is_file()
    }
    of_project = {name for name in held if name.startswith("blsync/installed/")}
    assert of_project == wanted | {
        "blsync/installed/dagster.yaml",
        "blsync/installed/warehouse/dbt_project.yml",
        "blsync/installed/warehouse/profiles.yml",
    }
    assert "blsync/pack/layouts/mpers.toml" in held
    assert not [name for name in held if name.startswith("blsync_tests") or name.endswith(".pyc")]


def test_a_wheel_of_the_source_distribution_is_the_one_of_the_checkout(
    source: Path, wheel: Path, tmp_path: Path
) -> None:
    archive = built("sdist", source, tmp_path / "sdist")
    shutil.unpack_archive(archive, tmp_path / "unpacked", filter="data")
    (folder,) = (tmp_path / "unpacked").iterdir()
    assert contents(built("wheel", folder, tmp_path / "wheel")) == contents(wheel)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, and the libraries of the one of the tests."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(folder, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python"]
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=folder)
    # A .pth of a folder that a .pth names is not read, so the editable install stays out.
    own = next(Path(sys.prefix).glob("lib/python*/site-packages"))
    (packages / "libraries.pth").write_text(f"{own}\n")
    dbt = folder / "bin/dbt"
    dbt.write_text(
        f"#!{folder}/bin/python\nimport sys\nfrom dbt.cli.main import cli\nsys.exit(cli())\n"
    )
    dbt.chmod(0o700)
    return folder


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Take the right to write into a folder; root has it all the same, so listings are compared."""
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        yield
    finally:
        for path in paths:
            path.chmod(path.stat().st_mode | 0o200)


def listing(folder: Path) -> dict[str, int]:
    """The files of a folder with their times of change, less what Python compiles."""
    return {
        str(path): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_demo_ties_out_in_an_empty_folder_and_writes_nowhere_but_its_data_folder(
    environment: Path, tmp_path: Path
) -> None:
    home, folder, temporary = tmp_path / "home", tmp_path / "empty", tmp_path / "tmp"
    for path in (home, folder, temporary):
        path.mkdir()
    env = {"PATH": os.defpath, "HOME": str(home), "TMPDIR": str(temporary)}
    before = listing(environment)

    with read_only(next(environment.glob("lib/python*/site-packages"))):
        told = run(environment / "bin/blsync", "demo", "--json", cwd=folder, env=env)

    report = json.loads(told)
    assert set(report["tie_out"]) == set(CHECKS)
    differences = [off for sync in report["syncs"] for off in sync["tie_out"].values()]
    assert differences
    assert set(differences) == {0}
    assert listing(environment) == before
    assert list(folder.iterdir()) == []
    data = home / ".local/share/blsync"
    assert [path for path in listing(home) if not Path(path).is_relative_to(data)] == []
    assert listing(temporary) == {}
