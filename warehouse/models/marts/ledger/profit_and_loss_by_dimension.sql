with

dimensions as (
    select distinct
        rules.company_id,
        rules.dimension,
        companies.currency,
        companies.built_at,
    from {{ source('user_tables', 'dimensions') }} as rules
    inner join {{ ref('stg_companies') }} as companies using (company_id)
),

accounts as (
    select * from {{ ref('accounts') }} where statement = 'profit_and_loss'
),

lines as (
    select
        ledger.company_id,
        ledger.line_key,
        ledger.period,
        ledger.account_id,
        {{ natural('ledger.amount', 'accounts.normal_side') }} as amount,
    from {{ ref('general_ledger') }} as ledger
    inner join accounts using (company_id, account_id)
    -- Entries of implausible dates are in no month of the statement.
    inner join {{ ref('periods') }} using (company_id, period)
    where
        not ledger.is_closing_entry
        and ledger.company_id in (select company_id from dimensions)
),

amounts as (
    select
        dimensions.company_id,
        dimensions.dimension,
        coalesce(assigned.value, 'unassigned') as value,
        lines.period,
        lines.account_id,
        {{ sum_of_money('sum(lines.amount)') }} as amount,
        any_value(dimensions.currency) as currency,
        any_value(dimensions.built_at) as built_at,
    from dimensions
    inner join lines using (company_id)
    left join {{ ref('ledger_dimensions') }} as assigned using (company_id, line_key, dimension)
    group by
        dimensions.company_id, dimensions.dimension, coalesce(assigned.value, 'unassigned'),
        lines.period, lines.account_id
),

final as (
    select
        amounts.company_id,
        amounts.dimension,
        amounts.value,
        amounts.period,
        accounts.section,
        accounts.section_order,
        amounts.account_id,
        accounts.account_number,
        accounts.account_name,
        amounts.amount,
        amounts.currency,
        amounts.built_at,
    from amounts
    inner join accounts using (company_id, account_id)
)

select * from final
