-- A proposal never raises a limit, never comes without a change, and names a customer once.
select
    _company_id,
    id,
    status,
    "creditLimit",
    _credit_limit_now,
from {{ ref('push_customers_credit_limit') }}
where
    (status is null and "creditLimit" is null)
    or "creditLimit" >= _credit_limit_now
    or "creditLimit" < 0
