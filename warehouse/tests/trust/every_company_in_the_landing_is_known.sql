-- A company that the inputs do not name drops out of every mart. A warning: where a first pull broke
-- off, its next one names it, and the books of the others do not wait for that.
{{ config(severity='warn') }}

with

landed as (
    {%- for entity in entities() %}
    select company_id from {{ ref('stg_' ~ entity) }}
    {{ 'union' if not loop.last }}
    {%- endfor %}
)

select landed.company_id
from landed
left join {{ ref('stg_companies') }} as companies using (company_id)
where companies.timezone is null
