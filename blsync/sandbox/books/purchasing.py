"""Suppliers, purchase orders, receipts, bills and their payments (bigledger-api.md, section 11).

A receipt debits inventory, or the item's expense account, and credits goods received not invoiced
at the order's price. The bill of an order takes that back at the same price; what it asks more or
less goes to the price variance, as does its tax, which is a cost. So at every date the payable
account is what the bills owe, and goods received not invoiced are what was received and not billed,
at the order's price.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from blsync.sandbox.books.chart import MAIN_LOCATION, TAX_RATES
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import ApiError, broken_rule
from blsync.sandbox.books.stock import move_stock, tell_expected
from blsync.sandbox.books.values import ZERO, Record, money, quantity, to_cents

Receipt = tuple[str, str, Decimal | int]
"""Id of an order's line, location, quantity."""

EXPECTED = ("sent", "confirmed", "partially_received")
"""Statuses of orders whose goods are still to come."""
PAYABLE = ("open", "partially_paid", "overdue")
"""Statuses of bills on which something is owed."""


def add_supplier(books: Books, fields: Record, supplier_id: str | None = None) -> Record:
    """Add a supplier with what is given and the API's defaults for the rest."""
    supplier_id = supplier_id or books.new_id("supp")
    supplier: Record = {
        "id": supplier_id,
        "supplierNumber": books.new_number("suppliers"),
        **dict.fromkeys(
            ("name", "displayName", "email", "phone", "website", "taxNumber"),
        ),
        "registrationNumber": None,
        "address": None,
        "paymentTerms": {"termsDays": 30, "discountDays": 0, "discountPercent": 0},
        "creditLimit": ZERO,
        "currentBalance": ZERO,
        "currency": "MYR",
        "status": "active",
        "tags": [],
        "contactPerson": None,
        "bankDetails": None,
        "createdAt": books.stamp(supplier_id),
    }
    supplier.update(fields)
    supplier["displayName"] = supplier["displayName"] or supplier["name"]
    if supplier["email"]:
        books.taken["suppliers", "email"][supplier["email"].casefold()] = supplier_id
    books.touch("suppliers", supplier_id, supplier)
    return supplier


def brief(supplier: Record) -> Record:
    """Return what a document says of its supplier."""
    return {key: supplier[key] for key in ("id", "name", "email")}


def draft_order(
    books: Books, supplier: Record, day: str, required: str, lines: Sequence[Record], **more: Any
) -> Record:
    """Add a draft purchase order.

    ``lines``: itemId or description, quantity, unitPrice, taxCode.
    """
    order_id = books.new_id("po")
    written = [_order_line(books, line, required) for line in lines]
    subtotal = sum((line["lineTotal"] for line in written), ZERO)
    tax = sum((line["taxAmount"] for line in written), ZERO)
    order = {
        "id": order_id,
        "poNumber": books.new_number("purchase_orders", day),
        "supplierId": supplier["id"],
        "supplier": brief(supplier),
        "orderDate": day,
        "requiredDate": required,
        "status": "draft",
        "currency": "MYR",
        "exchangeRate": Decimal("1.0"),
        "subtotal": subtotal,
        "taxTotal": tax,
        "discountTotal": ZERO,
        "total": subtotal + tax,
        "items": written,
        "deliveryAddress": more.get("deliveryAddress"),
        "reference": more.get("reference"),
        "terms": more.get("terms"),
        "notes": more.get("notes"),
        "createdBy": more.get("createdBy") or "user_purchasing",
        "approvedBy": None,
        "approvedAt": None,
        "sentAt": None,
        "createdAt": books.stamp(order_id),
    }
    books.touch("purchase_orders", order_id, order)
    return order


def _order_line(books: Books, line: Record, required: str) -> Record:
    return {
        **_line(books, "poli", line, line.get("unitPrice")),
        "receivedQuantity": 0,
        "expectedDate": line.get("expectedDate") or required,
        "notes": line.get("notes"),
    }


def _line(books: Books, prefix: str, line: Record, price: Any) -> Record:
    """Work out what the lines of orders and bills have in common; there is no discount."""
    item = books.find("items", line["itemId"]) if line.get("itemId") else None
    if price is None:
        price = item["pricing"]["costPrice"] if item else ZERO
    code = line.get("taxCode") or (item["tax"]["purchaseTaxCode"] if item else "EXEMPT")
    rate, total = TAX_RATES[code], money(line["quantity"] * Decimal(price))
    return {
        "id": books.new_id(prefix),
        "itemId": item["id"] if item else None,
        "itemCode": item["itemCode"] if item else None,
        "description": line.get("description") or (item["name"] if item else ""),
        "quantity": quantity(line["quantity"]),
        "unitPrice": money(price),
        "lineTotal": total,
        "taxCode": code,
        "taxRate": rate,
        "taxAmount": money(total * rate / Decimal(100)),
    }


