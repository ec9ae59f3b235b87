-- Companies of which the news may change what was open before the first sync: an invoice of which nothing
-- was known, or an entry, that existed by then. Of later nights that is rare.
with

beginnings as (
    select
        company_id,
        min(known_from) as first_known_from,
    from {{ ref('hist_invoices') }}
    group by company_id
),

first_versions as (
    select *
    from {{ ref('hist_invoices') }}
    where {{ affected('invoices') }}
    qualify row_number() over (partition by company_id, invoice_id order by known_from) = 1
),

final as (
    select company_id
    from first_versions
    inner join beginnings using (company_id)
    where
        {{ in_new_loads() }}
        and (coalesce(created_at <= first_known_from, true) or known_from = first_known_from)
    union
    select versions.company_id
    from {{ ref('hist_journal_entries') }} as versions
    inner join beginnings using (company_id)
    where
        {{ affected('entries') }}
        and coalesce(coalesce(versions.posted_at, versions.created_at) <= beginnings.first_known_from, true)
)

select * from final
