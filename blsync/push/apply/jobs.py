"""Jobs: batches that BigLedger carries out later, and says by and by what became of their rows.

A job's id is in the ledger before anybody asks for it, so whoever goes on after a kill asks for the
same job. While it is not over, nobody looks its rows up: that they are not there yet tells nothing.
A job that is lost, or failed, or whose results cannot be had leaves its rows without an answer, and
look-ups tell what became of them, after the settle time as always.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import msgspec

from blsync.errors import ApiError, ServerFault
from blsync.ledger import plans
from blsync.push.apply.results import answer_of
from blsync.push.dialects import MOST_JOBS
from blsync.push.endpoint import Json
from blsync.push.lookup import usable_id
from blsync.push.work import ApplyContext

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
"""Seconds between two looks at a job: each is twice as long as the one before, up to this."""
PATIENCE = timedelta(minutes=15)
"""How long one run waits for a job."""
LOST_AFTER = timedelta(hours=24)
"""How long after it was sent a job that does not end is given up."""
_ENDED_BADLY = frozenset(("failed", "cancelled", "canceled", "error"))
_IS_LOST = (404, 410)
_LONGEST_CHAIN = 3
"""Links that are followed one after the other."""


class JobLost(Exception):
    """Nobody can say any more what became of a job's rows, but look-ups; the text says why."""


class JobRuns(Exception):
    """A job is not over yet, as far as is known; the text says so."""


def job_of(data: msgspec.Raw) -> str | None:
    """Return the job that an answer names instead of results; None where it has results, or names
    no id that can be kept.
    """
    answer = answer_of(data)
    return None if "results" in answer else usable_id(answer.get("jobId"))


async def results_of(work: ApplyContext, job: plans.OpenJob) -> tuple[msgspec.Raw, str]:
    """Wait for a job, and return its answer with the request that brought it.

    Where the session does not wait, it is looked at once. Raises JobRuns, JobLost, QuotaSpent, and
    ConfigError where the key is refused.
    """
    waited, pause = timedelta(), FIRST_PAUSE
    while True:
        try:
            if await _is_over(work, job):
                return await _results(work, job)
        except JobRuns:
            _give_up_if_old(work, job)
            raise
        _give_up_if_old(work, job)
        if waited >= PATIENCE or not work.session.waits:
            raise JobRuns(f"Job {job.job_id} is not done yet")
        await work.session.sleep(pause)
        waited += timedelta(seconds=pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _give_up_if_old(work: ApplyContext, job: plans.OpenJob) -> None:
    if work.clock() - job.sent_at > LOST_AFTER:
        raise JobLost(f"job {job.job_id} had not ended a day after it was sent")


async def is_free(work: ApplyContext) -> bool:
    """Tell whether BigLedger takes one more job of the company, waiting where that helps."""
    waited, pause = timedelta(), FIRST_PAUSE
    while plans.count_open_jobs(work.ledger, work.plan.company_id) >= MOST_JOBS:
        if waited >= PATIENCE or not work.session.waits:
            return False
        await work.session.sleep(pause)
        waited += timedelta(seconds=pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    return True


async def _is_over(work: ApplyContext, job: plans.OpenJob) -> bool:
    told = await _read(work, job, _path(job))
    status = str(told[0].get("status") or "").casefold()
    if status in _ENDED_BADLY:
        raise JobLost(f"job {job.job_id} ended as {status}")
    return status == "completed"


async def _results(work: ApplyContext, job: plans.OpenJob) -> tuple[msgspec.Raw, str]:
    """Return what became of a job's rows, where it says so: in the answer, or behind a link."""
    path = f"{_path(job)}/results"
    for _ in range(_LONGEST_CHAIN):
        answer, data, request_id = await _read(work, job, path)
        if _has_results(answer):
            return data, request_id
        link = answer.get("downloadUrl")
        if not isinstance(link, str) or not link:
            raise JobLost(f"job {job.job_id} is done and gives no results")
        own = work.client.own_link(link)
        if own is None:
            why = "are at another host, which is not asked"
            raise JobLost(f"the results of job {job.job_id} {why}")
        path = own
    raise JobLost(f"the results of job {job.job_id} are one link behind the other")


def _path(job: plans.OpenJob) -> str:
    return f"/batch/jobs/{quote(job.job_id, safe='')}"


def _has_results(answer: Json) -> bool:
    return isinstance(answer.get("results"), list)


async def _read(work: ApplyContext, job: plans.OpenJob, path: str) -> tuple[Json, msgspec.Raw, str]:
    """Read what is told of a job; its envelope may be missing behind a link."""
    try:
        answer = await work.client.get(path)
    except ApiError as error:
        if error.status in _IS_LOST:
            raise JobLost(f"BigLedger does not know job {job.job_id} (any more)") from None
        if isinstance(error, ServerFault) and path != _path(job):
            raise JobLost(f"the results of job {job.job_id} cannot be read: {error}") from None
        raise JobRuns(f"Job {job.job_id} could not be asked for: {error}") from None
    told: Any = answer_of(answer.data)
    if told:
        return told, answer.data, answer.request_id
    bare = msgspec.Raw(answer.body)
    return answer_of(bare), bare, answer.request_id
