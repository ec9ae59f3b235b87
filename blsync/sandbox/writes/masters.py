"""Writes of customers, items and accounts (bigledger-api.md, section 5)."""

from __future__ import annotations

from typing import Any

from blsync.sandbox.books.chart import TAX_RATES, TYPES
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import ApiError, broken_rule, conflict, not_found
from blsync.sandbox.books.masters import add_customer, add_item
from blsync.sandbox.books.values import Record
from blsync.sandbox.writes.request_fields import Form

ADDRESSES = ("address", "billingAddress", "shippingAddress")
FLAT = {
    "costPrice": ("pricing", "costPrice"),
    "sellingPrice": ("pricing", "sellingPrice"),
    "taxCode": ("tax", "salesTaxCode"),
    "reorderLevel": ("inventory", "reorderPoint"),
    "reorderQuantity": ("inventory", "reorderQuantity"),
}
"""Field of an item in a batch → where the object has it."""
CURRENCIES = ("MYR", "SGD", "USD", "EUR", "CNY", "THB", "IDR")


def check_unique(
    books: Books, entity: str, field: str, value: str | None, own_id: str = ""
) -> None:
    """Raise ApiError 409 CONFLICT where another record has the value, whatever the case."""
    existing = books.taken[entity, field].get(value.casefold()) if value else None
    if existing and existing != own_id:
        raise conflict(entity.removesuffix("s"), field, value, existing)


def _customer_fields(form: Form) -> Record:
    """Read the fields of a customer that a client may write."""
    fields: Record = {
        "name": form.text("name", required=True, most=200),
        "type": form.text("type", choices=("individual", "business")),
        "email": form.email("email"),
        "phone": form.text("phone", most=40),
        "website": form.text("website"),
        "taxNumber": form.text("taxNumber"),
        "currency": form.text("currency", choices=CURRENCIES),
        "paymentTerms": form.whole("paymentTerms", 0, 365),
        "creditLimit": form.amount("creditLimit", least=0),
        "status": form.text("status", choices=("active", "inactive", "blocked")),
        "tags": form.part("tags", list),
        "customFields": form.part("customFields", dict),
        "contacts": form.part("contacts", list),
        **{name: form.part(name, dict) for name in ADDRESSES},
    }
    form.check()
    keep_null = ("email", "phone", "website", "taxNumber", *ADDRESSES)
    return {
        name: value
        for name, value in fields.items()
        if form.has(name) and (value is not None or name in keep_null)
    }


def create_customer(books: Books, data: object) -> Record:
    """Create a customer: a name, and an e-mail address or a phone number."""
    form = Form(data)
    if not form.data.get("email") and not form.data.get("phone"):
        form.refuse("email", "REQUIRED_FIELD", "or phone is required")
    fields = _customer_fields(form)
    check_unique(books, "customers", "email", fields.get("email"))
    return add_customer(books, fields)


def update_customer(books: Books, customer_id: object, data: object) -> Record:
    """Change a customer's given fields."""
    customer = books.find("customers", customer_id)
    fields = _customer_fields(Form(data, partial=True))
    check_unique(books, "customers", "email", fields.get("email"), customer["id"])
    merged = {**customer, **fields}
    if not merged.get("email") and not merged.get("phone"):
        form = Form({})
        form.refuse("email", "REQUIRED_FIELD", "or phone is required")
        form.check()
    if "email" in fields:
        taken = books.taken["customers", "email"]
        taken.pop((customer["email"] or "").casefold(), None)
        if fields["email"]:
            taken[fields["email"].casefold()] = customer["id"]
    customer.update(fields)
    books.touch("customers", customer["id"], customer)
    return customer


def delete_customer(books: Books, customer_id: object) -> Record:
    """Delete a customer who has no invoices."""
    customer = books.find("customers", customer_id)
    books.store.flush()
    sql = "select count(*), max(invoiceDate) from invoices where customerId = ?"
    count, last = books.store.query(sql, customer["id"])[0]
    if count:
        raise broken_rule(
            "CUSTOMER_HAS_TRANSACTIONS",
            "Cannot delete a customer with existing transactions",
            customerId=customer["id"],
            transactionCount=count,
            lastTransactionDate=last,
        )
    books.taken["customers", "email"].pop((customer["email"] or "").casefold(), None)
    books.store.delete("customers", customer["id"])
    return {"id": customer["id"], "deleted": True}


