with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        id as pos_session_id,
        "sessionNumber" as session_number,
        "locationId" as location_id,
        "registerId" as register_id,
        "cashierId" as cashier_id,
        "businessDate" as business_date,
        {{ utc('"openedAt"') }} as opened_at,
        {{ utc('"closedAt"') }} as closed_at,
        lower(status) as status,
        {{ money('coalesce("openingFloat", 0)') }} as opening_float,
        {{ money('coalesce("cashIn", 0)') }} as cash_in,
        {{ money('coalesce("cashOut", 0)') }} as cash_out,
        {{ money('"expectedCash"') }} as expected_cash,
        {{ money('"countedCash"') }} as counted_cash,
        {{ money('variance') }} as variance,
        tenders,
        notes,
        {{ utc('"createdAt"') }} as created_at,
        {{ utc('"updatedAt"') }} as updated_at,
        {{ landed_columns() }}
    from {{ landed('pos_sessions') }}
    where _op = 'upsert' and {{ in_loads_not_held('pos_sessions') }}
),
{{ versions(
    'pos_sessions',
    key={'pos_session_id': 'id'},
    changed_at='updated_at',
) }}
