"""Dagster: assets, checks, jobs, schedules and sensors, and running them in this process."""
