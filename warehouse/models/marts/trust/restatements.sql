{{ config(post_hook=create_trial_balance_as_known()) }}
-- Every change after a close to a closed month's balances. An entry of an earlier month reaches the
-- later ones through their opening balances, so it is listed with each closed month that it moves.
with

changes as (
    select
        closes.period,
        closes.period_end,
        closes.closed_at,
        closes.compared_from,
        changes.*,
        {{ sum_of_money('case
            when was_counted and date_before <= period_end then coalesce(listed_before, 0) else 0
        end') }} as amount_before,
        {{ sum_of_money('case
            when is_counted and date_after <= period_end then coalesce(listed_after, 0) else 0
        end') }} as amount_after,
        coalesce(was_counted and date_before <= period_end and listed_before is not null, false)
            as was_in_balance,
        coalesce(is_counted and date_after <= period_end and listed_after is not null, false)
            as is_in_balance,
    from {{ ref('int_closed_changes') }} as changes
    inner join {{ ref('int_period_closes') }} as closes
        on closes.company_id = changes.company_id
        and closes.compared_from < changes.known_from
        and closes.period_end >= least(changes.date_before, changes.date_after)
),

judged as (
    select
        *,
        case
            when not was_listed then 'added'
            when not is_listed then 'removed'
            when status_before is distinct from status_after then 'status'
            when date_before is distinct from date_after then 'date'
            when listed_before is null or listed_after is null then 'account'
            when amount_before <> amount_after then 'amount'
        end as change_type,
    from changes
    where was_in_balance or is_in_balance
),

final as (
    select
        judged.company_id,
        judged.period,
        judged.closed_at,
        judged.compared_from,
        judged.account_id,
        accounts.account_number,
        accounts.account_name,
        judged.journal_id,
        judged.journal_number,
        judged.line_key,
        judged.date_before,
        judged.date_after,
        judged.status_before,
        judged.status_after,
        judged.change_type,
        judged.amount_before,
        judged.amount_after,
        {{ sum_of_money('judged.amount_after - judged.amount_before') }} as amount_delta,
        judged.period > date_trunc('month', greatest(judged.date_before, judged.date_after))
            as is_brought_forward,
        judged.known_from,
        judged.request_id,
        companies.currency,
        companies.built_at,
    from judged
    inner join {{ ref('stg_companies') }} as companies using (company_id)
    left join {{ ref('accounts') }} as accounts using (company_id, account_id)
    where judged.change_type is not null
)

select * from final
