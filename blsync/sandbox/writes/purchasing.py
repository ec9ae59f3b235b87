"""Writes of suppliers, purchase orders, bills and their payments (bigledger-api.md, section 11)."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from blsync.sandbox.books import purchasing
from blsync.sandbox.books.chart import LOCATIONS, MAIN_LOCATION, TAX_RATES
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import ApiError, broken_rule
from blsync.sandbox.books.values import ZERO, Record
from blsync.sandbox.writes.invoices import METHODS
from blsync.sandbox.writes.masters import CURRENCIES, check_unique, find_active_account
from blsync.sandbox.writes.request_fields import Form

STATUSES = ("active", "inactive", "suspended")
KEEP_NULL = ("email", "phone", "website", "taxNumber", "registrationNumber", "address")


def _supplier_fields(form: Form) -> Record:
    terms = Form(form.part("paymentTerms", dict) or {}, prefix="paymentTerms.")
    fields: Record = {
        "name": form.text("name", required=True, most=100),
        "displayName": form.text("displayName", most=100),
        "email": form.email("email"),
        "phone": form.text("phone", most=40),
        "website": form.text("website"),
        "taxNumber": form.text("taxNumber"),
        "registrationNumber": form.text("registrationNumber"),
        "address": form.part("address", dict),
        "creditLimit": form.amount("creditLimit", least=0),
        "currency": form.text("currency", choices=CURRENCIES),
        "status": form.text("status", choices=STATUSES),
        "tags": form.part("tags", list),
        "contactPerson": form.part("contactPerson", dict),
        "bankDetails": form.part("bankDetails", dict),
    }
    if form.has("paymentTerms"):
        fields["paymentTerms"] = {
            "termsDays": terms.whole("termsDays", 0, 365) or 0,
            "discountDays": terms.whole("discountDays", 0, 365) or 0,
            "discountPercent": terms.number("discountPercent", least=0, most=100) or 0,
        }
    form.gather([terms])
    return {
        name: value
        for name, value in fields.items()
        if form.has(name) and (value is not None or name in KEEP_NULL)
    }


def create_supplier(books: Books, data: object) -> Record:
    """Create a supplier: a name, and an e-mail address that no other has."""
    fields = _supplier_fields(Form(data))
    check_unique(books, "suppliers", "email", fields.get("email"))
    return purchasing.add_supplier(books, fields)


def update_supplier(books: Books, supplier_id: object, data: object) -> Record:
    """Change a supplier's given fields."""
    supplier = books.find("suppliers", supplier_id)
    fields = _supplier_fields(Form(data, partial=True))
    check_unique(books, "suppliers", "email", fields.get("email"), supplier["id"])
    if "email" in fields:
        taken = books.taken["suppliers", "email"]
        taken.pop((supplier["email"] or "").casefold(), None)
        if fields["email"]:
            taken[fields["email"].casefold()] = supplier["id"]
    supplier.update(fields)
    books.touch("suppliers", supplier["id"], supplier)
    return supplier


def delete_supplier(books: Books, supplier_id: object) -> Record:
    """Delete a supplier without orders and bills."""
    supplier = books.find("suppliers", supplier_id)
    books.store.flush()
    used = books.store.query(
        "select (select count(*) from purchase_orders where supplierId = ?1)"
        " + (select count(*) from bills where supplierId = ?1)",
        supplier["id"],
    )[0][0]
    if used:
        raise broken_rule(
            "SUPPLIER_HAS_TRANSACTIONS",
            "Cannot delete a supplier with existing transactions",
            supplierId=supplier["id"],
            transactionCount=used,
        )
    books.taken["suppliers", "email"].pop((supplier["email"] or "").casefold(), None)
    books.store.delete("suppliers", supplier["id"])
    return {"id": supplier["id"], "deleted": True}


def _find_supplier(books: Books, supplier_id: object) -> Record:
    supplier = books.find("suppliers", supplier_id)
    if supplier["status"] != "active":
        raise broken_rule(
            "SUPPLIER_INACTIVE",
            f"The supplier is {supplier['status']}",
            supplierId=supplier["id"],
        )
    return supplier


def _lines(form: Form, *, is_bill: bool) -> list[Record]:
    """Read the lines of an order or a bill: an item or a description, a quantity, a price."""
    forms = form.lines("items")
    lines = []
    for line in forms:
        item_id, description = line.text("itemId"), line.text("description")
        if not item_id and not description:
            line.refuse("description", "REQUIRED_FIELD", "or itemId is required")
        lines.append(
            {
                "itemId": item_id,
                "description": description,
                "quantity": line.count("quantity", required=True, above=0),
                "unitPrice": line.amount("unitPrice", required=is_bill or not item_id, least=0),
                "taxCode": line.text("taxCode", choices=tuple(TAX_RATES)),
                "expectedDate": line.day("expectedDate"),
                "notes": line.text("notes"),
                "accountCode": line.text("accountCode"),
            }
        )
    form.gather(forms)
    return lines


