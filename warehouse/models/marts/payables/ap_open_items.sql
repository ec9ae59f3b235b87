with

-- What a supplier owes us by an overpaid bill is an asset, not a negative payable.
versions as (
    select *
    from {{ ref('int_bill_versions') }}
    where is_recognised and document_due > 0 and coalesce(amount_due > 0, true)
),

suppliers as (
    select * from {{ ref('stg_suppliers') }}
),

as_of as (
    {{ at_month_ends('versions') }}
),

aged as (
    select
        as_of.*,
        cast(date_diff('day', as_of.due_date, as_of.as_of_date) as integer) as days_past_due,
        coalesce(suppliers.supplier_name, as_of.supplier_name) as name,
        suppliers.discount_percent,
        case
            when suppliers.discount_percent > 0
                then as_of.bill_date + cast(coalesce(suppliers.discount_days, 0) as integer)
        end as discount_until,
    from as_of
    left join suppliers using (company_id, supplier_id)
    -- One dated ahead is owed from its own day on; one without a date is owed already.
    where coalesce(as_of.bill_date <= as_of.as_of_date, true)
),

final as (
    select
        company_id,
        as_of_date,
        supplier_id,
        name as supplier_name,
        bill_id,
        bill_number,
        supplier_invoice_number,
        bill_date,
        due_date,
        bill_total,
        amount_paid,
        amount_due as open_amount,
        days_past_due,
        {{ bucket_of('days_past_due') }} as bucket,
        discount_until,
        case
            when discount_until >= as_of_date
                then {{ portion('amount_due', 'discount_percent', '100') }}
            else {{ sum_of_money('0') }}
        end as discount_amount,
        bill_currency,
        document_due as document_amount,
        currency,
        built_at,
    from aged
)

select * from final