def outstanding(order: Record) -> Counter[str]:
    """Return how much of each item an order still expects."""
    expected: Counter[str] = Counter()
    if order["status"] in EXPECTED:
        for line in order["items"]:
            if line["itemId"]:
                expected[line["itemId"]] += line["quantity"] - line["receivedQuantity"]
    return expected


def _change(books: Books, order: Record, before: Counter[str]) -> None:
    """Keep a changed order, and tell the stock what is expected now."""
    books.touch("purchase_orders", order["id"], order)
    after = outstanding(order)
    for item_id in dict.fromkeys((*before, *after)):
        change = after[item_id] - before[item_id]
        if change:
            tell_expected(books, item_id, MAIN_LOCATION, change)


def approve_order(books: Books, order: Record, approver: str = "user_manager") -> None:
    """Approve an order, which is no status of its own (section 11)."""
    if order["status"] != "draft" or order["approvedAt"]:
        raise ApiError(422, "PO_ALREADY_SENT", f"The order is {order['status']} already")
    order["approvedBy"], order["approvedAt"] = approver, books.stamp(order["id"])
    books.touch("purchase_orders", order["id"], order)


def send_order(books: Books, order: Record) -> None:
    """Send a draft to the supplier: from now on its goods are expected."""
    if order["status"] != "draft":
        raise ApiError(422, "PO_ALREADY_SENT", f"The order is {order['status']} already")
    before = outstanding(order)
    order["status"], order["sentAt"] = "sent", books.stamp(order["id"])
    _change(books, order, before)


def confirm_order(books: Books, order: Record) -> None:
    """Note that the supplier has confirmed an order."""
    if order["status"] != "sent":
        raise broken_rule("PO_NOT_SENT", f"Only a sent order is confirmed; it is {order['status']}")
    order["status"] = "confirmed"
    books.touch("purchase_orders", order["id"], order)


def cancel_order(books: Books, order: Record) -> None:
    """Cancel an order of which nothing has come."""
    if order["status"] not in ("draft", "sent", "confirmed"):
        raise broken_rule("PO_NOT_CANCELLABLE", f"The order is {order['status']}")
    before = outstanding(order)
    order["status"] = "cancelled"
    _change(books, order, before)


def receive_goods(books: Books, order: Record, day: str, receipts: Sequence[Receipt]) -> Record:
    """Take in goods of a sent order: stock, inventory, goods received not invoiced.

    Raises ApiError 422 for an order that is not sent or has all it ordered.
    """
    if order["status"] == "received":
        raise ApiError(422, "PO_ITEMS_FULLY_RECEIVED", "All items of the order have been received")
    if order["status"] not in EXPECTED:
        raise broken_rule(
            "PO_NOT_SENT", f"Nothing is received of an order that is {order['status']}"
        )
    before, lines = outstanding(order), {line["id"]: line for line in order["items"]}
    amounts: defaultdict[str, Decimal] = defaultdict(Decimal)
    for line_id, place, count in receipts:
        line = lines[line_id]
        value = money(line["unitPrice"] * count)
        line["receivedQuantity"] = quantity(line["receivedQuantity"] + count)
        amounts[_receiving_account(books, order, line, place, count, value, day)] += value
    is_whole = all(line["receivedQuantity"] >= line["quantity"] for line in order["items"])
    order["status"] = "received" if is_whole else "partially_received"
    _change(books, order, before)
    note = f"Goods received from {order['supplier']['name']}"
    entry = [(account, amount, note) for account, amount in amounts.items() if amount]
    entry.append((books.role("grni"), -sum(amounts.values(), ZERO), note))
    if len(entry) > 1:
        books.write_entry(day, order["poNumber"], note, entry, source=order["id"])
    return order


def _receiving_account(
    books: Books,
    order: Record,
    line: Record,
    place: str,
    count: Decimal | int,
    value: Decimal,
    day: str,
) -> str:
    """Put received goods where they are kept, and name the account that they go to."""
    if not line["itemId"]:
        return books.role("cogs")
    item = books.find("items", line["itemId"])
    if not item["inventory"]["tracked"]:
        return str(item["accounting"]["expenseAccountId"])
    move_stock(
        *(books, item, place, count, value),
        day=day,
        kind="purchase",
        reference=order["poNumber"],
        document_id=order["id"],
    )
    return books.role("inventory")


