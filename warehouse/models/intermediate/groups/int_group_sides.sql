-- What each side of an elimination has in a month, debit positive and in the group's currency: of an asset
-- or a liability the balance, of revenue, expense and equity what moved in the fiscal year; of an account
-- that a side shares with others, its customer's or supplier's part alone, by the documents.
with

sides as (
    select
        sides.*,
        months.period,
        months.fiscal_year,
        months.average_rate,
        months.closing_rate,
        least(months.period_end, companies.today) as as_of_date,
    from {{ source('user_tables', 'group_counterparties') }} as sides
    inner join {{ ref('group_companies') }} as months using (group_id, company_id)
    inner join {{ ref('stg_companies') }} as companies using (company_id)
    where months.is_complete
),

accounts as (
    select
        company_id,
        account_number,
        any_value(statement) as statement,
    from {{ ref('accounts') }}
    group by company_id, account_number
),

whole_accounts as (
    select
        sides.group_id,
        sides.elimination,
        sides.side,
        sides.period,
        sum(case when balances.section in ('assets', 'liabilities') then balances.amount else balances.ytd_amount end)
            as amount,
    from sides
    inner join {{ ref('int_group_balances') }} as balances using (group_id, company_id, period, account_number)
    where sides.customer_id is null and sides.supplier_id is null
    group by all
),

open_items as (
    {%- for who, items, sign in [('customer_id', 'ar_open_items', 1), ('supplier_id', 'ap_open_items', -1)] %}
    select
        sides.group_id,
        sides.elimination,
        sides.side,
        sides.period,
        round({{ sign }} * cast(sum(items.open_amount) as decimal(38, 2)) * any_value(sides.closing_rate), 2) as amount,
    from sides
    inner join accounts using (company_id, account_number)
    inner join {{ ref(items) }} as items using (company_id, {{ who }}, as_of_date)
    where accounts.statement = 'balance_sheet'
    group by all
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- Of each month, in the company's currency; a bill by how much its entry says that all of it comes to.
documents as (
    select
        sides.group_id,
        sides.elimination,
        sides.side,
        sides.period,
        -sum(revenue.net_revenue) as amount,
    from sides
    inner join {{ ref('revenue_monthly') }} as revenue using (company_id, customer_id, period)
    group by all
    union all
    select
        sides.group_id,
        sides.elimination,
        sides.side,
        sides.period,
        sum({{ share('lines.line_total', 'versions.bill_total', 'bills.total') }}) as amount,
    from sides
    inner join {{ ref('bill_lines') }} as lines using (company_id, supplier_id, account_number, period)
    inner join {{ ref('bills') }} as bills using (company_id, bill_id)
    inner join {{ ref('int_bill_versions') }} as versions
        on versions.company_id = lines.company_id
        and versions.bill_id = lines.bill_id
        and versions.is_current
    where lines.is_recognised
    group by all
),

documents_of_year as (
    select
        sides.group_id,
        sides.elimination,
        sides.side,
        sides.period,
        round(sum(cast(coalesce(documents.amount, 0) as decimal(38, 2)) * sides.average_rate) over (
            partition by sides.group_id, sides.elimination, sides.side, sides.fiscal_year
            order by sides.period
        ), 2) as amount,
    from sides
    inner join accounts using (company_id, account_number)
    left join documents using (group_id, elimination, side, period)
    where accounts.statement = 'profit_and_loss'
        and (sides.customer_id is not null or sides.supplier_id is not null)
),

amounts as (
    select * from whole_accounts
    union all
    select * from open_items
    union all
    select * from documents_of_year
),

final as (
    select
        sides.group_id,
        sides.elimination,
        sides.side,
        sides.period,
        sides.company_id,
        sides.account_number,
        {{ sum_of_money('coalesce(amounts.amount, 0)') }} as amount,
    from sides
    left join amounts using (group_id, elimination, side, period)
)

select * from final
