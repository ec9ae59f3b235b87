"""Items: goods and services (bigledger-api.md, section 5)."""

from __future__ import annotations

from datetime import datetime

from blsync.entity import NOTHING, Entity, FreeForm, Key, Quantity, Record, UnitAmount


class Category(Record):
    """Where the item stands in the catalogue."""

    id: str | None = None
    name: str | None = None
    path: str | None = None


class Pricing(Record):
    """Prices of one unit."""

    cost_price: UnitAmount | None = None
    selling_price: UnitAmount | None = None
    currency: str | None = None
    price_groups: FreeForm = NOTHING


class Inventory(Record):
    """Quantities over all locations."""

    tracked: bool | None = None
    current_stock: Quantity | None = None
    available_stock: Quantity | None = None
    reserved_stock: Quantity | None = None
    minimum_stock: Quantity | None = None
    maximum_stock: Quantity | None = None
    reorder_point: Quantity | None = None
    reorder_quantity: Quantity | None = None


class Supplier(Record):
    """Who delivers the item."""

    id: str | None = None
    name: str | None = None
    supplier_item_code: str | None = None
    lead_time_days: int | None = None


class Accounting(Record):
    """The accounts that the item's movements post to."""

    income_account_id: str | None = None
    expense_account_id: str | None = None
    asset_account_id: str | None = None


class Tax(Record):
    """Tax codes of sales and purchases."""

    sales_tax_code: str | None = None
    purchase_tax_code: str | None = None
    taxable: bool | None = None


class Item(Record):
    """Something sold or bought; `type` is inventory, service or non_inventory."""

    id: Key
    item_code: str | None = None
    barcode: str | None = None
    name: str | None = None
    description: str | None = None
    category: Category | None = None
    type: str | None = None
    unit: str | None = None
    pricing: Pricing | None = None
    inventory: Inventory | None = None
    supplier: Supplier | None = None
    accounting: Accounting | None = None
    tax: Tax | None = None
    locations: FreeForm = NOTHING
    variants: FreeForm = NOTHING
    custom_fields: FreeForm = NOTHING
    is_active: bool | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


ENTITY = Entity(
    name="items",
    model=Item,
    path="/items",
    description="Goods and services with prices, stock totals and the accounts they post to.",
    scope="read:inventory",
    page_limit=200,
)
