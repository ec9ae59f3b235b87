-- Entries that close revenue and expense into equity at a year's end: the profit and loss leaves them
-- out, or the closed month would show nothing. What they do tells them, never what they are called: an
-- entry between profit and equity alone, dated on a fiscal year's last day or in the quarter after it,
-- that leaves nothing of a balance on the accounts it posts, and with which, or with one after it, no
-- account of the profit and loss has a balance of that year's end any more. A closing may thus be
-- several entries, one for revenue and one for expense.
with

entries as (
    select
        *,
        greatest(created_at, coalesce(posted_at, created_at)) as booked_at,
    from {{ ref('stg_journal_entries') }}
    where is_counted
),

lines as (
    select * from {{ ref('stg_journal_lines') }}
),

accounts as (
    select * from {{ ref('accounts') }}
),

companies as (
    select * from {{ ref('stg_companies') }}
),

-- With the fiscal year that an entry of the month may close, numbered as `periods` numbers them.
periods as (
    select
        company_id,
        period,
        period_end,
        fiscal_year,
        case
            when fiscal_month = 12 then fiscal_year
            when fiscal_month <= 3 then fiscal_year - 1
        end as closed_year,
        fiscal_month = 12 as is_last_month,
    from {{ ref('periods') }}
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
        count(distinct case when accounts.statement = 'profit_and_loss' then lines.account_id end)
            as profit_accounts,
        bool_or(accounts.section in ('assets', 'liabilities') or accounts.section is null)
            as touches_anything_else,
    from lines
    inner join on_equity using (company_id, journal_id)
    inner join entries using (company_id, journal_id)
    left join accounts using (company_id, account_id)
    group by lines.company_id, lines.journal_id
),

shaped as (
    select
        entries.company_id,
        entries.journal_id,
        entries.journal_number,
        entries.booked_at,
        entries.reverses_journal_id,
        periods.closed_year,
        not periods.is_last_month as is_dated_after,
        shapes.profit_accounts,
    from shapes
    inner join entries using (company_id, journal_id)
    inner join periods
        on periods.company_id = entries.company_id
        and periods.period = cast(date_trunc('month', entries.journal_date) as date)
    where
        shapes.profit_accounts > 0
        and not shapes.touches_anything_else
        and periods.closed_year is not null
        and (not periods.is_last_month or entries.journal_date = periods.period_end)
),

taken_back as (
    select
        company_id,
        reverses_journal_id as journal_id,
    from entries
    where reverses_journal_id is not null
),

-- What takes an entry of this shape back is judged with it.
candidates as (
    select
        shaped.*,
        (shaped.company_id, shaped.journal_id) in (select (company_id, journal_id) from taken_back)
            as is_taken_back,
    from shaped
    where
        shaped.reverses_journal_id is null
        or (shaped.company_id, shaped.reverses_journal_id) not in (
            select (company_id, journal_id) from shaped
        )
),

years as (
    select distinct
        company_id,
        closed_year,
    from candidates
),

moments as (
    select distinct
        company_id,
        booked_at as moment,
    from candidates
),

-- The year whose closing a candidate or its reversal is, so that it is no part of the balance there.
roles as (
    select company_id, journal_id, closed_year, false as is_reversal
    from candidates
    union all
    select entries.company_id, entries.journal_id, candidates.closed_year, true as is_reversal
    from entries
    inner join candidates
        on candidates.company_id = entries.company_id
        and candidates.journal_id = entries.reverses_journal_id
),

-- Only companies with candidates are added up. What is dated before all plausible months is in every
-- balance; what is dated after them, or not at all, in none.
profit_lines as (
    select
        lines.company_id,
        lines.journal_id,
        lines.account_id,
        lines.amount,
        entries.booked_at,
        roles.closed_year,
        coalesce(roles.is_reversal, false) as is_reversal,
        case
            when {{ is_before_span('entries.journal_date', 'companies.today') }} then 0
            else periods.fiscal_year
        end as fiscal_year,
    from lines
    inner join entries using (company_id, journal_id)
    inner join accounts using (company_id, account_id)
    inner join companies using (company_id)
    left join periods
        on periods.company_id = entries.company_id
        and periods.period = cast(date_trunc('month', entries.journal_date) as date)
    left join roles using (company_id, journal_id)
    where
        accounts.statement = 'profit_and_loss'
        and lines.company_id in (select company_id from years)
),

-- When a candidate first could have seen the line; null where it was booked after all of them.
movements as (
    select
        profit_lines.company_id,
        profit_lines.account_id,
        profit_lines.fiscal_year,
        profit_lines.closed_year,
        profit_lines.is_reversal,
        moments.moment,
        sum(profit_lines.amount) as amount,
    from profit_lines
    asof left join moments
        on moments.company_id = profit_lines.company_id
        and moments.moment >= profit_lines.booked_at
    where profit_lines.fiscal_year is not null
    group by all
),

-- Balances of a year's end, of all that was ever booked or of the year alone where earlier years were
-- never closed by an entry.
balances as (
    select
        years.company_id,
        years.closed_year,
        spans.span,
        movements.account_id,
        movements.moment,
        coalesce(movements.is_reversal and movements.closed_year = years.closed_year, false)
            as is_reversal,
        sum(movements.amount) as amount,
    from years
    cross join (values ('ever'), ('year')) as spans (span)
    inner join movements
        on movements.company_id = years.company_id
        and (
            (movements.is_reversal and movements.closed_year = years.closed_year)
            or (
                movements.fiscal_year <= years.closed_year
                and movements.closed_year is distinct from years.closed_year
            )
        )
        and (
            spans.span = 'ever'
            or (
                movements.fiscal_year = years.closed_year
                and coalesce(movements.closed_year >= years.closed_year, true)
            )
            or (movements.is_reversal and movements.closed_year = years.closed_year)
        )
    group by all
),

