"""The API's routes, for one prefix: lists, records, writes, reports, bulk, key and company."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from blsync.sandbox.books.company import Books
from blsync.sandbox.books.entities import ENTITIES
from blsync.sandbox.books.errors import ApiError, bad_request, not_found
from blsync.sandbox.books.fields import Entity
from blsync.sandbox.books.store import DOCUMENT
from blsync.sandbox.books.values import Record, encode, parse_date
from blsync.sandbox.faults.faults import Faults
from blsync.sandbox.faults.malformed import disguise, slim
from blsync.sandbox.http import tampering
from blsync.sandbox.http.answers import BODY, answer, envelope
from blsync.sandbox.http.batches import add_batches
from blsync.sandbox.http.cash_flow import METHODS, cash_flow
from blsync.sandbox.http.cursors import invalid_cursor, offset_of
from blsync.sandbox.http.gateway import NO_ANSWER, meta
from blsync.sandbox.http.pages import Lists, Page
from blsync.sandbox.http.query import OPERATORS, Listing, read_listing
from blsync.sandbox.http.readings import Readings
from blsync.sandbox.http.reports import Reports
from blsync.sandbox.http.till_report import daily
from blsync.sandbox.options import Options
from blsync.sandbox.writes import (
    adjustments,
    bulk,
    einvoices,
    entries,
    invoices,
    masters,
    orders,
    purchasing,
    transfers,
)
from blsync.sandbox.writes.batch import Batches
from blsync.sandbox.writes.request_fields import read_body

COMPANY_NAME = "Cahaya Mutiara Trading Sdn Bhd"
PLAN = "professional"
Write = Callable[..., Record]

WRITES: tuple[tuple[str, str, Write, int], ...] = (
    ("POST", "/customers", masters.create_customer, 201),
    ("PUT", "/customers/{record_id}", masters.update_customer, 200),
    ("POST", "/items", masters.create_item, 201),
    ("PUT", "/items/{record_id}", masters.update_item, 200),
    ("POST", "/accounts", masters.create_account, 201),
    ("PUT", "/accounts/{record_id}", masters.update_account, 200),
    ("POST", "/invoices", invoices.create_invoice, 201),
    ("PUT", "/invoices/{record_id}", invoices.update_invoice, 200),
    ("POST", "/invoices/{record_id}/send", invoices.send_invoice, 200),
    ("POST", "/invoices/{record_id}/payment", invoices.record_payment, 201),
    ("POST", "/invoices/{record_id}/payments", invoices.record_payment, 201),
    ("POST", "/journal-entries", entries.create_entry, 201),
    ("PUT", "/journal-entries/{record_id}", entries.update_entry, 200),
    ("POST", "/journal-entries/{record_id}/post", entries.post_entry, 200),
    ("POST", "/journal-entries/{record_id}/void", entries.void_entry, 200),
    ("POST", "/stock-adjustments", adjustments.create_adjustment, 201),
    ("POST", "/inventory/adjustments", adjustments.create_adjustment, 201),
    ("POST", "/stock-adjustments/{record_id}/post", adjustments.post_draft_adjustment, 200),
    (
        "POST",
        "/inventory/adjustments/{record_id}/post",
        adjustments.post_draft_adjustment,
        200,
    ),
    ("PUT", "/inventory/stock", adjustments.set_stock, 200),
    ("POST", "/suppliers", purchasing.create_supplier, 201),
    ("PUT", "/suppliers/{record_id}", purchasing.update_supplier, 200),
    ("POST", "/purchase-orders", purchasing.create_order, 201),
    ("POST", "/purchase-orders/{record_id}/approve", purchasing.approve_order, 200),
    ("POST", "/purchase-orders/{record_id}/send", purchasing.send_order, 200),
    ("POST", "/purchase-orders/{record_id}/confirm", purchasing.confirm_order, 200),
    ("POST", "/purchase-orders/{record_id}/cancel", purchasing.cancel_order, 200),
    ("POST", "/purchase-orders/{record_id}/receive", purchasing.receive_order, 200),
    ("POST", "/bills", purchasing.create_bill, 201),
    ("POST", "/bills/{record_id}/approve", purchasing.approve_bill, 200),
    ("POST", "/bills/{record_id}/payment", purchasing.pay_bill, 201),
    ("POST", "/bills/{record_id}/payments", purchasing.pay_bill, 201),
    ("POST", "/sales-orders", orders.create_sales_order, 201),
    ("PATCH", "/sales-orders/{record_id}/status", orders.set_status, 200),
    ("POST", "/sales-orders/{record_id}/convert-to-invoice", orders.convert_to_invoice, 201),
    ("POST", "/quotes", orders.create_quote, 201),
    ("POST", "/quotes/{record_id}/send", orders.send_quote, 200),
    ("POST", "/quotes/{record_id}/accept", orders.accept_quote, 200),
    ("POST", "/quotes/{record_id}/convert-to-order", orders.convert_to_order, 201),
    ("POST", "/einvoice/create", einvoices.create, 201),
    ("POST", "/einvoice/validate", einvoices.validate, 200),
    ("POST", "/einvoice/submit", einvoices.submit, 200),
    ("POST", "/einvoice/{record_id}/cancel", einvoices.cancel, 200),
    ("POST", "/inventory/transfers", transfers.create_transfer, 201),
    ("POST", "/stock-transfers", transfers.create_transfer, 201),
    ("PATCH", "/inventory/transfers/{record_id}/status", transfers.set_status, 200),
    ("PATCH", "/stock-transfers/{record_id}/status", transfers.set_status, 200),
)
"""Method, address, what it does to the books, status of success."""

DELETES: tuple[tuple[str, Write], ...] = (
    ("/customers/{record_id}", masters.delete_customer),
    ("/items/{record_id}", masters.delete_item),
    ("/accounts/{record_id}", masters.delete_account),
    ("/invoices/{record_id}", invoices.delete_invoice),
    ("/journal-entries/{record_id}", entries.delete_entry),
    ("/suppliers/{record_id}", purchasing.delete_supplier),
)
WHOLE = 10**6
"""Records of a list that comes whole, at most."""


def api_routes(books: Books, options: Options, faults: Faults, readings: Readings) -> APIRouter:
    """Build the routes of one prefix."""
    router = APIRouter()
    lists = Lists(books.store)
    for entity in ENTITIES.values():
        for path in entity.paths:
            _add_lists(router, books, lists, faults, readings, entity, f"/{path}")
    for method, path, act, status in WRITES:
        _add_write(router, books, method, path, act, status)
    for path, act in DELETES:
        _add_write(router, books, "DELETE", path, act, 200)
    _add_einvoice_reads(router, books)
    _add_reports(router, books, readings)
    _add_bulk(router, books, faults)
    add_batches(router, Batches(books), options, faults)
    _add_company(router, options, faults)
    return router


def _add_lists(
    router: APIRouter,
    books: Books,
    lists: Lists,
    faults: Faults,
    readings: Readings,
    entity: Entity,
    path: str,
) -> None:
    def read(query: Iterable[tuple[str, str]]) -> Listing:
        try:
            taken = readings.taken(entity, query)
            listing = read_listing(
                entity, taken, faults, is_by_offset=readings.pages_by_offset(entity)
            )
        except ApiError as error:
            raise readings.refusal(error) from error
        if "whole-lists" in readings:
            listing.limit = WHOLE
        return listing

    async def list_records(request: Request) -> Response:
        listing = read(request.query_params.multi_items())
        if 0 < faults["expire-cursors"] < listing.walked:
            raise invalid_cursor("The cursor has expired")
        page = lists.page(listing, faults)
        if faults.strikes("churn"):
            tampering.churn(books, listing, page.total)
        if faults.strikes("vanish"):
            tampering.vanish(books, listing)
        shown = disguise(entity.name, page.documents, faults)
        documents = slim(entity.name, shown, faults, entity.secret_fields)
        about = _pagination(page, listing, readings, has_total=not faults["no-total"])
        return envelope(request, b"[%s]" % b",".join(documents), about)

    async def get_record(request: Request, record_id: str) -> Response:
        sql = f"select {DOCUMENT} from {entity.name} where id = ?"  # noqa: S608 - a name of our own
        rows = books.store.query(sql, record_id)
        if not rows or "no-detail" in readings:
            raise not_found(entity.resource, record_id, entity.code)
        return envelope(request, disguise(entity.name, [rows[0][0]], faults)[0])

    extra = {"parameters": _list_parameters(entity)}
    summary = f"List {entity.name.replace('_', ' ')}"
    router.add_api_route(path, list_records, summary=summary, openapi_extra=extra)
    if entity.prefix:
        router.add_api_route(f"{path}/{{record_id}}", get_record, summary=f"Get {entity.resource}")


def _pagination(page: Page, listing: Listing, readings: Readings, has_total: bool) -> bytes:
    if not readings.names.isdisjoint(("no-pagination", "whole-lists")):
        return b""
    about: Record = {
        "hasMore": page.has_more,
        "nextCursor": page.next_cursor,
        "limit": page.limit,
    }
    if readings.pages_by_offset(listing.entity):
        place = offset_of(page.next_cursor, listing.signature) if page.next_cursor else None
        del about["nextCursor"]
        about["nextOffset"] = place
    if has_total:
        about["total"] = page.total
    return b',"pagination":' + encode(about)


def _list_parameters(entity: Entity) -> list[Record]:
    """Describe a list's parameters for the OpenAPI page."""
    operators = ", ".join(OPERATORS)
    described = {
        "limit": f"1 to {entity.max_limit}, default {entity.default_limit}",
        **(
            {"offset": "nextOffset of the page before"}
            if entity.is_by_offset
            else {"cursor": "nextCursor of the page before"}
        ),
        "sort": "field:asc,other:desc",
        "order": "asc or desc, for a sort that does not say",
        "search": "text to look for",
        "searchFields": f"where, default {','.join(entity.search)}",
    }
    if entity.date_field:
        described |= dict.fromkeys(("fromDate", "toDate"), f"{entity.date_field}, inclusive")
    described |= {
        name: f"{kind}; also {name}[operator] with {operators}"
        for name, kind in entity.fields.items()
    }
    described |= {name: f"{field}[{test}]" for name, (field, test) in entity.aliases.items()}
    described |= {
        name: f"{field}[{test}], a business date"
        for name, (field, test) in entity.days_of_instant.items()
    }
    text = {"type": "string"}
    return [
        {"name": name, "in": "query", "description": about, "schema": text}
        for name, about in described.items()
    ]


