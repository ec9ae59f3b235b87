-- The lines of the balance sheet at each month end, positive on their section's normal side.
with

account_lines as (
    select
        trial_balance.company_id,
        trial_balance.period,
        trial_balance.period_end as as_of_date,
        accounts.section,
        accounts.section_order,
        coalesce(accounts.account_category, accounts.section) as subsection,
        accounts.account_id,
        accounts.account_number,
        accounts.account_name,
        false as is_computed,
        {{ sum_of_money(natural('trial_balance.closing_balance', 'accounts.normal_side')) }} as balance,
    from {{ ref('trial_balance') }} as trial_balance
    inner join {{ ref('accounts') }} as accounts using (company_id, account_id)
    where accounts.statement = 'balance_sheet'
),

periods as (
    select * from {{ ref('periods') }}
),

earnings as (
    select * from {{ ref('int_unclosed_earnings') }}
),

computed_lines as (
    select
        periods.company_id,
        periods.period,
        periods.period_end as as_of_date,
        'equity' as section,
        3 as section_order,
        'computed' as subsection,
        cast(null as varchar) as account_id,
        cast(null as varchar) as account_number,
        lines.account_name,
        true as is_computed,
        {{ sum_of_money("coalesce(
            case
                when lines.account_name = 'Current year earnings' then earnings.current_year
                else earnings.earlier_years
            end, 0
        )") }} as balance,
    from periods
    cross join (
        values ('Retained earnings not yet closed'), ('Current year earnings')
    ) as lines (account_name)
    left join earnings using (company_id, period)
),

final as (
    select * from account_lines
    union all
    select * from computed_lines
)

select * from final
