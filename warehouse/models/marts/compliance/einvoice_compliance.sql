-- How far the e-invoices of a month's invoices have come, for companies of which any e-invoice is known.
with

companies as (
    select * from {{ ref('stg_companies') }}
    where company_id in (select company_id from {{ ref('stg_einvoices') }} where not is_deleted)
),

invoices as (
    select
        invoices.company_id,
        invoices.period,
        {{ in_company_currency('invoices.total', 'invoices.exchange_rate') }} as total,
        case
            when states.state in ('accepted', 'rejected', 'cancelled') then states.state
            when states.state in ('created', 'validated', 'submitted', 'pending') then 'pending'
            else 'missing'
        end as stage,
        coalesce(states.state in ('submitted', 'accepted', 'rejected'), false) as was_submitted,
        companies.currency,
        companies.built_at,
    from {{ ref('invoices') }} as invoices
    inner join companies using (company_id)
    left join {{ ref('einvoice_status') }} as states using (company_id, invoice_id)
    where invoices.is_recognised and invoices.period is not null
),

final as (
    select
        company_id,
        period,
        cast(count(*) as integer) as recognised,
        {%- for stage in ['accepted', 'rejected', 'pending', 'missing', 'cancelled'] %}
        cast(count(*) filter (where stage = '{{ stage }}') as integer) as {{ stage }},
        {%- endfor %}
        -- What bears no e-invoice of its own goes into one of the whole month, by the 7th of the next.
        cast(period + interval 1 month + interval 6 days as date) as consolidate_by,
        cast(count(*) filter (where total >= {{ var('einvoice_consolidation_limit') }} and not was_submitted) as integer)
            as large_unsubmitted,
        any_value(currency) as currency,
        any_value(built_at) as built_at,
    from invoices
    group by company_id, period
)

select * from final
