{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ delete_affected(affected('pos_transactions')) }}",
) }}

-- What each tender of a sale or return at a till came to, and its part of discount and tax: by what was
-- paid in it, the largest bearing what rounding leaves; rounding to five sen is cash's. Where payments and
-- total are not the same, the rest is a tender of its own, so that the sum is the total.
with

transactions as (
    select
        *,
        coalesce(transaction_type = 'return', total < 0) as is_return,
    from {{ ref('stg_pos_transactions') }}
    where
        not is_deleted
        and status is distinct from 'voided'
        and {{ only_affected(affected('pos_transactions')) }}
),

paid as (
    select
        company_id,
        pos_transaction_id,
        coalesce(tender, 'none') as tender,
        min(nullif(account_id, '')) as account_id,
        sum(amount_kept) as paid,
    from {{ ref('stg_pos_payments') }}
    where {{ only_affected(affected('pos_transactions')) }}
    group by company_id, pos_transaction_id, coalesce(tender, 'none')
),

listed as (
    select
        company_id,
        pos_transaction_id,
        tender,
        account_id,
        paid,
    from paid
    where (company_id, pos_transaction_id) in (select (company_id, pos_transaction_id) from transactions)
    union all
    select
        transactions.company_id,
        transactions.pos_transaction_id,
        case when transactions.total = 0 and count(paid.tender) = 0 then 'none' else 'unexplained' end,
        null,
        any_value(transactions.total) - coalesce(sum(paid.paid), 0),
    from transactions
    left join paid using (company_id, pos_transaction_id)
    group by transactions.company_id, transactions.pos_transaction_id, transactions.total
    having any_value(transactions.total) <> coalesce(sum(paid.paid), 0) or count(paid.tender) = 0
),

shared as (
    select
        listed.*,
        transactions.pos_session_id,
        transactions.business_date,
        transactions.occurred_at,
        transactions.created_at,
        transactions.location_id,
        transactions.is_return,
        transactions.total_discount,
        transactions.total_tax,
        row_number() over (
            partition by listed.company_id, listed.pos_transaction_id
            order by abs(listed.paid) desc, listed.tender
        ) as place,
        case
            when row_number() over (
                partition by listed.company_id, listed.pos_transaction_id
                order by listed.tender <> 'cash', abs(listed.paid) desc, listed.tender
            ) = 1 then transactions.rounding
            else 0
        end as rounding,
        coalesce({{ sum_of_money(share('transactions.total_tax', 'listed.paid', 'transactions.total')) }}, 0) as tax_part,
        coalesce({{ sum_of_money(share('transactions.total_discount', 'listed.paid', 'transactions.total')) }}, 0)
            as discount_part,
    from listed
    inner join transactions using (company_id, pos_transaction_id)
),

assigned as (
    select
        *,
        case
            when place = 1 then total_tax - sum(case when place > 1 then tax_part else 0 end) over of_one
            else tax_part
        end as tax,
        case
            when place = 1 then total_discount - sum(case when place > 1 then discount_part else 0 end) over of_one
            else discount_part
        end as discount,
    from shared
    window of_one as (partition by company_id, pos_transaction_id)
),

final as (
    select
        company_id,
        pos_transaction_id,
        tender,
        account_id,
        nullif(pos_session_id, '') as pos_session_id,
        business_date,
        occurred_at,
        created_at,
        location_id,
        is_return,
        {{ sum_of_money('case when is_return then 0 else paid - tax - rounding + discount end') }} as gross,
        {{ sum_of_money('case when is_return then 0 else discount end') }} as discounts,
        {{ sum_of_money('case when is_return then tax + rounding - paid else 0 end') }} as returns,
        {{ sum_of_money('paid - tax - rounding') }} as net,
        {{ sum_of_money('tax') }} as tax,
        {{ sum_of_money('rounding') }} as rounding,
        {{ sum_of_money('paid') }} as total,
    from assigned
)

select * from final
