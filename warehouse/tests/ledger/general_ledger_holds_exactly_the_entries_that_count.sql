-- Posted and void entries with all their lines, of every known company; drafts and deleted entries
-- never. Touched entries are compared one by one, all others as one sum.
with

staged as (
    select
        lines.company_id,
        case when {{ affected('entries') }} then journal_id end as journal_id,
        count(*) as line_count,
        sum(lines.debit) as debit,
        sum(lines.credit) as credit,
    from {{ ref('stg_journal_lines') }} as lines
    inner join {{ ref('stg_journal_entries') }} as entries using (company_id, journal_id)
    inner join {{ ref('stg_companies') }} as companies using (company_id)
    where entries.status in ('posted', 'void') and not entries.is_deleted
    group by all
),

ledger as (
    select
        company_id,
        case when {{ affected('entries') }} then journal_id end as journal_id,
        count(*) as line_count,
        sum(debit) as debit,
        sum(credit) as credit,
    from {{ ref('general_ledger') }}
    group by all
)

(select * from staged except select * from ledger)
union all
(select * from ledger except select * from staged)
