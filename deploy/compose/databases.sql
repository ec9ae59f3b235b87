-- The ledger is in the database `blsync`; Dagster's history has one of its own.
create database dagster owner blsync;
