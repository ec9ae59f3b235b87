with

months as (
    select * from {{ ref('group_companies') }} where is_complete
),

balances as (
    select * from {{ ref('int_group_balances') }}
),

sides as (
    select * from {{ ref('int_group_sides') }}
),

intercompany as (
    select
        one.group_id,
        one.period,
        'intercompany' as kind,
        one.elimination,
        one.company_id as left_company_id,
        one.account_number as left_account_number,
        one.amount as left_amount,
        other.company_id as right_company_id,
        other.account_number as right_account_number,
        other.amount as right_amount,
        -- As much as both sides have, with the sign of the left one; nothing where both are on one side.
        case
            when sign(one.amount) = -sign(other.amount)
                then sign(one.amount) * least(abs(one.amount), abs(other.amount))
            else 0
        end as eliminated_amount,
    from sides as one
    inner join sides as other using (group_id, elimination, period)
    where one.side = 1 and other.side = 2
),

invested as (
    select
        months.group_id,
        months.period,
        months.parent_company_id,
        months.company_id,
        months.investment_account,
        coalesce(sum(balances.amount), 0) as amount,
    from months
    left join balances
        on balances.group_id = months.group_id
        and balances.company_id = months.parent_company_id
        and balances.period = months.period
        and balances.account_number = months.investment_account
    where months.investment_account is not null
    group by all
),

-- Line by line, as the trial balance takes them out.
acquired as (
    select
        months.group_id,
        months.company_id,
        months.period,
        sum({{ owned('balances.exact_acquired', 'months.share') }}) as amount,
    from months
    inner join balances using (group_id, company_id, period)
    group by all
),

investments as (
    select
        group_id,
        period,
        'investment' as kind,
        'Investment in ' || company_id as elimination,
        parent_company_id as left_company_id,
        investment_account as left_account_number,
        invested.amount as left_amount,
        company_id as right_company_id,
        cast(null as varchar) as right_account_number,
        coalesce(acquired.amount, 0) as right_amount,
        invested.amount as eliminated_amount,
    from invested
    left join acquired using (group_id, company_id, period)
),

found as (
    select * from intercompany
    union all
    select * from investments
),

groups as (
    select distinct group_id, parent_company_id, period, period_end, currency, built_at from months
),

final as (
    select
        group_id,
        groups.parent_company_id as company_id,
        period,
        groups.period_end,
        found.kind,
        found.elimination,
        found.left_company_id,
        found.left_account_number,
        {{ sum_of_money('found.left_amount') }} as left_amount,
        found.right_company_id,
        found.right_account_number,
        {{ sum_of_money('found.right_amount') }} as right_amount,
        {{ sum_of_money('found.eliminated_amount') }} as eliminated_amount,
        {{ sum_of_money('found.left_amount + found.right_amount') }} as difference,
        found.left_amount + found.right_amount = 0 as is_matched,
        groups.currency,
        groups.built_at,
    from found
    inner join groups using (group_id, period)
)

select * from final