def create_order(books: Books, data: object) -> Record:
    """Create a draft purchase order."""
    form = Form(data)
    supplier_id = form.text("supplierId", required=True)
    day = form.day("orderDate", books.today) or ""
    required = form.day("requiredDate") or day
    if required < day:
        message = "must not be before orderDate"
        form.refuse("requiredDate", "DATE_CONSTRAINT", message, required, f">= {day}")
    more: Record = {name: form.text(name) for name in ("reference", "terms", "notes")}
    address = form.part("deliveryAddress", dict)
    lines = _lines(form, is_bill=False)
    supplier = _find_supplier(books, supplier_id)
    return purchasing.draft_order(
        *(books, supplier, day, required, lines),
        deliveryAddress=address,
        createdBy="user_api",
        **more,
    )


def _find_order(books: Books, order_id: object, data: object) -> Record:
    Form(data).check()
    return books.find("purchase_orders", order_id)


def approve_order(books: Books, order_id: object, data: object) -> Record:
    """Approve a draft purchase order."""
    order = _find_order(books, order_id, data)
    purchasing.approve_order(books, order)
    return order


def send_order(books: Books, order_id: object, data: object) -> Record:
    """Send a draft purchase order to its supplier."""
    order = _find_order(books, order_id, data)
    purchasing.send_order(books, order)
    return order


def confirm_order(books: Books, order_id: object, data: object) -> Record:
    """Note that the supplier has confirmed a purchase order."""
    order = _find_order(books, order_id, data)
    purchasing.confirm_order(books, order)
    return order


def cancel_order(books: Books, order_id: object, data: object) -> Record:
    """Cancel a purchase order of which nothing has been received."""
    order = _find_order(books, order_id, data)
    purchasing.cancel_order(books, order)
    return order


def receive_order(books: Books, order_id: object, data: object) -> Record:
    """Receive goods of a purchase order; more than was ordered may come."""
    form = Form(data)
    forms = form.lines("items")
    received = [
        (
            line.text("itemId", required=True),
            line.count("receivedQuantity", required=True, above=0),
            line.day("receivedDate", books.today) or "",
            line.text("locationId", choices=tuple(LOCATIONS)) or MAIN_LOCATION,
        )
        for line in forms
    ]
    form.gather(forms)
    order = books.find("purchase_orders", order_id)
    by_day: dict[str, list[purchasing.Receipt]] = {}
    for number, (item_id, count, day, place) in enumerate(received):
        line = _expecting(order, item_id)
        if line is None:
            forms[number].refuse("itemId", "INVALID_CHOICE", "is not on the order", item_id)
        elif count is not None:
            by_day.setdefault(day, []).append((line["id"], place, count))
    form.gather(forms)
    for day, receipts in sorted(by_day.items()):
        purchasing.receive_goods(books, order, day, receipts)
    return order


def _expecting(order: Record, item_id: str | None) -> Record | None:
    """Return the order's line of an item, or with that id, that still expects something."""
    lines: list[Record] = [
        line for line in order["items"] if item_id in (line["itemId"], line["id"])
    ]
    open_ones = [line for line in lines if line["receivedQuantity"] < line["quantity"]]
    return next(iter(open_ones or lines), None)


def create_bill(books: Books, data: object) -> Record:
    """Create a bill: a draft, or counted at once where ``status`` says ``open``."""
    form = Form(data)
    supplier_id = form.text("supplierId", required=True)
    order_id = form.text("purchaseOrderId")
    day = form.day("billDate", books.today) or ""
    due, status = form.day("dueDate"), form.text("status", choices=("draft", "open"))
    number = form.text("supplierInvoiceNumber")
    more: Record = {name: form.text(name) for name in ("reference", "notes")}
    if due is not None and due < day:
        form.refuse("dueDate", "DATE_CONSTRAINT", "must not be before billDate", due, f">= {day}")
    lines = _lines(form, is_bill=True)
    supplier = _find_supplier(books, supplier_id)
    order = books.find("purchase_orders", order_id) if order_id else None
    if order and order["supplierId"] != supplier["id"]:
        form.refuse("purchaseOrderId", "INVALID_CHOICE", "is another supplier's", order_id)
    _charge(books, form, lines, order)
    form.check()
    _check_number(books, supplier["id"], number)
    if due is None:
        terms = supplier["paymentTerms"]["termsDays"]
        due = (date.fromisoformat(day) + timedelta(days=terms)).isoformat()
    bill = purchasing.draft_bill(
        *(books, supplier, day, due, lines, order), supplierInvoiceNumber=number, **more
    )
    if status == "open":
        purchasing.approve_bill(books, bill)
    return bill


def _charge(books: Books, form: Form, lines: list[Record], order: Record | None) -> None:
    """Give each line of a bill the account that it goes to."""
    for position, line in enumerate(lines):
        field = f"items[{position}].accountCode"
        line["accountCode"] = line["accountCode"] or _usual_account(books, line, order)
        if line["accountCode"] is None:
            form.refuse(field, "REQUIRED_FIELD", "is required where there is no itemId")
        elif line["accountCode"] not in books.by_number:
            form.refuse(field, "INVALID_CHOICE", "is no account", line["accountCode"])


