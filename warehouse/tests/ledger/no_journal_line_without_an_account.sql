-- Every affected line that counts names an account of the chart, deleted ones included, whose type is one of
-- the five, or is accepted as it is. Asked of staging, so that no statement is built on a line that
-- belongs nowhere.
select
    lines.company_id,
    lines.journal_id,
    entries.journal_number,
    lines.line_no,
    lines.account_id,
    lines.debit,
    lines.credit,
from {{ ref('stg_journal_lines') }} as lines
inner join {{ ref('stg_journal_entries') }} as entries using (company_id, journal_id)
inner join {{ ref('stg_companies') }} as companies using (company_id)
left join {{ ref('accounts') }} as accounts using (company_id, account_id)
where
    entries.is_counted
    and accounts.normal_side is null
    and {{ affected('entries') }}
    and not {{ is_accepted('unknown_account') }}
