{# The table macro `finance.trial_balance_as_known(period_end, known_at)` for analysts: balances of all
   entries dated up to `period_end`, by what had been pulled at `known_at` (UTC). It names tables by
   schema alone, because the published file bears another name than the build. #}
{% macro create_trial_balance_as_known() %}
    -- depends_on: {{ ref('hist_journal_entries') }}
    -- depends_on: {{ ref('hist_accounts') }}
    create or replace macro finance.trial_balance_as_known(period_end, known_at) as table
    with

    known as (
        select
            company_id,
            unnest(lines) as line,
        from history.journal_entries
        where
            is_counted
            and journal_date <= cast(period_end as date)
            and known_from <= cast(known_at as timestamp)
            and (known_to is null or known_to > cast(known_at as timestamp))
    ),

    balances as (
        select
            company_id,
            {{ account_of('line') }} as account_id,
            sum(coalesce(line.debit, 0) - coalesce(line.credit, 0)) as closing_balance,
        from known
        group by all
    ),

    -- Numbers as the chart had them then; of an account that came later, the first one.
    numbers as (
        select
            company_id,
            account_id,
            arg_min(account_number, known_from) as first_number,
            arg_max(account_number, known_from)
                filter (where known_from <= cast(known_at as timestamp)) as number_then,
        from history.accounts
        where not is_deleted
        group by all
    )

    select
        balances.company_id,
        balances.account_id,
        coalesce(numbers.number_then, numbers.first_number) as account_number,
        {{ sum_of_money('balances.closing_balance') }} as closing_balance,
    from balances
    left join numbers using (company_id, account_id)
{% endmacro %}
