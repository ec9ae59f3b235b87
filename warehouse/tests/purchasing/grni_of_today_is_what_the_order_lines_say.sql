-- Today's lines are those of which more or less was received than billed, one by one.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

now as (
    select grni.*
    from {{ ref('grni') }} as grni
    inner join companies on companies.company_id = grni.company_id and companies.today = grni.as_of_date
),

lines as (
    select * from {{ ref('purchase_order_lines') }} where is_ordered and received <> billed
)

select
    company_id,
    purchase_order_id,
    line_no,
    lines.received - lines.billed as of_the_line,
    now.received - now.billed as of_grni,
from lines
full outer join now using (company_id, purchase_order_id, line_no)
where lines.received - lines.billed is distinct from now.received - now.billed
