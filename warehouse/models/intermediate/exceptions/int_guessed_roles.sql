-- Accounts with a balance whose role stands on nothing but a word of their name, each with the line of
-- account_roles.csv that settles it. Names of accounts may be names of persons and are not repeated.
with

accounts as (
    select * from {{ ref('accounts') }} where role_source = 'name'
),

balances as (
    select
        company_id,
        account_id,
        {{ sum_of_money('sum(amount)') }} as balance,
    from {{ ref('general_ledger') }}
    group by company_id, account_id
),

final as (
    select
        accounts.company_id,
        accounts.account_id,
        -- No figure stands on the role of an account of the profit and loss.
        case accounts.statement when 'balance_sheet' then 'warning' else 'info' end as severity,
        format(
            'Account {} has the role {} by a word of its name alone, and a balance of {}. If that is right,'
            ' say so by the line {} in account_roles.csv, else put its own role there.',
            coalesce(accounts.account_number, accounts.account_id),
            accounts.account_role,
            cast(balances.balance as varchar),
            concat_ws(
                ',',
                {{ csv_cell('accounts.company_id') }},
                {{ csv_cell('accounts.account_number') }},
                accounts.account_role
            )
        ) as evidence,
    from accounts
    inner join balances using (company_id, account_id)
    where balances.balance <> 0
)

select * from final
