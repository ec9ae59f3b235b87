"""`python -m blsync.cli` is the `blsync` command."""

from blsync.cli import main

main()
