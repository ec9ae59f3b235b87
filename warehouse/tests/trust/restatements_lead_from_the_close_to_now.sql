-- For every closed month and account: balance as known at the close + Σ deltas = balance as known now.
-- Versions are put between the closes first and added up once, however many closes there are.
with

closes as (
    select * from {{ ref('int_period_closes') }}
),

moments as (
    select distinct
        company_id,
        compared_from,
    from closes
),

counted as (
    select *
    from {{ ref('hist_journal_entries') }}
    where is_counted and not is_deleted and company_id in (select company_id from closes)
),

versions as (
    select
        history.company_id,
        history.lines,
        cast(date_trunc('month', history.journal_date) as date) as period,
        first_moments.compared_from as first_moment,
        next_moments.compared_from as next_moment,
    from counted as history
    asof inner join moments as first_moments
        on first_moments.company_id = history.company_id
        and first_moments.compared_from >= history.known_from
    asof left join moments as next_moments
        on next_moments.company_id = history.company_id
        and next_moments.compared_from >= history.known_to
),

lines as (
    select
        company_id,
        period,
        first_moment,
        next_moment,
        unnest(lines) as line,
    from versions
    where next_moment is null or next_moment > first_moment
),

known as (
    select
        company_id,
        period,
        first_moment,
        next_moment,
        {{ account_of('line') }} as account_id,
        sum(coalesce(line.debit, 0) - coalesce(line.credit, 0)) as amount,
    from lines
    group by all
),

sides as (
    select
        closes.company_id,
        closes.period,
        known.account_id,
        known.amount,
    from closes
    inner join known
        on known.company_id = closes.company_id
        and known.period <= closes.period
        and known.first_moment <= closes.compared_from
        and (known.next_moment is null or known.next_moment > closes.compared_from)
    union all
    select company_id, period, account_id, amount_delta
    from {{ ref('restatements') }}
    union all
    select trial_balance.company_id, trial_balance.period, trial_balance.account_id, -trial_balance.closing_balance
    from {{ ref('trial_balance') }} as trial_balance
    inner join closes using (company_id, period)
)

select
    company_id,
    period,
    account_id,
    sum(amount) as difference,
from sides
group by company_id, period, account_id
having sum(amount) <> 0
