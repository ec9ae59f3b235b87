"""Writes of stock transfers (bigledger-api.md, section 13)."""

from __future__ import annotations

from blsync.sandbox.books import transfers
from blsync.sandbox.books.chart import LOCATIONS
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import broken_rule
from blsync.sandbox.books.values import Record
from blsync.sandbox.writes.request_fields import Form

STATUSES = ("approved", "shipped", "received", "completed", "cancelled", "rejected")


def create_transfer(books: Books, data: object) -> Record:
    """Create a draft transfer; approved at once where ``requestApproval`` is false."""
    form = Form(data)
    day = form.day("date", books.today) or ""
    source = form.text("fromLocationId", required=True, choices=tuple(LOCATIONS))
    target = form.text("toLocationId", required=True, choices=tuple(LOCATIONS))
    if source and source == target:
        form.refuse("toLocationId", "INVALID_CHOICE", "is where the goods are", target)
    more: Record = {name: form.text(name) for name in ("reference", "notes")}
    waits = form.flag("requestApproval")
    forms = form.lines("items")
    lines = [
        {
            "itemId": line.text("itemId", required=True),
            "quantity": line.count("quantity", required=True, above=0),
            "notes": line.text("notes"),
        }
        for line in forms
    ]
    form.gather(forms)
    for line in lines:
        item = books.find("items", line["itemId"])
        if not item["inventory"]["tracked"]:
            message = f"Item {item['itemCode']} is not kept in stock"
            raise broken_rule("ITEM_NOT_TRACKED", message, itemId=item["id"])
    transfer = transfers.draft_transfer(
        *(books, day, str(source), str(target), lines), createdBy="user_api", **more
    )
    if waits is False:
        transfers.step(books, transfer, "approved", day)
    return transfer


def set_status(books: Books, transfer_id: object, data: object) -> Record:
    """Take a transfer one step on; with ``received`` come the quantities that arrived."""
    form = Form(data)
    status = form.text("status", required=True, choices=STATUSES)
    day, notes = form.day("date", books.today) or "", form.text("notes")
    shipping = Form(form.part("shipping", dict) or {}, prefix="shipping.")
    told = {
        name: shipping.text(name)
        for name in ("method", "trackingNumber", "estimatedDelivery")
        if shipping.has(name)
    }
    forms = form.lines("items") if form.has("items") else []
    received = {
        str(line.text("id", required=True)): line.count("quantityReceived", required=True, least=0)
        for line in forms
    }
    form.gather([shipping, *forms])
    transfer = books.find("stock_transfers", transfer_id)
    counted = {key: count for key, count in received.items() if count is not None}
    transfers.step(books, transfer, str(status), day, received=counted, **told)
    if notes:
        transfer["notes"] = notes
        books.touch("stock_transfers", transfer["id"], transfer)
    return transfer
