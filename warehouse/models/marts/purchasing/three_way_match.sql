-- Which line of an order a bill's line answers to. A bill names the order and the item, so an order's
-- lines of one item and the bills' lines of it are laid side by side in their order, and what lies beside
-- each other belongs together; what is billed beyond the order belongs to the item's last line.
with

bill_lines as (
    select
        *,
        {{ item_key('item_id') }} as item_key,
        coalesce(sum(quantity) over (
            partition by company_id, purchase_order_id, {{ item_key('item_id') }}
            order by bill_date, bill_number, bill_id, line_no
            rows between unbounded preceding and 1 preceding
        ), 0) as begins,
    from {{ ref('bill_lines') }}
    where is_recognised
),

order_lines as (
    select
        *,
        {{ item_key('item_id') }} as item_key,
        coalesce(sum(ordered) over same_item, 0) as begins,
        lead(line_no) over (
            partition by company_id, purchase_order_id, {{ item_key('item_id') }} order by line_no
        ) is null as is_last,
    from {{ ref('purchase_order_lines') }}
    where is_ordered
    window same_item as (
        partition by company_id, purchase_order_id, {{ item_key('item_id') }}
        order by line_no
        rows between unbounded preceding and 1 preceding
    )
),

-- A line of a bill that has no part of an order's line takes nothing of it; one without a quantity
-- stands where it begins.
pairs as (
    select
        bill_lines.*,
        order_lines.line_no as order_line_no,
        order_lines.po_number,
        order_lines.ordered,
        order_lines.received,
        order_lines.unit_price as order_price,
        order_lines.order_currency,
        greatest(bill_lines.begins, order_lines.begins) - order_lines.begins as billed_before,
        case
            when order_lines.is_last then bill_lines.begins + bill_lines.quantity
            else least(bill_lines.begins + bill_lines.quantity, order_lines.begins + order_lines.ordered)
        end - greatest(bill_lines.begins, order_lines.begins) as matched,
        order_lines.is_last,
    from bill_lines
    inner join order_lines
        on order_lines.company_id = bill_lines.company_id
        and order_lines.purchase_order_id = bill_lines.purchase_order_id
        and order_lines.item_key = bill_lines.item_key
),

matched as (
    select *
    from pairs
    where matched > 0 or (is_last and quantity <= 0)
),

together as (
    select
        * exclude (matched),
        case when quantity <= 0 then quantity else matched end as matched,
    from matched
    union all by name
    select
        bill_lines.*,
        bill_lines.quantity as matched,
    from bill_lines
    anti join matched using (company_id, bill_id, line_no)
),

judged as (
    select
        *,
        greatest(least(matched, billed_before + matched - received), 0) as not_received,
        unit_price - order_price as dearer,
        bill_currency is not distinct from order_currency as is_one_currency,
    from together
),

final as (
    select
        company_id,
        purchase_order_id,
        po_number,
        order_line_no,
        bill_id,
        bill_number,
        line_no as bill_line_no,
        supplier_id,
        item_id,
        bill_date,
        period,
        {{ sum_of_quantity('matched') }} as matched_quantity,
        ordered,
        received,
        order_price,
        unit_price as billed_price,
        {{ sum_of_quantity('not_received') }} as quantity_variance,
        case when is_one_currency then {{ valued('matched', 'dearer') }} end as price_variance,
        case
            when order_line_no is null then 'no_order'
            when received <= 0 and matched > 0 then 'not_received'
            when not_received > 0 then 'quantity'
            when dearer <> 0 or not is_one_currency then 'price'
            else 'ok'
        end as verdict,
        bill_currency,
        currency,
        built_at,
    from judged
)

select * from final
