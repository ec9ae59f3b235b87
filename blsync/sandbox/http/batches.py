"""The routes of `/batch`: writes, their jobs, and what is told of both."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from blsync.sandbox.books.values import encode
from blsync.sandbox.faults.faults import Faults
from blsync.sandbox.http.answers import BODY, answer
from blsync.sandbox.http.gateway import NO_ANSWER
from blsync.sandbox.http.limits import BatchLimits
from blsync.sandbox.options import Options
from blsync.sandbox.writes.batch import ENDPOINTS, LARGE, Batches
from blsync.sandbox.writes.request_fields import read_body

ELSEWHERE = "https://files.bigledger.example"


def add_batches(router: APIRouter, batches: Batches, options: Options, faults: Faults) -> None:
    """Add the routes of one company's batches."""
    limits = BatchLimits()

    async def run_batch(request: Request, name: str) -> Response:
        body = read_body(await request.body())
        operations = body.get("operations")
        if options.limits:
            is_large = isinstance(operations, list) and len(operations) > LARGE
            limits.enter(is_large=is_large)
        data = batches.run(name, body, request.scope["strikes"])
        if data is None:
            return Response(status_code=NO_ANSWER)
        return answer(request, data, 202 if "jobId" in data else 200)

    async def read_job(request: Request, job_id: str) -> Response:
        return answer(request, batches.progress(job_id))

    async def read_results(request: Request, job_id: str) -> Response:
        data = batches.results(job_id)
        if place := faults["link-results"]:
            host = str(request.base_url).rstrip("/") if place == "here" else ELSEWHERE
            data = {"downloadUrl": f"{host}/v1/batch/jobs/{job_id}/results/file"}
        return answer(request, data)

    async def read_file(job_id: str) -> Response:
        return Response(encode(batches.results(job_id)), media_type="application/json")

    async def read_metrics(request: Request) -> Response:
        return answer(request, batches.metrics(limits.remaining, limits.resets_at))

    summary = f"Batch writes: {', '.join(ENDPOINTS)}"
    router.add_api_route("/batch/metrics", read_metrics, summary="Tell what batches have done")
    router.add_api_route("/batch/jobs/{job_id}", read_job, summary="Tell how far a job is")
    path = "/batch/jobs/{job_id}/results"
    router.add_api_route(path, read_results, summary="Get what became of a job's records")
    router.add_api_route(f"{path}/file", read_file, include_in_schema=False)
    router.add_api_route(
        "/batch/{name}", run_batch, methods=["POST"], summary=summary, openapi_extra=BODY
    )
