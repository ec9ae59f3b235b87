-- What stands on each account of a group's companies, in the company's currency and in the group's, debit
-- positive; and what earlier years earned, on a line of its own. Closing entries are left out of both.
with

months as (
    select * from {{ ref('group_companies') }} where is_complete
),

accounts as (
    select * from {{ ref('accounts') }} where section is not null
),

account_uses as (
    select * from {{ source('user_tables', 'group_accounts') }}
),

historical_rates as (
    select * from {{ source('user_tables', 'group_historical_rates') }}
),

investments as (
    select distinct
        group_id,
        parent_company_id as company_id,
        investment_account as account_number,
        true as is_investment,
    from months
    where investment_account is not null
),

lines as (
    select
        months.*,
        accounts.account_id,
        accounts.account_number,
        coalesce(account_uses.group_account_number, accounts.account_number) as group_account_number,
        accounts.account_name,
        accounts.statement,
        accounts.section,
        accounts.section_order,
        case
            when accounts.statement = 'profit_and_loss' then 'average'
            when accounts.section = 'equity' or investments.is_investment then 'historical'
            else 'closing'
        end as rate_kind,
        coalesce(account_uses.is_capital, false) as is_capital,
        cast(account_months.closing_balance as decimal(38, 2)) as closing_balance,
        cast(account_months.net_movement - account_months.closing_entries as decimal(38, 2)) as moved,
        cast(first_value(account_months.closing_balance - account_months.net_movement) over (
            partition by months.group_id, months.company_id, accounts.account_id
            order by months.period
        ) as decimal(38, 2)) as balance_before,
        coalesce(rates_then.rate, months.average_rate) as movement_rate,
        coalesce(rates_before.rate, months.historical_rate) as rate_before,
    from months
    inner join {{ ref('int_account_months') }} as account_months using (company_id, period)
    inner join accounts using (company_id, account_id)
    left join account_uses using (group_id, company_id, account_number)
    left join investments using (group_id, company_id, account_number)
    left join historical_rates as rates_then
        on rates_then.group_id = months.group_id
        and rates_then.company_id = months.company_id
        and rates_then.account_number = accounts.account_number
        and rates_then.period = months.period
        and accounts.statement = 'balance_sheet'
    left join historical_rates as rates_before
        on rates_before.group_id = months.group_id
        and rates_before.company_id = months.company_id
        and rates_before.account_number = accounts.account_number
        and rates_before.period is null
),

sums as (
    select
        *,
        balance_before * rate_before as exact_before,
        sum(moved) over so_far as moved_so_far,
        sum(moved * movement_rate) over so_far as exact_so_far,
        sum(moved) over year_to_date as moved_ytd,
        sum(moved * movement_rate) over year_to_date as exact_ytd,
    from lines
    window
        so_far as (
            partition by group_id, company_id, account_id
            order by period
            rows between unbounded preceding and current row
        ),
        year_to_date as (
            partition by group_id, company_id, account_id, fiscal_year
            order by period
            rows between unbounded preceding and current row
        )
),

valued as (
    select
        * exclude (closing_balance),
        case rate_kind
            when 'closing' then closing_balance
            when 'historical' then balance_before + moved_so_far
            else moved_ytd
        end as local_amount,
        case rate_kind
            when 'closing' then closing_balance * closing_rate
            when 'historical' then exact_before + exact_so_far
            else exact_ytd
        end as exact_amount,
        case
            when section = 'equity'
                then exact_before + case when is_capital then exact_so_far else 0 end
            else 0
        end as exact_acquired,
    from sums
),

earnings as (
    select
        group_id,
        company_id,
        period,
        any_value(closing_rate) as closing_rate,
        cast(null as varchar) as account_id,
        cast(null as varchar) as account_number,
        cast(null as varchar) as group_account_number,
        'Retained earnings brought forward' as account_name,
        'balance_sheet' as statement,
        'equity' as section,
        3 as section_order,
        'historical' as rate_kind,
        sum(balance_before + moved_so_far - moved_ytd) as local_amount,
        sum(exact_before + exact_so_far - exact_ytd) as exact_amount,
        sum(exact_before) as exact_acquired,
        cast(0 as decimal(38, 10)) as exact_ytd,
    from sums
    where statement = 'profit_and_loss'
    group by group_id, company_id, period
),

final as (
    {% for lines in ['valued', 'earnings'] %}
    select
        group_id,
        company_id,
        period,
        account_id,
        account_number,
        group_account_number,
        account_name,
        statement,
        section,
        section_order,
        rate_kind,
        {{ sum_of_money('local_amount') }} as local_amount,
        {{ sum_of_money('round(exact_amount, 2)') }} as amount,
        {{ sum_of_money('round(exact_ytd, 2)') }} as ytd_amount,
        exact_amount,
        exact_acquired,
        local_amount * closing_rate - exact_amount as exact_reserve,
    from {{ lines }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
)

select * from final