def update_bill(books: Books, bill_id: object, data: object) -> Record:
    """Change a bill: a draft in all but its supplier and order, an open one in its notes, its
    reference and its due date.
    """
    bill = books.find("bills", bill_id)
    form = Form(data, partial=True)
    for field in ("supplierId", "purchaseOrderId"):
        if form.has(field) and form.data[field] != bill[field]:
            form.refuse(field, "INVALID_CHOICE", "cannot change", form.data[field])
    notes = {name: form.text(name) for name in ("reference", "notes") if form.has(name)}
    day = form.day("billDate") or bill["billDate"]
    due = form.day("dueDate") or bill["dueDate"]
    if due < day:
        form.refuse("dueDate", "DATE_CONSTRAINT", "must not be before billDate", due, f">= {day}")
    number = form.text("supplierInvoiceNumber") or bill["supplierInvoiceNumber"]
    lines = _lines(form, is_bill=True) if form.has("items") else None
    form.check()
    is_other = lines is not None or (day, number) != (
        bill["billDate"],
        bill["supplierInvoiceNumber"],
    )
    if bill["status"] != "draft" and is_other:
        raise broken_rule(
            "OPEN_BILL_LOCKED",
            "Only notes, reference and due date of a bill that is owed can change",
            billId=bill["id"],
            billStatus=bill["status"],
        )
    if lines is not None:
        order_id = bill["purchaseOrderId"]
        order = books.find("purchase_orders", order_id) if order_id else None
        _charge(books, form, lines, order)
        form.check()
    if number != bill["supplierInvoiceNumber"]:
        _check_number(books, bill["supplierId"], number)
        if before := bill["supplierInvoiceNumber"]:
            taken = books.taken["bills", "supplierInvoiceNumber"]
            taken.pop(purchasing.number_key(bill["supplierId"], before), None)
        bill["supplierInvoiceNumber"] = number
        purchasing.take_number(books, bill)
    if lines is not None:
        purchasing.write_bill_lines(books, bill, lines)
    bill.update(notes, billDate=day, dueDate=due)
    books.touch("bills", bill["id"], bill)
    return bill


def _usual_account(books: Books, line: Record, order: Record | None) -> str | None:
    """Return the number of the account that an item's bill goes to."""
    if line["itemId"] is None:
        return None
    item = books.find("items", line["itemId"])
    if order and any(ordered["itemId"] == item["id"] for ordered in order["items"]):
        return "2015"
    account = books.find("accounts", item["accounting"]["expenseAccountId"])
    return str(account["accountNumber"])


def _check_number(books: Books, supplier_id: str, number: str | None) -> None:
    key = purchasing.number_key(supplier_id, number or "")
    existing = books.taken["bills", "supplierInvoiceNumber"].get(key) if number else None
    if existing:
        detail = {
            "resource": "bill",
            "field": "supplierInvoiceNumber",
            "value": number,
            "existingId": existing,
        }
        message = "The supplier's invoice number has been entered already"
        raise ApiError(409, "INVALID_SUPPLIER_INVOICE", message, [detail])


def approve_bill(books: Books, bill_id: object, data: object) -> Record:
    """Approve a draft bill: it is owed from now on."""
    Form(data).check()
    bill = books.find("bills", bill_id)
    purchasing.approve_bill(books, bill)
    return bill


def pay_bill(books: Books, bill_id: object, data: object) -> Record:
    """Record a payment of an open bill; no more than what is due."""
    form = Form(data)
    amount = form.amount("amount", required=True, above=0)
    day = form.day("paymentDate", books.today) or ""
    method = form.text("paymentMethod", choices=METHODS) or "bank_transfer"
    reference, account_id = form.text("reference"), form.text("accountId")
    form.check()
    bill = books.find("bills", bill_id)
    if bill["status"] == "paid":
        detail = {"billId": bill["id"], "paidAmount": bill["paidAmount"]}
        raise ApiError(422, "BILL_ALREADY_PAID", "The bill has been paid", [detail])
    if bill["status"] == "draft":
        raise broken_rule("DRAFT_BILL_UNPAYABLE", "A draft cannot be paid; approve the bill first")
    due: Decimal = bill["balanceDue"]
    if amount is not None and amount > due:
        form.refuse("amount", "MAX_VALUE", "is more than what is due", amount, f"<= {due}")
    if day < bill["billDate"]:
        bound = f">= {bill['billDate']}"
        form.refuse("paymentDate", "DATE_CONSTRAINT", "is before the bill's", day, bound)
    if account_id:
        account = find_active_account(books, account_id)
        if account["type"] != "asset" or account["isSystemAccount"]:
            form.refuse("accountId", "INVALID_CHOICE", "makes no payments", account_id)
    form.check()
    return purchasing.pay_bill(books, bill, amount or ZERO, day, method, reference, account_id)
