-- depends_on: {{ ref('stg_companies') }}, {{ ref('int_affected_invoices') }}, {{ ref('int_affected_entries') }}
-- Months whose sums the news may change: those of affected entries, those of affected invoices whose
-- revenue is another than before, and those that have begun since.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

{%- if not has_last_build() %}

months as (
    select company_id, {{ period_of('invoice_date', 'today') }} as period
    from {{ ref('hist_invoices') }}
    inner join companies using (company_id)
    union
    select company_id, {{ period_of('journal_date', 'today') }}
    from {{ ref('hist_journal_entries') }}
    inner join companies using (company_id)
),

{%- else %}

versions as (
    select
        company_id,
        invoice_id,
        known_from,
        load_id,
        {{ period_of('invoice_date', 'today') }} as period,
        hash(
            is_deleted, status in ('draft', 'cancelled'), invoice_date, customer_id, items,
            invoice_currency, exchange_rate
        ) as revenue,
    from {{ ref('hist_invoices') }}
    inner join companies using (company_id)
    where {{ affected('invoices') }}
),

changes as (
    select
        *,
        lag(period) over history as period_before,
        lag(revenue) over history as revenue_before,
    from versions
    window history as (partition by company_id, invoice_id order by known_from)
),

months as (
    select
        company_id,
        unnest([period, period_before]) as period,
    from changes
    where revenue is distinct from revenue_before and {{ in_new_loads() }}
    union
    select company_id, {{ period_of('journal_date', 'today') }}
    from {{ ref('hist_journal_entries') }}
    inner join companies using (company_id)
    where {{ affected('entries') }}
    union
    select
        company_id,
        cast(unnest(generate_series(
            cast(date_trunc('month', before.today) as timestamp),
            cast(companies.today as timestamp),
            interval 1 month
        )) as date),
    from companies
    inner join last_build.companies as before using (company_id)
),

{%- endif %}

final as (
    select * from months where period is not null
)

select * from final
