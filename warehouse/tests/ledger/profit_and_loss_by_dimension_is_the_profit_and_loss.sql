-- By dimension, month and account: the values and what is unassigned are the statement's amount.
with

dimensions as (
    select distinct
        company_id,
        dimension,
    from {{ source('user_tables', 'dimensions') }}
),

expected as (
    select
        company_id,
        dimension,
        period,
        account_id,
        amount,
    from {{ ref('profit_and_loss') }}
    inner join dimensions using (company_id)
),

found as (
    select
        company_id,
        dimension,
        period,
        account_id,
        sum(amount) as amount,
    from {{ ref('profit_and_loss_by_dimension') }}
    group by company_id, dimension, period, account_id
)

select
    company_id,
    dimension,
    period,
    account_id,
    expected.amount as amount_expected,
    found.amount,
from expected
full join found using (company_id, dimension, period, account_id)
where coalesce(expected.amount, 0) <> coalesce(found.amount, 0)
