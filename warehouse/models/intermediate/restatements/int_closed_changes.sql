-- Versions of journal entries that came after a close and touch a month that it closed, or one before:
-- each line as it was listed before and after. A version that lasted no time was never known.
with

closes as (
    select * from {{ ref('int_period_closes') }}
),

versions as (
    select
        company_id,
        journal_id,
        known_from,
        known_to,
        not is_deleted as is_there,
        not is_deleted and coalesce(is_counted, false) as is_counted,
        status,
        journal_date,
        journal_number,
        request_id,
    from {{ ref('hist_journal_entries') }}
    where known_to is null or known_to > known_from
),

changes as (
    select
        after.company_id,
        after.journal_id,
        before.known_from as known_from_before,
        after.known_from,
        coalesce(before.is_counted, false) as was_counted,
        after.is_counted,
        before.status as status_before,
        after.status as status_after,
        before.journal_date as date_before,
        after.journal_date as date_after,
        coalesce(after.journal_number, before.journal_number) as journal_number,
        after.request_id,
    from versions as after
    left join versions as before
        on before.company_id = after.company_id
        and before.journal_id = after.journal_id
        and before.known_to = after.known_from
    where before.is_counted or after.is_counted
),

touching as (
    select *
    from changes
    where exists (
        select 1
        from closes
        where
            closes.company_id = changes.company_id
            and closes.compared_from < changes.known_from
            and closes.period_end >= least(changes.date_before, changes.date_after)
    )
),

listed as (
    {%- for side, version in [('before', 'known_from_before'), ('after', 'known_from')] %}
    select
        touching.company_id,
        touching.journal_id,
        touching.known_from,
        '{{ side }}' as side,
        generate_subscripts(history.lines, 1) as line_no,
        unnest(history.lines) as line,
    from {{ ref('hist_journal_entries') }} as history
    inner join touching
        on touching.company_id = history.company_id
        and touching.journal_id = history.journal_id
        and touching.{{ version }} = history.known_from
    where not history.is_deleted and (history.known_to is null or history.known_to > history.known_from)
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

keyed as (
    select
        company_id,
        journal_id,
        known_from,
        side,
        journal_id || ':' || coalesce(line.id, cast(line_no as varchar)) as line_key,
        {{ account_of('line') }} as account_id,
        coalesce(line.debit, 0) - coalesce(line.credit, 0) as amount,
    from listed
),

paired as (
    select
        company_id,
        journal_id,
        known_from,
        line_key,
        account_id,
        {{ sum_of_money("sum(amount) filter (where side = 'before')") }} as listed_before,
        {{ sum_of_money("sum(amount) filter (where side = 'after')") }} as listed_after,
    from keyed
    group by company_id, journal_id, known_from, line_key, account_id
),

final as (
    select
        paired.*,
        max(paired.listed_before) over line is not null as was_listed,
        max(paired.listed_after) over line is not null as is_listed,
        touching.* exclude (company_id, journal_id, known_from, known_from_before),
    from paired
    inner join touching using (company_id, journal_id, known_from)
    window line as (
        partition by paired.company_id, paired.journal_id, paired.known_from, paired.line_key
    )
)

select * from final
