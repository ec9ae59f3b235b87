"""BigLedger's books: pulled inside the quota, tied out to the cent, pushed back exactly once.

In Python, `blsync.open().df("ar_aging")` is a table of the published marts.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blsync.marts.frames import Marts

# httpx brings a command line where it finds what that needs: a tenth of a second of imports.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

__version__ = "0.1.0"


def open(path: str | os.PathLike[str] | None = None) -> Marts:  # noqa: A001 (as `blsync.open`)
    """Return the published marts (`blsync.marts.frames.Marts`): those of the settings, or of a file
    or folder that has them. Raises ConfigError where settings are wrong.
    """
    from blsync.marts.frames import open_marts  # or the first import of anything would load DuckDB

    return open_marts(path)
