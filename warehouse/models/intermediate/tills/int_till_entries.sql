-- What entries did to the clearing accounts of the tills: a session's own bear its number, those of its
-- banking BNK- and its number; others are somebody's own. Debits are positive.
with

accounts as (
    select company_id, account_id from {{ ref('accounts') }} where account_role = 'pos_clearing'
),

numbers as (
    select
        company_id,
        unnest([session_number, 'BNK-' || session_number]) as reference,
        unnest(['taking', 'banking']) as kind,
        pos_session_id,
    from {{ ref('stg_pos_sessions') }}
    where not is_deleted and session_number <> ''
    qualify row_number() over (partition by company_id, session_number order by pos_session_id) = 1
),

lines as (
    select
        lines.company_id,
        lines.journal_id,
        any_value(lines.journal_number) as journal_number,
        any_value(lines.reference) as reference,
        lines.account_id,
        sum(lines.amount) as amount,
    from {{ ref('general_ledger') }} as lines
    inner join accounts using (company_id, account_id)
    inner join {{ ref('stg_companies') }} as companies using (company_id)
    where lines.journal_date <= companies.today
    group by lines.company_id, lines.journal_id, lines.account_id
),

-- Of what is banked, the part that does not reach the bank is the fee.
banked as (
    select
        ledger.company_id,
        ledger.journal_id,
        sum(ledger.amount) as amount,
    from {{ ref('general_ledger') }} as ledger
    inner join {{ ref('accounts') }} as chart using (company_id, account_id)
    where
        chart.account_role = 'cash'
        and (ledger.company_id, ledger.journal_id) in (select (company_id, journal_id) from lines)
    group by ledger.company_id, ledger.journal_id
),

summed as (
    select
        lines.*,
        sum(lines.amount) over (partition by lines.company_id, lines.journal_id) as entry_amount,
        coalesce(numbers.kind, 'entry') as kind,
        numbers.pos_session_id,
        coalesce(banked.amount, 0) as banked_amount,
    from lines
    left join numbers using (company_id, reference)
    left join banked using (company_id, journal_id)
),

final as (
    select
        company_id,
        journal_id,
        journal_number,
        account_id,
        kind,
        pos_session_id,
        {{ sum_of_money('amount') }} as amount,
        -- Of an entry on several clearing accounts each bears its part of the fee.
        case
            when kind = 'banking'
                then coalesce({{ sum_of_money(share('-entry_amount - banked_amount', 'amount', 'entry_amount')) }}, 0)
            else 0
        end as fee,
    from summed
)

select * from final
