with

companies as (
    select * from {{ ref('stg_companies') }}
),

taxed as (
    select * from {{ ref('int_taxed_months') }}
),

-- Tax on sales: settling it with the authority, or tax on purchases, is no part of it.
movements as (
    select
        company_id,
        period,
        sum(tax_amount) as movement,
    from {{ ref('int_sales_entries') }}
    where is_on_tax and (is_on_receivables or is_on_revenue)
    group by company_id, period
),

-- A month in which the ledger has tax and no invoice line stands has one row, without a code.
listed as (
    select * from taxed
    union all by name
    select
        company_id,
        period,
        cast(null as varchar) as tax_code,
        0 as taxable_amount,
        0 as tax_amount,
        0 as invoice_count,
    from movements
    anti join taxed using (company_id, period)
    where movement <> 0
),

-- The codes share the accounts and no posting names its code: each has its part by its tax, and the
-- largest has what rounding leaves.
shared as (
    select
        listed.*,
        coalesce(movements.movement, 0) as movement,
        coalesce({{ money(share(
            'movements.movement', 'listed.tax_amount', 'sum(listed.tax_amount) over same_month'
        )) }}, 0) as part,
        row_number() over (
            partition by listed.company_id, listed.period
            order by abs(listed.tax_amount) desc, listed.tax_code, listed.tax_rate
        ) as place,
    from listed
    left join movements using (company_id, period)
    window same_month as (partition by listed.company_id, listed.period)
),

assigned as (
    select
        *,
        part + case
            when place = 1 then movement - sum(part) over (partition by company_id, period)
            else 0
        end as gl_tax_movement,
    from shared
),

final as (
    select
        assigned.company_id,
        assigned.period,
        assigned.tax_code,
        assigned.tax_rate,
        {{ money('assigned.taxable_amount') }} as taxable_amount,
        {{ money('assigned.tax_amount') }} as tax_amount,
        cast(assigned.invoice_count as integer) as invoice_count,
        {{ money('assigned.gl_tax_movement') }} as gl_tax_movement,
        {{ money('assigned.tax_amount - assigned.gl_tax_movement') }} as difference,
        companies.currency,
        companies.built_at,
    from assigned
    inner join companies using (company_id)
)

select * from final
