with

accounts as (
    select * from {{ ref('accounts') }} where statement = 'profit_and_loss'
),

companies as (
    select * from {{ ref('stg_companies') }}
),

amounts as (
    select
        account_months.company_id,
        account_months.period,
        account_months.fiscal_year,
        account_months.account_id,
        accounts.section,
        accounts.section_order,
        accounts.account_number,
        accounts.account_name,
        {{ sum_of_money(natural(
            'account_months.net_movement - account_months.closing_entries', 'accounts.normal_side'
        )) }} as amount,
    from {{ ref('int_account_months') }} as account_months
    inner join accounts using (company_id, account_id)
),

revenue as (
    select
        company_id,
        period,
        sum(amount) as operating_revenue,
    from amounts
    where section = 'operating_revenue'
    group by company_id, period
),

final as (
    select
        amounts.company_id,
        amounts.period,
        amounts.section,
        amounts.section_order,
        amounts.account_id,
        amounts.account_number,
        amounts.account_name,
        amounts.amount,
        {{ sum_of_money('sum(amounts.amount) over fiscal_year_to_date') }} as ytd_amount,
        {{ sum_of_money('coalesce(lag(amounts.amount, 1) over months, 0)') }} as previous_month_amount,
        {{ sum_of_money('coalesce(lag(amounts.amount, 12) over months, 0)') }} as previous_year_amount,
        {{ sum_of_money('sum(amounts.amount) over twelve_months') }} as rolling_12m_amount,
        {{ percent('amounts.amount', 'revenue.operating_revenue') }} as pct_of_revenue,
        companies.currency,
        companies.built_at,
    from amounts
    inner join companies using (company_id)
    left join revenue using (company_id, period)
    window
        months as (partition by amounts.company_id, amounts.account_id order by amounts.period),
        twelve_months as (
            partition by amounts.company_id, amounts.account_id
            order by amounts.period
            rows between 11 preceding and current row
        ),
        fiscal_year_to_date as (
            partition by amounts.company_id, amounts.account_id, amounts.fiscal_year
            order by amounts.period
            rows between unbounded preceding and current row
        )
)

select * from final
