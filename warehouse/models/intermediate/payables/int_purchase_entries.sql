{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('entries')) }}",
) }}

-- Entries on payables or on goods received and not invoiced, one row an entry. Amounts are positive
-- where more is owed.
with

accounts as (
    select * from {{ ref('accounts') }}
    where account_role in ('accounts_payable', 'goods_received_not_invoiced', 'cash')
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
    from {{ ref('general_ledger') }} as ledger
    inner join accounts using (company_id, account_id)
    where {{ only_affected(affected('entries')) }}
),

final as (
    select
        company_id,
        journal_id,
        any_value(journal_number) as journal_number,
        any_value(journal_date) as journal_date,
        any_value(period) as period,
        any_value(nullif(reference, '')) as reference,
        {{ sum_of_money("-sum(case when account_role = 'accounts_payable' then amount else 0 end)") }}
            as payable_amount,
        {{ sum_of_money("-sum(case when account_role = 'goods_received_not_invoiced' then amount else 0 end)") }}
            as grni_amount,
        bool_or(account_role = 'accounts_payable') as is_on_payables,
        bool_or(account_role = 'goods_received_not_invoiced') as is_on_grni,
        bool_or(account_role = 'cash') as is_on_cash,
    from lines
    group by company_id, journal_id
    having bool_or(account_role <> 'cash')
)

select * from final
