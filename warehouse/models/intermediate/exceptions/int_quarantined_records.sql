-- Records that could not be typed and of which no later version landed, nor were they found deleted.
with

received as (
    {{ quarantined() }}
),

named as (
    select
        *,
        case entity
            {%- for entity in entities() %}
            when '{{ entity }}' then
                if(json is null, {{ own_id_in_text(entity, 'payload') }}, {{ own_id_of(entity, 'json') }})
            {%- endfor %}
        end as own_id,
    from (
        -- A record that is no JSON has a name all the same, once what no JSON may hold is out of it.
        select *, coalesce(try_cast(payload as json), try_cast({{ legible('payload') }} as json)) as json,
        from received
    ) as parsed
),

records as (
    select
        company_id,
        entity,
        coalesce(own_id, 'without an id in ' || request_id) as record_id,
        count(*) as versions,
        arg_max(reason, pulled_at) as reason,
        arg_max(request_id, pulled_at) as request_id,
        min(pulled_at) as first_seen,
        max(pulled_at) as last_seen,
    from named
    group by all
),

landed as (
    {%- for entity in entities() %}
    select
        '{{ entity }}' as entity,
        company_id,
        {{ record_id_of(entity) }} as record_id,
        max(known_from) as known_from,
    from {{ ref('hist_' ~ entity) }}
    where (company_id, '{{ entity }}', {{ record_id_of(entity) }}) in (select (company_id, entity, record_id) from records)
    group by all
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

final as (
    select records.*
    from records
    left join landed
        on landed.company_id = records.company_id
        and landed.entity = records.entity
        and landed.record_id = records.record_id
        and landed.known_from > records.last_seen
    where landed.known_from is null
)

select * from final
