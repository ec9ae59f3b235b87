-- From the first month without a rate on, the group is in no mart. A warning, for whoever writes the rates.
{{ config(severity='warn') }}

select
    months.group_id,
    months.company_id,
    months.period,
    months.missing_rate,
from {{ ref('group_companies') }} as months
inner join {{ ref('stg_companies') }} as companies using (company_id)
where months.missing_rate is not null and months.period_end < companies.today
