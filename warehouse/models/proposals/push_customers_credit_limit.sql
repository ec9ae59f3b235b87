-- Customers that have owed for long: first no more on credit, later no more at all. What a limit is
-- lowered to is what is owed today, so that proposing it again changes nothing.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

customers as (
    select * from {{ ref('stg_customers') }}
    where not is_deleted and coalesce(status, 'active') = 'active'
),

debts as (
    select
        items.company_id,
        items.customer_id,
        sum(items.open_amount) as open_amount,
        coalesce(sum(items.open_amount) filter (
            where items.days_past_due > {{ var('credit_lower_after_days') }}
        ), 0) as overdue_for_lower,
        coalesce(sum(items.open_amount) filter (
            where items.days_past_due > {{ var('credit_block_after_days') }}
        ), 0) as overdue_for_block,
        max(items.days_past_due) as oldest_days,
    from {{ ref('ar_open_items') }} as items
    inner join companies
        on companies.company_id = items.company_id and companies.today = items.as_of_date
    group by items.company_id, items.customer_id
),

judged as (
    select
        customers.*,
        debts.open_amount,
        debts.overdue_for_lower,
        debts.oldest_days,
        companies.currency as company_currency,
        companies.built_at,
        debts.overdue_for_block >= {{ var('credit_least_overdue') }} as is_to_block,
        debts.overdue_for_lower >= {{ var('credit_least_overdue') }}
        and customers.credit_limit > debts.open_amount
        -- A limit in another currency is not comparable with what is owed.
        and coalesce(customers.currency = companies.currency, true) as is_to_lower,
    from customers
    inner join companies using (company_id)
    inner join debts using (company_id, customer_id)
),

final as (
    select
        customer_id as id,
        updated_at as base_updated_at,
        case when is_to_block then 'blocked' end as status,
        case when is_to_lower and not is_to_block then {{ money('open_amount') }} end as "creditLimit",
        company_id as _company_id,
        customer_number as _customer_number,
        credit_limit as _credit_limit_now,
        {{ money('open_amount') }} as _open_amount,
        {{ money('overdue_for_lower') }} as _overdue_amount,
        cast(oldest_days as integer) as _oldest_days,
        company_currency as _currency,
        built_at as _built_at,
    from judged
    where is_to_block or is_to_lower
)

select * from final
