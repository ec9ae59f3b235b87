-- Entries that close revenue and expense into equity at a year's end: the profit and loss leaves
-- them out, or the closed month would show nothing.
with

entries as (
    select * from {{ ref('stg_journal_entries') }} where is_counted
),

lines as (
    select * from {{ ref('stg_journal_lines') }}
),

accounts as (
    select * from {{ ref('accounts') }}
),

periods as (
    select * from {{ ref('periods') }}
),

-- Few entries touch equity, so only theirs are looked at line by line.
on_equity as (
    select distinct
        lines.company_id,
        lines.journal_id,
    from lines
    inner join accounts using (company_id, account_id)
    where accounts.section = 'equity'
),

shapes as (
    select
        lines.company_id,
        lines.journal_id,
        bool_or(accounts.statement = 'profit_and_loss') as touches_profit_and_loss,
        bool_or(accounts.account_role in ('retained_earnings', 'current_earnings'))
            as touches_earnings,
        bool_or(accounts.section in ('assets', 'liabilities') or accounts.section is null)
            as touches_anything_else,
    from lines
    inner join on_equity using (company_id, journal_id)
    inner join entries using (company_id, journal_id)
    left join accounts using (company_id, account_id)
    group by lines.company_id, lines.journal_id
),

closings as (
    select
        entries.company_id,
        entries.journal_id,
    from shapes
    inner join entries using (company_id, journal_id)
    inner join periods
        on periods.company_id = entries.company_id
        and periods.period = cast(date_trunc('month', entries.journal_date) as date)
    where
        shapes.touches_profit_and_loss
        and not shapes.touches_anything_else
        and (
            (
                shapes.touches_earnings
                and periods.fiscal_month = 12
                and entries.journal_date = periods.period_end
            )
            or regexp_matches(
                lower(concat_ws(' ', entries.reference, entries.description)),
                '\bclos(e|es|ed|ing)\b|\bpenutup'
            )
        )
),

-- Taking a closing back is part of closing, whatever its date and words.
reversals as (
    select
        entries.company_id,
        entries.journal_id,
    from entries
    inner join closings
        on closings.company_id = entries.company_id
        and closings.journal_id = entries.reverses_journal_id
),

final as (
    select * from closings
    union
    select * from reversals
)

select * from final
