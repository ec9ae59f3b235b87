-- The inventory accounts as of today = Σ stock value. A warning: goods in transit and manual entries
-- on the account are legal and part the two.
{{ config(severity='warn') }}

with

ledger as (
    select
        lines.company_id,
        sum(lines.amount) as balance,
    from {{ ref('general_ledger') }} as lines
    inner join {{ ref('accounts') }} as accounts using (company_id, account_id)
    inner join {{ ref('stg_companies') }} as companies using (company_id)
    where accounts.account_role = 'inventory' and lines.journal_date <= companies.today
    group by lines.company_id
),

valuation as (
    select
        valuation.company_id,
        sum(valuation.stock_value) as stock_value,
    from {{ ref('inventory_valuation') }} as valuation
    inner join {{ ref('stg_companies') }} as companies
        on companies.company_id = valuation.company_id
        and companies.today = valuation.as_of_date
    group by valuation.company_id
)

select
    company_id,
    coalesce(ledger.balance, 0) as ledger_balance,
    coalesce(valuation.stock_value, 0) as stock_value,
from ledger
full outer join valuation using (company_id)
where coalesce(ledger.balance, 0) <> coalesce(valuation.stock_value, 0)
