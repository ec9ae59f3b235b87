-- depends_on: {{ ref('accounts') }}
-- Journal entries that the news may change: those in new loads, those dated ahead when last built, and
-- all of a company whose chart has changed in what the ledger repeats of it.
with

final as (
    select
        company_id,
        journal_id,
    from {{ ref('hist_journal_entries') }}
    where {{ in_new_loads() }}
    {%- if has_last_build() %}
    union
    select
        versions.company_id,
        versions.journal_id,
    from {{ ref('hist_journal_entries') }} as versions
    inner join last_build.companies as companies using (company_id)
    where versions.journal_date > companies.today
    union
    select
        company_id,
        journal_id,
    from {{ ref('hist_journal_entries') }}
    where company_id in (
        select company_id
        from (
            select * from last_build.accounts
            except
            {{ chart_columns() }} from {{ ref('accounts') }}
        ) as changed_accounts
    )
    {%- endif %}
)

select distinct * from final
