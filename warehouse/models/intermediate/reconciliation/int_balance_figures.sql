-- What BigLedger keeps on the records themselves, customers', suppliers' and accounts' balances, beside ours. A
-- record is read at another moment than the documents behind it, so a difference may be that, as far as
-- what changed in between explains it.
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
        {{ utc("max(case when entity = 'bills' then window_end end)") }} as bills_until,
    from {{ source('inputs', 'loads') }}
    where window_start is distinct from window_end
    group by company_id
),

-- By how much invoices that changed after a customer was read may part the two: each may have been due,
-- as it does now or not, with anything up to the most that a version of it bills. A customer is paired
-- with the invoices of which a version names it, because pairs with all that changed are too many.
changed_invoices as (
    select
        records.company_id,
        records.customer_id,
        versions.invoice_id,
        max(greatest(versions.invoice_total, versions.amount_due, 0)) as most,
        any_value(case
            when versions.is_current and versions.is_recognised
                and versions.customer_id = records.customer_id
                then versions.amount_due
        end) as due,
    from (
        select distinct company_id, customer_id, invoice_id from {{ ref('int_invoice_versions') }}
    ) as billed
    inner join {{ ref('stg_customers') }} as records using (company_id, customer_id)
    inner join {{ ref('stg_invoices') }} as invoices
        on invoices.company_id = billed.company_id
        and invoices.invoice_id = billed.invoice_id
        and invoices.updated_at > records.pulled_at
    inner join {{ ref('int_invoice_versions') }} as versions
        on versions.company_id = invoices.company_id
        and versions.invoice_id = invoices.invoice_id
    group by records.company_id, records.customer_id, versions.invoice_id
),

invoice_changes as (
    select
        company_id,
        customer_id,
        sum(least(coalesce(due, 0), 0) - most) as lowest,
        sum(greatest(coalesce(due, 0), 0) - least(coalesce(due, 0), 0)) as highest,
    from changed_invoices
    group by company_id, customer_id
),

{%- for record, until in (('customer', 'invoices_until'), ('account', 'entries_until')) %}

-- A record that changed after the documents were read had, when they were, a balance that one of its
-- versions from that time on tells, or one between; none, where it came to be since, or was never seen
-- before.
{{ record }}_balances_since as (
    select
        records.company_id,
        records.{{ record }}_id,
        least(
            min(versions.api_balance),
            max(case when records.created_at > covered.{{ until }} then 0 end),
            case when count(*) = 1 then 0 end
        ) as lowest,
        greatest(
            max(versions.api_balance),
            max(case when records.created_at > covered.{{ until }} then 0 end),
            case when count(*) = 1 then 0 end
        ) as highest,
    from {{ ref('stg_' ~ record ~ 's') }} as records
    inner join covered using (company_id)
    inner join {{ ref('hist_' ~ record ~ 's') }} as versions using (company_id, {{ record }}_id)
    where
        {{ is_newer_than_documents('covered.' ~ until) }}
        and coalesce(versions.known_to > covered.{{ until }}, true)
        and not versions.is_deleted
    group by records.company_id, records.{{ record }}_id
),
{%- endfor %}

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
        changes.lowest,
        changes.highest,
        since.lowest as lowest_since,
        since.highest as highest_since,
    from {{ ref('stg_customers') }} as records
    inner join {{ ref('customers') }} as customers using (company_id, customer_id)
    left join net_due using (company_id, customer_id)
    left join invoice_changes as changes using (company_id, customer_id)
    left join customer_balances_since as since using (company_id, customer_id)
    where not records.is_deleted and records.api_balance is not null
),

-- Of suppliers the same by their bills.
changed_bills as (
    select
        records.company_id,
        records.supplier_id,
        versions.bill_id,
        max(greatest(versions.bill_total, versions.amount_due, 0)) as most,
        any_value(case
            when versions.is_current and versions.is_recognised
                and versions.supplier_id = records.supplier_id
                then versions.amount_due
        end) as due,
    from (
        select distinct company_id, supplier_id, bill_id from {{ ref('int_bill_versions') }}
    ) as billed
    inner join {{ ref('stg_suppliers') }} as records using (company_id, supplier_id)
    inner join {{ ref('stg_bills') }} as bills
        on bills.company_id = billed.company_id
        and bills.bill_id = billed.bill_id
        and bills.updated_at > records.pulled_at
    inner join {{ ref('int_bill_versions') }} as versions
        on versions.company_id = bills.company_id
        and versions.bill_id = bills.bill_id
    group by records.company_id, records.supplier_id, versions.bill_id
),

