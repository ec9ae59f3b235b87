"""The published marts in other forms: plain-text accounting, Parquet, Iceberg, PostgreSQL.

Each form is written whole or not at all: a file by a rename, a database in one transaction, an
Iceberg table in one commit.
"""

from blsync.export.accounting import write_beancount, write_hledger
from blsync.export.iceberg import write_iceberg
from blsync.export.parquet import write_parquet
from blsync.export.postgres import write_postgres

__all__ = ["write_beancount", "write_hledger", "write_iceberg", "write_parquet", "write_postgres"]
