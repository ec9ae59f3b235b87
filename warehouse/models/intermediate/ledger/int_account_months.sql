-- Movements of each account in every month from its first posting on, so that windows over rows
-- are windows over months. What is dated before all plausible months opens the first one.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

movements as (
    select
        company_id,
        account_id,
        period,
        sum(debit) as debit,
        sum(credit) as credit,
        sum(amount) as net_movement,
        sum(case when is_closing_entry then amount else 0 end) as closing_entries,
    from {{ ref('general_ledger') }}
    group by company_id, account_id, period
),

first_postings as (
    select
        company_id,
        account_id,
        min(period) as first_period,
    from movements
    group by company_id, account_id
),

brought_forward as (
    select
        movements.company_id,
        movements.account_id,
        sum(movements.net_movement) as balance,
    from movements
    inner join companies using (company_id)
    where {{ is_before_span('movements.period', 'companies.today') }}
    group by movements.company_id, movements.account_id
),

periods as (
    select * from {{ ref('periods') }}
),

dense as (
    select
        periods.company_id,
        first_postings.account_id,
        periods.period,
        periods.period_end,
        periods.fiscal_year,
    from first_postings
    inner join periods
        on periods.company_id = first_postings.company_id
        and periods.period >= first_postings.first_period
),

final as (
    select
        dense.company_id,
        dense.account_id,
        dense.period,
        dense.period_end,
        dense.fiscal_year,
        {{ sum_of_money('coalesce(movements.debit, 0)') }} as debit,
        {{ sum_of_money('coalesce(movements.credit, 0)') }} as credit,
        {{ sum_of_money('coalesce(movements.net_movement, 0)') }} as net_movement,
        {{ sum_of_money('coalesce(movements.closing_entries, 0)') }} as closing_entries,
        {{ sum_of_money('coalesce(sum(movements.net_movement) over (
            partition by dense.company_id, dense.account_id
            order by dense.period
            rows between unbounded preceding and current row
        ), 0) + coalesce(brought_forward.balance, 0)') }} as closing_balance,
    from dense
    left join brought_forward using (company_id, account_id)
    left join movements using (company_id, account_id, period)
)

select * from final
