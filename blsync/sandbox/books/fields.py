"""The seven lists: their addresses, limits, and the fields one may filter and sort by.

Field kinds: text, number, bool, date (a business date), instant, and each (a scalar inside
a list of the record, met when any element meets it). Contract, sections 3 and 5.
"""

from __future__ import annotations

from dataclasses import dataclass, field

TRACKED = "json_extract(doc, '$.inventory.tracked')"
LEAST = "json_extract(doc, '$.inventory.minimumStock')"
HELD = "json_extract(doc, '$.inventory.currentStock')"


@dataclass(frozen=True)
class Entity:
    """One kind of record.

    ``columns`` are the fields kept beside the record's text, because joins, sorting or
    filters lean on them. ``aliases`` are the module pages' own spellings of a condition:
    parameter → (field, operator); ``flags`` are those that take true or false: parameter →
    SQL condition.
    """

    name: str
    resource: str
    paths: tuple[str, ...]
    scope: str
    prefix: str
    number_field: str
    number_prefix: str
    fields: dict[str, str]
    columns: tuple[str, ...]
    search: tuple[str, ...]
    date_field: str | None = None
    max_limit: int = 100
    code: str = "NOT_FOUND"
    aliases: dict[str, tuple[str, str]] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)

    def condition(self, parameter: str) -> tuple[str, str] | None:
        """Return the (field, operator) that a parameter of its own spelling stands for."""
        if self.date_field:
            ranges = ("fromDate", "dateFrom"), ("toDate", "dateTo")
            for spellings, operator in zip(ranges, ("gte", "lte"), strict=True):
                if parameter in spellings:
                    return self.date_field, operator
        return self.aliases.get(parameter)


def _fields(**kinds: str) -> dict[str, str]:
    return {name: kind for kind, names in kinds.items() for name in names.split()}


ENTITIES = {
    entity.name: entity
    for entity in (
        Entity(
            "customers",
            "customer",
            ("customers",),
            "customers",
            "cust",
            "customerNumber",
            "CUST",
            _fields(
                text="id customerNumber name type email phone website taxNumber currency status "
                "address.street address.city address.state address.postalCode address.country "
                "billingAddress.city billingAddress.state shippingAddress.city "
                "customFields.industry customFields.accountManager",
                number="paymentTerms creditLimit currentBalance totalSales",
                date="lastSaleDate",
                instant="createdAt updatedAt",
                each="tags contacts.name contacts.email",
            ),
            ("createdAt", "updatedAt", "email", "customerNumber", "status"),
            ("name", "email", "customerNumber"),
            code="CUSTOMER_NOT_FOUND",
            aliases={
                "creditLimitMin": ("creditLimit", "gte"),
                "creditLimitMax": ("creditLimit", "lte"),
                "balanceMin": ("currentBalance", "gte"),
                "balanceMax": ("currentBalance", "lte"),
                "createdAfter": ("createdAt", "gt"),
                "createdBefore": ("createdAt", "lt"),
                "tags": ("tags", "in"),
            },
        ),
        Entity(
            "invoices",
            "invoice",
            ("invoices",),
            "invoices",
            "inv",
            "invoiceNumber",
            "INV",
            _fields(
                text="id invoiceNumber customerId customer.id customer.name customer.email status "
                "currency reference purchaseOrder notes terms paymentStatus einvoice.status "
                "einvoice.uuid",
                number="exchangeRate subtotal totalDiscount totalTax shippingCost total "
                "amountPaid amountDue overdueBy",
                date="invoiceDate dueDate lastPaymentDate",
                instant="createdAt updatedAt einvoice.submittedAt einvoice.acceptedAt",
                each="items.itemId items.itemCode items.taxCode",
            ),
            (
                "createdAt",
                "updatedAt",
                "invoiceDate",
                "dueDate",
                "customerId",
                "status",
                "reference",
                "invoiceNumber",
                "total",
            ),
            ("invoiceNumber", "reference", "customer.name"),
            "invoiceDate",
            aliases={
                "customerName": ("customer.name", "contains"),
                "invoiceDateFrom": ("invoiceDate", "gte"),
                "invoiceDateTo": ("invoiceDate", "lte"),
                "dueDateFrom": ("dueDate", "gte"),
                "dueDateTo": ("dueDate", "lte"),
                "totalMin": ("total", "gte"),
                "totalMax": ("total", "lte"),
            },
            flags={"overdue": "status = 'overdue'"},
        ),
        Entity(
            "items",
            "item",
            ("items",),
            "inventory",
            "item",
            "itemCode",
            "ITEM",
            _fields(
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
            ("createdAt", "updatedAt", "itemCode"),
            ("name", "itemCode", "barcode", "description"),
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
        ),
        Entity(
            "stock",
            "stock",
            ("stock", "inventory/stock"),
            "inventory",
            "",
            "",
            "",
            _fields(
                text="itemId locationId binLocation lastMovement.type lastMovement.reference",
                number="currentStock availableStock reservedStock onOrderStock averageCost "
                "stockValue lastMovement.quantity",
                instant="updatedAt lastMovement.date",
            ),
            ("updatedAt", "itemId", "locationId"),
            ("itemId", "locationId", "binLocation"),
            max_limit=200,
            aliases={"valueMin": ("stockValue", "gte"), "valueMax": ("stockValue", "lte")},
            flags={
                "outOfStock": "json_extract(doc, '$.currentStock') = 0",
                "negative": "json_extract(doc, '$.currentStock') < 0",
            },
        ),
        Entity(
            "accounts",
            "account",
            ("accounts",),
            "accounts",
            "acc",
            "accountNumber",
            "",
            _fields(
                text="id accountNumber name type category parentId currency description",
                number="level balance.debit balance.credit balance.net",
                bool="isActive isSystemAccount",
                instant="createdAt updatedAt",
            ),
            ("createdAt", "updatedAt", "accountNumber"),
            ("accountNumber", "name", "description"),
            code="ACCOUNT_NOT_FOUND",
            aliases={"active": ("isActive", "eq")},
        ),
        Entity(
            "journal_entries",
            "journalEntry",
            ("journal-entries",),
            "accounts",
            "je",
            "journalNumber",
            "JE",
            _fields(
                text="id journalNumber reference description status reversesId createdBy",
                number="totalDebit totalCredit",
                date="date",
                instant="createdAt postedAt",
                each="lines.accountId lines.accountNumber",
            ),
            (
                "createdAt",
                "postedAt",
                "date",
                "reference",
                "journalNumber",
                "status",
                "reversesId",
            ),
            ("journalNumber", "reference", "description"),
            "date",
            aliases={"accountId": ("lines.accountId", "eq")},
        ),
        Entity(
            "stock_adjustments",
            "stockAdjustment",
            ("stock-adjustments", "inventory/adjustments"),
            "inventory",
            "adj",
            "adjustmentNumber",
            "ADJ",
            _fields(
                text="id adjustmentNumber type reason status locationId reference notes createdBy",
                number="totalValue",
                date="date",
                instant="createdAt postedAt",
                each="items.itemId items.reason",
            ),
            ("createdAt", "postedAt", "date", "reference", "status"),
            ("adjustmentNumber", "reference", "notes"),
            "date",
            aliases={"itemId": ("items.itemId", "eq")},
        ),
    )
}
