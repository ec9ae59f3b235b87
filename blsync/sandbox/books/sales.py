"""Customers, invoices and payments with their effects on stock, receivables and cash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from blsync.sandbox.books.chart import TAX_RATES
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.einvoices import withdraw
from blsync.sandbox.books.errors import broken_rule
from blsync.sandbox.books.fulfillment import take_back
from blsync.sandbox.books.stock import check_stock, return_stock, sell_stock
from blsync.sandbox.books.values import ZERO, Record, money, quantity, to_cents


def write_lines(books: Books, lines: Sequence[Record]) -> list[Record]:
    """Work out invoice lines: lineTotal is net of discount and before tax (section 5)."""
    written = []
    for line in lines:
        item = books.find("items", line["itemId"]) if line.get("itemId") else None
        count = line["quantity"]
        price = line.get("unitPrice")
        price = item["pricing"]["sellingPrice"] if price is None and item else price
        gross = money(count * Decimal(price or 0))
        percent = line.get("discountPercent") or 0
        discount = line.get("discountAmount")
        discount = money(gross * percent / Decimal(100)) if discount is None else discount
        code = line.get("taxCode") or (item["tax"]["salesTaxCode"] if item else "EXEMPT")
        rate = TAX_RATES[code] if line.get("taxRate") is None else line["taxRate"]
        net = gross - discount
        written.append(
            {
                "id": books.new_id("invli"),
                "itemId": item["id"] if item else None,
                "itemCode": item["itemCode"] if item else None,
                "description": line.get("description") or (item["name"] if item else ""),
                "quantity": quantity(count),
                "unitPrice": money(price or 0),
                "discountPercent": percent,
                "discountAmount": discount,
                "lineTotal": net,
                "taxCode": code,
                "taxRate": rate,
                "taxAmount": money(net * Decimal(rate) / 100),
            }
        )
    return written


def set_totals(invoice: Record) -> None:
    """Add up a draft's lines."""
    lines = invoice["items"]
    invoice["subtotal"] = sum((line["lineTotal"] for line in lines), ZERO)
    invoice["totalDiscount"] = sum((line["discountAmount"] for line in lines), ZERO)
    invoice["totalTax"] = sum((line["taxAmount"] for line in lines), ZERO)
    invoice["total"] = invoice["subtotal"] + invoice["totalTax"] + invoice["shippingCost"]
    invoice["amountDue"] = invoice["total"] - invoice["amountPaid"]


def draft_invoice(
    books: Books, customer: Record, day: str, due: str, lines: list[Record], **more: Any
) -> Record:
    """Add a draft invoice; nothing is posted."""
    invoice_id = books.new_id("inv")
    invoice = {
        "id": invoice_id,
        "invoiceNumber": books.new_number("invoices", day),
        "customerId": customer["id"],
        "customer": {key: customer[key] for key in ("id", "name", "email")},
        "invoiceDate": day,
        "dueDate": due,
        "status": "draft",
        "currency": "MYR",
        "exchangeRate": Decimal("1.0"),
        "reference": more.get("reference"),
        "salesOrderId": None,
        "purchaseOrder": more.get("purchaseOrder"),
        "notes": more.get("notes"),
        "terms": more.get("terms"),
        "items": lines,
        **dict.fromkeys(("subtotal", "totalDiscount", "totalTax"), ZERO),
        "shippingCost": more.get("shippingCost") or ZERO,
        **dict.fromkeys(("total", "amountPaid", "amountDue"), ZERO),
        "paymentStatus": "unpaid",
        "lastPaymentDate": None,
        "overdueBy": 0,
        "billingAddress": customer["billingAddress"] or customer["address"],
        "attachments": [],
        "einvoice": {
            "status": "pending",
            **dict.fromkeys(("submittedAt", "acceptedAt", "uuid", "validationHash")),
        },
        "createdAt": books.stamp(invoice_id),
    }
    set_totals(invoice)
    books.touch("invoices", invoice_id, invoice)
    return invoice


def check_goods(books: Books, lines: Sequence[Record]) -> tuple[Counter[str], dict[str, Record]]:
    """Return what an invoice's lines take of each item, and the items.

    Raises ApiError 422 INSUFFICIENT_STOCK for more than there is.
    """
    wanted: Counter[str] = Counter()
    for line in lines:
        if line["itemId"]:
            wanted[line["itemId"]] += line["quantity"]
    items = {item_id: books.find("items", item_id) for item_id in wanted}
    for item_id, item in items.items():
        if item["inventory"]["tracked"]:
            check_stock(books, item, wanted[item_id])
    return wanted, items


def issue_invoice(books: Books, invoice: Record) -> None:
    """Send a draft: goods leave, revenue and tax are posted, the customer owes.

    Raises ApiError 422 INSUFFICIENT_STOCK, before anything has moved.
    """
    wanted, items = check_goods(books, invoice["items"])
    tracked = {key: item for key, item in items.items() if item["inventory"]["tracked"]}
    document = {
        "day": invoice["invoiceDate"],
        "reference": invoice["invoiceNumber"],
        "document_id": invoice["id"],
    }
    cost = sum(
        (sell_stock(books, item, wanted[key], **document) for key, item in tracked.items()), ZERO
    )
    entry = _post_sale(books, invoice, items, cost)
    invoice["status"] = "sent"
    if not invoice["amountDue"]:
        invoice["status"] = invoice["paymentStatus"] = "paid"
    _owe(books, invoice, invoice["total"], invoice["invoiceDate"], entry)
    customer = books.find("customers", invoice["customerId"])
    customer["totalSales"] += invoice["total"]
    customer["lastSaleDate"] = max(customer["lastSaleDate"] or "", invoice["invoiceDate"])
    mark_overdue(books, invoice)
    books.touch("invoices", invoice["id"], invoice)


