"""Items: goods and services (bigledger-api.md, sections 3 and 5)."""

from __future__ import annotations

from blsync.sandbox.books.fields import Entity, fields

TRACKED = "json_extract(doc, '$.inventory.tracked')"
LEAST = "json_extract(doc, '$.inventory.minimumStock')"
HELD = "json_extract(doc, '$.inventory.currentStock')"

ENTITY = Entity(
    name="items",
    resource="item",
    paths=("items",),
    scope="inventory",
    prefix="item",
    number_field="itemCode",
    number_prefix="ITEM",
    fields=fields(
        text="id itemCode barcode name description type unit category.id category.name "
        "category.path pricing.currency supplier.id supplier.name "
        "accounting.incomeAccountId accounting.expenseAccountId "
        "accounting.assetAccountId tax.salesTaxCode tax.purchaseTaxCode",
        number="pricing.costPrice pricing.sellingPrice inventory.currentStock "
        "inventory.availableStock inventory.reservedStock inventory.minimumStock "
        "inventory.maximumStock inventory.reorderPoint inventory.reorderQuantity",
        bool="isActive inventory.tracked tax.taxable",
        instant="createdAt updatedAt",
        each="locations.locationId",
    ),
    columns=("createdAt", "updatedAt", "itemCode"),
    search=("name", "itemCode", "barcode", "description"),
    max_limit=200,
    aliases={
        "active": ("isActive", "eq"),
        "tracked": ("inventory.tracked", "eq"),
        "category": ("category.id", "eq"),
        "supplier": ("supplier.id", "eq"),
        "location": ("locations.locationId", "eq"),
        "costPriceMin": ("pricing.costPrice", "gte"),
        "costPriceMax": ("pricing.costPrice", "lte"),
        "sellingPriceMin": ("pricing.sellingPrice", "gte"),
        "sellingPriceMax": ("pricing.sellingPrice", "lte"),
    },
    flags={
        "outOfStock": f"{TRACKED} and {HELD} = 0",
        "lowStock": f"{TRACKED} and {HELD} <= {LEAST}",
    },
    harmless_field="description",
    is_in_memory=True,
)
