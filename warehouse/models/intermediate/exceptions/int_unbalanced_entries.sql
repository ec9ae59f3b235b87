{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('entries')) }}",
) }}

-- Entries, drafts too, whose lines do not add up to the same on both sides and to their header.
with

entries as (
    select * from {{ ref('stg_journal_entries') }} where {{ only_affected(affected('entries')) }}
),

totals as (
    select
        company_id,
        journal_id,
        sum(debit) as debit,
        sum(credit) as credit,
    from {{ ref('stg_journal_lines') }}
    where {{ only_affected(affected('entries')) }}
    group by company_id, journal_id
),

final as (
    select
        entries.company_id,
        entries.journal_id,
        {{ sum_of_money('coalesce(totals.debit, 0)') }} as debit,
        {{ sum_of_money('coalesce(totals.credit, 0)') }} as credit,
    from entries
    left join totals using (company_id, journal_id)
    where
        coalesce(totals.debit, 0) <> coalesce(totals.credit, 0)
        or coalesce(totals.debit, 0) <> coalesce(entries.total_debit, totals.debit, 0)
        or coalesce(totals.credit, 0) <> coalesce(entries.total_credit, totals.credit, 0)
)

select * from final
