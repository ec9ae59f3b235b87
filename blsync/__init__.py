"""BigLedger's books: pulled inside the quota, tied out to the cent, pushed back exactly once."""

__version__ = "0.1.0"