def draft_bill(
    books: Books,
    supplier: Record,
    day: str,
    due: str,
    lines: Sequence[Record],
    order: Record | None = None,
    **more: Any,
) -> Record:
    """Add a draft bill.

    ``lines``: itemId or description, quantity, unitPrice, taxCode, accountCode.
    """
    bill_id = books.new_id("bill")
    bill = {
        "id": bill_id,
        "billNumber": books.new_number("bills", day),
        "supplierInvoiceNumber": more.get("supplierInvoiceNumber"),
        "supplierId": supplier["id"],
        "supplier": brief(supplier),
        "purchaseOrderId": order["id"] if order else None,
        "billDate": day,
        "dueDate": due,
        "status": "draft",
        "currency": "MYR",
        **dict.fromkeys(("subtotal", "taxTotal", "total", "paidAmount", "balanceDue"), ZERO),
        "items": [],
        "attachments": [],
        "paymentTerms": terms_text(supplier["paymentTerms"]),
        "reference": more.get("reference"),
        "notes": more.get("notes"),
        "createdAt": books.stamp(bill_id),
    }
    write_bill_lines(books, bill, lines)
    take_number(books, bill)
    books.touch("bills", bill_id, bill)
    return bill


def write_bill_lines(books: Books, bill: Record, lines: Sequence[Record]) -> None:
    """Put these lines on a draft bill, and add them up."""
    bill["items"] = [
        {**_line(books, "bili", line, line["unitPrice"]), "accountCode": line["accountCode"]}
        for line in lines
    ]
    for line in bill["items"]:
        del line["itemCode"]
    bill["subtotal"] = sum((line["lineTotal"] for line in bill["items"]), ZERO)
    bill["taxTotal"] = sum((line["taxAmount"] for line in bill["items"]), ZERO)
    bill["total"] = bill["balanceDue"] = bill["subtotal"] + bill["taxTotal"]


def take_number(books: Books, bill: Record) -> None:
    """Keep the supplier's number of a bill from being entered again."""
    if bill["supplierInvoiceNumber"]:
        taken = books.taken["bills", "supplierInvoiceNumber"]
        taken[number_key(bill["supplierId"], bill["supplierInvoiceNumber"])] = bill["id"]


def number_key(supplier_id: str, number: str) -> str:
    """Return by what a supplier's number of a bill is known: it is unique a supplier."""
    return f"{supplier_id} {number}".casefold()


def terms_text(terms: Record) -> str:
    """Word a supplier's terms as a bill does: Net 30, or 2/10 Net 30."""
    net = f"Net {terms['termsDays']}"
    discount, days = terms["discountPercent"], terms["discountDays"]
    return f"{discount}/{days} {net}" if discount else net


def approve_bill(books: Books, bill: Record) -> None:
    """Make a draft bill count: what it costs, and what is owed for it."""
    if bill["status"] != "draft":
        raise broken_rule("BILL_NOT_DRAFT", f"Only a draft can be approved; it is {bill['status']}")
    note = f"Bill {bill['billNumber']}, {bill['supplier']['name']}"
    amounts = _costs(books, bill)
    amounts[books.role("payable")] -= bill["total"]
    lines = [(account, amount, note) for account, amount in amounts.items() if amount]
    entry = None
    if lines:
        day, number = bill["billDate"], bill["billNumber"]
        entry = books.write_entry(day, number, note, lines, source=bill["id"])
    bill["status"] = "open" if bill["balanceDue"] else "paid"
    _owe(books, bill, bill["total"], bill["billDate"], entry)
    books.touch("bills", bill["id"], bill)


def _costs(books: Books, bill: Record) -> defaultdict[str, Decimal]:
    """Return what a bill costs by account, its tax included."""
    amounts: defaultdict[str, Decimal] = defaultdict(Decimal)
    if bill["purchaseOrderId"] is None:
        for line in bill["items"]:
            account = books.by_number[line["accountCode"]]
            amounts[account] += line["lineTotal"] + line["taxAmount"]
        return amounts
    grni, variance = books.role("grni"), books.role("price_variance")
    order = books.find("purchase_orders", bill["purchaseOrderId"])
    priced = _prices(books, order, bill)
    for line in bill["items"]:
        if line["itemId"] in priced:
            ordered = _ordered_value(priced[line["itemId"]], line["quantity"])
            amounts[grni] += ordered
            amounts[variance] += line["lineTotal"] - ordered + line["taxAmount"]
        else:  # freight and the like, which nobody ordered
            amounts[books.by_number[line["accountCode"]]] += line["lineTotal"] + line["taxAmount"]
    return amounts


