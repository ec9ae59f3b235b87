-- What is on the way today is what was shipped of transfers that are not completed, item by item; what
-- was lost is what did not arrive of those that are.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

transfers as (
    select
        company_id,
        coalesce(item_id, '') as item,
        coalesce(sum(shipped) filter (where status in ('shipped', 'received')), 0) as on_the_way,
        coalesce(sum(shipped - received) filter (where status = 'completed' and shipped > received), 0) as lost,
    from {{ ref('stock_transfers') }}
    group by company_id, coalesce(item_id, '')
),

in_transit as (
    select
        found.company_id,
        coalesce(found.item_id, '') as item,
        sum(found.quantity) as quantity,
    from {{ ref('transfers_in_transit') }} as found
    inner join companies on companies.company_id = found.company_id and companies.today = found.as_of_date
    group by found.company_id, coalesce(found.item_id, '')
),

losses as (
    select
        company_id,
        coalesce(item_id, '') as item,
        sum(lost_quantity) as quantity,
    from {{ ref('transfer_losses') }}
    group by company_id, coalesce(item_id, '')
)

select
    company_id,
    item,
    transfers.on_the_way,
    in_transit.quantity as in_transit,
    transfers.lost,
    losses.quantity as losses,
from transfers
full outer join in_transit using (company_id, item)
full outer join losses using (company_id, item)
where
    coalesce(transfers.on_the_way, 0) <> coalesce(in_transit.quantity, 0)
    or coalesce(transfers.lost, 0) <> coalesce(losses.quantity, 0)
