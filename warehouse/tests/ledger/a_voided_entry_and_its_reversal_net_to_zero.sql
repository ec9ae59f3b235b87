-- Per account. A warning: how a server reverses is its own affair, and reconciliation tells the rest.
{{ config(severity='warn') }}

select
    company_id,
    voided_journal_id,
    account_id,
    sum(amount) as remainder,
from (
    select
        lines.company_id,
        lines.journal_id as voided_journal_id,
        lines.account_id,
        lines.amount,
    from {{ ref('general_ledger') }} as lines
    where lines.status = 'void' and lines.is_reversed
    union all
    select
        lines.company_id,
        lines.reverses_journal_id as voided_journal_id,
        lines.account_id,
        lines.amount,
    from {{ ref('general_ledger') }} as lines
    inner join {{ ref('stg_journal_entries') }} as voided
        on voided.company_id = lines.company_id
        and voided.journal_id = lines.reverses_journal_id
        and voided.status = 'void'
        and voided.is_counted
) as pairs
group by company_id, voided_journal_id, account_id
having sum(amount) <> 0
