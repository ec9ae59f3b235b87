with

companies as (
    select * from {{ ref('stg_companies') }}
),

versions as (
    select
        transfers.company_id,
        transfers.transfer_id,
        transfers.from_location_id,
        transfers.to_location_id,
        coalesce({{ local_date('transfers.shipped_at', 'companies.timezone') }}, transfers.transfer_date)
            as shipped_on,
        transfers.known_from,
        transfers.known_to,
        companies.timezone,
        companies.today,
        companies.currency,
        companies.built_at,
        unnest(transfers.items) as line,
    from {{ ref('hist_stock_transfers') }} as transfers
    inner join companies using (company_id)
    where not transfers.is_deleted and transfers.status in ('shipped', 'received')
),

on_the_way as (
    select
        * exclude (line),
        line."itemId" as item_id,
        {{ quantity('coalesce(line."quantityShipped", 0)') }} as quantity,
        {{ valued('coalesce(line."quantityShipped", 0)', unit_cost('coalesce(line."unitCost", 0)')) }} as value,
    from versions
),

as_of as (
    {{ at_month_ends('on_the_way') }}
),

final as (
    select
        company_id,
        as_of_date,
        item_id,
        from_location_id,
        to_location_id,
        {{ sum_of_quantity('sum(quantity)') }} as quantity,
        {{ sum_of_money('sum(value)') }} as value,
        cast(greatest(max(date_diff('day', shipped_on, as_of_date)), 0) as integer) as days,
        cast(count(distinct transfer_id) as integer) as transfers,
        any_value(currency) as currency,
        any_value(built_at) as built_at,
    from as_of
    where quantity <> 0
    group by company_id, as_of_date, item_id, from_location_id, to_location_id
)

select * from final
