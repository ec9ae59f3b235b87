-- An affected month's tax is that of its recognised lines, and its shares of the ledger's movement add up to what
-- entries on receivables or revenue put on the tax accounts.
with

lines as (
    select
        company_id,
        period,
        sum({{ in_company_currency('line_total', 'exchange_rate') }}) as taxable_amount,
        sum({{ in_company_currency('tax_amount', 'exchange_rate') }}) as tax_amount,
    from {{ ref('invoice_lines') }}
    where is_recognised and period is not null and {{ affected('months') }}
    group by company_id, period
),

postings as (
    select
        ledger.*,
        accounts.account_role,
    from {{ ref('general_ledger') }} as ledger
    inner join {{ ref('accounts') }} as accounts using (company_id, account_id)
    where {{ affected('months') }}
),

movements as (
    select
        company_id,
        period,
        -sum(amount) as movement,
    from postings
    where
        account_role = 'tax_payable'
        and (company_id, journal_id) in (
            select (company_id, journal_id)
            from postings
            where account_role = 'accounts_receivable' or account_type = 'revenue'
        )
    group by company_id, period
),

months as (
    select
        company_id,
        period,
        sum(taxable_amount) as taxable_amount,
        sum(tax_amount) as tax_amount,
        sum(gl_tax_movement) as gl_tax_movement,
        sum(difference) as difference,
    from {{ ref('tax_summary') }}
    where {{ affected('months') }}
    group by company_id, period
)

select
    company_id,
    period,
    months.tax_amount,
    lines.tax_amount as of_lines,
    months.gl_tax_movement,
    movements.movement,
    months.difference,
from months
full outer join lines using (company_id, period)
full outer join movements using (company_id, period)
where
    coalesce(months.taxable_amount, 0) <> coalesce(lines.taxable_amount, 0)
    or coalesce(months.tax_amount, 0) <> coalesce(lines.tax_amount, 0)
    or coalesce(months.gl_tax_movement, 0) <> coalesce(movements.movement, 0)
    or months.difference <> months.tax_amount - months.gl_tax_movement
