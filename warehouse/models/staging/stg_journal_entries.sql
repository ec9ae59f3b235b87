with

latest as (
    -- A void moves no timestamp, so of two versions pulled at once the void one is the later.
    {{ latest_versions(
        'journal_entries',
        keys=['id'],
        change_time='greatest("createdAt", "postedAt")',
        tie_break="case lower(status) when 'void' then 2 when 'posted' then 1 else 0 end"
    ) }}
),

final as (
    select
        landing._company_id as company_id,
        landing.id as journal_id,
        landing."journalNumber" as journal_number,
        landing.date as journal_date,
        landing.reference,
        landing.description,
        lower(landing.status) as status,
        -- What counts in every statement: a voided entry stays and nets to zero with its reversal.
        coalesce(lower(landing.status) in ('posted', 'void'), false) and not latest.is_deleted
            as is_counted,
        {{ money('landing."totalDebit"') }} as total_debit,
        {{ money('landing."totalCredit"') }} as total_credit,
        landing.lines,
        landing."reversesId" as reverses_journal_id,
        landing."createdBy" as created_by,
        {{ utc('landing."createdAt"') }} as created_at,
        {{ utc('landing."postedAt"') }} as posted_at,
        {{ version_columns('landing', 'latest') }}
    from {{ source('landing', 'journal_entries') }} as landing
    inner join latest on {{ same_row('landing', 'latest') }}
)

select * from final
