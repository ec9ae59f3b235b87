"""The lake: pages in the spool, typed records in Parquet, the rest in quarantine."""