bill_changes as (
    select
        company_id,
        supplier_id,
        sum(least(coalesce(due, 0), 0) - most) as lowest,
        sum(greatest(coalesce(due, 0), 0) - least(coalesce(due, 0), 0)) as highest,
    from changed_bills
    group by company_id, supplier_id
),

net_owed as (
    select
        company_id,
        supplier_id,
        sum(amount_due) as value,
        -- A balance with a bill in it of which nobody knows the rate cannot be told.
        bool_or(is_foreign and document_due > 0 and amount_due is null) as is_unrated,
    from {{ ref('int_bill_versions') }}
    where is_current and is_recognised
    group by company_id, supplier_id
),

supplier_balances as (
    select
        records.company_id,
        'supplier_balance' as check_name,
        records.supplier_id as entity_key,
        case
            when coalesce(net_owed.is_unrated, false) then null
            when coalesce(net_owed.value, 0) = records.api_balance then records.api_balance
            else suppliers.open_balance
        end as mart_value,
        records.api_balance as source_value,
        records.supplier_currency as record_currency,
        records.request_id,
        records.pulled_at,
        changes.lowest,
        changes.highest,
        {{ is_newer_than_documents('covered.bills_until') }} as is_newer_than_documents,
    from {{ ref('stg_suppliers') }} as records
    inner join {{ ref('suppliers') }} as suppliers using (company_id, supplier_id)
    left join net_owed using (company_id, supplier_id)
    left join bill_changes as changes using (company_id, supplier_id)
    left join covered using (company_id)
    where not records.is_deleted and records.api_balance is not null
),

ledger as (
    select
        lines.company_id,
        lines.account_id,
        sum(lines.amount) as value,
        sum(case when lines.journal_date <= companies.today then lines.amount else 0 end) as value_today,
    from {{ ref('general_ledger') }} as lines
    inner join companies using (company_id)
    group by lines.company_id, lines.account_id
),

late_entries as (
    select
        lines.company_id,
        lines.account_id,
        records.pulled_at,
        greatest(lines.created_at, coalesce(lines.posted_at, lines.created_at)) as changed_at,
        sum(lines.amount) as amount,
    from {{ ref('general_ledger') }} as lines
    inner join {{ ref('stg_accounts') }} as records using (company_id, account_id)
    where
        greatest(lines.created_at, coalesce(lines.posted_at, lines.created_at))
        > records.pulled_at - interval 5 minutes
    group by all
),

-- An account is read at one moment: what it lacks is the sum of the entries since. Five minutes either
-- way, because the clocks of the two sides differ.
late_sums as (
    select
        company_id,
        account_id,
        pulled_at,
        changed_at,
        sum(amount) over from_the_end as amount,
        lead(changed_at) over from_the_end as changed_before,
    from late_entries
    window from_the_end as (partition by company_id, account_id order by changed_at desc)
),

late_amounts as (
    select
        company_id,
        account_id,
        list({{ sum_of_quantity('amount') }}) as amounts,
    from late_sums
    where coalesce(changed_before, changed_at) <= pulled_at + interval 5 minutes or changed_before is null
    group by company_id, account_id
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
        late.amounts,
        since.lowest as lowest_since,
        since.highest as highest_since,
    from {{ ref('stg_accounts') }} as records
    left join ledger using (company_id, account_id)
    left join late_amounts as late using (company_id, account_id)
    left join account_balances_since as since using (company_id, account_id)
    where not records.is_deleted and records.api_balance is not null
),

balances as (
    select * from customer_balances
    union all by name
    select * from supplier_balances
    union all by name
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
            when balances.mart_value - balances.source_value between balances.lowest and balances.highest
                or list_contains(balances.amounts, {{ sum_of_quantity('balances.mart_value - balances.source_value') }})
                or balances.mart_value between balances.lowest_since and balances.highest_since
                then 'The record was read at another moment than a document behind it that changed.'
        end as doubt,
        case
            when balances.mart_value is null
                then 'A bill in another currency has no entry yet that says what it comes to.'
        end as unavailable,
        balances.request_id,
        balances.pulled_at as fetched_at,
    from balances
    inner join companies using (company_id)
)

select * from final
