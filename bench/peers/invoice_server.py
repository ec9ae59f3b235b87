"""A BigLedger with nothing but N invoices, made as they are asked for: PORT N.

For sizes that the sandbox would take minutes to write. Invoice k of N was changed k minutes after
the first, the last one a day ago. Takes `limit`, `cursor`, `sort` by id or updatedAt, and the
filters gt, gte, lt, lte on updatedAt; anything else is a 400. Counts its requests as the sandbox
does, under `/sandbox/stats`.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

LINE = """{"id":"invli_%d_X","itemId":"item_8dde6c40","itemCode":"HAR-0064","description":\
"PVC Pipe 2m Standard 064","quantity":6,"unitPrice":33.35,"discountPercent":0,"discountAmount":\
0.0,"lineTotal":200.1,"taxCode":"SST-10","taxRate":10,"taxAmount":20.01}"""
INVOICE = """{"id":"inv_%08d","invoiceNumber":"INV-%08d","customerId":"cust_f1bbcd88","customer":\
{"id":"cust_f1bbcd88","name":"Warisan Suraya Enterprise","email":"warisansurayae8@example.my"},\
"invoiceDate":"2026-07-13","dueDate":"2026-09-11","status":"paid","currency":"MYR","exchangeRate":\
1.0,"reference":"SO-%d","purchaseOrder":null,"notes":null,"terms":"Payment due within 60 days",\
"items":[LINES],"subtotal":600.3,"totalDiscount":0.0,"totalTax":60.03,"shippingCost":0.0,"total":\
660.33,"amountPaid":660.33,"amountDue":0.0,"paymentStatus":"paid","lastPaymentDate":"2026-09-20",\
"overdueBy":0,"billingAddress":{"street":"No. 36, Jalan Wong Ah Fook","city":"Kuching","state":\
"Sarawak","postalCode":"93100","country":"MY"},"attachments":[],"einvoice":{"status":"accepted",\
"submittedAt":"2026-07-14T13:33:04.105790Z","acceptedAt":"2026-07-14T13:33:04.105790Z","uuid":\
"17302c026598e21f","validationHash":null},"createdAt":"%s","updatedAt":"%s"}""".replace(
    "LINES", ",".join(LINE.replace("X", str(number)) for number in range(3))
)
STEP = timedelta(minutes=1)
FILTER = re.compile(r"updatedAt\[(gte|gt|lte|lt)\]")


class Invoices:
    """`total` invoices in the order of their change; a record's place is all there is to it."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.first_at = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1) - STEP * total

    def page(self, query: dict[str, str]) -> str:
        """Answer a list request. Raises ValueError for what it does not know."""
        limit, cursor = int(query.pop("limit", 50)), query.pop("cursor", None)
        field, _, way = query.pop("sort", "id:asc").partition(":")
        if field not in ("id", "updatedAt") or not 1 <= limit <= 100:
            raise ValueError(f"sort={field} limit={limit}")
        low, high = 0, self.total
        for name, value in query.items():
            low, high = self._narrow(name, value, low, high)
        count = max(0, high - low)
        done = int(cursor.split("-")[1]) if cursor else (high if way.startswith("desc") else low)
        if way.startswith("desc"):
            end = max(low, done - limit)
            places, more = range(done - 1, end - 1, -1), end > low
        else:
            end = min(high, done + limit)
            places, more = range(done, end), end < high
        pagination = {
            "hasMore": more,
            "nextCursor": f"place-{end}" if more else None,
            "limit": limit,
            "total": count,
        }
        meta = {"timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}Z", "requestId": "req"}
        return (
            f'{{"success":true,"data":[{",".join(map(self._record, places))}],'
            f'"pagination":{json.dumps(pagination)},"meta":{json.dumps(meta)}}}'
        )

    def _record(self, place: int) -> str:
        at = f"{self.first_at + STEP * place:%Y-%m-%dT%H:%M:%SZ}"
        return INVOICE % (place, place, place, place, place, place, at, at)

    def _narrow(self, name: str, value: str, low: int, high: int) -> tuple[int, int]:
        match = FILTER.fullmatch(name)
        if not match:
            raise ValueError(f"{name}={value}")
        distance = datetime.fromisoformat(value) - self.first_at
        before = -(-distance // STEP)  # so many invoices lie before that instant
        if match[1] in ("gt", "lte") and distance % STEP == timedelta(0):
            before += 1
        return (max(low, before), high) if match[1] in ("gt", "gte") else (low, min(high, before))


async def main(port: int, total: int) -> None:
    """Serve until killed."""
    invoices, counts = Invoices(total), {"requests": 0, "refused": 0}

    def answer(target: str) -> tuple[int, str]:
        url = urlsplit(target)
        if url.path.startswith("/sandbox/"):
            if url.path.endswith("/reset-stats"):
                counts["requests"] = 0
            return 200, json.dumps(counts)
        counts["requests"] += 1
        try:
            if url.path != "/v1/invoices":
                raise ValueError(url.path)
            return 200, invoices.page(dict(parse_qsl(url.query)))
        except ValueError as error:
            problem = {"code": "BAD_REQUEST", "message": f"The bench's server: {error}"}
            return 400, json.dumps({"success": False, "error": problem})

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            status, text = answer(head.split(b" ", 2)[1].decode())
            body = text.encode()
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            await writer.drain()

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):  # the client went away
            writer.close()

    async with await asyncio.start_server(quiet, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
