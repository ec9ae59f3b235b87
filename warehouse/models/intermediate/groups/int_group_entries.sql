-- The lines of a group's trial balance, debit positive: what its companies have, translated, and what
-- consolidation adds. The lines of each part - a company, an elimination, a minority - add up to nothing.
with

months as (
    select * from {{ ref('group_companies') }} where is_complete
),

balances as (
    select
        balances.*,
        months.share,
        {{ owned('balances.amount', '(1 - months.share)') }} as amount_of_minority,
    from {{ ref('int_group_balances') }} as balances
    inner join months using (group_id, company_id, period)
),

eliminations as (
    select * from {{ ref('group_eliminations') }}
),

-- What makes a company's lines add up: the reserve; where it accepted entries that do not balance, what
-- they lack; and the cents that its lines were rounded by.
totals as (
    select
        group_id,
        company_id,
        period,
        any_value(months.share) as share,
        round(sum(balances.exact_reserve) filter (where balances.rate_kind <> 'closing'), 2) as reserve,
        -round(sum(cast(balances.local_amount as decimal(38, 2))) * any_value(months.closing_rate), 2) as unbalanced,
        sum(balances.amount) as amount,
        sum(balances.amount) filter (where balances.statement = 'profit_and_loss') as profit,
        sum(balances.amount_of_minority) filter (where balances.section = 'equity') as equity_of_minority,
    from balances
    inner join months using (group_id, company_id, period)
    group by group_id, company_id, period
),

-- It is an asset of the company that was bought, in that company's currency.
goodwill as (
    select
        months.group_id,
        months.company_id,
        months.period,
        eliminations.elimination,
        eliminations.difference as amount,
        {{ at_another_rate('eliminations.difference', 'months.historical_rate', 'months.closing_rate') }}
            - eliminations.difference as translated,
    from eliminations
    inner join months
        on months.group_id = eliminations.group_id
        and months.company_id = eliminations.right_company_id
        and months.period = eliminations.period
    where eliminations.kind = 'investment'
),

minorities as (
    select
        group_id,
        company_id,
        period,
        {{ owned('coalesce(reserve, 0)', '(1 - share)') }} as reserve,
        {{ owned('coalesce(profit, 0)', '(1 - share)') }} as profit,
        coalesce(equity_of_minority, 0) as equity,
    from totals
    where share < 1
),

computed as (
    {%- set lines = [
        ('totals', 'translation', 'company_id', 'Translation reserve', 'equity', 'coalesce(reserve, 0)'),
        ('totals', 'unbalanced', 'company_id', 'Entries that do not balance', 'equity', 'unbalanced'),
        ('totals', 'rounding', 'company_id', 'Rounding of translation', 'equity',
         '-(amount + coalesce(reserve, 0) + unbalanced)'),
        ('goodwill', 'elimination', 'elimination', 'Goodwill', 'assets', 'amount'),
        ('goodwill', 'translation', "'Goodwill of ' || company_id", 'Goodwill', 'assets', 'translated'),
        ('goodwill', 'translation', "'Goodwill of ' || company_id", 'Translation reserve', 'equity', '-translated'),
        ('minorities', 'minority', "'Minority of ' || company_id", 'Translation reserve', 'equity', '-reserve'),
        ('minorities', 'minority', "'Minority of ' || company_id", 'Profit of minority interests', 'minority_share',
         '-profit'),
        ('minorities', 'minority', "'Minority of ' || company_id", 'Minority interests', 'equity',
         'reserve + profit + equity'),
    ] %}
    {%- for source, kind, part, name, section, amount in lines %}
    select
        group_id,
        company_id,
        period,
        '{{ kind }}' as kind,
        {{ part }} as part,
        '{{ name }}' as account_name,
        '{{ section }}' as section,
        {{ amount }} as amount,
    from {{ source }}
    where {{ amount }} <> 0
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- The accounts that eliminations name.
taken_out as (
    select
        group_id,
        period,
        elimination as part,
        unnest([left_company_id, right_company_id]) as company_id,
        unnest([left_account_number, right_account_number]) as account_number,
        unnest([-eliminated_amount, case kind when 'intercompany' then eliminated_amount end]) as amount,
    from eliminations
),

of_accounts as (
    select
        *,
        'company' as kind,
        company_id as part,
    from balances
    union all by name
    select
        balances.* exclude (local_amount, exact_amount, amount),
        'elimination' as kind,
        taken_out.part,
        taken_out.amount,
    from taken_out
    inner join (
        select distinct on (group_id, company_id, period, account_number) *
        from balances
        order by account_id
    ) as balances using (group_id, company_id, period, account_number)
    where taken_out.amount <> 0
    union all by name
    select
        * exclude (local_amount, exact_amount, amount),
        'elimination' as kind,
        'Investment in ' || company_id as part,
        -{{ owned('exact_acquired', 'share') }} as amount,
    from balances
    where exact_acquired <> 0
        and (group_id, company_id) in (
            select (group_id, company_id) from months where investment_account is not null
        )
    union all by name
    select
        * exclude (local_amount, exact_amount, amount),
        'minority' as kind,
        'Minority of ' || company_id as part,
        -amount_of_minority as amount,
    from balances
    where section = 'equity' and amount_of_minority <> 0
),

final as (
    select
        group_id,
        company_id,
        period,
        kind,
        part,
        account_id,
        account_number,
        group_account_number,
        account_name,
        section,
        rate_kind,
        local_amount,
        exact_amount,
        amount,
    from of_accounts
    union all by name
    select * from computed
)

select * from final
