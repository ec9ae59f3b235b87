"""Who may read and write what is on the disk: its owner alone, unless the settings say more."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from blsync import logs
from blsync.errors import ConfigError
from blsync.files.aside import MARK

OTHERS = 0o077
WRITABLE = 0o022
"""Permission bits of the group and the world; those that let them write."""
_OURS = (
    *("landing", "quarantine", "spool", "inputs", "dbt", "docs", "dagster", "demo", "errors"),
    *("push", "plans", "mirror", "lake.lock", "build.files", "build.quarantine", "user", "cache"),
    *("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock", "report.html"),
    *("blsync.duckdb", "blsync.previous.duckdb", "build.duckdb", "build.duckdb.wal"),
    *("build.duckdb.tmp", "build.lock", "build.full", "build.whole", "build.models", "builds"),
    *("sandbox.db", "sandbox.db-wal", "sandbox.db-shm", "sandbox.log", "sandbox.json"),
    *("credit limits.csv", "no.env", "lake.json", "dropping.json"),
    *("live.lock", "alerts.lock", "alerts.lost", "close.lock"),
)
"""Everything that blsync, the demo included, makes at the top of a data folder, this version and
those before. A folder is taken for blsync's alone where nothing else is in it: a name that is
missing here has its folder stay open, or be refused.
"""
_warned: set[str] = set()


def keep_private() -> None:
    """Have every folder and file that this process makes from now on closed to others."""
    os.umask(OTHERS)


def close_data_folder(data: Path) -> None:
    """Close a data folder that an earlier version, or somebody's umask, left open to others.

    A folder that holds nothing but what blsync made is closed as a whole. In one that holds other
    things too, a home for instance, only what blsync made is closed. Links are not followed.
    What belongs to another user is told once on stderr. Raises ConfigError where others can write
    into a folder that is not blsync's alone; OSError where it cannot be looked at.
    """
    data = data.resolve()
    if not data.exists() or not _mode(data) & OTHERS:
        return
    found = [path for path in data.iterdir() if not _is_passing(path.name)]
    ours = [path for path in found if path.name.partition(MARK)[0] in _OURS]
    left: list[str] = []
    if len(ours) == len(found):
        close(data, left)
    elif _mode(data) & WRITABLE:
        raise ConfigError(
            f"BLSYNC_DATA is {data}, a folder that holds other things and into which others can "
            "write: they could change the books. Name a folder for blsync alone, or take the right "
            f"away: chmod go-w '{data}'"
        )
    for path in ours:
        if not path.is_symlink() and _mode(path) & OTHERS:
            close(path, left)
            for inner in _inside(path):
                close(inner, left)
    if left:
        warn_once(
            f"{len(left)} files and folders in {data} belong to another user and stay as open as "
            f"they are, {left[0]} for one. Have their owner run: chmod -R go= '{data}'"
        )


def warn_once(text: str) -> None:
    """Say on stderr what a person should mend, once in a process."""
    if text not in _warned:
        _warned.add(text)
        if not logs.tell("warning", level="warning", message=text):
            sys.stderr.write(f"Warning: {text}\n")


def close(path: Path, left: list[str] | None = None) -> None:
    """Take all rights of others from a file or folder; a link, and what is missing, is left alone.

    What belongs to another user is added to `left`.
    """
    try:
        about = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(about.st_mode) or not about.st_mode & OTHERS:
        return
    if about.st_uid != os.geteuid():
        if left is not None:
            left.append(str(path))
        return
    path.chmod(stat.S_IMODE(about.st_mode) & ~OTHERS)


def refuse_writable(path: Path, name: str) -> None:
    """Raise ConfigError where others can write a file of settings: it says where the key is sent.

    `name` is the setting that names the file. Its owner has to be this user, or root. A file that
    is missing, and what is no file (a pipe), is left to whoever reads it.
    """
    about = _stat_of_file(path)
    if about is None:
        return
    if about.st_mode & WRITABLE:
        raise ConfigError(
            f"{name}: others can write {path} (mode {_octal(about.st_mode)}), and with it decide "
            f"where the credentials are sent. Close it: chmod 600 '{path}'"
        )
    if about.st_uid not in (os.geteuid(), 0):
        raise ConfigError(
            f"{name}: {path} belongs to another user (id {about.st_uid}), who can decide with it "
            f"where the credentials are sent. Make it your own: chown {os.geteuid()} '{path}'"
        )


def refuse_writable_folder(folder: Path, name: str) -> None:
    """Raise ConfigError where others can put files into a folder of which what it holds is run.

    `name` is the setting that names it. Its owner has to be this user, or root.
    """
    about = folder.stat()
    if about.st_mode & WRITABLE:
        raise ConfigError(
            f"{name}: others can write into {folder} (mode {_octal(about.st_mode)}), and what lies "
            f"there is run. Take the right away: chmod go-w '{folder}'"
        )
    if about.st_uid not in (os.geteuid(), 0):
        raise ConfigError(
            f"{name}: {folder} belongs to another user (id {about.st_uid}), and what lies there is "
            f"run. Make it your own: chown -R {os.geteuid()} '{folder}'"
        )


def readable_by_others(path: Path) -> str | None:
    """Return what to say of a file with secrets that others can read; None where they cannot."""
    about = _stat_of_file(path)
    if about is None or not about.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return None
    return (
        f"others on this machine can read {path} (mode {_octal(about.st_mode)}), and the "
        f"credentials in it. Close it: chmod 600 '{path}'"
    )


def open_to_others(paths: Iterable[Path]) -> list[str]:
    """Return those of the files and folders that others have any right to, with their modes."""
    return [f"{path} ({_octal(_mode(path))})" for path in paths if _exists_and_open(path)]


def make_published_folder(folder: Path, mode: int) -> None:
    """Make the folder that the marts are published to, for those whom the files' `mode` lets read.

    One that exists keeps its mode. Raises ConfigError where its parent does not exist or others
    can write into it; OSError where it cannot be made.
    """
    check_published_folder(folder)
    if not folder.exists():
        folder.mkdir()
        folder.chmod(0o700 | (0o050 if mode & 0o040 else 0))


def check_published_folder(folder: Path) -> None:
    """Raise ConfigError where a folder cannot be published to."""
    if not folder.exists() and not folder.parent.is_dir():
        raise ConfigError(
            f"BLSYNC_PUBLISH_TO: {folder.parent} does not exist. Make it, so that those who are to "
            "read the marts can go into it."
        )
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"BLSYNC_PUBLISH_TO: {folder} is no folder.")
    if folder.exists() and _mode(folder) & WRITABLE:
        raise ConfigError(
            f"BLSYNC_PUBLISH_TO: others can write into {folder} (mode {_octal(_mode(folder))}), "
            "and could put other figures in the marts' place. Take the right away: "
            f"chmod go-w '{folder}'"
        )


def _is_passing(name: str) -> bool:
    """Tell what a write in progress leaves for a while, and what systems put into any folder."""
    return name.endswith(".draft") or name.startswith(".docs.") or name in (".DS_Store",)


def _inside(folder: Path) -> Iterator[Path]:
    if folder.is_dir() and not folder.is_symlink():
        for root, folders, files in os.walk(folder):
            yield from (Path(root) / name for name in (*folders, *files))


def _stat_of_file(path: Path) -> os.stat_result | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about if stat.S_ISREG(about.st_mode) else None


def _exists_and_open(path: Path) -> bool:
    return path.exists() and bool(_mode(path) & OTHERS)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _octal(mode: int) -> str:
    return f"{stat.S_IMODE(mode):04o}"
