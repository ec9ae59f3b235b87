"""Errors that nobody foresaw: one line for the person, the details in a file of their own."""

from __future__ import annotations

import platform
import traceback
import uuid
from datetime import UTC, datetime
from pathlib import Path

from blsync import __version__
from blsync.errors import BlsyncError, Unexpected
from blsync.redaction import redact

MOST_FILES = 50
"""Newest files of details that are kept."""
LONGEST = 300
"""Characters of an error's own words in the line."""


def unexpected(error: BaseException, data: Path | None) -> Unexpected:
    """Keep what is known of an error under `errors/` in the data folder; return what to raise.

    Its one line names the file. Where the file cannot be written, or `data` is None because the
    settings could not be read, the line says so and names the place in the program instead.
    """
    # The values of variables are left out: records of the books are among them.
    details = "".join(traceback.format_exception(error))
    first = error
    while isinstance(first, BaseExceptionGroup):  # of tasks that ran side by side
        first = first.exceptions[0]
    frames = traceback.extract_tb(first.__traceback__)
    place = f"{Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else ""
    return unexpected_of(type(first).__name__, str(first), details, data, place)


def apart(error: Exception, what: str, data: Path | None) -> BlsyncError:
    """Return an error of ours as it is, any other as the failure of `what` alone, details kept.

    One that is about the process or the machine is about everything, and raised on.
    """
    if isinstance(error, BlsyncError):
        return error
    if isinstance(error, MemoryError):
        raise error
    told = Unexpected(f"{what} failed. {unexpected(error, data)}")
    told.__cause__ = error
    return told


def unexpected_of(
    kind: str, message: str, details: str, data: Path | None, place: str = ""
) -> Unexpected:
    """As `unexpected`, from an error's name, words and details."""
    told = " ".join(redact(message).split())
    told = f"{told[:LONGEST]} …" if len(told) > LONGEST else told
    line = f"An unexpected error stopped this: {kind}{f': {told}' if told else ''}".rstrip(".")
    try:
        path = _keep(data, details) if data else None
    except OSError as error:
        where = f"at {place}; its details could not be kept in {data} ({error.strerror or error})"
    else:
        where = f"details in {path}" if path else f"at {place or 'an unknown place'}"
    return Unexpected(
        f"{line}; {where}. What was finished before it is kept: run the same command again, and if "
        "it comes again, report it with the details."
    )


def _keep(data: Path, details: str) -> Path:
    folder = data / "errors"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    at = datetime.now(UTC)
    path = folder / f"{at:%Y%m%dT%H%M%S}{at.microsecond // 1000:03d}Z-{uuid.uuid4().hex[:8]}.txt"
    about = f"blsync {__version__}, Python {platform.python_version()}, {platform.platform()}"
    path.touch(mode=0o600)
    path.write_text(f"{at.isoformat()} {about}\n\n{redact(details)}", "utf-8", "backslashreplace")
    for old in sorted(folder.glob("*Z-*.txt"))[:-MOST_FILES]:
        old.unlink(missing_ok=True)
    return path
