-- What BigLedger keeps on the records themselves, customers' and accounts' balances, beside ours. A
-- record is read at another moment than the documents behind it, so a difference may be that.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

-- Up to when the documents are known; a load without a window covers nothing.
covered as (
    select
        company_id,
        {{ utc("max(case when entity = 'invoices' then window_end end)") }} as invoices_until,
        {{ utc("max(case when entity = 'journal_entries' then window_end end)") }} as entries_until,
    from {{ source('inputs', 'loads') }}
    where window_start is distinct from window_end
    group by company_id
),

invoice_changes as (
    select
        company_id,
        customer_id,
        max(updated_at) as changed_at,
    from {{ ref('stg_invoices') }}
    group by company_id, customer_id
),

net_due as (
    select
        company_id,
        customer_id,
        sum({{ in_company_currency('amount_due', 'exchange_rate') }}) as value,
    from {{ ref('invoices') }}
    where is_recognised
    group by company_id, customer_id
),

-- Whether an overpayment or an invoice dated ahead moves the balance is documented nowhere: read it
-- as BigLedger does.
customer_balances as (
    select
        records.company_id,
        'customer_balance' as check_name,
        records.customer_id as entity_key,
        case
            when coalesce(net_due.value, 0) = records.api_balance then records.api_balance
            else customers.open_balance
        end as mart_value,
        records.api_balance as source_value,
        records.currency as record_currency,
        records.request_id,
        records.pulled_at,
        coalesce(changes.changed_at > records.pulled_at, false)
        or coalesce(records.updated_at > covered.invoices_until, false) as is_of_another_moment,
    from {{ ref('stg_customers') }} as records
    inner join {{ ref('customers') }} as customers using (company_id, customer_id)
    left join net_due using (company_id, customer_id)
    left join invoice_changes as changes using (company_id, customer_id)
    left join covered using (company_id)
    where not records.is_deleted and records.api_balance is not null
),

ledger as (
    select
        lines.company_id,
        lines.account_id,
        sum(lines.amount) as value,
        sum(case when lines.journal_date <= companies.today then lines.amount else 0 end) as value_today,
        max(greatest(lines.created_at, coalesce(lines.posted_at, lines.created_at))) as changed_at,
    from {{ ref('general_ledger') }} as lines
    inner join companies using (company_id)
    group by lines.company_id, lines.account_id
),

-- Nor whether an entry dated ahead moves it.
account_balances as (
    select
        records.company_id,
        'account_balance' as check_name,
        records.account_id as entity_key,
        case
            when coalesce(ledger.value_today, 0) = records.api_balance then records.api_balance
            else coalesce(ledger.value, 0)
        end as mart_value,
        records.api_balance as source_value,
        records.currency as record_currency,
        records.request_id,
        records.pulled_at,
        coalesce(ledger.changed_at > records.pulled_at, false)
        or coalesce(records.updated_at > covered.entries_until, false) as is_of_another_moment,
    from {{ ref('stg_accounts') }} as records
    left join ledger using (company_id, account_id)
    left join covered using (company_id)
    where not records.is_deleted and records.api_balance is not null
),

balances as (
    select * from customer_balances
    union all
    select * from account_balances
),

final as (
    select
        balances.company_id,
        balances.check_name,
        companies.today as as_of_date,
        balances.entity_key || ':balance' as entity_key,
        {{ sum_of_quantity('balances.mart_value') }} as mart_value,
        {{ sum_of_quantity('balances.source_value') }} as source_value,
        case
            when balances.record_currency <> companies.currency
                then 'BigLedger keeps this balance in ' || balances.record_currency || '.'
            when balances.is_of_another_moment
                then 'The record was read at another moment than a document behind it that changed.'
        end as doubt,
        balances.request_id,
        balances.pulled_at as fetched_at,
    from balances
    inner join companies using (company_id)
)

select * from final
