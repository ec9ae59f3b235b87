"""The application: books, routes, control routes, documentation."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp
from swagger_ui_bundle import swagger_ui_path

from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import ApiError
from blsync.sandbox.books.store import Store
from blsync.sandbox.events.hub import Hub
from blsync.sandbox.faults.faults import Faults
from blsync.sandbox.generate.seed import History
from blsync.sandbox.http.answers import answer
from blsync.sandbox.http.contract import serve_contract
from blsync.sandbox.http.control import control_routes, forget_odd_records, take_effect
from blsync.sandbox.http.gateway import PREFIX, Gateway, error_body
from blsync.sandbox.http.oauth import oauth_routes
from blsync.sandbox.http.readings import Readings
from blsync.sandbox.http.routes import api_routes
from blsync.sandbox.http.stream import stream_route
from blsync.sandbox.http.webhooks import webhook_routes
from blsync.sandbox.options import Options

ASSETS = "/docs-assets"
CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 422: "VALIDATION_ERROR"}


class Sandbox(FastAPI):
    """FastAPI with the gateway outermost, where it sees the server's own connection."""

    gateway: Gateway

    def build_middleware_stack(self) -> ASGIApp:
        """Put the gateway in front of FastAPI's own layers."""
        self.gateway.app = super().build_middleware_stack()
        return self.gateway


def open_books(options: Options) -> Books:
    """Open the database; write the history into it unless it has one already."""
    store = Store(options.database)
    if store.recall("ready"):
        forget_odd_records(store)
        return Books(store, options.today)
    store.clear()
    books = Books(store)
    History(books, options).write()
    store.index()
    store.remember("ready", True)
    return books


def create_app(options: Options) -> FastAPI:
    """Build the sandbox with its books ready.

    Raises ValueError for faults and readings it does not know.
    """
    readings = Readings(options.readings)
    faults = Faults(options.faults, options.seed, readings.values)
    books = open_books(options)
    gateway = Gateway(options, faults, has_modules=books.modules)
    take_effect(books, faults, gateway.limits)
    hub = Hub(books, options.company_id, faults)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        hub.open()
        yield
        hub.close()
        books.save()
        books.store.close()

    app = Sandbox(
        title="BigLedger sandbox",
        version="1",
        description="A local BigLedger, on loopback: its books are made up, its rules are not.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.openapi_version = "3.0.3"  # the bundled Swagger UI reads no later one
    app.gateway = gateway
    for router in (
        api_routes(books, options, faults, readings),
        webhook_routes(hub, answer),
        stream_route(hub, options, gateway.tokens.accepts),
    ):
        app.include_router(router, prefix=PREFIX)
    app.include_router(
        control_routes(books, faults, readings, gateway.limits, gateway.stats, options.seed)
    )
    app.include_router(oauth_routes(gateway.tokens, gateway.stats))
    serve_contract(app, books)
    _add_documentation(app)
    _add_errors(app)
    return app


def _add_documentation(app: FastAPI) -> None:
    """Serve Swagger UI from the installed bundle, so that `/docs` needs no internet."""
    app.mount(ASSETS, StaticFiles(directory=str(swagger_ui_path)))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=app.title,
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS}/favicon-32x32.png",
        )


def _add_errors(app: FastAPI) -> None:
    """Word every refusal as the API does, FastAPI's own included; no stack traces."""

    def respond(request: Request, error: ApiError) -> Response:
        body = error_body(error, request.scope.get("request_id", "req_sandbox"))
        return Response(body, error.status, error.headers, media_type="application/json")

    async def refused(request: Request, error: Exception) -> Response:
        if isinstance(error, ApiError):
            return respond(request, error)
        if isinstance(error, HTTPException):
            code = CODES.get(error.status_code, "BAD_REQUEST")
            worded = f"{request.method} {request.url.path}: {error.detail}"
            headers = dict(error.headers or {})
            return respond(request, ApiError(error.status_code, code, worded, headers=headers))
        if isinstance(error, RequestValidationError):
            return respond(request, ApiError(422, "VALIDATION_ERROR", "Request validation failed"))
        return respond(request, ApiError(500, "INTERNAL_ERROR", "An unexpected error occurred"))

    for kind in (ApiError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, refused)
