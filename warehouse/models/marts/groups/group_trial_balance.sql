with

months as (
    select * from {{ ref('group_companies') }} where is_complete
),

entries as (
    select * from {{ ref('int_group_entries') }}
),

-- An account of the group is called as in the parent's chart, else as the first company with the number calls it.
names as (
    select
        months.group_id,
        accounts.account_number as group_account_number,
        any_value(
            accounts.account_name
            order by accounts.company_id <> months.parent_company_id, accounts.company_id, accounts.account_id
        ) as account_name,
    from (select distinct group_id, company_id, parent_company_id from months) as months
    inner join {{ ref('accounts') }} as accounts using (company_id)
    group by months.group_id, accounts.account_number
),

final as (
    select
        group_id,
        months.parent_company_id,
        period,
        months.period_end,
        entries.kind,
        entries.part,
        company_id,
        entries.section,
        cast(
            case entries.section
                when 'assets' then 1
                when 'liabilities' then 2
                when 'equity' then 3
                when 'operating_revenue' then 4
                when 'cost_of_goods_sold' then 5
                when 'operating_expense' then 6
                when 'other_revenue' then 7
                when 'other_expense' then 8
                when 'minority_share' then 9
            end as integer
        ) as section_order,
        entries.group_account_number as account_number,
        coalesce(names.account_name, entries.account_name) as account_name,
        entries.account_id as company_account_id,
        entries.account_number as company_account_number,
        months.local_currency,
        entries.local_amount,
        entries.rate_kind,
        case
            when entries.local_amount <> 0 then try_cast({{ divided(
                'cast(10000000000 * entries.exact_amount as hugeint)',
                'cast(100 * cast(entries.local_amount as decimal(38, 2)) as hugeint)'
            ) }} * 0.00000001 as decimal(18, 8))
        end as rate,
        {{ sum_of_money('entries.amount') }} as amount,
        months.currency,
        months.built_at,
    from entries
    inner join months using (group_id, company_id, period)
    left join names using (group_id, group_account_number)
    where entries.amount <> 0 or entries.local_amount <> 0
)

select * from final
