-- What became of the quotes of a month. Of amounts in other currencies nobody says the rate: they are
-- counted among the quotes and in no sum.
with

quotes as (
    select
        quotes.*,
        {{ period_of('quotes.quote_date', 'companies.today') }} as period,
        quotes.state = 'converted' as is_converted,
        quotes.state in ('converted', 'accepted') or quotes.accepted_at is not null as is_accepted,
        date_diff(
            'day', quotes.quote_date,
            {{ local_date('quotes.converted_to_order_at', 'companies.timezone') }}
        ) as days_to_convert,
    from {{ ref('quote_pipeline') }} as quotes
    inner join {{ ref('stg_companies') }} as companies using (company_id)
    where quotes.status is distinct from 'draft' and quotes.quote_date is not null
),

final as (
    select
        company_id,
        period,
        customer_id,
        cast(count(*) as integer) as sent,
        cast(count(*) filter (where is_accepted) as integer) as accepted,
        cast(count(*) filter (where is_converted) as integer) as converted,
        {{ sum_of_money('coalesce(sum(amount), 0)') }} as sent_amount,
        {{ sum_of_money('coalesce(sum(amount) filter (where is_accepted), 0)') }} as accepted_amount,
        {{ sum_of_money('coalesce(sum(amount) filter (where is_converted), 0)') }} as converted_amount,
        {{ quotient('sum(days_to_convert) filter (where is_converted)', 'count(days_to_convert) filter (where is_converted)', 1) }}
            as days_to_convert,
        any_value(currency) as currency,
        any_value(built_at) as built_at,
    from quotes
    group by company_id, period, customer_id
)

select * from final
