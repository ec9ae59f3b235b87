-- An acceptance of what is not there, or not off any more, has no effect. A warning, for its writer.
{{ config(severity='warn') }}

select
    accepted.company_id,
    accepted.record_id,
    accepted.rule,
from {{ ref('int_accepted_exceptions') }} as accepted
left join {{ ref('exceptions') }} as exceptions using (company_id, record_id, rule)
where exceptions.rule is null
