with

account_months as (
    select * from {{ ref('int_account_months') }}
),

accounts as (
    select * from {{ ref('accounts') }}
),

companies as (
    select * from {{ ref('stg_companies') }}
),

final as (
    select
        account_months.company_id,
        account_months.period,
        account_months.period_end,
        account_months.account_id,
        accounts.account_number,
        accounts.account_name,
        accounts.account_type,
        {{ sum_of_money('account_months.closing_balance - account_months.net_movement') }} as opening_balance,
        account_months.debit,
        account_months.credit,
        account_months.net_movement,
        account_months.closing_balance,
        {{ sum_of_money('greatest(account_months.closing_balance, 0)') }} as closing_debit,
        {{ sum_of_money('greatest(-account_months.closing_balance, 0)') }} as closing_credit,
        companies.currency,
        companies.built_at,
    from account_months
    inner join companies using (company_id)
    left join accounts using (company_id, account_id)
)

select * from final