def _add_write(
    router: APIRouter, books: Books, method: str, path: str, act: Write, status: int
) -> None:
    async def write(request: Request) -> Response:
        data = read_body(await request.body())
        arguments: list[Any] = list(request.path_params.values())
        if method != "DELETE":
            arguments.append(data)
        books.tick()
        try:
            return answer(request, act(books, *arguments), status)
        finally:
            books.save()

    summary = (act.__doc__ or "").partition("\n")[0].rstrip(".")
    parameter = {"name": "record_id", "in": "path", "required": True, "schema": {"type": "string"}}
    extra: dict[str, Any] = {} if method == "DELETE" else dict(BODY)
    if "{record_id}" in path:
        extra["parameters"] = [parameter]
    router.add_api_route(
        path, write, methods=[method], summary=summary, status_code=status, openapi_extra=extra
    )


def _add_einvoice_reads(router: APIRouter, books: Books) -> None:
    async def read_status(request: Request, record_id: str) -> Response:
        return answer(request, einvoices.status_of(books, record_id))

    async def read_document(record_id: str, kind: str) -> Response:
        text, media_type = einvoices.document_of(books, record_id, kind)
        return Response(text, media_type=media_type)

    path = "/einvoice/{record_id}"
    router.add_api_route(f"{path}/status", read_status, summary="Tell where an e-invoice stands")
    router.add_api_route(f"{path}/document/{{kind}}", read_document, include_in_schema=False)


