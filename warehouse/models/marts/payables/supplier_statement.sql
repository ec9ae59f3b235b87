-- What a bill, and each change of it that was seen, did to what is owed to its supplier. Of a bill the
-- last version that counts speaks; payments and credits are the steps between versions, so that they
-- add up to what that version says. A bill whose amount in the company's currency nobody knows is in no
-- statement.
with

versions as (
    select * from {{ ref('int_bill_versions') }}
),

-- As in ap_open_items, a bill dated ahead is not owed yet.
counted as (
    select
        *,
        bill_total - amount_paid - amount_due as credited,
    from versions
    where is_recognised and bill_total is not null and coalesce(bill_date <= today, true)
),

stepped as (
    select
        *,
        amount_paid - lag(amount_paid, 1, 0) over history as newly_paid,
        credited - lag(credited, 1, 0) over history as newly_credited,
        lead(known_from) over history is null as is_last,
    from counted
    window history as (partition by company_id, bill_id order by known_from)
),

{%- set seen_changing = local_date('coalesce(updated_at, known_from)', 'timezone') %}

changes as (
    select
        company_id,
        bill_id,
        known_from,
        1 as event_order,
        'bill' as event_type,
        coalesce(bill_date, {{ local_date('coalesce(created_at, known_from)', 'timezone') }}) as event_date,
        bill_total as amount,
        bill_date is null as is_inferred,
    from stepped
    where is_last
    union all
    select
        company_id,
        bill_id,
        known_from,
        2,
        case when newly_paid > 0 then 'payment' else 'refund' end,
        {{ seen_changing }},
        -newly_paid,
        true,
    from stepped
    where newly_paid <> 0
    union all
    select company_id, bill_id, known_from, 2, 'credit', {{ seen_changing }}, -newly_credited, true,
    from stepped
    where newly_credited <> 0
    union all
    -- Taken back, deleted or a draft again: what was still open is owed no longer.
    select
        stepped.company_id,
        stepped.bill_id,
        versions.known_from,
        3,
        'cancellation',
        {{ local_date('coalesce(versions.updated_at, versions.known_from)', 'versions.timezone') }},
        -stepped.amount_due,
        true,
    from stepped
    inner join versions using (company_id, bill_id)
    where
        stepped.is_last
        and not stepped.is_current
        and versions.is_current
        and stepped.amount_due <> 0
),

events as (
    select
        changes.*,
        stepped.supplier_id,
        stepped.bill_number,
        stepped.currency,
        stepped.built_at,
    from changes
    inner join stepped
        on stepped.company_id = changes.company_id
        and stepped.bill_id = changes.bill_id
        and stepped.is_last
),

final as (
    select
        company_id,
        supplier_id,
        cast(row_number() over statement as integer) as event_no,
        event_date,
        event_type,
        bill_number as document_number,
        bill_id,
        {{ sum_of_money('greatest(-amount, 0)') }} as debit,
        {{ sum_of_money('greatest(amount, 0)') }} as credit,
        {{ sum_of_money('sum(amount) over statement') }} as running_balance,
        is_inferred,
        currency,
        built_at,
    from events
    window statement as (
        partition by company_id, supplier_id
        order by event_date, event_order, bill_number, bill_id, known_from, event_type
        rows between unbounded preceding and current row
    )
)

select * from final
