-- Roles that a statement or a law stands on, that no account of the company bears, and the accounts that
-- may well be the ones meant: with postings, of the right type, of no role, and for all but cash booked
-- together with what the role is booked with. Where there is none, nothing is missing.
with

chart as (
    select * from {{ ref('accounts') }}
),

needs as (
    select distinct
        company_id,
        'cash' as account_role,
        'asset' as account_type,
        cast(null as varchar) as booked_with,
        'the cash flow' as needed_for,
    from {{ ref('general_ledger') }}
    union all
    select distinct company_id, 'accounts_receivable', 'asset', 'operating_revenue', 'receivables and collections'
    from {{ ref('invoices') }}
    where is_recognised
    union all
    select distinct company_id, 'tax_payable', 'liability', 'operating_revenue', 'the tax summary'
    from {{ ref('invoices') }}
    where is_recognised and total_tax <> 0
    union all
    select distinct company_id, 'inventory', 'asset', 'cost_of_goods_sold', 'the tie-out of the stock'
    from {{ ref('stg_stock') }}
    where not is_deleted and stock_value <> 0
),

missing as (
    select *
    from needs
    where (company_id, account_role) not in (
        select (company_id, account_role) from chart where account_role is not null
    )
),

undecided as (
    select *
    from chart
    where
        account_role is null
        and account_type in ('asset', 'liability')
        and company_id in (select company_id from missing)
),

lines as (
    select
        lines.company_id,
        lines.journal_id,
        lines.account_id,
    from {{ ref('general_ledger') }} as lines
    inner join undecided using (company_id, account_id)
),

companions as (
    select distinct
        lines.company_id,
        lines.account_id,
        chart.section,
    from lines
    inner join {{ ref('general_ledger') }} as others using (company_id, journal_id)
    inner join chart on chart.company_id = others.company_id and chart.account_id = others.account_id
),

final as (
    select distinct
        missing.company_id,
        missing.account_role,
        missing.needed_for,
        undecided.account_id,
        undecided.account_number,
        undecided.account_name,
        undecided.account_type,
    from missing
    inner join undecided
        on undecided.company_id = missing.company_id
        and undecided.account_type = missing.account_type
    inner join companions
        on companions.company_id = undecided.company_id
        and companions.account_id = undecided.account_id
        and coalesce(companions.section = missing.booked_with, missing.booked_with is null)
)

select * from final
