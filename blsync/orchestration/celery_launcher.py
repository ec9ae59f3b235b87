"""Runs on Celery's workers, with a look at the worker itself.

Celery tells of a run whose process was killed, and of none whose worker went as a whole: such a run
counts as started for good. Here the worker is asked whether it has the run.
"""

from __future__ import annotations

from typing import Any

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

TRIES = 3
ANSWER_SECONDS = 5.0
"""How long a worker has for each answer; a busy one answers at once, as runs are its children."""


class WatchedCeleryRunLauncher(CeleryRunLauncher):
    """dagster-celery's launcher, configured as that one is (deploy/celery/dagster.yaml)."""

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return how the worker of a started run is; failed, too, where it does not answer or has
        the run no more.
        """
        found: CheckRunHealthResult = super().check_run_worker_health(run)
        if found.status != WorkerStatus.RUNNING:
            return found
        task_id = run.tags[DAGSTER_CELERY_TASK_ID_TAG]
        worker = self._worker_of(task_id)
        if worker is None or any(self._has(worker, task_id) for _ in range(TRIES)):
            return found
        # It may have ended while it was asked for.
        again: CheckRunHealthResult = super().check_run_worker_health(run)
        if again.status != WorkerStatus.RUNNING:
            return again
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"The worker {worker} is gone, or was started anew without the run"
        )

    def _worker_of(self, task_id: str) -> str | None:
        told: Any = self.celery.AsyncResult(task_id).info
        return told.get("hostname") if isinstance(told, dict) else None

    def _has(self, worker: str, task_id: str) -> bool:
        asked = self.celery.control.inspect(destination=[worker], timeout=ANSWER_SECONDS)
        answers: dict[str, Any] = asked.query_task(task_id) or {}
        return any(task_id in (answer or {}) for answer in answers.values())
