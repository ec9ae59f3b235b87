-- Revenue and expense that no entry has closed into equity, split into earlier fiscal years and the
-- current one. A closing entry clears what earlier years left on an account before it clears the
-- current year, so that a close dated on the year's last day and one dated after it read the same.
with

account_months as (
    select account_months.*
    from {{ ref('int_account_months') }} as account_months
    inner join {{ ref('accounts') }} as accounts using (company_id, account_id)
    where accounts.statement = 'profit_and_loss'
),

years_to_date as (
    select
        company_id,
        period,
        closing_balance,
        first_value(closing_balance - net_movement) over fiscal_year_to_date as brought_forward,
        sum(closing_entries) over fiscal_year_to_date as cleared,
    from account_months
    window fiscal_year_to_date as (
        partition by company_id, account_id, fiscal_year
        order by period
        rows between unbounded preceding and current row
    )
),

split as (
    select
        company_id,
        period,
        closing_balance,
        case
            when sign(cleared) = -sign(brought_forward)
                then brought_forward - sign(brought_forward) * least(abs(brought_forward), abs(cleared))
            else brought_forward
        end as earlier_years,
    from years_to_date
),

final as (
    select
        company_id,
        period,
        {{ sum_of_money('-sum(earlier_years)') }} as earlier_years,
        {{ sum_of_money('-sum(closing_balance - earlier_years)') }} as current_year,
    from split
    group by company_id, period
)

select * from final
