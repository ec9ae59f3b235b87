-- No more is converted than accepted than sent, and every quote that was sent is in one month.
with

sent as (
    select
        company_id,
        count(*) as quotes,
    from {{ ref('quote_pipeline') }}
    where status is distinct from 'draft' and quote_date is not null
    group by company_id
),

months as (
    select
        company_id,
        sum(sent) as quotes,
        bool_or(converted > accepted or accepted > sent) as is_off,
    from {{ ref('quote_conversion') }}
    group by company_id
)

select
    company_id,
    sent.quotes as quotes_sent,
    months.quotes,
from sent
full outer join months using (company_id)
where sent.quotes is distinct from months.quotes or months.is_off
