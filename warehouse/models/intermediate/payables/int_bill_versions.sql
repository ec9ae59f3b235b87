-- Every version of a bill that was seen, its amounts in the company's currency. A bill in another
-- currency bears no rate: what its own entry says that it comes to decides, and until there is one its
-- amounts are unknown.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

entered as (
    select
        company_id,
        reference as bill_number,
        sum(payable_amount) as amount,
    from {{ ref('int_purchase_entries') }}
    where is_on_payables and not is_on_cash and reference is not null
    group by company_id, reference
),

-- A number that two bills share says of neither what it comes to.
numbers as (
    select
        company_id,
        bill_number,
    from {{ ref('stg_bills') }}
    where not is_deleted
    group by company_id, bill_number
    having count(*) = 1
),

rated as (
    select
        versions.* exclude (items),
        coalesce(versions.bill_currency <> companies.currency, false) as is_foreign,
        case when numbers.bill_number is not null and entered.amount > 0 then entered.amount end as entered_amount,
        companies.timezone,
        companies.today,
        companies.currency,
        companies.built_at,
    from {{ ref('hist_bills') }} as versions
    inner join companies using (company_id)
    left join entered using (company_id, bill_number)
    left join numbers using (company_id, bill_number)
),

final as (
    select
        company_id,
        bill_id,
        bill_number,
        supplier_invoice_number,
        supplier_id,
        supplier_name,
        purchase_order_id,
        bill_date,
        due_date,
        created_at,
        updated_at,
        known_from,
        known_to,
        known_to is null as is_current,
        not is_deleted and {{ is_billed('status') }} as is_recognised,
        coalesce(bill_currency, currency) as bill_currency,
        is_foreign,
        amount_due as document_due,
        {%- for name, column in [('bill_total', 'total'), ('amount_paid', 'amount_paid'), ('amount_due', 'amount_due')] %}
        case
            when not is_foreign then {{ sum_of_money(column) }}
            else {{ sum_of_money(share(column, 'entered_amount', 'total')) }}
        end as {{ name }},
        {%- endfor %}
        timezone,
        today,
        currency,
        built_at,
    from rated
)

select * from final
