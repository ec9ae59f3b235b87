-- The parts of a bill's line that answer to lines of orders are the whole line, and an order's line has
-- as much billed as answers to it.
with

matches as (
    select
        company_id,
        bill_id,
        bill_line_no as line_no,
        sum(matched_quantity) as quantity,
    from {{ ref('three_way_match') }}
    group by company_id, bill_id, bill_line_no
),

lines as (
    select * from {{ ref('bill_lines') }} where is_recognised
),

billed as (
    select
        matches.company_id,
        matches.purchase_order_id,
        matches.item_id,
        sum(matches.matched_quantity) as quantity,
    from {{ ref('three_way_match') }} as matches
    inner join {{ ref('bills') }} as bills using (company_id, bill_id)
    inner join {{ ref('stg_companies') }} as companies using (company_id)
    where matches.order_line_no is not null and coalesce(bills.bill_date <= companies.today, true)
    group by matches.company_id, matches.purchase_order_id, matches.item_id
),

ordered as (
    select
        company_id,
        purchase_order_id,
        item_id,
        sum(billed) as quantity,
    from {{ ref('purchase_order_lines') }}
    where is_ordered
    group by company_id, purchase_order_id, item_id
)

select
    company_id,
    bill_id as record_id,
    line_no,
    lines.quantity,
    matches.quantity as matched,
from lines
full outer join matches using (company_id, bill_id, line_no)
where lines.quantity is distinct from matches.quantity
union all
select
    ordered.company_id,
    ordered.purchase_order_id,
    null,
    ordered.quantity,
    billed.quantity,
from ordered
left join billed
    on billed.company_id = ordered.company_id
    and billed.purchase_order_id = ordered.purchase_order_id
    and coalesce(billed.item_id, '') = coalesce(ordered.item_id, '')
where ordered.quantity <> greatest(coalesce(billed.quantity, 0), 0)
