"""The sandbox's own switches, under `/sandbox`: no key, no limits, no faults."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import Response

from blsync.sandbox.books.company import Books
from blsync.sandbox.books.entities import ENTITIES
from blsync.sandbox.books.errors import bad_request
from blsync.sandbox.books.store import DOCUMENT, Store
from blsync.sandbox.books.values import Record, dumps
from blsync.sandbox.faults.faults import Faults
from blsync.sandbox.faults.malformed import odd_customers
from blsync.sandbox.generate.night import Night
from blsync.sandbox.http import tampering
from blsync.sandbox.http.limits import Limits, Stats
from blsync.sandbox.http.readings import Readings
from blsync.sandbox.writes.request_fields import Form, read_body

NIGHT_INVOICES = 12
ODD = f"select id from customers where id like '{tampering.ODD}'"  # noqa: S608 - of our own
BODY = {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}}
TAMPERINGS: dict[str, Callable[[Books, Form], Record]] = {
    "delete": tampering.delete,
    "touch": tampering.touch,
    "ties": tampering.tie,
}


def forget_odd_records(store: Store) -> None:
    """Remove the odd records that an earlier run left in the database."""
    for (key,) in store.query(ODD):
        store.delete("customers", key)


def take_effect(books: Books, faults: Faults, limits: Limits) -> None:
    """Do at once what the faults just set ask for: odd records, another program's requests."""
    _place_odd_records(books, faults["odd-records"])
    limits.take(faults["other-program"])


def _place_odd_records(books: Books, count: int) -> None:
    store = books.store
    store.flush()
    present = [row[0] for row in store.query(ODD)]
    sql = f"select id from customers where id not like '{tampering.ODD}' order by id limit 1"  # noqa: S608
    good = store.query(sql)
    wanted = odd_customers(count, dict(books.find("customers", good[0][0]))) if good else []
    for key in present[len(wanted) :]:
        store.delete("customers", key)
    if len(wanted) > len(present):
        books.tick()
    for key, record in wanted[len(present) :]:
        record["updatedAt"] = books.stamp(key)
        store.put_aside("customers", key, record)


def control_routes(
    books: Books, faults: Faults, readings: Readings, limits: Limits, stats: Stats, seed: int
) -> APIRouter:
    """Build the control routes."""
    router = APIRouter(prefix="/sandbox", tags=["sandbox"])

    def _json(data: object) -> Response:
        return Response(dumps(data), media_type="application/json")

    @router.post("/night", summary="Let a night of business happen", openapi_extra=BODY)
    async def night(request: Request) -> Response:
        form = Form(read_body(await request.body()))
        chosen = form.whole("seed", 0, 2**31)
        invoices = form.whole("invoices", 0, 10_000)
        form.check()
        books.counters["nights"] += 1
        number = seed * 1000 + books.counters["nights"] if chosen is None else chosen
        return _json(
            Night(books, number, NIGHT_INVOICES if invoices is None else invoices).pass_by()
        )

    @router.get("/stats", summary="Requests a route since the start or the last reset")
    async def read_stats() -> Response:
        return _json(stats.report())

    @router.post("/reset-stats", summary="Forget the counts")
    async def reset_stats() -> Response:
        stats.reset()
        return _json(stats.report())

    @router.post("/faults", summary="Put other faults in force", openapi_extra=BODY)
    async def set_faults(request: Request) -> Response:
        text = read_body(await request.body()).get("faults", "")
        try:
            faults.set(str(text))
        except ValueError as error:
            raise bad_request(str(error), "faults", text) from error
        take_effect(books, faults, limits)
        return _json({"faults": faults.text})

    @router.post("/readings", summary="Play other readings of the pages", openapi_extra=BODY)
    async def set_readings(request: Request) -> Response:
        text = read_body(await request.body()).get("readings", "")
        try:
            readings.set(str(text))
        except ValueError as error:
            raise bad_request(str(error), "readings", text) from error
        return _json({"readings": readings.text})

    @router.get("/records", summary="Every record of an entity, whatever the faults")
    async def records(entity: str) -> Response:
        if entity not in ENTITIES:
            raise bad_request(f"entity is one of {', '.join(ENTITIES)}", "entity", entity)
        books.save()
        rows = books.store.query(f"select {DOCUMENT} from {entity} order by id")  # noqa: S608 - known
        text = b"[%s]" % b",".join(document for (document,) in rows)
        return Response(text, media_type="application/json")

    for name, act in TAMPERINGS.items():
        _add_tampering(router, books, name, act)
    return router


def _add_tampering(
    router: APIRouter, books: Books, name: str, act: Callable[[Books, Form], Record]
) -> None:
    async def tamper(request: Request) -> Response:
        data = act(books, Form(read_body(await request.body())))
        return Response(dumps(data), media_type="application/json")

    summary = (act.__doc__ or "").partition("\n")[0].rstrip(".")
    router.add_api_route(f"/{name}", tamper, methods=["POST"], summary=summary, openapi_extra=BODY)