def _prices(books: Books, order: Record, bill: Record) -> dict[str, list[list[Any]]]:
    """Return, by item, how much the lines of an order still take of bills, and at which price.

    The lines of one item fill in order, the last takes the excess (section 11).
    """
    priced: dict[str, list[list[Any]]] = {}
    for line in order["items"]:
        if line["itemId"]:
            room = [Decimal(line["quantity"]), line["unitPrice"]]
            priced.setdefault(line["itemId"], []).append(room)
    if all(len(rooms) == 1 for rooms in priced.values()):
        return priced
    books.store.flush()
    sql = "select id from bills where purchaseOrderId = ? and status <> 'draft' and id <> ?"
    for (bill_id,) in books.store.query(sql, order["id"], bill["id"]):
        for line in books.find("bills", bill_id)["items"]:
            if line["itemId"] in priced:
                _ordered_value(priced[line["itemId"]], line["quantity"])
    return priced


def unbilled(books: Books, order: Record) -> list[tuple[str, Decimal | int]]:
    """Return what of an order was received and not billed, by line: the first line first."""
    books.store.flush()
    rows = books.store.query("select id from bills where purchaseOrderId = ?", order["id"])
    billed: Counter[str] = Counter()
    for (bill_id,) in rows:
        for line in books.find("bills", bill_id)["items"]:
            if line["itemId"]:
                billed[line["itemId"]] += line["quantity"]
    left: list[tuple[str, Decimal | int]] = []
    for line in order["items"]:
        taken = min(billed[line["itemId"]], line["receivedQuantity"])
        billed[line["itemId"]] -= taken
        if line["receivedQuantity"] > taken:
            left.append((line["id"], quantity(line["receivedQuantity"] - taken)))
    return left


def _ordered_value(rooms: list[list[Any]], count: Decimal | int) -> Decimal:
    """Value a billed quantity at the order's prices, and take it out of the lines' room."""
    value, left = ZERO, Decimal(count)
    for room in rooms:
        taken = left if room is rooms[-1] else min(left, max(room[0], Decimal(0)))
        value += money(taken * room[1])
        room[0] -= taken
        left -= taken
    return value


def _owe(books: Books, bill: Record, amount: Decimal, day: str, entry: Record | None) -> None:
    """Move what is owed for a bill, as an entry does."""
    supplier = books.find("suppliers", bill["supplierId"])
    supplier["currentBalance"] += amount
    books.touch("suppliers", supplier["id"], supplier)
    books.store.move(
        *("payable_moves", bill["id"], supplier["id"], day, entry and entry["id"]),
        to_cents(amount),
    )


def pay_bill(
    books: Books,
    bill: Record,
    amount: Decimal,
    day: str,
    method: str = "bank_transfer",
    reference: str | None = None,
    account_id: str | None = None,
) -> Record:
    """Pay on an open bill: cash out, payable down; returns the payment. The amount must fit."""
    payment_id = books.new_id("spay")
    reference = reference or f"SPAY-{books.counters['spay']:06d}"
    account_id = account_id or books.role("bank")
    note = f"Payment {reference} of {bill['billNumber']}, {bill['supplier']['name']}"
    entry = books.write_entry(
        *(day, reference, note),
        [(books.role("payable"), amount, note), (account_id, -amount, note)],
        source=bill["id"],
    )
    _owe(books, bill, -amount, day, entry)
    bill["paidAmount"] += amount
    bill["balanceDue"] -= amount
    bill["status"] = "partially_paid" if bill["balanceDue"] else "paid"
    books.touch("bills", bill["id"], bill)
    return {
        "id": payment_id,
        "billId": bill["id"],
        "amount": amount,
        "paymentDate": day,
        "paymentMethod": method,
        "reference": reference,
        "accountId": account_id,
    }


def mark_late(books: Books, bill: Record) -> bool:
    """Call an open bill overdue past its due date; return whether that changed anything."""
    is_late = bool(bill["status"] == "open" and bill["dueDate"] < books.today.isoformat())
    if is_late:
        bill["status"] = "overdue"
    return is_late