def _post_sale(
    books: Books, invoice: Record, items: dict[str, Record], cost: Decimal
) -> Record | None:
    amounts: dict[str, Decimal] = {books.role("receivable"): invoice["total"]}
    for line in invoice["items"]:
        item = items.get(line["itemId"])
        account = item["accounting"]["incomeAccountId"] if item else books.role("services")
        amounts[account] = amounts.get(account, ZERO) - line["lineTotal"]
    for role, amount in (
        ("delivery", -invoice["shippingCost"]),
        ("sst", -invoice["totalTax"]),
        ("cogs", cost),
        ("inventory", -cost),
    ):
        amounts[books.role(role)] = amounts.get(books.role(role), ZERO) + amount
    note = f"Invoice {invoice['invoiceNumber']}, {invoice['customer']['name']}"
    lines = [(account, amount, note) for account, amount in amounts.items() if amount]
    if not lines:
        return None
    number, day = invoice["invoiceNumber"], invoice["invoiceDate"]
    return books.write_entry(day, number, note, lines, source=invoice["id"])


def _owe(books: Books, invoice: Record, amount: Decimal, day: str, entry: Record | None) -> None:
    """Move what a customer owes for an invoice, as an entry does."""
    customer = books.find("customers", invoice["customerId"])
    customer["currentBalance"] += amount
    books.touch("customers", customer["id"], customer)
    books.store.move(
        "receivable_moves",
        invoice["id"],
        customer["id"],
        day,
        entry and entry["id"],
        to_cents(amount),
    )


def mark_overdue(books: Books, invoice: Record) -> bool:
    """Tell an open invoice's lateness by its due date; return whether that changed anything."""
    late = max(0, (books.today - date.fromisoformat(invoice["dueDate"])).days)
    if invoice["status"] not in ("sent", "overdue") or late == invoice["overdueBy"]:
        return False
    invoice["status"], invoice["overdueBy"] = "overdue" if late else "sent", late
    return True


def pay_invoice(
    books: Books,
    invoice: Record,
    amount: Decimal,
    day: str,
    method: str,
    reference: str | None = None,
    account_id: str | None = None,
) -> Record:
    """Record a payment: cash in, receivable down; returns the payment. The amount must fit."""
    payment_id = books.new_id("pay")
    reference = reference or f"PMT-{books.counters['pay']:06d}"
    account_id = account_id or books.role("bank")
    note = f"Payment {reference} for {invoice['invoiceNumber']}, {invoice['customer']['name']}"
    entry = books.write_entry(
        day,
        reference,
        note,
        [(account_id, amount, note), (books.role("receivable"), -amount, note)],
        source=invoice["id"],
    )
    _owe(books, invoice, -amount, day, entry)
    invoice["amountPaid"] += amount
    invoice["amountDue"] -= amount
    invoice["lastPaymentDate"] = max(invoice["lastPaymentDate"] or "", day)
    invoice["paymentStatus"] = "partial" if invoice["amountDue"] else "paid"
    if not invoice["amountDue"]:
        invoice["status"], invoice["overdueBy"] = "paid", 0
    books.touch("invoices", invoice["id"], invoice)
    books.on_payment(
        {
            "id": payment_id,
            "amount": amount,
            "currency": invoice["currency"],
            "paymentDate": day,
            "paymentMethod": method,
            "reference": reference,
            "customerId": invoice["customerId"],
            "invoiceId": invoice["id"],
            "status": "completed",
            "bankAccount": {"name": "Operating account", "accountNumber": "****4321"},
            "createdAt": books.stamp(payment_id),
        }
    )
    return {
        "id": payment_id,
        "invoiceId": invoice["id"],
        "amount": amount,
        "paymentDate": day,
        "paymentMethod": method,
        "reference": reference,
        "accountId": account_id,
    }


def check_unpaid(invoice: Record) -> None:
    """Raise ApiError 422 INVOICE_HAS_PAYMENTS for an invoice that cannot be cancelled any more."""
    if invoice["amountPaid"]:
        raise broken_rule(
            "INVOICE_HAS_PAYMENTS",
            "An invoice with payments cannot be cancelled",
            invoiceId=invoice["id"],
            invoiceStatus=invoice["status"],
        )


def cancel_invoice(books: Books, invoice: Record, day: str) -> None:
    """Cancel an invoice nobody has paid on: reversed in the journal, goods back in stock."""
    check_unpaid(invoice)
    day = max(day, invoice["invoiceDate"])
    if invoice["status"] in ("sent", "overdue"):
        return_stock(
            books, invoice["id"], day=day, kind="return", reference=invoice["invoiceNumber"]
        )
        (entry_id,) = books.store.query(
            "select entry_id from receivable_moves where invoice_id = ? order by rowid limit 1",
            invoice["id"],
        )[0]
        reversal = None
        if entry_id:
            entry = books.find("journal_entries", entry_id)
            reversal = books.void_entry(entry, day, "invoice cancelled")
        _owe(books, invoice, -invoice["amountDue"], day, reversal)
        customer = books.find("customers", invoice["customerId"])
        customer["totalSales"] -= invoice["total"]
        take_back(books, invoice)
        withdraw(books, invoice)
    invoice["status"], invoice["overdueBy"] = "cancelled", 0
    books.touch("invoices", invoice["id"], invoice)
