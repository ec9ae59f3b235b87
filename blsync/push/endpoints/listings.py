"""The lists in which records are looked up, in the shape in which they are pushed."""

from __future__ import annotations

from blsync.entities import SHIPPED
from blsync.push.compare import figure
from blsync.push.endpoint import Json, Listing

_OF_ADJUSTMENT = ("id", "reference", "locationId", "date", "createdAt")


def _adjusted(adjustment: Json) -> list[Json]:
    """Return a stock adjustment as the bulk endpoint would write each of its items."""
    rows = []
    for line in adjustment.get("items") or []:
        change = figure(line.get("adjustmentQuantity"))
        rows.append(
            {
                **{n: adjustment.get(n) for n in _OF_ADJUSTMENT},
                "reason": line.get("reason") or adjustment.get("reason"),
                "itemId": line.get("itemId"),
                "adjustmentType": "decrease" if change < 0 else "increase",
                "quantity": abs(change),
                "unitCost": line.get("unitCost"),
            }
        )
    return rows


def _paid(entry: Json) -> list[Json]:
    """Return a journal entry as the payment that it may have been written for."""
    if entry.get("status") == "void":
        return []
    names = {"id": "id", "reference": "reference", "amount": "totalDebit", "paymentDate": "date"}
    return [{name: entry.get(source) for name, source in names.items()}]


def _name(record: Json) -> str:
    return str(record.get("name") or "")


def _item(item: Json) -> str:
    return " ".join(filter(None, (str(item.get("itemCode") or ""), _name(item))))


def _account(account: Json) -> str:
    number = account.get("accountNumber") or account.get("number")
    return " ".join(filter(None, (str(number or ""), _name(account))))


def _invoice(invoice: Json) -> str:
    nested = invoice.get("customer")
    customer = _name(nested) if isinstance(nested, dict) else ""
    name = customer or str(invoice.get("customerName") or "")
    return " of ".join(filter(None, (str(invoice.get("invoiceNumber") or ""), name)))


def _bill(bill: Json) -> str:
    nested = bill.get("supplier")
    name = _name(nested) if isinstance(nested, dict) else ""
    return " of ".join(filter(None, (str(bill.get("billNumber") or ""), name)))


def _place(stock: Json) -> list[Json]:
    return [{"id": stock.get("locationId"), "locationId": stock.get("locationId")}]


def _flat(item: Json) -> list[Json]:
    """Return an item with what a batch has flat where the object has it nested."""
    nested = {
        "costPrice": ("pricing", "costPrice"),
        "sellingPrice": ("pricing", "sellingPrice"),
        "taxCode": ("tax", "salesTaxCode"),
        "reorderLevel": ("inventory", "reorderPoint"),
        "reorderQuantity": ("inventory", "reorderQuantity"),
        "category": ("category", "name"),
    }
    parts = {name: (item.get(part), field) for name, (part, field) in nested.items()}
    return [
        {
            **item,
            "unitOfMeasure": item.get("unit"),
            **{
                name: part.get(field) if isinstance(part, dict) else None
                for name, (part, field) in parts.items()
            },
        }
    ]


def _without_secrets(supplier: Json) -> list[Json]:
    """Return a supplier without its bank details: those are never kept, only that there are any."""
    withheld = SHIPPED["suppliers"].withheld
    kept = {name: value for name, value in supplier.items() if name not in withheld}
    return [kept | {HAS_BANK_DETAILS: any(supplier.get(name) for name in withheld)}]


HAS_BANK_DETAILS = "hasBankDetails"
"""Says of a supplier that was read whether it has what must not be kept."""
CUSTOMERS = Listing(
    "customer",
    "/customers",
    ("id", "customerNumber", "email"),
    caseless=frozenset({"email"}),
    title=_name,
)
INVOICES = Listing("invoice", "/invoices", ("id", "invoiceNumber", "reference"), title=_invoice)
ITEMS = Listing("item", "/items", ("id", "itemCode"), page_limit=200, title=_item)
FLAT_ITEMS = Listing("item", "/items", ("id", "itemCode"), page_limit=200, rows=_flat, title=_item)
SUPPLIERS = Listing(
    "supplier",
    "/suppliers",
    ("id", "supplierNumber", "email"),
    caseless=frozenset({"email"}),
    rows=_without_secrets,
    title=_name,
)
BILLS = Listing("bill", "/bills", ("id", "billNumber", "supplierInvoiceNumber"), title=_bill)
ACCOUNTS = Listing("active account", "/accounts", ("id", "accountNumber"), title=_account)
JOURNAL_ENTRIES = Listing("journal entry", "/journal-entries", ("id", "journalNumber", "reference"))
ADJUSTMENTS = Listing(
    "stock adjustment",
    "/inventory/adjustments",
    ("id", "reference"),
    parts=("itemId", "locationId"),
    rows=_adjusted,
)
PAYMENT_ENTRIES = Listing("payment's journal entry", "/journal-entries", ("reference",), rows=_paid)
LOCATIONS = Listing("location with stock", "/stock", ("locationId",), rows=_place, is_sampled=True)
