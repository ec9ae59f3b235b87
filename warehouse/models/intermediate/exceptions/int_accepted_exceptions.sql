-- What the user has accepted, one row a record and rule (accepted_exceptions.csv).
with

final as (
    {{ accepted_exceptions() }}
)

select * from final
