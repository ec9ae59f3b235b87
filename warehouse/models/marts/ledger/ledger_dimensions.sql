-- Nothing of the ledger is read for a company without rules, and of a rule about accounts only their lines.
with

rules as (
    {{ dimension_rules() }}
),

rule_accounts as (
    select
        rules.*,
        accounts.account_id,
    from rules
    inner join {{ ref('accounts') }} as accounts
        on accounts.company_id = rules.company_id
        and {{ is_among_accounts('accounts.account_number', 'rules') }}
),

customers as (
    {{ tags_of_customers() }}
),

-- A number that invoices of two customers share says of no entry whose it is.
tags as (
    select
        company_id,
        invoices.invoice_number as reference,
        any_value(customers.tags) as tags,
    from {{ ref('stg_invoices') }} as invoices
    inner join customers using (company_id, customer_id)
    where invoices.invoice_number <> ''
    group by company_id, invoices.invoice_number
    having count(distinct customer_id) = 1
),

-- Of an invoice whose lines are of several categories, an entry is of none.
categories as (
    select
        invoices.company_id,
        invoices.invoice_number as reference,
        lower(any_value(items.category)) as item_category,
    from {{ ref('stg_invoices') }} as invoices
    inner join {{ ref('stg_invoice_lines') }} as lines using (company_id, invoice_id)
    left join {{ ref('stg_items') }} as items using (company_id, item_id)
    where
        invoices.invoice_number <> ''
        and invoices.company_id in (select company_id from rules where item_category is not null)
    group by invoices.company_id, invoices.invoice_number
    having count(*) = count(items.category) and count(distinct lower(items.category)) = 1
),

lines as (
    select
        company_id,
        line_key,
        account_id,
        reference,
    from {{ ref('general_ledger') }}
    where company_id in (select company_id from rules)
),

final as (
    select
        lines.company_id,
        lines.line_key,
        rule_accounts.dimension,
        arg_min(rule_accounts.value, rule_accounts.line_no) as value,
        any_value(companies.currency) as currency,
        any_value(companies.built_at) as built_at,
    from lines
    inner join rule_accounts using (company_id, account_id)
    inner join {{ ref('stg_companies') }} as companies using (company_id)
    left join tags using (company_id, reference)
    left join categories using (company_id, reference)
    where
        {{ meets_pattern('lines.reference', 'rule_accounts.pattern') }}
        and (rule_accounts.customer_tag is null or list_contains(tags.tags, rule_accounts.customer_tag))
        and (rule_accounts.item_category is null or categories.item_category = rule_accounts.item_category)
    group by lines.company_id, lines.line_key, rule_accounts.dimension
)

select * from final
