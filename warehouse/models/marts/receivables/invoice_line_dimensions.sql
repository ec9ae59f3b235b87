with

rules as (
    {{ dimension_rules() }}
),

customers as (
    {{ tags_of_customers() }}
),

lines as (
    select
        company_id,
        invoice_id,
        invoice_number,
        line_no,
        customer_id,
        item_id,
    from {{ ref('invoice_lines') }}
    where company_id in (select company_id from rules)
),

final as (
    select
        lines.company_id,
        lines.invoice_id,
        lines.line_no,
        rules.dimension,
        arg_min(rules.value, rules.line_no) as value,
        any_value(companies.currency) as currency,
        any_value(companies.built_at) as built_at,
    from lines
    inner join rules using (company_id)
    inner join {{ ref('stg_companies') }} as companies using (company_id)
    left join customers using (company_id, customer_id)
    left join {{ ref('stg_items') }} as items using (company_id, item_id)
    where
        -- An invoice's line is on no account.
        rules.account_from is null
        and {{ meets_pattern('lines.invoice_number', 'rules.pattern') }}
        and (rules.customer_tag is null or list_contains(customers.tags, rules.customer_tag))
        and (rules.item_category is null or lower(items.category) = rules.item_category)
    group by lines.company_id, lines.invoice_id, lines.line_no, rules.dimension
)

select * from final
