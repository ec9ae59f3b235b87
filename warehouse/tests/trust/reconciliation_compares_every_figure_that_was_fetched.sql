-- One row a figure fetched for a known company, whatever the marts hold.
select
    figures.company_id,
    figures.report,
    figures.as_of_date,
    figures.entity_key,
    figures.measure,
from {{ ref('stg_report_figures') }} as figures
inner join {{ ref('stg_companies') }} as companies on companies.company_id = figures.company_id
left join {{ ref('reconciliation') }} as reconciliation
    on reconciliation.company_id = figures.company_id
    and replace(reconciliation.check_name, 'profit_and_loss', 'profit_loss') = figures.report
    and reconciliation.as_of_date = figures.as_of_date
    and reconciliation.period_from is not distinct from figures.period_from
    and reconciliation.entity_key = figures.entity_key || ':' || figures.measure
where figures.entity_key is not null and reconciliation.source_value is distinct from figures.value
