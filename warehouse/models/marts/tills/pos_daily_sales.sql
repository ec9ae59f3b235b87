with

companies as (
    select * from {{ ref('stg_companies') }}
),

sessions as (
    select * from {{ ref('stg_pos_sessions') }}
),

tenders as (
    select
        tenders.*,
        coalesce(
            tenders.business_date,
            sessions.business_date,
            {{ local_date('coalesce(tenders.occurred_at, tenders.created_at)', 'companies.timezone') }}
        ) as day,
        coalesce(tenders.location_id, sessions.location_id) as place,
    from {{ ref('int_pos_tenders') }} as tenders
    inner join companies using (company_id)
    left join sessions using (company_id, pos_session_id)
),

final as (
    select
        tenders.company_id,
        tenders.day,
        tenders.place as location_id,
        tenders.tender,
        cast(count(*) as integer) as transactions,
        cast(count(*) filter (where tenders.is_return) as integer) as return_count,
        {%- for name in ['gross', 'discounts', 'returns', 'net', 'tax', 'rounding', 'total'] %}
        {{ sum_of_money('sum(tenders.' ~ name ~ ')') }} as {{ name }},
        {%- endfor %}
        any_value(companies.currency) as currency,
        any_value(companies.built_at) as built_at,
    from tenders
    inner join companies using (company_id)
    group by tenders.company_id, tenders.day, tenders.place, tenders.tender
)

select * from final
