-- The return of a taxable period. Once its last month is closed a period is locked: its figures are those
-- of the documents as they were known then, and what has changed since stands beside them.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

settings as (
    select company_id, start, cycle_months, 'table' as cycle_source
    from {{ source('user_tables', 'tax_cycles') }}
    union all
    -- Two months, from the first period of the tax on, where nobody says otherwise.
    select company_id, date '2018-09-01', 2, 'default'
    from companies
    where company_id not in (select company_id from {{ source('user_tables', 'tax_cycles') }})
),

-- As restatements has it: what the first load brought was not changed after a close before it.
first_loads as (
    select
        company_id,
        arg_min(load_id, known_from) as load_id,
    from {{ ref('hist_invoices') }}
    group by company_id
),

beginnings as (
    select
        history.company_id,
        max(history.known_from) as known_from,
    from {{ ref('hist_invoices') }} as history
    inner join first_loads using (company_id, load_id)
    group by history.company_id
),

locks as (
    select
        periods.company_id,
        periods.period_end,
        greatest(periods.closed_at, beginnings.known_from) as compared_from,
    from {{ ref('periods') }} as periods
    inner join beginnings using (company_id)
    where periods.is_closed
),

changed as (
    select
        company_id,
        invoice_id,
        max(known_from) as changed_at,
    from {{ ref('hist_invoices') }}
    where company_id in (select company_id from locks)
    group by company_id, invoice_id
    having max(known_from) > (select min(compared_from) from locks)
),

versions as (
    select
        invoices.*,
        locks.compared_from,
        companies.timezone,
        case
            when invoices.invoice_currency <> coalesce(companies.currency, '')
                then coalesce(invoices.exchange_rate, 1)
            else 1
        end as rate,
    from {{ ref('hist_invoices') }} as invoices
    inner join companies using (company_id)
    inner join changed
        on changed.company_id = invoices.company_id and changed.invoice_id = invoices.invoice_id
    inner join (select distinct company_id, compared_from from locks) as locks
        on locks.company_id = invoices.company_id
        and locks.compared_from < changed.changed_at
        and invoices.known_from <= locks.compared_from
        and coalesce(invoices.known_to > locks.compared_from, true)
    where
        not invoices.is_deleted
        and coalesce(invoices.status, '') not in ('draft', 'cancelled')
        and invoices.invoice_date is not null
),

{{ taxed_documents('versions', ['compared_from']) }},

-- Today's documents, with when each last changed, and those as they were at a lock.
documents as (
    select
        company_id,
        invoice_id,
        line,
        tariff_code,
        taxable,
        tax,
        due_on,
        cast(null as timestamp) as compared_from,
    from {{ ref('sst_02_documents') }}
    where line is not null
    union all
    select company_id, invoice_id, line, tariff_code, taxable, tax, due_on, compared_from
    from tax_documents
    where line is not null
),

dated as (
    select
        documents.*,
        settings.start,
        settings.cycle_months,
        settings.cycle_source,
        date_diff('month', settings.start, documents.due_on) // settings.cycle_months as cycle_no,
    from documents
    inner join companies using (company_id)
    asof inner join settings
        on settings.company_id = documents.company_id and settings.start <= documents.due_on
    where documents.due_on <= companies.today
),

placed as (
    select
        dated.*,
        cast(dated.start + to_months(cast(dated.cycle_no * dated.cycle_months as integer)) as date) as cycle_start,
        cast(
            dated.start + to_months(cast((dated.cycle_no + 1) * dated.cycle_months as integer)) as date
        ) - 1 as cycle_end,
    from dated
),

judged as (
    select
        placed.company_id,
        placed.cycle_start,
        placed.cycle_end,
        placed.cycle_source,
        placed.line,
        placed.tariff_code,
        placed.invoice_id,
        placed.taxable,
        placed.tax,
        locks.compared_from as locked_at,
        placed.compared_from is null as is_now,
        case
            when locks.compared_from is null then placed.compared_from is null
            when placed.compared_from is null then coalesce(changed.changed_at <= locks.compared_from, true)
            else placed.compared_from = locks.compared_from
        end as is_in_return,
    from placed
    left join locks on locks.company_id = placed.company_id and locks.period_end = placed.cycle_end
    left join changed on changed.company_id = placed.company_id and changed.invoice_id = placed.invoice_id
),

sums as (
    select
        company_id,
        cycle_start,
        cycle_end,
        any_value(cycle_source) as cycle_source,
        any_value(locked_at) as locked_at,
        line,
        tariff_code,
        coalesce(sum(taxable) filter (where is_in_return), 0) as taxable_amount,
        coalesce(sum(tax) filter (where is_in_return), 0) as tax_amount,
        count(distinct invoice_id) filter (where is_in_return) as document_count,
        coalesce(sum(taxable) filter (where is_now), 0) as taxable_now,
        coalesce(sum(tax) filter (where is_now), 0) as tax_now,
    from judged
    where is_in_return or is_now
    group by company_id, cycle_start, cycle_end, line, tariff_code
),

totals as (
    select
        company_id,
        cycle_start,
        cycle_end,
        any_value(cycle_source) as cycle_source,
        any_value(locked_at) as locked_at,
        '12' as line,
        cast(null as varchar) as tariff_code,
        sum(taxable_amount) as taxable_amount,
        sum(tax_amount) as tax_amount,
        sum(document_count) as document_count,
        sum(taxable_now) as taxable_now,
        sum(tax_now) as tax_now,
    from sums
    group by company_id, cycle_start, cycle_end
),

final as (
    select
        lines.company_id,
        lines.cycle_start as cycle,
        lines.cycle_end,
        lines.line,
        lines.tariff_code,
        {{ sum_of_money('lines.taxable_amount') }} as taxable_amount,
        {{ sum_of_money('lines.tax_amount') }} as tax_amount,
        cast(lines.document_count as integer) as document_count,
        lines.locked_at is not null as is_locked,
        lines.locked_at,
        {{ sum_of_money('lines.taxable_now - lines.taxable_amount') }} as restated_taxable,
        {{ sum_of_money('lines.tax_now - lines.tax_amount') }} as restated_tax,
        lines.cycle_source,
        companies.currency,
        companies.built_at,
    from (select * from sums union all select * from totals) as lines
    inner join companies using (company_id)
)

select * from final
