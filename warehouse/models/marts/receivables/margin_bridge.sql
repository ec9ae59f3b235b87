{%- set steps = [
    'invoices', 'shipping', 'not_on_ledger', 'booked_in_other_months', 'from_other_months',
    'posted_differently', 'invoices_left_out', 'tills', 'purchases', 'stock_adjustments', 'other_entries',
] %}
with

companies as (
    select * from {{ ref('stg_companies') }}
),

-- What invoices say and what entries have, of a number in a month; '' stands for none.
sides as (
    select
        company_id,
        coalesce(invoice_number, '') as number,
        period,
        net_revenue,
        coalesce(cogs, 0) as cogs,
    from {{ ref('margin_by_invoice') }}
    union all by name
    select
        company_id,
        coalesce(invoice_number, '') as number,
        period,
        {{ in_company_currency('shipping_cost', 'exchange_rate') }} as shipping,
    from {{ ref('invoices') }}
    where
        is_recognised
        and period is not null
        and {{ in_company_currency('shipping_cost', 'exchange_rate') }} <> 0
    union all by name
    select
        company_id,
        number,
        period,
        operating_revenue as booked_revenue,
        cost_of_goods_sold as booked_cost,
    from {{ ref('int_profit_by_number') }}
),

numbers as (
    select
        company_id,
        number,
        period,
        {%- for amount in ['net_revenue', 'shipping', 'cogs', 'booked_revenue', 'booked_cost'] %}
        sum({{ amount }}) as {{ amount }},
        {%- endfor %}
    from sides
    group by company_id, number, period
),

sections as (
    select
        company_id,
        number,
        period,
        unnest(['operating_revenue', 'cost_of_goods_sold']) as section,
        unnest([net_revenue, cogs]) as invoiced,
        unnest([shipping, null]) as shipping,
        unnest([booked_revenue, booked_cost]) as booked,
    from numbers
),

-- The others need no word: what invoices say is what entries of the month have.
uneven as (
    select
        *,
        coalesce(booked, 0) - coalesce(invoiced, 0) - coalesce(shipping, 0) as more,
        number <> '' and bool_or(coalesce(invoiced, shipping) is not null) over months as is_invoiced,
        number <> '' and bool_or(booked is not null) over months as is_booked,
        period = min(period) filter (where coalesce(invoiced, shipping) is not null) over months as is_own_month,
    from sections
    where (company_id, number) in (
        select (company_id, number)
        from numbers
        where
            coalesce(net_revenue, 0) + coalesce(shipping, 0) is distinct from booked_revenue
            or cogs is distinct from booked_cost
    )
    window months as (partition by company_id, number, section)
),

parted as (
    select
        *,
        sum(more) over (partition by company_id, number, section) as unexplained,
    from uneven
    where is_invoiced and is_booked
),

-- Of a number that documents of several kinds bear, the first kind is meant.
documents as (
    select
        company_id,
        number,
        arg_min(step, list_position({{ steps }}, step)) as step,
    from (
        select company_id, invoice_number as number, 'invoices_left_out' as step from {{ ref('stg_invoices') }}
        union all
        select company_id, session_number, 'tills' from {{ ref('stg_pos_sessions') }}
        union all
        select company_id, bill_number, 'purchases' from {{ ref('stg_bills') }}
        union all
        select company_id, po_number, 'purchases' from {{ ref('stg_purchase_orders') }}
        union all
        select company_id, unnest([adjustment_number, reference]), 'stock_adjustments'
        from {{ ref('stg_stock_adjustments') }}
    ) as bearers
    where (company_id, number) in (select (company_id, number) from uneven where number <> '' and not is_invoiced)
    group by company_id, number
),

stepped as (
    select
        company_id,
        period,
        section,
        unnest(['invoices', 'shipping']) as step,
        unnest([invoiced, shipping]) as amount,
    from (
        select company_id, period, section, sum(invoiced) as invoiced, sum(shipping) as shipping
        from sections
        group by company_id, period, section
    ) as months
    union all
    select company_id, period, section, unnest(['not_on_ledger', 'shipping']), unnest([-invoiced, -shipping])
    from uneven
    where not is_booked
    union all
    select
        company_id,
        period,
        section,
        unnest(['booked_in_other_months', 'posted_differently']),
        unnest([more - unexplained, unexplained]),
    from parted
    where is_own_month
    union all
    select company_id, period, section, 'from_other_months', more
    from parted
    where not is_own_month
    union all
    select uneven.company_id, uneven.period, uneven.section, coalesce(documents.step, 'other_entries'), uneven.booked
    from uneven
    left join documents using (company_id, number)
    where not uneven.is_invoiced
),

final as (
    select
        stepped.company_id,
        stepped.period,
        stepped.section,
        cast(list_position({{ steps }}, stepped.step) as integer) as step_order,
        stepped.step,
        {{ sum_of_money('sum(stepped.amount)') }} as amount,
        any_value(companies.currency) as currency,
        any_value(companies.built_at) as built_at,
    from stepped
    inner join companies using (company_id)
    group by stepped.company_id, stepped.period, stepped.section, stepped.step
    having sum(stepped.amount) <> 0
)

select * from final
