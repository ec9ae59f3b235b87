with

companies as (
    select * from {{ ref('stg_companies') }}
),

items as (
    select * from {{ ref('stg_items') }}
),

averages as (
    select
        company_id,
        item_id,
        {{ quotient('sum(stock_value)', 'sum(current_stock)', 6) }} as average_cost,
    from {{ ref('stg_stock') }}
    where not is_deleted
    group by company_id, item_id
    having sum(current_stock) > 0 and sum(stock_value) > 0
),

booked as (
    select
        company_id,
        number as invoice_number,
        sum(cost_of_goods_sold) as cost,
    from {{ ref('int_profit_by_number') }}
    where number <> '' and cost_of_goods_sold is not null
    group by company_id, number
),

estimated as (
    select
        lines.company_id,
        lines.invoice_id,
        lines.invoice_number,
        lines.line_no,
        lines.customer_id,
        lines.period,
        lines.item_id,
        lines.quantity,
        {{ in_company_currency('lines.line_total', 'lines.exchange_rate') }} as net_revenue,
        {{ valued('lines.quantity', 'coalesce(averages.average_cost, items.cost_price)') }} as cogs_estimated,
        case
            when averages.average_cost is not null then 'average_cost'
            when items.cost_price is not null then 'cost_price'
            else 'none'
        end as estimate_basis,
        booked.cost,
        -- What BigLedger keeps no stock of takes nothing out of it.
        case when coalesce(items.is_tracked, true) then coalesce(cogs_estimated, 0) else 0 end as expected,
    from {{ ref('invoice_lines') }} as lines
    left join averages using (company_id, item_id)
    left join items using (company_id, item_id)
    left join booked using (company_id, invoice_number)
    where lines.is_recognised and lines.period is not null
),

-- What entries say of an invoice is one sum. Its lines bear what is expected of them, and what the sum
-- is more or less than that in proportion to it, to their revenue where nothing is expected.
summed as (
    select
        *,
        cost - sum(expected) over whole as rest,
        sum(abs(expected)) over whole as whole_expected,
        sum(abs(expected)) over so_far as expected_so_far,
        sum(abs(net_revenue)) over whole as whole_revenue,
        sum(abs(net_revenue)) over so_far as revenue_so_far,
    from estimated
    where cost is not null
    window
        whole as (
            partition by company_id, invoice_number
            order by invoice_id, line_no
            rows between unbounded preceding and unbounded following
        ),
        so_far as (
            partition by company_id, invoice_number
            order by invoice_id, line_no
            rows between unbounded preceding and current row
        )
),

weighed as (
    select
        *,
        case when whole_expected = 0 then whole_revenue else whole_expected end as whole,
        case when whole_expected = 0 then revenue_so_far else expected_so_far end as so_far,
    from summed
),

-- Steps of a sum that is rounded line by line add up to it.
rounded as (
    select
        *,
        case
            when so_far = whole then rest
            else coalesce({{ share('rest', 'so_far', 'whole') }}, 0)
        end as rest_so_far,
    from weighed
),

together as (
    select
        *,
        'ledger' as cost_basis,
        expected + rest_so_far - lag(rest_so_far, 1, 0) over (
            partition by company_id, invoice_number order by invoice_id, line_no
        ) as cogs,
    from rounded
    union all by name
    select
        *,
        estimate_basis as cost_basis,
        cogs_estimated as cogs,
    from estimated
    where cost is null
),

final as (
    select
        together.company_id,
        together.invoice_id,
        together.invoice_number,
        together.line_no,
        together.customer_id,
        together.period,
        together.item_id,
        together.quantity,
        {{ sum_of_money('together.net_revenue') }} as net_revenue,
        {{ sum_of_money('together.cogs') }} as cogs,
        {{ sum_of_money('together.net_revenue - together.cogs') }} as gross_profit,
        together.cost_basis,
        {{ sum_of_money('together.cogs_estimated') }} as cogs_estimated,
        companies.currency,
        companies.built_at,
    from together
    inner join companies using (company_id)
)

select * from final
