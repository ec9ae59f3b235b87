-- The tax of a month's documents, by code and rate, is that of tax_summary.
with

documents as (
    select
        company_id,
        period,
        coalesce(tax_code, '') as code,
        coalesce(tax_rate, -1) as rate,
        sum(tax) as tax,
        sum(before_tax) as before_tax,
    from {{ ref('sst_02_documents') }}
    where period is not null
    group by all
),

months as (
    select
        company_id,
        period,
        coalesce(tax_code, '') as code,
        coalesce(tax_rate, -1) as rate,
        sum(tax_amount) as tax,
        sum(taxable_amount) as before_tax,
    from {{ ref('tax_summary') }}
    group by all
)

select
    company_id,
    period,
    code,
    rate,
    documents.tax as of_documents,
    months.tax,
from documents
full outer join months using (company_id, period, code, rate)
where
    coalesce(documents.tax, 0) <> coalesce(months.tax, 0)
    or coalesce(documents.before_tax, 0) <> coalesce(months.before_tax, 0)
