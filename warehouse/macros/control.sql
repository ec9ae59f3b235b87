{# The body of a law: the balance of control accounts today, less what documents say, is the sum of the
   differences that a mart itemises, and no item is without one.

   role:      of the accounts
   sign:      1 where their balances are debits, -1 where they are credits
   control:   the mart that itemises
   documents: a query with company_id and amount, one row a company #}
{% macro itemised_difference(role, sign, control, documents) -%}
with

companies as (
    select * from {{ ref('stg_companies') }}
),

ledger as (
    select
        lines.company_id,
        {{ sign }} * sum(lines.amount) as balance,
    from {{ ref('general_ledger') }} as lines
    inner join {{ ref('accounts') }} as accounts using (company_id, account_id)
    inner join companies using (company_id)
    where accounts.account_role = '{{ role }}' and lines.journal_date <= companies.today
    group by lines.company_id
),

documents as (
    {{ documents }}
),

itemised as (
    select
        company_id,
        sum(difference) as difference,
    from {{ ref(control) }}
    group by company_id
)

select
    companies.company_id,
    coalesce(ledger.balance, 0) as ledger_amount,
    coalesce(documents.amount, 0) as document_amount,
    coalesce(itemised.difference, 0) as itemised,
from companies
left join ledger using (company_id)
left join documents using (company_id)
left join itemised using (company_id)
where coalesce(ledger.balance, 0) - coalesce(documents.amount, 0) <> coalesce(itemised.difference, 0)
union all
select
    company_id,
    ledger_amount,
    document_amount,
    difference,
from {{ ref(control) }}
where difference = 0
{%- endmacro %}

{# What parts accounts from documents, item by item: the items of a CTE `sides` whose two amounts differ.
   A side has company_id, item_type, item_id, ledger_amount and document_amount. #}
{% macro items_that_differ(sides) -%}
    select
        company_id,
        item_type,
        item_id,
        sum(ledger_amount) as ledger_amount,
        sum(document_amount) as document_amount,
    from {{ sides }}
    group by company_id, item_type, item_id
    having sum(ledger_amount) <> sum(document_amount)
{%- endmacro %}

{# The sum of a mart's column as of today, by company. #}
{% macro today_of(mart, amount) -%}
    select
        found.company_id,
        sum(found.{{ amount }}) as amount,
    from {{ ref(mart) }} as found
    inner join companies on companies.company_id = found.company_id and companies.today = found.as_of_date
    group by found.company_id
{%- endmacro %}
