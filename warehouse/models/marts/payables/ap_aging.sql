with

open_items as (
    select * from {{ ref('ap_open_items') }}
),

suppliers as (
    select
        company_id,
        supplier_id,
        credit_limit,
        known_from,
    from {{ ref('hist_suppliers') }}
    where not is_deleted
),

companies as (
    select * from {{ ref('stg_companies') }}
),

totals as (
    select
        company_id,
        as_of_date,
        supplier_id,
        case when supplier_id is not null then max(supplier_name) end as supplier_name,
        {%- for bucket, name in [('current', 'current'), ('31_60', 'days_31_60'), ('61_90', 'days_61_90'), ('over_90', 'over_90')] %}
        coalesce(sum(open_amount) filter (where bucket = '{{ bucket }}'), 0) as {{ name }},
        {%- endfor %}
        coalesce(sum(open_amount), 0) as total_outstanding,
        coalesce(sum(open_amount) filter (where days_past_due > 0), 0) as total_overdue,
        greatest(max(days_past_due), 0) as oldest_days,
        count(*) filter (where open_amount is null) as bills_without_rate,
    from open_items
    group by company_id, as_of_date, supplier_id
),

-- Today is whatever is known by now; another day ends at its midnight in the company's time zone.
dated as (
    select
        totals.*,
        companies.currency,
        companies.built_at,
        case
            when totals.as_of_date = companies.today then cast('infinity' as timestamp)
            else {{ utc('cast(totals.as_of_date + 1 as timestamp) at time zone companies.timezone') }}
        end as known_before,
    from totals
    inner join companies using (company_id)
),

final as (
    select
        dated.company_id,
        dated.as_of_date,
        dated.supplier_id,
        dated.supplier_name,
        {%- for name in ['current', 'days_31_60', 'days_61_90', 'over_90', 'total_outstanding', 'total_overdue'] %}
        {{ sum_of_money('dated.' ~ name) }} as {{ name }},
        {%- endfor %}
        cast(dated.oldest_days as integer) as oldest_days,
        suppliers.credit_limit,
        cast(dated.bills_without_rate as integer) as bills_without_rate,
        dated.currency,
        dated.built_at,
    from dated
    asof left join suppliers
        on suppliers.company_id = dated.company_id
        and suppliers.supplier_id = dated.supplier_id
        and dated.known_before > suppliers.known_from
)

select * from final
