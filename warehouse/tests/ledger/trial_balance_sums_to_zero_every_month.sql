-- But for what accepted entries do not balance by, and for exactly that.
with

imbalances as (
    {{ accepted_imbalances() }}
),

sums as (
    select
        company_id,
        period,
        period_end,
        sum(closing_balance) as difference,
    from {{ ref('trial_balance') }}
    group by company_id, period, period_end
),

accepted as (
    select
        sums.company_id,
        sums.period,
        sum(imbalances.imbalance) as imbalance,
    from sums
    inner join imbalances
        on imbalances.company_id = sums.company_id and imbalances.journal_date <= sums.period_end
    group by sums.company_id, sums.period
)

select
    company_id,
    period,
    sums.difference,
    coalesce(accepted.imbalance, 0) as accepted,
from sums
left join accepted using (company_id, period)
where sums.difference <> coalesce(accepted.imbalance, 0)
