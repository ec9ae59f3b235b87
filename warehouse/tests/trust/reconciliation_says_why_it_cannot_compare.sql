-- A reason where there is no comparison and nowhere else; a pass has no difference, a fail has one.
select
    company_id,
    check_name,
    as_of_date,
    entity_key,
    status,
from {{ ref('reconciliation') }}
where
    (status = 'not_comparable') <> (reason is not null)
    or (status = 'pass' and difference is distinct from 0)
    or (status = 'fail' and coalesce(difference, 0) = 0)
    or (is_healed and status <> 'pass')
