"""New accounts, customers and items, with the API's defaults for what is not given."""

from __future__ import annotations

from blsync.sandbox.books.chart import CHART, ROLES, SYSTEM_ROLES
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.values import ZERO, Record


def open_accounts(books: Books) -> None:
    """Open the chart of accounts."""
    system = {ROLES[role] for role in SYSTEM_ROLES}
    for account in CHART:
        books.open_account(
            account.number,
            account.name,
            account.category,
            books.by_number.get(account.parent) if account.parent else None,
            isActive=account.is_active,
            isSystemAccount=account.number in system,
        )


def add_item(books: Books, fields: Record) -> Record:
    """Add an item with what is given and the API's defaults for the rest."""
    item_id = books.new_id("item")
    service = fields["type"] == "service"
    item: Record = {
        "id": item_id,
        "itemCode": fields["itemCode"],
        "barcode": fields.get("barcode"),
        "name": fields["name"],
        "description": fields.get("description"),
        "category": fields.get("category"),
        "type": fields["type"],
        "unit": fields.get("unit", "pcs"),
        "pricing": {
            "costPrice": ZERO,
            "sellingPrice": ZERO,
            "currency": "MYR",
            "priceGroups": [],
            **fields.get("pricing", {}),
        },
        "inventory": {
            "tracked": fields["type"] == "inventory",
            "currentStock": 0,
            "availableStock": 0,
            "reservedStock": 0,
            "minimumStock": 0,
            "maximumStock": 0,
            "reorderPoint": 0,
            "reorderQuantity": 0,
            **fields.get("inventory", {}),
        },
        "supplier": fields.get("supplier"),
        "accounting": {
            "incomeAccountId": books.role("services" if service else "sales"),
            "expenseAccountId": books.role("cogs"),
            "assetAccountId": books.role("inventory"),
        },
        "tax": {
            "salesTaxCode": "SST-8" if service else "SST-10",
            "purchaseTaxCode": "EXEMPT",
            "taxable": True,
            **fields.get("tax", {}),
        },
        "locations": [],
        "variants": [],
        "customFields": fields.get("customFields", {}),
        "isActive": fields.get("isActive", True),
        "createdAt": books.stamp(item_id),
    }
    books.taken["items", "itemCode"][item["itemCode"].casefold()] = item_id
    books.touch("items", item_id, item)
    return item


def add_customer(books: Books, fields: Record) -> Record:
    """Add a customer with what is given and the API's defaults for the rest."""
    customer_id = books.new_id("cust")
    number = books.new_number("customers")
    customer: Record = {
        "id": customer_id,
        "customerNumber": number,
        "name": None,
        "type": "business",
        "email": None,
        "phone": None,
        "website": None,
        "taxNumber": None,
        "address": None,
        "billingAddress": None,
        "shippingAddress": None,
        "currency": "MYR",
        "paymentTerms": 30,
        "creditLimit": ZERO,
        "currentBalance": ZERO,
        "totalSales": ZERO,
        "lastSaleDate": None,
        "status": "active",
        "tags": [],
        "customFields": {},
        "contacts": [],
        "createdAt": books.stamp(customer_id),
    }
    customer.update(fields)
    if customer["email"]:
        books.taken["customers", "email"][customer["email"].casefold()] = customer_id
    books.touch("customers", customer_id, customer)
    return customer
