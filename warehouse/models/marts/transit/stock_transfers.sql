with

transfers as (
    select * from {{ ref('stg_stock_transfers') }} where not is_deleted
),

companies as (
    select * from {{ ref('stg_companies') }}
),

final as (
    select
        transfers.company_id,
        transfers.transfer_id,
        transfers.transfer_number,
        lines.line_no,
        transfers.transfer_date,
        transfers.status,
        transfers.from_location_id,
        transfers.to_location_id,
        lines.item_id,
        lines.item_code,
        lines.requested,
        lines.shipped,
        lines.received,
        lines.unit_cost,
        {{ valued('lines.shipped', 'lines.unit_cost') }} as shipped_value,
        transfers.shipped_at,
        transfers.reference,
        companies.currency,
        companies.built_at,
    from {{ ref('stg_stock_transfer_lines') }} as lines
    inner join transfers using (company_id, transfer_id)
    inner join companies using (company_id)
)

select * from final