def _item_fields(form: Form) -> Record:
    pricing = Form(form.part("pricing", dict) or {}, prefix="pricing.")
    inventory = Form(form.part("inventory", dict) or {}, prefix="inventory.")
    tax = Form(form.part("tax", dict) or {}, prefix="tax.")
    prices = {name: pricing.amount(name, least=0) for name in ("costPrice", "sellingPrice")}
    levels = {
        name: inventory.count(name, least=0)
        for name in ("minimumStock", "maximumStock", "reorderPoint", "reorderQuantity")
    }
    fields: Record = {
        "itemCode": form.text("itemCode", required=True, most=60),
        "name": form.text("name", required=True, most=200),
        "type": form.text("type", required=True, choices=("inventory", "service", "non_inventory")),
        "barcode": form.text("barcode"),
        "description": form.text("description"),
        "unit": form.text("unit"),
        "category": form.part("category", dict),
        "supplier": form.part("supplier", dict),
        "customFields": form.part("customFields", dict),
        "isActive": form.flag("isActive"),
        "pricing": {name: value for name, value in prices.items() if value is not None},
        "inventory": {name: value for name, value in levels.items() if value is not None},
        "tax": {},
    }
    if code := tax.text("salesTaxCode", choices=tuple(TAX_RATES)):
        fields["tax"] = {"salesTaxCode": code, "taxable": TAX_RATES[code] > 0}
    form.gather([pricing, inventory, tax])
    return {name: value for name, value in fields.items() if value is not None}


def create_item(books: Books, data: object) -> Record:
    """Create an item: a unique itemCode, a name, a type."""
    fields = _item_fields(Form(data))
    check_unique(books, "items", "itemCode", fields["itemCode"])
    return add_item(books, fields)


def _nested(books: Books, data: object) -> object:
    """Return an item's data as `POST /items` takes it: a batch has it flat, its category by name
    (bigledger-api.md, section 15).
    """
    if not isinstance(data, dict):
        return data
    flat, nested = dict(data), Record()
    for name, (part, field) in FLAT.items():
        if name in flat:
            nested.setdefault(part, {})[field] = flat.pop(name)
    for name in ("trackSerial", "trackBatch"):  # kept nowhere that the object shows
        flat.pop(name, None)
    if "unitOfMeasure" in flat:
        flat["unit"] = flat.pop("unitOfMeasure")
    if isinstance(category := flat.get("category"), str):
        flat["category"] = _category(books, category)
    return flat | nested


def _category(books: Books, name: str) -> Record:
    """Return the category of that name, which comes to be with the first item that names it."""
    known = (item["category"] for item in books.store.all("items") if item["category"])
    word = "_".join(name.casefold().split())
    made = {"id": f"cat_{word}", "name": name, "path": name}
    return next((one for one in known if one["name"] == name), made)


def create_flat_item(books: Books, data: object) -> Record:
    """Create an item from flat data, as a batch has it."""
    return create_item(books, _nested(books, data))


def update_flat_item(books: Books, item_id: object, data: object) -> Record:
    """Change an item by flat data, as a batch has it."""
    return update_item(books, item_id, _nested(books, data))


def update_item(books: Books, item_id: object, data: object) -> Record:
    """Change an item's given fields; the stock itself moves by documents only."""
    item = books.find("items", item_id)
    fields = _item_fields(Form(data, partial=True))
    if fields.get("type", item["type"]) != item["type"]:
        raise broken_rule("ITEM_TYPE_FIXED", "An item's type cannot change", itemId=item["id"])
    code = fields.get("itemCode")
    check_unique(books, "items", "itemCode", code, item["id"])
    if code:
        books.taken["items", "itemCode"].pop(item["itemCode"].casefold(), None)
        books.taken["items", "itemCode"][code.casefold()] = item["id"]
    for name, value in fields.items():
        if name in ("pricing", "inventory", "tax"):
            item[name].update(value)
        else:
            item[name] = value
    books.touch("items", item["id"], item)
    return item


