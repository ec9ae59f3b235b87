-- What parts the clearing accounts of the tills from the takings that are not banked, session by session
-- and entry by entry. Debits are positive.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

sides as (
    select
        company_id,
        case when pos_session_id is null then 'entry' else 'session' end as item_type,
        coalesce(pos_session_id, journal_id) as item_id,
        amount as ledger_amount,
        0 as document_amount,
    from {{ ref('int_till_entries') }}
    union all
    select
        tenders.company_id,
        'session',
        tenders.pos_session_id,
        0,
        tenders.total,
    from {{ ref('int_pos_tenders') }} as tenders
    inner join {{ ref('stg_pos_sessions') }} as sessions using (company_id, pos_session_id)
    where not sessions.is_deleted and sessions.status = 'closed'
    union all
    -- What was banked of an account that the session's tenders name is no difference.
    select
        entries.company_id,
        'session',
        entries.pos_session_id,
        0,
        entries.amount,
    from {{ ref('int_till_entries') }} as entries
    where
        entries.kind = 'banking'
        and (entries.company_id, entries.pos_session_id, entries.account_id) in (
            select (tenders.company_id, tenders.pos_session_id, tenders.account_id)
            from {{ ref('int_pos_tenders') }} as tenders
            inner join {{ ref('stg_pos_sessions') }} as sessions using (company_id, pos_session_id)
            where not sessions.is_deleted and sessions.status = 'closed'
        )
),

items as (
    {{ items_that_differ('sides') }}
),

entries as (
    select
        company_id,
        journal_id,
        any_value(journal_number) as journal_number,
    from {{ ref('int_till_entries') }}
    group by company_id, journal_id
),

final as (
    select
        items.company_id,
        companies.today as as_of_date,
        items.item_type,
        case when items.item_type = 'session' then items.item_id end as pos_session_id,
        case when items.item_type = 'entry' then items.item_id end as journal_id,
        coalesce(sessions.session_number, entries.journal_number) as document_number,
        {{ sum_of_money('items.ledger_amount') }} as ledger_amount,
        {{ sum_of_money('items.document_amount') }} as document_amount,
        {{ sum_of_money('items.ledger_amount - items.document_amount') }} as difference,
        companies.currency,
        companies.built_at,
    from items
    inner join companies using (company_id)
    left join {{ ref('stg_pos_sessions') }} as sessions
        on sessions.company_id = items.company_id
        and sessions.pos_session_id = items.item_id
        and items.item_type = 'session'
    left join entries
        on entries.company_id = items.company_id
        and entries.journal_id = items.item_id
        and items.item_type = 'entry'
)

select * from final
