-- Drafts that nobody finishes, references and numbers that two documents share, numbers that none has.
{% set stale_after = var('stale_draft_days', 30) %}
with

companies as (
    select * from {{ ref('stg_companies') }}
),

-- Only series with something missing are put in order.
broken_series as (
    select series_hash
    from {{ ref('int_documents') }}
    where series_hash is not null
    group by series_hash
    having max(place) - min(place) >= count(distinct place)
),

-- Few documents break a rule, so those that cannot are left out first.
documents as (
    select documents.*
    from {{ ref('int_documents') }} as documents
    inner join companies using (company_id)
    where
        documents.status = 'draft'
        or documents.is_deleted
        {%- for key in ['reference_hash', 'number_hash'] %}
        or documents.{{ key }} in (
            select {{ key }} from {{ ref('int_documents') }} group by {{ key }} having count(*) > 1
        )
        {%- endfor %}
        or documents.series_hash in (select series_hash from broken_series)
),

stale as (
    select
        documents.company_id,
        'stale_draft' as rule,
        'warning' as severity,
        documents.entity,
        documents.record_id,
        format(
            '{} is still a draft, {} days after it was made.',
            coalesce(documents.number, 'The record'),
            date_diff('day', {{ local_date('documents.created_at', 'companies.timezone') }}, companies.today)
        ) as evidence,
    from documents
    inner join companies using (company_id)
    where
        documents.status = 'draft'
        and not documents.is_deleted
        and date_diff('day', {{ local_date('documents.created_at', 'companies.timezone') }}, companies.today)
        > {{ stale_after }}
),

-- What belongs to one order, session or transfer bears its number: that is no second copy.
numbers as (
    {%- for entity, number in [
        ('sales_orders', 'order_number'), ('purchase_orders', 'po_number'),
        ('stock_transfers', 'transfer_number'), ('pos_sessions', 'session_number'),
    ] %}
    select company_id, lower(trim({{ number }})) as number
    from {{ ref('stg_' ~ entity) }}
    where not is_deleted and {{ number }} <> ''
    union
    {%- endfor %}
    select company_id, 'bnk-' || lower(trim(session_number))
    from {{ ref('stg_pos_sessions') }}
    where not is_deleted and session_number <> ''
),

shared_references as (
    select
        company_id,
        entity,
        party_id,
        lower(trim(reference)) as reference,
        reference_hash,
        count(*) as copies,
        count(distinct total) as totals,
    from documents
    where
        reference_hash is not null
        and (company_id, lower(trim(reference))) not in (select (company_id, number) from numbers)
    group by company_id, entity, party_id, lower(trim(reference)), reference_hash
    having count(*) > 1
),

sharing as (
    select
        documents.company_id,
        documents.entity,
        documents.record_id,
        documents.number,
        shared.copies,
        shared.totals,
        first_value(documents.record_id) over alike as first_id,
        first_value(documents.number) over alike as first_number,
        last_value(documents.number) over alike as last_number,
    from documents
    inner join shared_references as shared
        on shared.reference_hash = documents.reference_hash
        and shared.company_id = documents.company_id
        and shared.entity = documents.entity
        and shared.party_id is not distinct from documents.party_id
        and shared.reference = lower(trim(documents.reference))
    window alike as (
        partition by shared.company_id, shared.entity, shared.party_id, shared.reference
        order by documents.record_id
        rows between unbounded preceding and unbounded following
    )
),

same_reference as (
    select
        company_id,
        'duplicate_reference' as rule,
        case when totals < copies then 'warning' else 'info' end as severity,
        entity,
        record_id,
        format(
            '{} has the same reference{} as {}{}.',
            coalesce(number, 'The record'),
            case when totals = 1 then ' and total' else '' end,
            coalesce(case when record_id = first_id then last_number else first_number end, 'another'),
            case when copies > 2 then format(' and {} more', copies - 2) else '' end
        ) as evidence,
    from sharing
),

shared_numbers as (
    select
        company_id,
        entity,
        number,
        number_hash,
        count(*) as copies,
    from documents
    where number_hash is not null
    group by company_id, entity, number, number_hash
    having count(*) > 1
),

same_number as (
    select
        documents.company_id,
        'duplicate_number' as rule,
        'warning' as severity,
        documents.entity,
        documents.record_id,
        format('{} records have the number {}.', shared.copies, documents.number) as evidence,
    from documents
    inner join shared_numbers as shared using (company_id, entity, number, number_hash)
),

steps as (
    select
        documents.company_id,
        documents.entity,
        documents.series,
        documents.record_id,
        documents.number,
        documents.place,
        lag(documents.place) over in_series as previous_place,
        lag(documents.number) over in_series as previous_number,
        count(*) over whole_series as documents_in_series,
    from documents
    inner join broken_series using (series_hash)
    window
        in_series as (
            partition by documents.company_id, documents.entity, documents.series
            order by documents.place, documents.record_id
        ),
        whole_series as (partition by documents.company_id, documents.entity, documents.series)
),

-- Where most numbers do not follow on one another, they are no count of documents.
gaps as (
    select *
    from (
        select
            *,
            count(*) over (partition by company_id, entity, series) as gaps_in_series,
        from steps
        where place > previous_place + 1
    ) as every_gap
    where documents_in_series < 20 or gaps_in_series * 2 <= documents_in_series
),

deleted_in_gaps as (
    select
        gaps.company_id,
        gaps.entity,
        gaps.record_id,
        count(distinct documents.place) as deleted,
    from gaps
    inner join documents using (company_id, entity, series)
    where
        documents.is_deleted
        and documents.place > gaps.previous_place
        and documents.place < gaps.place
    group by gaps.company_id, gaps.entity, gaps.record_id
),

missing_numbers as (
    select
        gaps.company_id,
        'number_gap' as rule,
        case gaps.entity when 'invoices' then 'warning' else 'info' end as severity,
        gaps.entity,
        gaps.record_id,
        format(
            'Between {} and {} {} missing{}.',
            gaps.previous_number,
            gaps.number,
            case gaps.place - gaps.previous_place - 1
                when 1 then 'a number is' else format('{} numbers are', gaps.place - gaps.previous_place - 1)
            end,
            case
                when deleted.deleted is not null
                    then format('; {} known from records that were deleted', deleted.deleted)
                else ''
            end
        ) as evidence,
    from gaps
    left join deleted_in_gaps as deleted using (company_id, entity, record_id)
),

final as (
    select * from stale
    union all
    select * from same_reference
    union all
    select * from same_number
    union all
    select * from missing_numbers
)

select * from final