candidate_lines as (
    select
        candidates.company_id,
        candidates.closed_year,
        candidates.journal_id,
        profit_lines.account_id,
        sum(profit_lines.amount) as amount,
    from candidates
    inner join profit_lines using (company_id, journal_id)
    group by all
),

-- Every candidate beside every account that has a balance then or that a candidate posts.
steps as (
    select
        candidates.company_id,
        candidates.closed_year,
        spans.span,
        candidates.journal_id,
        candidates.journal_number,
        candidates.booked_at,
        candidates.is_dated_after,
        candidates.is_taken_back,
        candidates.profit_accounts,
        involved.account_id,
        coalesce(candidate_lines.amount, 0) as amount,
        candidate_lines.amount is not null as is_posted,
    from candidates
    cross join (values ('ever'), ('year')) as spans (span)
    inner join (
        select distinct company_id, closed_year, account_id from balances
        union
        select distinct company_id, closed_year, account_id from candidate_lines
    ) as involved
        on involved.company_id = candidates.company_id
        and involved.closed_year = candidates.closed_year
    left join candidate_lines
        on candidate_lines.company_id = candidates.company_id
        and candidate_lines.journal_id = candidates.journal_id
        and candidate_lines.account_id = involved.account_id
),

weighed as (
    select
        steps.*,
        coalesce(sums.amount, 0) as balance_before,
        coalesce(sums.amount, 0) + coalesce(
            sum(steps.amount) filter (where not steps.is_dated_after and not steps.is_taken_back) over (
                partition by steps.company_id, steps.closed_year, steps.span, steps.account_id
            ),
            0
        ) as balance_of_last_day,
    from steps
    left join (
        select company_id, closed_year, span, account_id, sum(amount) as amount
        from balances
        where not is_reversal
        group by all
    ) as sums using (company_id, closed_year, span, account_id)
),

-- An entry of the next year is no part of the balance unless it takes from what the last day left.
fitting as (
    select *
    from weighed
    qualify bool_and(
        not is_dated_after
        or not is_posted
        or (
            sign(amount) = -sign(balance_of_last_day)
            and abs(amount) <= abs(balance_of_last_day)
        )
    ) over (partition by company_id, closed_year, span, journal_id)
),

-- In the order of dates: all else that is dated in the year comes first, whenever it was booked, then
-- the candidates, the longest last. Those taken back are judged as if they had not been.
as_dated as (
    select
        *,
        'dated' as ordering,
        cast(is_taken_back as varchar) as sequence,
        balance_before + sum(amount) over in_order as left_over,
        row_number() over in_order as place,
    from fitting
    window in_order as (
        partition by company_id, closed_year, span, is_taken_back, account_id
        order by profit_accounts, booked_at, journal_number, journal_id
        rows between unbounded preceding and current row
    )
),

-- By itself, whatever others of the next year there are.
alone as (
    select
        *,
        'alone' as ordering,
        journal_id as sequence,
        balance_of_last_day + amount as left_over,
        1 as place,
    from fitting
    where is_dated_after
),

-- In the order of booking: what was booked after a candidate, it could not close.
booked as (
    select
        * exclude (balance_before),
        false as is_balance,
        false as is_reversal,
    from fitting
    union all by name
    select
        company_id,
        closed_year,
        span,
        account_id,
        amount,
        moment as booked_at,
        true as is_balance,
        is_reversal,
    from balances
    where moment is not null
),

as_booked as (
    select
        *,
        'booked' as ordering,
        '' as sequence,
        coalesce(sum(amount) filter (where is_balance and not is_reversal) over in_order, 0)
            as balance_before,
        sum(amount) over in_order as left_over,
        count(journal_id) over in_order as place,
    from booked
    window in_order as (
        partition by company_id, closed_year, span, account_id
        order by booked_at, is_balance desc, profit_accounts, journal_number, journal_id
        rows between unbounded preceding and current row
    )
),

judged as (
    select
        company_id,
        closed_year,
        journal_id,
        span,
        ordering,
        sequence,
        place,
        -- What only adds to a balance, or undoes what another of this shape has added, closes none.
        bool_and(left_over = 0) filter (where is_posted)
        and bool_or(balance_before <> 0 and sign(amount) = -sign(balance_before)) filter (where is_posted)
            as leaves_nothing,
        bool_and(left_over = 0) as is_complete,
    from (
        select * from as_dated
        union all by name
        select * from alone
        union all by name
        select * exclude (is_balance, is_reversal) from as_booked where not is_balance
    ) as ordered
    group by all
),

closings as (
    select distinct
        company_id,
        journal_id,
    from (
        select
            *,
            bool_or(is_complete) over (
                partition by company_id, closed_year, span, ordering, sequence
                order by place
                rows between current row and unbounded following
            ) as is_completed,
        from judged
    ) as placed
    where leaves_nothing and is_completed
),

-- Taking a closing back is part of closing, whatever its date.
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
