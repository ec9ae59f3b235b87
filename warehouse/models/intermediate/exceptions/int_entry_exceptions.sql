-- What is wrong with journal entries: sums, accounts, dates, voids. The first two are laws for entries
-- that count and stop the build there unless they are accepted; drafts may break them and are listed.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

entries as (
    select entries.*
    from {{ ref('stg_journal_entries') }} as entries
    inner join companies using (company_id)
    where not entries.is_deleted
),

unbalanced as (
    select
        entries.company_id,
        'unbalanced_entry' as rule,
        case when entries.is_counted then 'error' else 'warning' end as severity,
        entries.journal_id as record_id,
        format(
            '{} has debits of {} and credits of {}; its header says {} and {}.',
            coalesce(entries.journal_number, 'The entry'),
            cast(unbalanced.debit as varchar),
            cast(unbalanced.credit as varchar),
            coalesce(cast(entries.total_debit as varchar), 'nothing'),
            coalesce(cast(entries.total_credit as varchar), 'nothing')
        ) as evidence,
    from entries
    inner join {{ ref('int_unbalanced_entries') }} as unbalanced using (company_id, journal_id)
),

unplaced_lines as (
    select
        lines.company_id,
        lines.journal_id,
        count(*) as line_count,
        min(lines.account_id) as account_id,
        count(distinct lines.account_id) as account_count,
    from {{ ref('stg_journal_lines') }} as lines
    left join {{ ref('accounts') }} as accounts using (company_id, account_id)
    where accounts.normal_side is null
    group by lines.company_id, lines.journal_id
),

unknown_account as (
    select
        entries.company_id,
        'unknown_account' as rule,
        case when entries.is_counted then 'error' else 'warning' end as severity,
        entries.journal_id as record_id,
        format(
            '{} has {} on an account that the chart does not have or gives no known type: {}{}.',
            coalesce(entries.journal_number, 'The entry'),
            case unplaced.line_count when 1 then 'a line' else format('{} lines', unplaced.line_count) end,
            unplaced.account_id,
            case
                when unplaced.account_count > 1 then format(' and {} more', unplaced.account_count - 1)
                else ''
            end
        ) as evidence,
    from entries
    inner join unplaced_lines as unplaced using (company_id, journal_id)
),

dated_in_closed_month as (
    select
        entries.company_id,
        'entry_in_closed_period' as rule,
        'warning' as severity,
        entries.journal_id as record_id,
        format(
            '{} is dated {} but was booked on {}, after that month was closed on {}.',
            coalesce(entries.journal_number, 'The entry'),
            cast(entries.journal_date as varchar),
            cast({{ local_date('greatest(entries.created_at, entries.posted_at)', 'companies.timezone') }} as varchar),
            cast({{ local_date('periods.closed_at', 'companies.timezone') }} as varchar)
        ) as evidence,
    from entries
    inner join companies using (company_id)
    inner join {{ ref('periods') }} as periods
        on periods.company_id = entries.company_id
        and periods.period = cast(date_trunc('month', entries.journal_date) as date)
    where entries.is_counted and greatest(entries.created_at, entries.posted_at) > periods.closed_at
),

dated_ahead as (
    select
        entries.company_id,
        'entry_in_future' as rule,
        'warning' as severity,
        entries.journal_id as record_id,
        format(
            '{} is dated {}, ahead of {}.',
            coalesce(entries.journal_number, 'The entry'),
            cast(entries.journal_date as varchar),
            cast(companies.today as varchar)
        ) as evidence,
    from entries
    inner join companies using (company_id)
    where entries.is_counted and entries.journal_date > companies.today
),

void_without_reversal as (
    select
        entries.company_id,
        'void_without_reversal' as rule,
        'error' as severity,
        entries.journal_id as record_id,
        format(
            '{} is void, but no entry reverses it, so its {} still count.',
            coalesce(entries.journal_number, 'The entry'),
            cast(coalesce(entries.total_debit, 0) as varchar)
        ) as evidence,
    from entries
    left join entries as reversals
        on reversals.company_id = entries.company_id
        and reversals.reverses_journal_id = entries.journal_id
        and reversals.is_counted
    where entries.status = 'void' and reversals.journal_id is null
),

final as (
    select * from unbalanced
    union all
    select * from unknown_account
    union all
    select * from dated_in_closed_month
    union all
    select * from dated_ahead
    union all
    select * from void_without_reversal
)

select * from final
