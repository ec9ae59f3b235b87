-- The inventory accounts as of today, and those of stock in transit where a company keeps any, = Σ stock
-- value + what is in transit. A warning: manual entries on the accounts are legal and part the two.
{{ config(severity='warn') }}

with

ledger as (
    select
        lines.company_id,
        sum(lines.amount) as balance,
    from {{ ref('general_ledger') }} as lines
    inner join {{ ref('accounts') }} as accounts using (company_id, account_id)
    inner join {{ ref('stg_companies') }} as companies using (company_id)
    where accounts.account_role in ('inventory', 'stock_in_transit') and lines.journal_date <= companies.today
    group by lines.company_id
),

valuation as (
    select
        stock.company_id,
        sum(stock.stock_value) as stock_value,
    from (
        select company_id, as_of_date, stock_value from {{ ref('inventory_valuation') }}
        union all
        select company_id, as_of_date, value from {{ ref('transfers_in_transit') }}
    ) as stock
    inner join {{ ref('stg_companies') }} as companies
        on companies.company_id = stock.company_id
        and companies.today = stock.as_of_date
    group by stock.company_id
)

select
    company_id,
    coalesce(ledger.balance, 0) as ledger_balance,
    coalesce(valuation.stock_value, 0) as stock_value,
from ledger
full outer join valuation using (company_id)
where coalesce(ledger.balance, 0) <> coalesce(valuation.stock_value, 0)