def delete_item(books: Books, item_id: object) -> Record:
    """Delete an item that never moved and is on no invoice."""
    item = books.find("items", item_id)
    books.store.flush()
    used = books.store.query(
        "select (select count(*) from stock_moves where item_id = ?1) + (select count(*) from"
        " invoices, json_each(invoices.doc, '$.items') line"
        " where json_extract(line.value, '$.itemId') = ?1)",
        item["id"],
    )[0][0]
    if used:
        raise broken_rule(
            "ITEM_HAS_TRANSACTIONS",
            "Cannot delete an item with existing transactions",
            itemId=item["id"],
            transactionCount=used,
        )
    books.taken["items", "itemCode"].pop(item["itemCode"].casefold(), None)
    books.store.delete("items", item["id"])
    return {"id": item["id"], "deleted": True}


def create_account(books: Books, data: object) -> Record:
    """Create an account: a unique number, a name, a category that fits its type."""
    form = Form(data)
    number = form.text("accountNumber", required=True, most=20)
    name = form.text("name", required=True, most=200)
    kind = form.text("type", required=True, choices=tuple(dict.fromkeys(TYPES.values())))
    category = form.text("category", required=True, choices=tuple(TYPES))
    if category and kind and TYPES[category] != kind:
        form.refuse("category", "INVALID_CHOICE", f"is no category of {kind}", category)
    parent, description = form.text("parentId"), form.text("description")
    is_active = form.flag("isActive")
    form.check()
    check_unique(books, "accounts", "accountNumber", number)
    if parent:
        books.find("accounts", parent)
    return books.open_account(
        *(str(number), str(name), str(category), parent),
        description=description,
        isActive=is_active is not False,
    )


def update_account(books: Books, account_id: object, data: object) -> Record:
    """Change an account's name, description or activity; nothing else changes ever."""
    account = books.find("accounts", account_id)
    form = Form(data, partial=True)
    for field in ("accountNumber", "type", "category"):
        if form.has(field) and form.data[field] != account[field]:
            form.refuse(field, "INVALID_CHOICE", "cannot change", form.data[field])
    changes: dict[str, Any] = {
        "name": form.text("name", required=True, most=200),
        "description": form.text("description"),
        "isActive": form.flag("isActive"),
    }
    form.check()
    account.update({field: value for field, value in changes.items() if value is not None})
    books.touch("accounts", account["id"], account)
    return account


def delete_account(books: Books, account_id: object) -> Record:
    """Delete an account without transactions; else 422 ACCOUNT_IN_USE."""
    account = books.find("accounts", account_id)
    books.store.flush()
    count, last = books.store.query(
        "select count(*), max(json_extract(doc, '$.date')) from journal_entries where exists"
        " (select 1 from json_each(doc, '$.lines')"
        "  where json_extract(value, '$.accountId') = ?)",
        account["id"],
    )[0]
    children = [a for a in books.store.all("accounts") if a["parentId"] == account["id"]]
    if count or children or account["isSystemAccount"]:
        message = "Cannot delete account with existing transactions"
        if not count:
            message = "Cannot delete an account that the system or other accounts lean on"
        detail = {"transactionCount": count, "lastTransactionDate": last}
        raise ApiError(422, "ACCOUNT_IN_USE", message, [detail])
    del books.by_number[account["accountNumber"]]
    books.store.delete("accounts", account["id"])
    return {"id": account["id"], "deleted": True}


def find_active_account(books: Books, account_id: object) -> Record:
    """Return an account one may post to. Raises ApiError 404 or 422 ACCOUNT_INACTIVE."""
    if not isinstance(account_id, str):
        raise not_found("account", account_id, "ACCOUNT_NOT_FOUND")
    account = books.find("accounts", account_id)
    if not account["isActive"]:
        raise broken_rule(
            "ACCOUNT_INACTIVE",
            f"Account {account['accountNumber']} is inactive",
            accountId=account_id,
        )
    return account
