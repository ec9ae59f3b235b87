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

totalled as (
    select
        *,
        sum(tax_amount) over (partition by company_id, period) as month_tax,
    from listed
),

-- The codes share the accounts and no posting names its code: each has its part by its tax, and the
-- largest has what rounding leaves.
shared as (
    select
        totalled.* exclude (month_tax),
        coalesce(movements.movement, 0) as movement,
        coalesce({{ sum_of_money(share(
            'movements.movement', 'totalled.tax_amount', 'totalled.month_tax'
        )) }}, 0) as part,
        row_number() over (
            partition by totalled.company_id, totalled.period
            order by abs(totalled.tax_amount) desc, totalled.tax_code, totalled.tax_rate
        ) as place,
    from totalled
    left join movements using (company_id, period)
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
        {{ sum_of_money('assigned.taxable_amount') }} as taxable_amount,
        {{ sum_of_money('assigned.tax_amount') }} as tax_amount,
        cast(assigned.invoice_count as integer) as invoice_count,
        {{ sum_of_money('assigned.gl_tax_movement') }} as gl_tax_movement,
        {{ sum_of_money('assigned.tax_amount - assigned.gl_tax_movement') }} as difference,
        companies.currency,
        companies.built_at,
    from assigned
    inner join companies using (company_id)
)

select * from final
