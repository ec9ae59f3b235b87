with

lines as (
    select
        group_id,
        parent_company_id as company_id,
        period,
        period_end,
        currency,
        built_at,
        case when section_order > 3 then 'equity' else section end as section,
        least(section_order, 3) as section_order,
        case when section_order > 3 then null else account_number end as account_number,
        case when section_order > 3 then 'Current year earnings' else account_name end as account_name,
        case when section_order = 1 then amount else -amount end as amount,
        kind,
    from {{ ref('group_trial_balance') }}
),

final as (
    select
        group_id,
        company_id,
        period_end as as_of_date,
        section,
        cast(row_number() over (
            partition by group_id, period_end
            order by section_order, account_number is null, account_number, account_name
        ) as integer) as line_order,
        account_number,
        account_name,
        account_number is null as is_computed,
        {{ sum_of_money("coalesce(sum(amount) filter (where kind not in ('elimination', 'minority')), 0)") }}
            as companies_amount,
        {{ sum_of_money("coalesce(sum(amount) filter (where kind = 'elimination'), 0)") }} as elimination_amount,
        {{ sum_of_money("coalesce(sum(amount) filter (where kind = 'minority'), 0)") }} as minority_amount,
        {{ sum_of_money('sum(amount)') }} as balance,
        currency,
        built_at,
    from lines
    group by group_id, company_id, period, period_end, currency, built_at, section, section_order, account_number, account_name
)

select * from final
