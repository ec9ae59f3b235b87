{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(is_from_start('general_ledger.company_id', 'general_ledger.account_id', 'general_ledger.journal_date')) }}",
) }}

-- A night writes each account anew from its first affected day on, where the running balance changes.
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

companies as (
    select * from {{ ref('stg_companies') }}
),

reversed as (
    select distinct
        company_id,
        reverses_journal_id as journal_id,
    from entries
    where reverses_journal_id is not null
),

headers as (
    select
        entries.*,
        reversed.journal_id is not null as is_reversed,
        closings.journal_id is not null as is_closing_entry,
        companies.today,
        companies.currency,
        companies.built_at,
        date_diff(
            'day', entries.journal_date, {{ local_date('entries.created_at', 'companies.timezone') }}
        ) as days_backdated,
    from entries
    inner join companies using (company_id)
    left join reversed using (company_id, journal_id)
    left join {{ ref('int_closing_entries') }} as closings using (company_id, journal_id)
    {%- if is_incremental() %}
    where
        coalesce(entries.journal_date, date 'infinity')
        >= (select min(journal_date) from {{ ref('int_ledger_starts') }})
    {%- endif %}
),
{%- if is_incremental() %}

brought_forward as (
    select
        company_id,
        account_id,
        sum(amount) as balance,
    from {{ this }}
    group by company_id, account_id
),
{%- endif %}

final as (
    select
        headers.company_id,
        headers.journal_id || ':' || coalesce(lines.line_id, cast(lines.line_no as varchar))
            as line_key,
        headers.journal_id,
        headers.journal_number,
        lines.line_no,
        headers.journal_date,
        {{ period_of("coalesce(headers.journal_date, date 'infinity')", 'headers.today') }} as period,
        lines.account_id,
        coalesce(accounts.account_number, lines.account_number) as account_number,
        coalesce(accounts.account_name, lines.account_name) as account_name,
        accounts.account_type,
        accounts.account_category,
        headers.reference,
        headers.description as entry_description,
        lines.description as line_description,
        lines.debit,
        lines.credit,
        lines.amount,
        {{ sum_of_money(natural('lines.amount', 'accounts.normal_side')) }} as natural_amount,
        {{ sum_of_money('sum(lines.amount) over account_history'
            ~ (' + coalesce(brought_forward.balance, 0)' if is_incremental() else '')) }}
            as running_balance,
        headers.status,
        headers.reverses_journal_id,
        headers.is_reversed,
        headers.is_closing_entry,
        headers.created_at,
        headers.posted_at,
        cast(headers.days_backdated as integer) as days_backdated,
        headers.request_id,
        headers.currency,
        headers.built_at,
    from lines
    inner join headers using (company_id, journal_id)
    left join accounts using (company_id, account_id)
    {%- if is_incremental() %}
    left join brought_forward using (company_id, account_id)
    where {{ is_from_start('headers.company_id', 'lines.account_id', 'headers.journal_date') }}
    {%- endif %}
    window account_history as (
        partition by headers.company_id, lines.account_id
        order by headers.journal_date, headers.journal_number, headers.journal_id, lines.line_no
        rows between unbounded preceding and current row
    )
)

select * from final
