"""BigLedger's books: pulled inside the quota, tied out to the cent, pushed back exactly once."""

import sys

# httpx brings a command line where it finds what that needs: a tenth of a second of imports.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

__version__ = "0.1.0"
