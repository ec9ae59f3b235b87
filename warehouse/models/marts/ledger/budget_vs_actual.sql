with

plans as (
    select * from {{ source('user_tables', 'budget') }}
),

spans as (
    select
        company_id,
        version,
        min(period) as first_period,
        max(period) as last_period,
    from plans
    group by company_id, version
),

accounts as (
    select
        company_id,
        account_number,
        any_value(account_name order by account_id) as account_name,
        any_value(section order by account_id) as section,
        any_value(section_order order by account_id) as section_order,
        any_value(normal_side order by account_id) as normal_side,
    from {{ ref('accounts') }}
    where statement = 'profit_and_loss'
    group by company_id, account_number
),

actuals as (
    select
        profit_and_loss.company_id,
        spans.version,
        profit_and_loss.period,
        profit_and_loss.account_number,
        sum(profit_and_loss.amount) as amount,
    from {{ ref('profit_and_loss') }} as profit_and_loss
    inner join spans
        on spans.company_id = profit_and_loss.company_id
        and profit_and_loss.period between spans.first_period and spans.last_period
    group by all
),

compared as (
    select
        company_id,
        version,
        period,
        account_number,
        {{ sum_of_money('coalesce(plans.amount, 0)') }} as budget_amount,
        {{ sum_of_money('coalesce(actuals.amount, 0)') }} as actual_amount,
    from plans
    full join actuals using (company_id, version, period, account_number)
),

final as (
    select
        compared.company_id,
        compared.version,
        compared.period,
        accounts.section,
        accounts.section_order,
        compared.account_number,
        accounts.account_name,
        compared.budget_amount,
        compared.actual_amount,
        {{ sum_of_money('compared.actual_amount - compared.budget_amount') }} as variance_amount,
        {{ percent('compared.actual_amount - compared.budget_amount', 'abs(compared.budget_amount)') }}
            as variance_pct,
        {{ sum_of_money("case accounts.normal_side
            when 'credit' then compared.actual_amount - compared.budget_amount
            when 'debit' then compared.budget_amount - compared.actual_amount
        end") }} as profit_effect,
        {{ sum_of_money('sum(compared.budget_amount) over year_to_date') }} as ytd_budget_amount,
        {{ sum_of_money('sum(compared.actual_amount) over year_to_date') }} as ytd_actual_amount,
        companies.currency,
        companies.built_at,
    from compared
    inner join {{ ref('dim_company') }} as companies using (company_id)
    left join accounts using (company_id, account_number)
    window
        year_to_date as (
            partition by
                compared.company_id, compared.version, compared.account_number,
                extract(year from compared.period + to_months((13 - companies.fiscal_year_start) % 12))
            order by compared.period
            rows between unbounded preceding and current row
        )
)

select * from final
