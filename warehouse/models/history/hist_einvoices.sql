with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        id as einvoice_id,
        "invoiceId" as invoice_id,
        format,
        lower(status) as status,
        "submissionType" as submission_type,
        uuid,
        coalesce("submissionId", government."submissionId") as submission_id,
        government."submissionId" as portal_submission_id,
        government."longId" as long_id,
        lower(government.portal) as portal,
        lower(government.status) as portal_status,
        government."taxpayerId" as taxpayer_id,
        {{ utc('government."submittedAt"') }} as submitted_at,
        {{ utc('coalesce(government."validationTime", validation."validatedAt")') }} as validated_at,
        {{ utc('coalesce(government."acceptanceTime", government."acceptedAt")') }} as accepted_at,
        validation."isValid" as is_valid,
        validation.errors as errors,
        validation.warnings as warnings,
        "validationHash" as validation_hash,
        document.xml as document_xml,
        document.pdf as document_pdf,
        document.json as document_json,
        "qrCode" as qr_code,
        {{ utc('"digitalSignature"."timestamp"') }} as signed_at,
        compliance.standard as standard,
        compliance.profile as profile,
        timeline,
        notes,
        {{ utc('"createdAt"') }} as created_at,
        {{ utc('"updatedAt"') }} as updated_at,
        {{ landed_columns() }}
    from {{ landed('einvoices') }}
    where _op = 'upsert' and {{ in_loads_not_held('einvoices') }}
),
{{ versions(
    'einvoices',
    key={'einvoice_id': 'id'},
    changed_at='updated_at',
) }}
