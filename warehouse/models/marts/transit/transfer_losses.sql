-- What was shipped and did not arrive of transfers that are completed. The transfer's own value is that
-- of what was shipped, so only an adjustment that bears its number takes the loss out of the stock.
with

adjusted as (
    select
        adjustments.company_id,
        adjustments.reference,
        lines.item_id,
        sum(lines.adjustment_quantity) as quantity,
    from {{ ref('stg_stock_adjustment_lines') }} as lines
    inner join {{ ref('stg_stock_adjustments') }} as adjustments using (company_id, adjustment_id)
    where not adjustments.is_deleted and adjustments.status = 'posted' and adjustments.reference <> ''
    group by adjustments.company_id, adjustments.reference, lines.item_id
),

lost as (
    select
        *,
        shipped - received as lost_quantity,
    from {{ ref('stock_transfers') }}
    where status = 'completed' and shipped > received
),

final as (
    select
        lost.company_id,
        lost.transfer_id,
        lost.transfer_number,
        lost.line_no,
        lost.transfer_date,
        lost.from_location_id,
        lost.to_location_id,
        lost.item_id,
        lost.item_code,
        lost.shipped,
        lost.received,
        {{ sum_of_quantity('lost.lost_quantity') }} as lost_quantity,
        lost.unit_cost,
        {{ valued('lost.lost_quantity', 'lost.unit_cost') }} as lost_value,
        coalesce(adjusted.quantity < 0, false) as is_written_off,
        lost.currency,
        lost.built_at,
    from lost
    left join adjusted
        on adjusted.company_id = lost.company_id
        and adjusted.reference = lost.transfer_number
        and adjusted.item_id = lost.item_id
)

select * from final
