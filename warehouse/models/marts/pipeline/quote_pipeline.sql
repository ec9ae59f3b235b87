with

quotes as (
    select * from {{ ref('stg_quotes') }} where not is_deleted
),

companies as (
    select * from {{ ref('stg_companies') }}
),

final as (
    select
        quotes.company_id,
        quotes.quote_id,
        quotes.quote_number,
        quotes.customer_id,
        quotes.customer_name,
        quotes.title,
        quotes.quote_date,
        quotes.valid_until,
        quotes.status,
        -- A quote expires by the calendar, and BigLedger need not say so.
        case
            when quotes.sales_order_id is not null or quotes.converted_to_order_at is not null
                then 'converted'
            when quotes.status in ('converted', 'rejected', 'accepted') then quotes.status
            when quotes.accepted_at is not null then 'accepted'
            when quotes.valid_until < companies.today then 'expired'
            else coalesce(quotes.status, 'draft')
        end as state,
        cast(date_diff('day', quotes.quote_date, companies.today) as integer) as age_days,
        case
            when coalesce(quotes.quote_currency = companies.currency, true) then {{ sum_of_money('quotes.total') }}
        end as amount,
        quotes.total as document_amount,
        coalesce(quotes.quote_currency, companies.currency) as quote_currency,
        quotes.accepted_at,
        quotes.converted_to_order_at,
        quotes.sales_order_id,
        companies.currency,
        companies.built_at,
    from quotes
    inner join companies using (company_id)
)

select * from final
