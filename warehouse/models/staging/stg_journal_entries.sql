with

latest as (
    {{ latest_of(ref('hist_journal_entries')) }}
),

final as (
    select * replace (is_counted and not is_deleted as is_counted) from latest
)

select * from final
