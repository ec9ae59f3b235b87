select
    company_id,
    period,
    sum(closing_balance) as difference,
from {{ ref('trial_balance') }}
group by company_id, period
having sum(closing_balance) <> 0
