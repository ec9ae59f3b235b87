-- What moved the backlog in a month, by when it was seen: orders that came in, what was invoiced of
-- them, orders that were given up or deleted, and what was changed of those that stayed.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

moments as (
    select
        company_id,
        sales_order_id,
        line_no,
        known_from,
        {{ local_date('known_from', 'timezone') }} as seen_on,
        today,
        is_in_backlog,
        coalesce(order_amount, 0) as order_amount,
        coalesce(order_amount - remaining_amount, 0) as invoiced_amount,
        case when is_in_backlog then coalesce(remaining_amount, 0) else 0 end as backlog_amount,
    from {{ ref('int_order_moments') }}
),

-- A line that is gone, with its order or out of it, leaves at the next moment of its order, or at its own end.
endings as (
    select
        ended.company_id,
        ended.sales_order_id,
        ended.line_no,
        ended.known_to as known_from,
        {{ local_date('ended.known_to', 'ended.timezone') }} as seen_on,
        ended.today,
        false as is_in_backlog,
        0 as order_amount,
        0 as invoiced_amount,
        0 as backlog_amount,
    from {{ ref('int_order_moments') }} as ended
    anti join moments
        on moments.company_id = ended.company_id
        and moments.sales_order_id = ended.sales_order_id
        and moments.line_no = ended.line_no
        and moments.known_from = ended.known_to
    where ended.known_to is not null
),

steps as (
    select
        *,
        lag(is_in_backlog, 1, false) over history as was_in_backlog,
        lag(backlog_amount, 1, 0) over history as backlog_before,
        lag(invoiced_amount, 1, 0) over history as invoiced_before,
    from (select * from moments union all by name select * from endings) as both_kinds
    window history as (partition by company_id, sales_order_id, line_no order by known_from)
),

changes as (
    select
        company_id,
        cast(date_trunc('month', least(seen_on, today)) as date) as period,
        case when is_in_backlog and not was_in_backlog then order_amount else 0 end as new_amount,
        case
            when is_in_backlog and not was_in_backlog then invoiced_amount
            when is_in_backlog then invoiced_amount - invoiced_before
            else 0
        end as invoiced,
        case when was_in_backlog and not is_in_backlog then backlog_before else 0 end as cancelled,
        backlog_amount - backlog_before as moved,
    from steps
),

sums as (
    select
        company_id,
        period,
        sum(new_amount) as new_amount,
        sum(invoiced) as invoiced,
        sum(cancelled) as cancelled,
        sum(moved) as moved,
    from changes
    group by company_id, period
),

months as (
    select
        firsts.company_id,
        cast(unnest(generate_series(
            cast(firsts.period as timestamp),
            cast(date_trunc('month', companies.today) as timestamp),
            interval 1 month
        )) as date) as period,
    from (select company_id, min(period) as period from sums group by company_id) as firsts
    inner join companies using (company_id)
),

running as (
    select
        months.company_id,
        months.period,
        coalesce(sums.new_amount, 0) as new_amount,
        coalesce(sums.invoiced, 0) as invoiced,
        coalesce(sums.cancelled, 0) as cancelled,
        coalesce(sums.moved, 0) as moved,
        sum(coalesce(sums.moved, 0)) over (partition by months.company_id order by months.period) as closing,
    from months
    left join sums using (company_id, period)
),

final as (
    select
        running.company_id,
        running.period,
        {{ sum_of_money('running.closing - running.moved') }} as opening_backlog,
        {{ sum_of_money('running.new_amount') }} as new_orders,
        {{ sum_of_money('running.invoiced') }} as invoiced,
        {{ sum_of_money('running.cancelled') }} as cancelled,
        {{ sum_of_money('running.moved - running.new_amount + running.invoiced + running.cancelled') }} as changed,
        {{ sum_of_money('running.closing') }} as closing_backlog,
        companies.currency,
        companies.built_at,
    from running
    inner join companies using (company_id)
)

select * from final
