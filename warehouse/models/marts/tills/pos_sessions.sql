with

sessions as (
    select * from {{ ref('stg_pos_sessions') }} where not is_deleted
),

companies as (
    select * from {{ ref('stg_companies') }}
),

transactions as (
    select
        transactions.company_id,
        transactions.pos_session_id,
        count(*) filter (where transactions.status is distinct from 'voided') as transactions,
        count(*) filter (where transactions.status = 'voided') as voids,
        count(*) filter (
            where greatest(transactions.occurred_at, transactions.created_at) > sessions.closed_at
        ) as late_transactions,
        sum(transactions.total) filter (where transactions.status is distinct from 'voided') as total,
    from {{ ref('stg_pos_transactions') }} as transactions
    inner join sessions using (company_id, pos_session_id)
    where not transactions.is_deleted
    group by transactions.company_id, transactions.pos_session_id
),

final as (
    select
        sessions.company_id,
        sessions.pos_session_id,
        sessions.session_number,
        sessions.business_date,
        sessions.location_id,
        sessions.register_id,
        sessions.cashier_id,
        sessions.status,
        sessions.opened_at,
        sessions.closed_at,
        sessions.opening_float,
        sessions.expected_cash as expected,
        sessions.counted_cash as counted,
        coalesce(sessions.variance, {{ money('sessions.counted_cash - sessions.expected_cash') }}) as variance,
        {{ quotient(
            "date_diff('second', sessions.opened_at, coalesce(sessions.closed_at, companies.built_at))", '3600', 2
        ) }} as hours_open,
        cast(coalesce(transactions.transactions, 0) as integer) as transactions,
        cast(coalesce(transactions.voids, 0) as integer) as voids,
        cast(coalesce(transactions.late_transactions, 0) as integer) as late_transactions,
        {{ sum_of_money('coalesce(transactions.total, 0)') }} as total,
        companies.currency,
        companies.built_at,
    from sessions
    inner join companies using (company_id)
    left join transactions using (company_id, pos_session_id)
)

select * from final
