with

lines as (
    select * from {{ ref('int_balance_sheet_lines') }}
),

companies as (
    select * from {{ ref('stg_companies') }}
),

final as (
    select
        lines.company_id,
        lines.as_of_date,
        lines.section,
        lines.subsection,
        cast(row_number() over (
            partition by lines.company_id, lines.as_of_date
            order by
                lines.section_order,
                lines.is_computed,
                case lines.subsection
                    when 'current_asset' then 1
                    when 'fixed_asset' then 2
                    when 'other_asset' then 3
                    when 'current_liability' then 4
                    when 'long_term_liability' then 5
                    when 'other_liability' then 6
                    else 7
                end,
                lines.account_number,
                lines.account_id,
                lines.account_name desc
        ) as integer) as line_order,
        lines.account_id,
        lines.account_number,
        lines.account_name,
        lines.is_computed,
        lines.balance,
        {{ sum_of_money('coalesce(lag(lines.balance, 1) over line_history, 0)') }} as previous_month_balance,
        {{ sum_of_money('coalesce(lag(lines.balance, 12) over line_history, 0)') }} as previous_year_balance,
        companies.currency,
        companies.built_at,
    from lines
    inner join companies using (company_id)
    -- Lines are dense by month, so rows before are months before.
    window line_history as (
        partition by lines.company_id, lines.is_computed, coalesce(lines.account_id, lines.account_name)
        order by lines.period
    )
)

select * from final
