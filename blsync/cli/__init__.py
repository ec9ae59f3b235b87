"""The `blsync` command: arguments in, tables or JSON out, exit codes. No logic of its own."""


def main() -> None:
    """Run the command that this process was started for.

    Nothing is imported before: with `python -m blsync.cli` there is no main module yet while this
    file is read, and DuckDB, imported then, takes the process for a notebook and draws a progress
    bar into long answers.
    """
    from blsync.cli import app

    app.main()
