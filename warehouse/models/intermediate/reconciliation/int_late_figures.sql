-- What changed after a report may have been made: the figures by which an older report is behind.
with

reports as (
    select * from {{ ref('int_reports_fetched') }}
),

entries as (
    select
        company_id,
        journal_id,
        journal_date,
        greatest(created_at, coalesce(posted_at, created_at)) as changed_at,
    from {{ ref('stg_journal_entries') }}
    where is_counted
),

late_entries as (
    select
        reports.company_id,
        reports.report,
        reports.as_of_date,
        reports.period_from,
        entries.journal_id,
        entries.changed_at,
    from reports
    inner join entries
        on entries.company_id = reports.company_id
        and entries.changed_at > reports.oldest_at
        and entries.journal_date <= reports.as_of_date
        and (reports.period_from is null or entries.journal_date >= reports.period_from)
    where reports.report in ('trial_balance', 'balance_sheet', 'profit_loss')
),

-- A report made between two entries lacks the later one and all after it, so each running sum
-- from the end is a difference that lateness explains, and no other difference is.
accounts as (
    select distinct
        late_entries.company_id,
        late_entries.report,
        late_entries.as_of_date,
        late_entries.period_from,
        lines.account_id as entity_key,
        {{ sum_of_quantity('sum(lines.amount) over from_the_end') }} as late_value,
    from late_entries
    inner join {{ ref('stg_journal_lines') }} as lines using (company_id, journal_id)
    where late_entries.report = 'trial_balance'
    window from_the_end as (
        partition by late_entries.company_id, late_entries.as_of_date, lines.account_id
        order by late_entries.changed_at desc
    )
),

statements as (
    select distinct
        company_id,
        report,
        as_of_date,
        period_from,
        cast(null as varchar) as entity_key,
        cast(null as decimal(36, 4)) as late_value,
    from late_entries
    where report <> 'trial_balance'
),

-- How far an invoice or a stock row moved within the time is not known: any difference may be it.
records as (
    select
        company_id,
        'aged_receivables' as report,
        coalesce(customer_id, 'no customer') as entity_key,
        updated_at,
    from {{ ref('stg_invoices') }}
    union all
    select
        company_id,
        'stock_valuation' as report,
        item_id as entity_key,
        updated_at,
    from {{ ref('stg_stock') }}
),

late_records as (
    select distinct
        reports.company_id,
        reports.report,
        reports.as_of_date,
        reports.period_from,
        records.entity_key,
        cast(null as decimal(36, 4)) as late_value,
    from reports
    inner join records
        on records.company_id = reports.company_id
        and records.report = reports.report
        and records.updated_at > reports.oldest_at
),

final as (
    select * from accounts
    union all
    select * from statements
    union all
    select * from late_records
)

select * from final
