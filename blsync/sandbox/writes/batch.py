"""The batch endpoints: one call for many records, with options (bigledger-api.md, section 15).

What an operation does to the books is what `/bulk` or the single write does: the same functions.
By default, which no page tells, `continueOnError` is true and the others are false.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import ApiError, invalid, not_found
from blsync.sandbox.books.values import Record
from blsync.sandbox.faults.faults import Faults, Strikes
from blsync.sandbox.writes import bulk, masters, purchasing
from blsync.sandbox.writes.bulk import Endpoint

ENDPOINTS = {
    "customers": bulk.ENDPOINTS["customers"]._replace(most=500),
    "suppliers": Endpoint(
        "suppliers",
        500,
        purchasing.create_supplier,
        purchasing.update_supplier,
        purchasing.delete_supplier,
    ),
    "invoices": bulk.ENDPOINTS["invoices"]._replace(most=100, delete=None),
    "bills": Endpoint("bills", 100, purchasing.create_bill, purchasing.update_bill),
    "items": Endpoint(
        "items",
        1000,
        masters.create_flat_item,
        masters.update_flat_item,
        masters.delete_item,
    ),
    "journal-entries": bulk.ENDPOINTS["journal-entries"]._replace(update=None, delete=None),
    "stock-adjustments": bulk.ENDPOINTS["inventory-adjustments"]._replace(most=500),
    "payments": bulk.ENDPOINTS["payments"]._replace(most=200),
    "accounts": Endpoint("accounts", 200, masters.create_account, masters.update_account),
}
LARGE = 100
"""A batch of more records is a large one."""
MOST_JOBS = 3
"""Jobs at once."""
ROLLED_BACK = "rolled_back"


@dataclass(frozen=True)
class BatchOptions:
    """How a batch is carried out."""

    continue_on_error: bool
    validate_only: bool
    is_async: bool
    rollback_on_error: bool


@dataclass
class Job:
    """A batch that is carried out later."""

    job_id: str
    total: int
    status: str = "queued"
    answer: Record = field(default_factory=Record)

    @property
    def is_over(self) -> bool:
        """Whether it has been carried out, or failed."""
        return self.status in ("completed", "failed")


class Batches:
    """A company's batches: its jobs, and what was done this month."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.jobs: dict[str, Job] = {}
        self.batches = self.records = self.successful = 0

    def run(self, name: str, body: Record, strikes: Strikes) -> Record | None:
        """Carry out a batch on the running loop, or begin its job; None where the connection is to
        close. Raises ApiError: 404 for another entity, 422 for too many operations, or none, and
        for options that exclude each other, 429 for too many jobs, and what `poison` asks for.
        """
        if name not in ENDPOINTS:
            raise not_found("endpoint", f"batch/{name}")
        endpoint, faults = ENDPOINTS[name], strikes.faults
        operations = bulk.read_operations(endpoint, body)
        options = _read_options(body, faults)
        operations = bulk.struck_before(self.books, operations, faults)
        if options.is_async and not options.validate_only:
            return self._begin(endpoint, operations, options, strikes)
        if strikes.by("late-write"):
            asyncio.get_running_loop().call_later(
                faults["late-write"], self._carry_out, endpoint, operations, options, strikes
            )
            return None
        if strikes.by("part"):
            self._carry_out(endpoint, operations[: len(operations) // 2], options, strikes)
            return None
        return self._carry_out(endpoint, operations, options, strikes)

    def _begin(
        self, endpoint: Endpoint, operations: list[object], options: BatchOptions, strikes: Strikes
    ) -> Record:
        if sum(not job.is_over for job in self.jobs.values()) >= MOST_JOBS:
            message = f"At most {MOST_JOBS} asynchronous batches run at once"
            raise ApiError(
                429, "RATE_LIMIT_EXCEEDED", message, [{"retryAfter": 1}], {"Retry-After": "1"}
            )
        job = Job(f"job_{uuid.uuid4().hex[:12]}", len(operations))
        self.jobs[job.job_id] = job
        faults = strikes.faults

        def work() -> None:
            if strikes.by("fail-jobs"):
                self._carry_out(endpoint, operations[: len(operations) // 2], options, strikes)
                job.status = "failed"
                return
            job.answer = self._carry_out(endpoint, operations, options, strikes)
            job.status = "completed"
            if strikes.by("lose-jobs"):
                del self.jobs[job.job_id]

        job.status = "processing"
        asyncio.get_running_loop().call_later(faults["slow-jobs"], work)
        return {
            "jobId": job.job_id,
            "status": "queued",
            "totalRecords": job.total,
            "estimatedCompletion": _told(datetime.now(UTC) + timedelta(seconds=1)),
            "progressUrl": f"/v1/batch/jobs/{job.job_id}",
            "downloadUrl": None,
        }

    def job(self, job_id: str) -> Job:
        """Return a job. Raises ApiError 404."""
        if job_id not in self.jobs:
            raise not_found("job", job_id)
        return self.jobs[job_id]

    def progress(self, job_id: str) -> Record:
        """Tell how far a job is."""
        job = self.job(job_id)
        done = job.answer.get("processedRecords", 0)
        return {
            "jobId": job.job_id,
            "status": job.status,
            "progress": {
                "totalRecords": job.total,
                "processedRecords": done,
                "successfulRecords": job.answer.get("successfulRecords", 0),
                "failedRecords": job.answer.get("failedRecords", 0),
                "percentComplete": round(100 * done / job.total, 1),
            },
            "results": {"available": job.status == "completed", "downloadUrl": None},
        }

    def results(self, job_id: str) -> Record:
        """Return what became of each record of a job. Raises ApiError 404 before it is done."""
        job = self.job(job_id)
        if job.status != "completed":
            raise not_found("results", job_id)
        return job.answer

    def metrics(self, remaining: int, resets_at: float) -> Record:
        """Tell what was done; `resets_at` in unix seconds."""
        share = 100 * self.successful / self.records if self.records else 100
        return {
            "currentMonth": {
                "totalBatches": self.batches,
                "totalRecords": self.records,
                "averageProcessingTime": 0.1,
                "successRate": round(share, 1),
            },
            "activeBatches": sum(not job.is_over for job in self.jobs.values()),
            "queuedBatches": 0,
            "rateLimits": {
                "remaining": remaining,
                "resetTime": _told(datetime.fromtimestamp(resets_at, UTC)),
            },
        }

    def _carry_out(
        self, endpoint: Endpoint, operations: list[object], options: BatchOptions, strikes: Strikes
    ) -> Record:
        """Carry out operations in one go: nothing else gets at the books in between."""
        began, books = datetime.now(UTC), self.books
        books.tick()
        try:
            with books.trial() as trial:
                results = _results(books, endpoint, operations, options, strikes)
                failed = sum(not result["success"] for result in results)
                is_back = options.rollback_on_error and failed > 0
                is_back |= not options.validate_only and strikes.by("roll-back")
                trial.is_kept = not (options.validate_only or is_back)
            if is_back and strikes.by("half-roll-back"):
                half = operations[: len(operations) // 2]
                _results(books, endpoint, half, options, strikes)
        finally:
            books.save()
        if is_back:
            results = [_taken_back(result) for result in results]
        if options.validate_only:
            results = [_without_id(result) for result in results]
        self.batches += 1
        self.records += len(operations)
        good = sum(result["success"] for result in results)
        self.successful += good
        return _answer(operations, results, strikes, began, is_back=is_back)


def _results(
    books: Books,
    endpoint: Endpoint,
    operations: Sequence[object],
    options: BatchOptions,
    strikes: Strikes,
) -> list[Record]:
    """Carry out operations up to the first that fails, or all of them."""
    results: list[Record] = []
    for number, operation in enumerate(operations, start=1):
        asked = operation if isinstance(operation, dict) else {}
        result: Record = {"referenceId": asked.get("referenceId")}
        result["operation"] = asked.get("operation")
        result |= bulk.carried_out(books, endpoint, _as_bulk(operation), strikes)
        if error := result.get("error"):
            error["context"] = {"rowNumber": number, "originalData": asked.get("data")}
        results.append(result)
        if not result["success"] and not options.continue_on_error:
            break
    return results


def _as_bulk(operation: object) -> object:
    """Return an operation with the id beside its data, where `/bulk` has it."""
    data = operation.get("data") if isinstance(operation, dict) else None
    if not isinstance(operation, dict) or not isinstance(data, dict):
        return operation
    if operation.get("operation") == "create":
        return operation
    rest = {name: value for name, value in data.items() if name != "id"}
    return {**operation, "id": data.get("id"), "data": rest}


def _read_options(body: Record, faults: Faults) -> BatchOptions:
    given = body.get("options")
    told = given if isinstance(given, dict) else {}
    names = ("continueOnError", "validateOnly", "async", "rollbackOnError")
    wrong = [name for name in names if not isinstance(told.get(name, False), bool)]
    if wrong:
        raise invalid(
            [
                {"field": f"options.{n}", "code": "INVALID_FORMAT", "message": "is true or false"}
                for n in wrong
            ]
        )
    options = BatchOptions(
        told.get("continueOnError", True),
        told.get("validateOnly", False) and not faults["deaf-to-checks"],
        told.get("async", False),
        told.get("rollbackOnError", False),
    )
    if options.continue_on_error and options.rollback_on_error:
        message = "continueOnError and rollbackOnError exclude each other"
        raise invalid([{"field": "options", "code": "INVALID_CHOICE", "message": message}], message)
    return options


def _taken_back(result: Record) -> Record:
    named = {name: result[name] for name in ("referenceId", "operation")}
    message = "The batch was rolled back: nothing of it was written"
    error = {"code": "ROLLED_BACK", "message": message}
    return {
        **named,
        "success": False,
        "error": result.get("error", error) | {"code": error["code"]},
    }


def _without_id(result: Record) -> Record:
    if "data" not in result:
        return result
    return {**result, "data": {n: v for n, v in result["data"].items() if n != "id"}}


def _answer(
    operations: Sequence[object],
    results: list[Record],
    strikes: Strikes,
    began: datetime,
    *,
    is_back: bool,
) -> Record:
    failed = sum(not result["success"] for result in results)
    done = [result["operation"] for result in results if result["success"]]
    ended = datetime.now(UTC)
    return {
        "batchId": f"batch_{uuid.uuid4().hex[:12]}",
        "status": ROLLED_BACK if is_back else "completed",
        "totalRecords": len(operations),
        "processedRecords": len(results),
        "successfulRecords": len(results) - failed,
        "failedRecords": failed,
        "skippedRecords": len(operations) - len(results),
        "results": bulk.garbled(results, "referenceId", strikes),
        "summary": {
            "created": done.count("create"),
            "updated": done.count("update"),
            "deleted": done.count("delete"),
            "errors": failed,
            "warnings": 0,
        },
        "executionTime": round((ended - began).total_seconds(), 3),
        "startedAt": _told(began),
        "completedAt": _told(ended),
    }


def _told(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-5] + "Z"
