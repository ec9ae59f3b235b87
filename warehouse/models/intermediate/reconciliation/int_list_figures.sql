-- The marts' side of BigLedger's totals: the live records that staging holds of each list.
with

held as (
    {%- for entity in entities() %}
    select company_id, '{{ entity }}' as entity_key, count(*) as value
    from {{ ref('stg_' ~ entity) }}
    where not is_deleted
    group by company_id
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

totals as (
    select distinct
        company_id,
        report,
        as_of_date,
        period_from,
        entity_key,
    from {{ ref('stg_report_figures') }}
    where report = 'list_totals' and entity_key is not null
),

final as (
    select
        totals.company_id,
        totals.report,
        totals.as_of_date,
        totals.period_from,
        totals.entity_key,
        'records' as measure,
        {{ sum_of_quantity('coalesce(held.value, 0)') }} as value,
    from totals
    left join held using (company_id, entity_key)
)

select * from final
