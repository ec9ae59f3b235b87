-- Indirect method: what moved cash is what moved all other accounts, with the opposite sign. Closing
-- entries are left out on both sides; they carry profit into equity and move no cash.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

profits as (
    select
        company_id,
        period,
        'operating' as section,
        10 as line_order,
        'Net profit' as line_name,
        cast(null as varchar) as account_id,
        net_profit as amount,
    from {{ ref('profit_and_loss_summary') }}
),

-- A closing entry that did touch cash has to be somewhere, or the statement would not foot.
movements as (
    select
        months.company_id,
        months.period,
        lines.section,
        lines.line_order,
        lines.line_name,
        months.account_id,
        {{ sum_of_money('case
            when lines.is_cash then months.closing_entries
            else months.closing_entries - months.net_movement
        end') }} as amount,
    from {{ ref('int_account_months') }} as months
    inner join {{ ref('int_cash_flow_lines') }} as lines using (company_id, account_id)
    where not lines.is_cash or months.closing_entries <> 0
),

final as (
    select
        lines.company_id,
        lines.period,
        lines.section,
        lines.line_order,
        lines.line_name,
        lines.account_id,
        accounts.account_number,
        accounts.account_name,
        lines.amount,
        companies.currency,
        companies.built_at,
    from (select * from profits union all select * from movements) as lines
    inner join companies using (company_id)
    left join {{ ref('accounts') }} as accounts using (company_id, account_id)
)

select * from final
