-- From which day on the lines of an account are written anew, so that its running balance follows: the
-- earliest line of any version of an entry that is affected, that an affected one reverses, or that has
-- become a closing entry or is none any more.
with

closings as (
    select company_id, journal_id from {{ ref('int_closing_entries') }}
),

{%- if has_last_build() %}

reclassified as (
    (from closings except from last_build.closing_entries)
    union
    (from last_build.closing_entries except from closings)
),

{%- endif %}

entries as (
    select company_id, journal_id from {{ ref('int_affected_entries') }}
    union
    select company_id, reverses_journal_id
    from {{ ref('hist_journal_entries') }}
    where reverses_journal_id is not null and {{ affected('entries') }}
    {%- if has_last_build() %}
    union
    from reclassified
    {%- endif %}
),

lines as (
    select
        company_id,
        journal_date,
        unnest(lines) as line,
    from {{ ref('hist_journal_entries') }}
    where is_counted and (company_id, journal_id) in (select (company_id, journal_id) from entries)
),

final as (
    select
        company_id,
        {{ account_of('line') }} as account_id,
        min(coalesce(journal_date, date 'infinity')) as journal_date,
    from lines
    group by company_id, {{ account_of('line') }}
)

select * from final
