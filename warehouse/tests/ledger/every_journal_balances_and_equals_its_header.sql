-- An affected journal of a known company that counts has debits = credits = the totals of its header, or
-- is accepted as it is.
with

entries as (
    select entries.*
    from {{ ref('stg_journal_entries') }} as entries
    inner join {{ ref('stg_companies') }} as companies using (company_id)
    where entries.is_counted and {{ affected('entries') }}
),

totals as (
    select
        company_id,
        journal_id,
        sum(debit) as debit,
        sum(credit) as credit,
    from {{ ref('stg_journal_lines') }}
    where {{ affected('entries') }}
    group by company_id, journal_id
)

select
    entries.company_id,
    entries.journal_id,
    entries.journal_number,
    coalesce(totals.debit, 0) - coalesce(totals.credit, 0) as imbalance,
    entries.total_debit,
    entries.total_credit,
    totals.debit,
    totals.credit,
from entries
left join totals using (company_id, journal_id)
where
    (
        coalesce(totals.debit, 0) <> coalesce(totals.credit, 0)
        or coalesce(totals.debit, 0) <> coalesce(entries.total_debit, totals.debit, 0)
        or coalesce(totals.credit, 0) <> coalesce(entries.total_credit, totals.credit, 0)
    )
    and not {{ is_accepted('unbalanced_entry', 'entries.company_id', 'entries.journal_id') }}
