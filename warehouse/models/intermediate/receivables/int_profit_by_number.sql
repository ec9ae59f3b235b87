-- What entries put on operating revenue and on the cost of sales, by the number that they carry; closing
-- entries and lines of nothing are left out. A reversal belongs to the number of what it reverses,
-- whatever it carries itself.
with

accounts as (
    select * from {{ ref('accounts') }} where section in ('operating_revenue', 'cost_of_goods_sold')
),

ledger as (
    select * from {{ ref('general_ledger') }}
),

reversed as (
    select distinct
        company_id,
        journal_id,
        reference,
    from ledger
    where is_reversed and reference <> ''
),

lines as (
    select
        ledger.company_id,
        coalesce(reversed.reference, ledger.reference, '') as number,
        ledger.period,
        accounts.section = 'operating_revenue' as is_revenue,
        ledger.natural_amount as amount,
    from ledger
    inner join accounts using (company_id, account_id)
    inner join {{ ref('periods') }} using (company_id, period)
    left join reversed
        on reversed.company_id = ledger.company_id and reversed.journal_id = ledger.reverses_journal_id
    where not ledger.is_closing_entry and ledger.amount <> 0
),

final as (
    select
        company_id,
        number,
        period,
        {{ sum_of_money('sum(amount) filter (where is_revenue)') }} as operating_revenue,
        {{ sum_of_money('sum(amount) filter (where not is_revenue)') }} as cost_of_goods_sold,
    from lines
    group by company_id, number, period
)

select * from final
