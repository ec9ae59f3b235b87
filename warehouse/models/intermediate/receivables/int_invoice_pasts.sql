{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('pasts')) }}",
) }}

-- What was open on invoices before the first sync, from when to when: each as it was first pulled, and
-- what it lacks of its total by then, dated by the ledger. Entries that lower receivables and name an
-- invoice are its settlements; what they leave was settled on the day of its last payment.
with

versions as (
    select * from {{ ref('int_invoice_versions') }} where {{ only_affected(affected('pasts')) }}
),

-- Month ends before this month are not known from pulls.
beginnings as (
    select
        company_id,
        min(known_from) as first_known_from,
        cast(date_trunc('month', {{ local_date('min(known_from)', 'any_value(timezone)') }}) as date) as first_month,
    from versions
    group by company_id
),

first_versions as (
    select *
    from versions
    qualify row_number() over (partition by company_id, invoice_id order by known_from) = 1
),

-- What was entered after the first sync was not open as far as was known by then, whatever its date.
invoices as (
    select
        first_versions.*,
        beginnings.first_month,
        coalesce(
            first_versions.invoice_date,
            {{ local_date('coalesce(first_versions.created_at, first_versions.known_from)', 'first_versions.timezone') }}
        ) as billed_on,
        coalesce(
            first_versions.last_payment_date,
            {{ local_date('coalesce(first_versions.updated_at, first_versions.known_from)', 'first_versions.timezone') }}
        ) as last_settled_on,
        first_versions.invoice_total
        - case when first_versions.is_recognised then greatest(first_versions.amount_due, 0) else 0 end
            as settled_amount,
    from first_versions
    inner join beginnings using (company_id)
    where
        (first_versions.is_recognised or first_versions.is_cancelled)
        and coalesce(first_versions.created_at <= beginnings.first_known_from, true)
),

-- What lowers receivables, and what takes such an entry back.
lines as (
    select
        ledger.company_id,
        ledger.journal_id,
        ledger.line_no,
        ledger.journal_date,
        ledger.reference,
        ledger.line_description,
        ledger.entry_description,
        -ledger.amount as amount,
    from {{ ref('general_ledger') }} as ledger
    inner join {{ ref('accounts') }} as accounts using (company_id, account_id)
    inner join beginnings using (company_id)
    where
        accounts.account_role = 'accounts_receivable'
        and (ledger.amount < 0 or ledger.reverses_journal_id is not null)
        and ledger.journal_date is not null
        and coalesce(coalesce(ledger.posted_at, ledger.created_at) <= beginnings.first_known_from, true)
),

{%- set words = "'[[:alnum:]](?:[[:alnum:]/_.#-]*[[:alnum:]])?'" %}

words as (
    select *, 1 as place, unnest(list_append(regexp_extract_all(reference, {{ words }}), reference)) as word,
    from lines
    union all
    select *, 2, unnest(regexp_extract_all(line_description, {{ words }})),
    from lines
    union all
    select *, 3, unnest(regexp_extract_all(entry_description, {{ words }})),
    from lines
),

numbers as (
    select
        company_id,
        invoice_number as word,
        any_value(invoice_id) as invoice_id,
    from invoices
    where invoice_number <> ''
    group by company_id, invoice_number
    having count(*) = 1
),

named as (
    select distinct
        company_id,
        words.journal_id,
        words.line_no,
        words.journal_date,
        words.amount,
        words.place,
        numbers.invoice_id,
    from words
    inner join numbers using (company_id, word)
),

-- The reference says it before the line's text, that before the entry's; where one names several
-- invoices, which of them has how much is not said.
settlements as (
    select *
    from named
    qualify
        rank() over (partition by company_id, journal_id, line_no order by place) = 1
        and count(*) over (partition by company_id, journal_id, line_no, place) = 1
),

found as (
    select
        company_id,
        invoice_id,
        sum(amount) as found_amount,
    from settlements
    group by company_id, invoice_id
),

-- Entries that say more than the invoice are not believed. A cancelled one was owed only if the ledger
-- says so, and until when.
judged as (
    select
        invoices.*,
        case when found.found_amount between 0 and invoices.settled_amount then found.found_amount else 0 end
            as found_amount,
    from invoices
    left join found using (company_id, invoice_id)
    where
        invoices.is_recognised
        or (invoices.settled_amount > 0 and found.found_amount = invoices.settled_amount)
),

events as (
    select
        company_id,
        invoice_id,
        billed_on as day,
        invoice_total as amount,
    from judged
    union all
    select
        company_id,
        invoice_id,
        greatest(settlements.journal_date, judged.billed_on),
        -settlements.amount,
    from settlements
    inner join judged using (company_id, invoice_id)
    where judged.found_amount > 0
    union all
    select
        company_id,
        invoice_id,
        greatest(last_settled_on, billed_on),
        found_amount - settled_amount,
    from judged
    where found_amount <> settled_amount
),

days as (
    select
        company_id,
        invoice_id,
        day,
        {{ sum_of_money('sum(sum(amount)) over history') }} as open_amount,
        lead(day) over history as next_day,
    from events
    group by company_id, invoice_id, day
    window history as (partition by company_id, invoice_id order by day)
),

final as (
    select
        judged.company_id,
        judged.customer_id,
        judged.customer_name,
        judged.invoice_id,
        judged.invoice_number,
        judged.invoice_date,
        judged.due_date,
        judged.invoice_total,
        {{ sum_of_money('judged.invoice_total - days.open_amount') }} as amount_paid,
        days.open_amount as amount_due,
        greatest(days.day, cast(judged.first_month - interval 12 months as date)) as known_on,
        least(coalesce(days.next_day, judged.first_month), judged.first_month) as replaced_on,
    from days
    inner join judged using (company_id, invoice_id)
    where
        days.open_amount > 0
        and greatest(days.day, cast(judged.first_month - interval 12 months as date))
        < least(coalesce(days.next_day, judged.first_month), judged.first_month)
)

select * from final
