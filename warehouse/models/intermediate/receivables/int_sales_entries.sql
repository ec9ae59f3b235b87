{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('entries')) }}",
) }}

-- Entries on receivables or output tax, one row an entry, with what tells a sale from a collection.
with

accounts as (
    select * from {{ ref('accounts') }}
),

lines as (
    select
        ledger.company_id,
        ledger.journal_id,
        ledger.journal_number,
        ledger.journal_date,
        ledger.period,
        ledger.reference,
        ledger.amount,
        accounts.account_role,
        accounts.account_type,
    from {{ ref('general_ledger') }} as ledger
    inner join accounts using (company_id, account_id)
    where
        {{ only_affected(affected('entries')) }}
        and (
            accounts.account_role in ('accounts_receivable', 'tax_payable', 'cash')
            or accounts.account_type = 'revenue'
        )
),

final as (
    select
        company_id,
        journal_id,
        any_value(journal_number) as journal_number,
        any_value(journal_date) as journal_date,
        any_value(period) as period,
        any_value(reference) as reference,
        {{ sum_of_money("sum(case when account_role = 'accounts_receivable' then amount else 0 end)") }}
            as receivable_amount,
        {{ sum_of_money("-sum(case when account_role = 'tax_payable' then amount else 0 end)") }} as tax_amount,
        coalesce(bool_or(account_role = 'accounts_receivable'), false) as is_on_receivables,
        coalesce(bool_or(account_role = 'cash'), false) as is_on_cash,
        coalesce(bool_or(account_type = 'revenue'), false) as is_on_revenue,
        coalesce(bool_or(account_role = 'tax_payable'), false) as is_on_tax,
    from lines
    group by company_id, journal_id
    having bool_or(account_role in ('accounts_receivable', 'tax_payable'))
)

select * from final
