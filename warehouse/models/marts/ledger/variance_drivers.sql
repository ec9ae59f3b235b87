with

months as (
    {{ compared_months() }}
),

charted as (
    select * from {{ ref('accounts') }} where statement = 'profit_and_loss'
),

accounts as (
    select
        company_id,
        account_number,
        any_value(account_name order by account_id) as account_name,
        any_value(section order by account_id) as section,
        any_value(section_order order by account_id) as section_order,
    from charted
    group by company_id, account_number
),

numbered as (
    select
        company_id,
        invoice_number as reference,
        'customer' as party_type,
        customer_id as party_id,
        customer_name as party_name,
    from {{ ref('stg_invoices') }}
    where invoice_number <> '' and customer_id <> ''
    union all
    select
        company_id,
        bill_number,
        'supplier',
        supplier_id,
        supplier_name,
    from {{ ref('stg_bills') }}
    where bill_number <> '' and supplier_id <> ''
),

-- A number that documents of two parties share says of no entry whose it is.
documents as (
    select
        company_id,
        reference,
        any_value(party_type) as party_type,
        any_value(party_id) as party_id,
        max(party_name) as party_name,
    from numbered
    group by company_id, reference
    having min((party_type, party_id)) = max((party_type, party_id))
),

lines as (
    select
        ledger.company_id,
        ledger.period,
        charted.account_number,
        nullif(ledger.reference, '') as reference,
        ledger.journal_number,
        sum({{ natural('ledger.amount', 'charted.normal_side') }}) as amount,
    from {{ ref('general_ledger') }} as ledger
    inner join charted using (company_id, account_id)
    where
        not ledger.is_closing_entry
        and ledger.period >= (select least(min(period), min(compared_period)) from months)
    group by
        ledger.company_id, ledger.period, charted.account_number, nullif(ledger.reference, ''),
        ledger.journal_number
),

-- Whom the entry is about; else the mark that it bears, which may come again in another month.
driven as (
    select
        lines.company_id,
        lines.period,
        lines.account_number,
        case
            when documents.party_id is not null then documents.party_type
            when lines.reference is not null then 'reference'
            else 'entry'
        end as driver_type,
        coalesce(documents.party_id, lines.reference, lines.journal_number, '') as driver_id,
        max(documents.party_name) as driver_name,
        sum(lines.amount) as amount,
    from lines
    left join documents using (company_id, reference)
    group by all
),

sides as (
    select
        months.company_id, months.period, months.comparison, months.version,
        driven.account_number, driven.driver_type, driven.driver_id, driven.driver_name,
        driven.amount,
        0 as compared_amount,
    from months
    inner join driven using (company_id, period)
    union all by name
    select
        months.company_id, months.period, months.comparison, months.version,
        driven.account_number, driven.driver_type, driven.driver_id, driven.driver_name,
        0 as amount,
        driven.amount as compared_amount,
    from months
    inner join driven
        on driven.company_id = months.company_id and driven.period = months.compared_period
    union all by name
    select
        months.company_id, months.period, months.comparison, months.version,
        plans.account_number,
        'budget' as driver_type,
        months.version as driver_id,
        null as driver_name,
        0 as amount,
        plans.amount as compared_amount,
    from months
    inner join {{ source('user_tables', 'budget') }} as plans using (company_id, period, version)
),

drivers as (
    select
        company_id,
        period,
        comparison,
        version,
        account_number,
        driver_type,
        driver_id,
        max(driver_name) as driver_name,
        sum(amount) as amount,
        sum(compared_amount) as compared_amount,
    from sides
    group by company_id, period, comparison, version, account_number, driver_type, driver_id
),

summed as (
    select
        company_id,
        period,
        comparison,
        version,
        account_number,
        sum(amount) as amount,
        sum(compared_amount) as compared_amount,
    from drivers
    group by company_id, period, comparison, version, account_number
),

-- A number in its company stands for the other keys of a movement, which are slow to sort and group by.
movements as materialized (
    select
        *,
        row_number() over (
            partition by company_id order by period, comparison, version, account_number
        ) as movement_no,
    from summed
    where {{ is_listed_movement('amount - compared_amount', 'compared_amount') }}
),

-- What was planned stands by itself, because nobody bears a share of it.
ranked as (
    select
        movements.company_id,
        movements.movement_no,
        drivers.driver_type,
        drivers.driver_id,
        drivers.driver_name,
        drivers.amount,
        drivers.compared_amount,
        case
            when drivers.driver_type = 'budget' then 0
            else row_number() over (
                partition by movements.company_id, movements.movement_no
                order by
                    drivers.driver_type = 'budget',
                    abs(drivers.amount - drivers.compared_amount) desc,
                    drivers.driver_type,
                    drivers.driver_id
            )
        end as place,
    from drivers
    inner join movements
        on movements.company_id = drivers.company_id
        and movements.period = drivers.period
        and movements.comparison = drivers.comparison
        and movements.version is not distinct from drivers.version
        and movements.account_number is not distinct from drivers.account_number
),

named as (
    select
        company_id,
        movement_no,
        least(place, {{ var('variance_drivers') }} + 1) as driver_order,
        any_value(driver_type) as driver_type,
        any_value(driver_id) as driver_id,
        any_value(driver_name) as driver_name,
        sum(amount) as amount,
        sum(compared_amount) as compared_amount,
    from ranked
    group by company_id, movement_no, least(place, {{ var('variance_drivers') }} + 1)
),

final as (
    select
        movements.company_id,
        movements.period,
        movements.comparison,
        movements.version,
        accounts.section,
        accounts.section_order,
        movements.account_number,
        accounts.account_name,
        {{ sum_of_money('movements.amount') }} as account_amount,
        {{ sum_of_money('movements.compared_amount') }} as account_compared_amount,
        {{ sum_of_money('movements.amount - movements.compared_amount') }} as account_movement,
        cast(named.driver_order as integer) as driver_order,
        {%- set is_named = 'named.driver_order <= ' ~ var('variance_drivers') %}
        case when {{ is_named }} then named.driver_type else 'rest' end as driver_type,
        case when {{ is_named }} then named.driver_id end as driver_id,
        case when {{ is_named }} then coalesce(named.driver_name, named.driver_id) end as driver_name,
        {{ sum_of_money('named.amount') }} as amount,
        {{ sum_of_money('named.compared_amount') }} as compared_amount,
        {{ sum_of_money('named.amount - named.compared_amount') }} as movement,
        companies.currency,
        companies.built_at,
    from named
    inner join movements using (company_id, movement_no)
    inner join accounts
        on accounts.company_id = movements.company_id
        and accounts.account_number is not distinct from movements.account_number
    inner join {{ ref('stg_companies') }} as companies on companies.company_id = movements.company_id
)

select * from final
