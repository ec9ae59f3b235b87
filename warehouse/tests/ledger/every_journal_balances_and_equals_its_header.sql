-- A journal that counts has debits = credits = the totals of its header.
with

entries as (
    select * from {{ ref('stg_journal_entries') }} where is_counted
),

totals as (
    select
        company_id,
        journal_id,
        sum(debit) as debit,
        sum(credit) as credit,
    from {{ ref('stg_journal_lines') }}
    group by company_id, journal_id
)

select
    entries.company_id,
    entries.journal_id,
    entries.total_debit,
    entries.total_credit,
    totals.debit,
    totals.credit,
from entries
left join totals using (company_id, journal_id)
where
    coalesce(totals.debit, 0) <> coalesce(totals.credit, 0)
    or coalesce(totals.debit, 0) <> coalesce(entries.total_debit, totals.debit, 0)
    or coalesce(totals.credit, 0) <> coalesce(entries.total_credit, totals.credit, 0)
