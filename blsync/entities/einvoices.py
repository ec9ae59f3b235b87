"""E-invoices, the tax authority's side of sales invoices (bigledger-api.md, section 12)."""

from __future__ import annotations

from datetime import datetime

from blsync.entity import Entity, Key, Record


class Signature(Record):
    """Who signed it, and how."""

    algorithm: str | None = None
    certificate: str | None = None
    timestamp: datetime | None = None


class Government(Record):
    """What the portal says of it; `long_id` is part of its public link."""

    portal: str | None = None
    taxpayer_id: str | None = None
    submission_id: str | None = None
    long_id: str | None = None
    status: str | None = None
    submitted_at: datetime | None = None
    validation_time: datetime | None = None
    acceptance_time: datetime | None = None
    accepted_at: datetime | None = None


class Finding(Record):
    """Something that the validation found wrong, or worth a warning."""

    code: str | None = None
    message: str | None = None
    field: str | None = None
    severity: str | None = None
    suggestion: str | None = None


class Validation(Record):
    """What the validation came to."""

    is_valid: bool | None = None
    validated_at: datetime | None = None
    errors: list[Finding] | None = None
    warnings: list[Finding] | None = None


class Document(Record):
    """Links to the document in its forms."""

    xml: str | None = None
    pdf: str | None = None
    json: str | None = None


class Compliance(Record):
    """The standard that the document keeps to."""

    standard: str | None = None
    profile: str | None = None
    customization: str | None = None


class Step(Record):
    """A status that it had, and since when; in no order that can be relied on."""

    status: str | None = None
    timestamp: datetime | None = None
    notes: str | None = None


class Einvoice(Record):
    """An e-invoice of an invoice; a rejected one is followed by another of the same invoice."""

    id: Key
    invoice_id: str | None = None
    format: str | None = None
    status: str | None = None
    submission_type: str | None = None
    uuid: str | None = None
    submission_id: str | None = None
    validation_hash: str | None = None
    qr_code: str | None = None
    digital_signature: Signature | None = None
    government: Government | None = None
    validation: Validation | None = None
    document: Document | None = None
    compliance: Compliance | None = None
    timeline: list[Step] | None = None
    notes: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


ENTITY = Entity(
    name="einvoices",
    model=Einvoice,
    path="/einvoice",
    description="Where each sales invoice stands with the tax authority, and what it said.",
    scope="read:invoices",
    unlisted=("notes",),
    digested=(
        "document.xml",
        "document.pdf",
        "document.json",
        "qrCode",
        "digitalSignature.certificate",
    ),
    is_optional=True,
)