def _add_bulk(router: APIRouter, books: Books, faults: Faults) -> None:
    async def run_bulk(request: Request, name: str) -> Response:
        if name not in bulk.ENDPOINTS:
            raise not_found("endpoint", f"bulk/{name}")
        body = read_body(await request.body())
        data = bulk.run(books, name, body, faults, request.scope["strikes"])
        return Response(status_code=NO_ANSWER) if data is None else answer(request, data)

    summary = f"Bulk writes: {', '.join(bulk.ENDPOINTS)}"
    router.add_api_route(
        "/bulk/{name}", run_bulk, methods=["POST"], summary=summary, openapi_extra=BODY
    )


def day_of(request: Request, *names: str, default: date) -> str:
    """Return the date that a query names, YYYY-MM-DD. Raises ApiError 400."""
    for name in names:
        text = request.query_params.get(name)
        if text is not None:
            try:
                return parse_date(text)
            except ValueError as error:
                raise bad_request(f"{name} must be a date, YYYY-MM-DD", name, text) from error
    return default.isoformat()


def _add_reports(router: APIRouter, books: Books, readings: Readings) -> None:
    reports = Reports(books)

    def _day(request: Request, *names: str, default: date) -> str:
        if "report-dates-ignored" in readings:
            return default.isoformat()
        return day_of(request, *names, default=default)

    def answer(request: Request, data: Record) -> Response:
        return envelope(request, encode(readings.report(data)))

    async def trial_balance(request: Request) -> Response:
        zeros = request.query_params.get("includeZeroBalances", "").lower() == "true"
        day = _day(request, "asOfDate", default=books.today)
        return answer(request, reports.trial_balance(day, zeros))

    async def balance_sheet(request: Request) -> Response:
        day = _day(request, "asOfDate", default=books.today)
        return answer(request, reports.balance_sheet(day))

    async def profit_loss(request: Request) -> Response:
        last = _day(request, "periodTo", "toDate", default=books.today)
        start = date.fromisoformat(last).replace(month=1, day=1)
        first = _day(request, "periodFrom", "fromDate", default=start)
        if first > last:
            raise ApiError(422, "VALIDATION_ERROR", "periodFrom is after periodTo")
        return answer(request, reports.profit_loss(first, last))

    async def aged_receivables(request: Request) -> Response:
        day = _day(request, "asOfDate", default=books.today)
        return answer(request, reports.aged_receivables(day))

    async def stock_valuation(request: Request) -> Response:
        day = _day(request, "asOfDate", default=books.today)
        place = request.query_params.get("locationId")
        return answer(request, reports.stock_valuation(day, place))

    async def aged_payables(request: Request) -> Response:
        day = _day(request, "asOfDate", default=books.today)
        return answer(request, reports.aged_payables(day))

    async def cash_flow_statement(request: Request) -> Response:
        last = _day(request, "periodTo", "toDate", default=books.today)
        start = date.fromisoformat(last).replace(month=1, day=1)
        first = _day(request, "periodFrom", "fromDate", default=start)
        method = request.query_params.get("method", "direct")
        if method not in METHODS:
            raise bad_request("method is direct or indirect", "method", method)
        if first > last:
            raise ApiError(422, "VALIDATION_ERROR", "periodFrom is after periodTo")
        return answer(request, cash_flow(books, first, last, method))

    async def till_day(request: Request) -> Response:
        day = _day(request, "date", default=books.today)
        return answer(request, daily(books, day, request.query_params.get("locationId")))

    for path, report, names in (
        ("/reports/trial-balance", trial_balance, ("asOfDate", "includeZeroBalances")),
        ("/reports/balance-sheet", balance_sheet, ("asOfDate",)),
        ("/reports/profit-loss", profit_loss, ("periodFrom", "periodTo", "fromDate", "toDate")),
        ("/reports/aged-receivables", aged_receivables, ("asOfDate",)),
        ("/reports/aged-payables", aged_payables, ("asOfDate",)),
        ("/reports/purchasing/aged-payables", aged_payables, ("asOfDate",)),
        (
            "/reports/cash-flow",
            cash_flow_statement,
            ("periodFrom", "periodTo", "fromDate", "toDate", "method"),
        ),
        ("/pos/reports/daily", till_day, ("date", "locationId")),
        ("/reports/stock-valuation", stock_valuation, ("asOfDate", "locationId")),
        ("/inventory/reports/valuation", stock_valuation, ("asOfDate", "locationId")),
    ):
        described = [{"name": n, "in": "query", "schema": {"type": "string"}} for n in names]
        router.add_api_route(path, report, openapi_extra={"parameters": described})


def _add_company(router: APIRouter, options: Options, faults: Faults) -> None:
    about = {"id": options.company_id, "name": COMPANY_NAME, "plan": PLAN}

    async def verify(request: Request) -> Response:
        data = {"authenticated": True, "company": about, "permissions": options.permissions}
        return answer(request, data)

    async def company(request: Request) -> Response:
        more = {"currency": "MYR", "country": "MY", "createdAt": "2019-03-01T01:00:00Z"}
        return answer(request, {**about, **more})

    async def health(request: Request) -> Response:
        status = "degraded" if faults["unwell"] else "ok"
        about: Record = {"status": status, "version": "1.0.0", "region": "ap-southeast-1"}
        about["timestamp"] = meta(request.scope["request_id"])["timestamp"]
        return Response(encode(about), media_type="application/json")

    router.add_api_route("/health", health, summary="Say whether the server is well")
    router.add_api_route("/auth/verify", verify, summary="Verify the key")
    router.add_api_route("/company", company, summary="Get the company")
