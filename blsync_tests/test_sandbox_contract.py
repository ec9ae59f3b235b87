"""The sandbox's own OpenAPI is a contract: what it says of answers is what is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rig import patient
from test_pull import api

from blsync.sandbox import Handle, Options, running


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Handle]:
    with running(
        Options(invoices=60, customers=15, items=12, months=3, transfers=9, limits=False)
    ) as handle:
        yield handle


@pytest.fixture(scope="module")
def contract(sandbox: Handle) -> dict[str, Any]:
    found: dict[str, Any] = patient.get(f"{sandbox.url}/openapi.json").json()
    return found


def violations(value: Any, schema: dict[str, Any], contract: dict[str, Any], at: str) -> list[str]:
    """Return where a value is not what a schema says; a small part of what a validator does."""
    if "$ref" in schema:
        schema = contract["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if value is None:
        return [] if schema.get("nullable") or not schema else [f"{at} is null"]
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
    kind = schema.get("type")
    if kind in kinds and not isinstance(value, kinds[kind]):
        return [f"{at} is no {kind}"]
    if kind == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        return [f"{at} is no number"]
    found = [f"{at}.{name} is missing" for name in schema.get("required", ()) if name not in value]
    if kind == "object" and "properties" in schema:
        for name, part in value.items():
            if name not in schema["properties"]:
                found.append(f"{at}.{name} is not described")
            else:
                found += violations(part, schema["properties"][name], contract, f"{at}.{name}")
    if kind == "array":
        for number, item in enumerate(value):
            found += violations(item, schema["items"], contract, f"{at}[{number}]")
    return found


def test_every_operation_says_what_it_answers_and_what_opens_it(contract):
    assert contract["servers"]
    assert set(contract["components"]["securitySchemes"]) == {"key", "company"}
    assert contract["security"] == [{"key": [], "company": []}]
    for path, operations in contract["paths"].items():
        for method, operation in operations.items():
            if not path.startswith("/v1/"):
                assert operation["security"] == [], path
                continue
            answers = operation["responses"]
            good = [answer for status, answer in answers.items() if status.startswith("2")]
            for answer in [*good, answers["default"]]:
                schema = answer["content"]["application/json"]["schema"]
                assert schema.get("properties") or "$ref" in schema, (method, path)


def test_what_is_read_is_as_the_contract_says(sandbox, contract):
    read = 0
    with api(sandbox) as client:
        for path, operations in contract["paths"].items():
            if not path.startswith("/v1/") or "get" not in operations or "{" in path:
                continue
            answer = client.get(path.removeprefix("/v1")).raise_for_status().json()
            schema = operations["get"]["responses"]["200"]["content"]["application/json"]["schema"]
            assert violations(answer, schema, contract, path) == []
            read += 1
    assert read >= 30


LINE = "id itemId description quantity unitPrice lineTotal taxCode taxRate taxAmount"
SOLD = f"{LINE} discountPercent discountAmount"
DOCUMENTED = {
    "suppliers": (
        "id supplierNumber name displayName email phone website taxNumber registrationNumber "
        "address paymentTerms creditLimit currentBalance currency status tags createdAt updatedAt",
        "",
    ),
    "purchase-orders": (
        "id poNumber supplierId supplier orderDate requiredDate status currency exchangeRate "
        "subtotal taxTotal discountTotal total items deliveryAddress terms notes createdBy "
        "approvedBy approvedAt sentAt createdAt updatedAt",
        f"{LINE} itemCode receivedQuantity expectedDate",
    ),
    "bills": (
        "id billNumber supplierInvoiceNumber supplierId supplier purchaseOrderId billDate dueDate "
        "status currency subtotal taxTotal total paidAmount balanceDue items attachments "
        "paymentTerms notes createdAt updatedAt",
        f"{LINE} accountCode",
    ),
    "sales-orders": (
        "id orderNumber customerId customer orderDate requiredDate promisedDate status priority "
        "currency exchangeRate reference notes terms billingAddress shippingAddress items subtotal "
        "totalDiscount totalTax shippingCost total fulfillment attachments createdBy createdAt "
        "updatedAt",
        f"{SOLD} itemCode notes",
    ),
    "quotes": (
        "id quoteNumber customerId customer quoteDate validUntil status currency reference title "
        "description terms items subtotal totalDiscount totalTax total acceptedAt acceptedBy "
        "convertedToOrderAt salesOrderId attachments createdAt updatedAt",
        SOLD,
    ),
    "einvoice": (
        "id invoiceId format status submissionType uuid submissionId validationHash qrCode "
        "digitalSignature government validation document compliance timeline createdAt updatedAt",
        "",
    ),
    "inventory/transfers": (
        "id transferNumber date status fromLocationId fromLocation toLocationId toLocation "
        "reference notes items shipping totalValue approvals createdBy createdAt updatedAt",
        "id itemId itemCode itemName quantityRequested quantityShipped quantityReceived unitCost "
        "totalCost notes",
    ),
    "pos/transactions": (
        "id transactionNumber type status businessDate occurredAt sessionId locationId registerId "
        "cashierId customerId originalTransactionId invoiceId currency items subtotal "
        "totalDiscount totalTax rounding total payments createdAt updatedAt",
        f"{LINE} itemCode discountAmount",
    ),
    "pos/sessions": (
        "id sessionNumber locationId registerId cashierId businessDate openedAt closedAt status "
        "openingFloat cashIn cashOut expectedCash countedCash variance tenders createdAt updatedAt",
        "",
    ),
}
"""Path → what the reference says that a record has, and its lines."""


@pytest.mark.parametrize("path", list(DOCUMENTED))
def test_a_record_of_a_module_has_what_the_reference_says(sandbox: Handle, path: str) -> None:
    fields, of_lines = DOCUMENTED[path]
    with api(sandbox) as client:
        records = client.get(f"/{path}").raise_for_status().json()["data"]
        assert records
        for record in records:
            assert record.keys() >= set(fields.split())
            for line in record["items"] if of_lines else ():
                assert line.keys() >= set(of_lines.split())
    if path == "quotes":
        assert not any("itemCode" in line for record in records for line in record["items"])
        assert not any("exchangeRate" in record for record in records)
    if path == "bills":
        assert not any("exchangeRate" in record for record in records)


def test_a_refusal_is_as_the_contract_says(sandbox, contract):
    with api(sandbox) as client:
        for path in ("/customers?limit=0", "/customers/none", "/reports/balance-sheet?asOfDate=x"):
            answer = client.get(path)
            assert answer.status_code in (400, 404)
            schema = {"$ref": "#/components/schemas/Error"}
            assert violations(answer.json(), schema, contract, path) == []
