-- Line 12 is the sum of the lines 11, and what a return says and what was restated since are today's
-- documents; an open period has nothing restated.
with

returns as (
    select
        company_id,
        sum(tax_amount + restated_tax) filter (where line <> '12') as of_lines,
        sum(tax_amount + restated_tax) filter (where line = '12') as of_totals,
        sum(tax_amount) filter (where line <> '12') - sum(tax_amount) filter (where line = '12') as gap,
        sum(abs(restated_tax)) filter (where not is_locked) as restated_while_open,
    from {{ ref('sst_02') }}
    group by company_id
),

documents as (
    select
        documents.company_id,
        sum(documents.tax) as tax,
    from {{ ref('sst_02_documents') }} as documents
    inner join {{ ref('stg_companies') }} as companies using (company_id)
    left join (
        select company_id, min(start) as start
        from {{ source('user_tables', 'tax_cycles') }}
        group by company_id
    ) as cycles using (company_id)
    where
        documents.line is not null
        and documents.due_on <= companies.today
        and documents.due_on >= coalesce(cycles.start, date '2018-09-01')
    group by documents.company_id
)

select
    company_id,
    returns.of_lines,
    returns.of_totals,
    documents.tax,
from returns
full outer join documents using (company_id)
where
    returns.of_lines is distinct from documents.tax
    or returns.of_totals is distinct from documents.tax
    or returns.gap <> 0
    or returns.restated_while_open <> 0
