"""The sandbox's own switches, under `/sandbox`: no key, no limits, no faults."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from blsync.sandbox.books import Books
from blsync.sandbox.errors import bad_request
from blsync.sandbox.faults import Faults, odd_customers
from blsync.sandbox.forms import Form, read_body
from blsync.sandbox.limits import Stats
from blsync.sandbox.night import Night
from blsync.sandbox.store import Store
from blsync.sandbox.values import dumps

NIGHT_INVOICES = 12
ODD = "select id from customers where id like 'cust_odd%'"
BODY = {"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}}


def forget_odd_records(store: Store) -> None:
    """Remove the odd records that an earlier run left in the database."""
    for (key,) in store.query(ODD):
        store.delete("customers", key)


def place_odd_records(books: Books, faults: Faults) -> None:
    """Make the customers hold just as many odd records as the faults say."""
    store = books.store
    store.flush()
    present = [row[0] for row in store.query(ODD)]
    good = store.query("select id from customers order by id limit 1")
    wanted = odd_customers(faults["odd-records"], dict(books.find("customers", good[0][0])))
    for key in present[len(wanted) :]:
        store.delete("customers", key)
    if len(wanted) > len(present):
        books.tick()
    for key, record in wanted[len(present) :]:
        record["updatedAt"] = books.stamp(key)
        store.put_aside("customers", key, record)


def control_routes(books: Books, faults: Faults, stats: Stats, seed: int) -> APIRouter:
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
        place_odd_records(books, faults)
        return _json({"faults": faults.text})

    return router
