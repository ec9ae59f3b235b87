"""Payments as they are written. BigLedger lists none: the invoice shows that one was made.

Its `amountPaid` tells what became of a payment that was not answered; at planning, a journal entry
with the payment's reference, amount and date tells that it was made before (bigledger-api.md,
section 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from blsync.ledger.plans import Operation
from blsync.ledger.states import Action
from blsync.push.compare import figure
from blsync.push.endpoint import (
    TODAY,
    Endpoint,
    Json,
    Reference,
    Row,
    Settlement,
    Sought,
    Terms,
    in_the_future,
)
from blsync.push.endpoints import listings
from blsync.push.endpoints.fields import AmountAboveZero, Code, Day, Id, ReferenceText, no_number


class PaymentRow(Row):
    """A payment of one invoice, in the invoice's currency."""

    invoice_id: Id = ""
    invoice_number: Code = ""
    amount: AmountAboveZero | None = None
    payment_date: Day | None = None
    payment_method: Annotated[
        Literal[
            "bank_transfer", "duitnow", "fpx", "cheque", "cash", "credit_card", "e_wallet", "other"
        ],
        BeforeValidator(no_number),
        Field(
            description="bank_transfer, duitnow, fpx, cheque, cash, credit_card, e_wallet or other"
        ),
    ] = "bank_transfer"
    reference: ReferenceText = ""
    account_id: Id = ""
    account_number: Code = ""


def _never(_: Json) -> bool:
    return False


def _invoice_of(_: Endpoint, __: Operation, body: Json) -> Sought:
    return Sought("id", str(body["invoiceId"]))


def _paid_in_all(_: Endpoint, __: Json, changed: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the invoice has once the payment and those before it are done."""
    return {name: wanted for name, (_, wanted) in changed.items()}


def _amount(body: Json) -> Decimal:
    return figure(body["amount"])


_INVOICE = Reference(
    "invoiceId",
    listings.INVOICES,
    {"invoiceId": "id", "invoiceNumber": "invoiceNumber"},
    needed=("status", "amountPaid", "amountDue"),
)

PAYMENTS = Endpoint(
    name="payments",
    record="payment",
    bulk_path="/bulk/payments",
    limit=100,
    batch=Terms("/batch/payments", 200, (Action.CREATE,)),
    model=PaymentRow,
    listing=listings.PAYMENT_ENTRIES,
    required=("invoiceId", "amount", "reference"),
    identifiers=("reference",),
    parts=("invoiceId",),
    defaults={"paymentDate": TODAY},
    references=(
        _INVOICE,
        Reference(
            "accountId",
            listings.ACCOUNTS,
            {"accountId": "id", "accountNumber": "accountNumber"},
        ),
    ),
    date_field="paymentDate",
    target=_INVOICE,
    in_flight=("invoiceId",),
    can_update=False,
    settlement=Settlement(
        listing=listings.INVOICES,
        sought=_invoice_of,
        evidence=_paid_in_all,
        is_own_record=False,
        is_safe_to_resend=_never,
        overtaken={
            "code": "CONFLICT",
            "field": "amountPaid",
            "message": "the invoice was paid by others since the plan was made; plan the row again",
        },
    ),
    money=_amount,
    amount=_amount,
    currency_of="invoiceId",
    undone_by_hand="a payment cannot be taken back over the API; reverse or refund it in BigLedger",
    warnings=in_the_future("paymentDate"),
)
