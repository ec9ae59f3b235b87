-- A void moves no timestamp, so of two versions pulled at once the void one is the later.
with

landed as {{ 'not materialized' if not is_incremental() }} (
    select
        _company_id as company_id,
        id as journal_id,
        "journalNumber" as journal_number,
        date as journal_date,
        reference,
        description,
        lower(status) as status,
        -- What counts in every statement: a voided entry stays and nets to zero with its reversal.
        coalesce(lower(status) in ('posted', 'void'), false) as is_counted,
        {{ money('"totalDebit"') }} as total_debit,
        {{ money('"totalCredit"') }} as total_credit,
        lines,
        "reversesId" as reverses_journal_id,
        "createdBy" as created_by,
        {{ utc('"createdAt"') }} as created_at,
        {{ utc('"postedAt"') }} as posted_at,
        {{ landed_columns() }}
    from {{ landed('journal_entries') }}
    where _op = 'upsert' and {{ in_loads_not_held('journal_entries') }}
),
{{ versions(
    'journal_entries',
    key={'journal_id': 'id'},
    changed_at='greatest(created_at, posted_at)',
    tie_break="case status when 'void' then 2 when 'posted' then 1 else 0 end",
) }}
