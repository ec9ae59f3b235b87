-- Every account of the balance sheet that is not cash moves in exactly one line of each month.
select
    trial_balance.company_id,
    trial_balance.period,
    trial_balance.account_id,
    count(cash_flow.line_order) as line_count,
from {{ ref('trial_balance') }} as trial_balance
inner join {{ ref('accounts') }} as accounts using (company_id, account_id)
left join {{ ref('cash_flow') }} as cash_flow using (company_id, period, account_id)
where accounts.statement = 'balance_sheet' and accounts.account_role is distinct from 'cash'
group by trial_balance.company_id, trial_balance.period, trial_balance.account_id
having count(cash_flow.line_order) <> 1
