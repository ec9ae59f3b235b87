-- What tills took and the bank has not seen. Takings of sessions that are closed, because an open one is
-- not posted yet; what was banked is told by the entries of its banking.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

taken as (
    select
        tenders.company_id,
        tenders.pos_session_id,
        sessions.business_date as day,
        sessions.location_id,
        tenders.tender,
        tenders.account_id,
        sum(tenders.total) as taken,
    from {{ ref('int_pos_tenders') }} as tenders
    inner join {{ ref('stg_pos_sessions') }} as sessions using (company_id, pos_session_id)
    where not sessions.is_deleted and sessions.status = 'closed'
    group by all
),

banked as (
    select
        company_id,
        pos_session_id,
        account_id,
        -sum(amount) as cleared,
        sum(fee) as fee,
    from {{ ref('int_till_entries') }}
    where kind = 'banking'
    group by company_id, pos_session_id, account_id
),

weighed as (
    select
        taken.*,
        coalesce(banked.cleared, 0) as cleared,
        coalesce(banked.fee, 0) as fee,
        sum(taken.taken) over of_account as taken_of_account,
        row_number() over (
            partition by taken.company_id, taken.pos_session_id, taken.account_id
            order by abs(taken.taken) desc, taken.tender
        ) as place,
    from taken
    left join banked using (company_id, pos_session_id, account_id)
    window of_account as (partition by taken.company_id, taken.pos_session_id, taken.account_id)
),

-- Tenders that share a clearing account share what was banked of it, the largest bearing the rest.
shared as (
    select
        *,
        {%- for part in ['cleared', 'fee'] %}
        coalesce({{ sum_of_money(share(part, 'taken', 'taken_of_account')) }}, 0) as {{ part }}_part,
        {%- endfor %}
    from weighed
),

assigned as (
    select
        *,
        {%- for part in ['cleared', 'fee'] %}
        case
            when place = 1 then {{ part }} - sum(case when place > 1 then {{ part }}_part else 0 end) over of_account
            else {{ part }}_part
        end as {{ part }}_here,
        {%- endfor %}
    from shared
    window of_account as (partition by company_id, pos_session_id, account_id)
),

final as (
    select
        assigned.company_id,
        assigned.day,
        assigned.location_id,
        assigned.tender,
        {{ sum_of_money('sum(assigned.taken)') }} as taken,
        {{ sum_of_money('sum(assigned.cleared_here - assigned.fee_here)') }} as banked,
        {{ sum_of_money('sum(assigned.fee_here)') }} as fee,
        {{ sum_of_money('sum(assigned.taken - assigned.cleared_here)') }} as in_clearing,
        case
            when sum(assigned.taken - assigned.cleared_here) <> 0
                then cast(date_diff('day', assigned.day, any_value(companies.today)) as integer)
        end as days_outstanding,
        any_value(companies.currency) as currency,
        any_value(companies.built_at) as built_at,
    from assigned
    inner join companies using (company_id)
    group by assigned.company_id, assigned.day, assigned.location_id, assigned.tender
)

select * from final
