with

companies as (
    select * from {{ ref('stg_companies') }}
),

-- An entry with cash in it is a collection even where revenue is in it too.
movements as (
    select
        company_id,
        period,
        sum(receivable_amount) as net_movement,
        -sum(case when is_on_cash then receivable_amount else 0 end) as cash_collected,
        sum(case when not is_on_cash and (is_on_revenue or is_on_tax) then receivable_amount else 0 end)
            as credit_sales,
    from {{ ref('int_sales_entries') }}
    where is_on_receivables
    group by company_id, period
),

-- What is dated before all plausible months opens the first one.
brought_forward as (
    select
        movements.company_id,
        sum(movements.net_movement) as balance,
    from movements
    inner join companies using (company_id)
    where {{ is_before_span('movements.period', 'companies.today') }}
    group by movements.company_id
),

agings as (
    select
        company_id,
        as_of_date,
        sum(total_outstanding) as outstanding,
        sum(total_overdue) as overdue,
        sum(over_90) as over_90,
        bool_or(is_reconstructed) as is_reconstructed,
    from {{ ref('ar_aging') }}
    group by company_id, as_of_date
),

-- The other two sides of the cash that is tied up: what lies in stock, and what is owed for it.
purchases as (
    select
        company_id,
        period,
        sum(case when is_on_cash then 0 else payable_amount end) as purchases,
    from {{ ref('int_purchase_entries') }}
    where is_on_payables
    group by company_id, period
),

tied_up as (
    select
        months.company_id,
        months.period,
        sum(case when accounts.account_role in ('inventory', 'stock_in_transit') then months.closing_balance else 0 end)
            as inventory,
        -sum(case when accounts.account_role = 'accounts_payable' then months.closing_balance else 0 end) as payables,
    from {{ ref('int_account_months') }} as months
    inner join {{ ref('accounts') }} as accounts using (company_id, account_id)
    where accounts.account_role in ('inventory', 'stock_in_transit', 'accounts_payable')
    group by months.company_id, months.period
),

payments as (
    select
        invoices.company_id,
        cast(date_trunc('month', invoices.last_payment_date) as date) as period,
        sum(date_diff('day', invoices.invoice_date, invoices.last_payment_date)) as days_to_pay,
        count(invoices.invoice_date) as paid_count,
    from {{ ref('invoices') }} as invoices
    inner join companies using (company_id)
    where
        invoices.is_recognised
        and invoices.amount_due <= 0
        and invoices.total > 0
        and {{ is_plausible('invoices.invoice_date', 'companies.today') }}
        and {{ is_plausible('invoices.last_payment_date', 'companies.today') }}
    group by invoices.company_id, date_trunc('month', invoices.last_payment_date)
),

months as (
    select
        periods.*,
        coalesce(movements.net_movement, 0) as net_movement,
        coalesce(brought_forward.balance, 0) as brought_forward,
        coalesce(movements.credit_sales, 0) as credit_sales,
        coalesce(movements.cash_collected, 0) as cash_collected,
        coalesce(purchases.purchases, 0) as purchases,
        coalesce(tied_up.inventory, 0) as inventory,
        coalesce(tied_up.payables, 0) as payables,
        coalesce(sold.cost_of_goods_sold, 0) as cost_of_goods_sold,
        greatest(date_diff('day', periods.period, least(periods.period_end, companies.today)) + 1, 0)
            as days,
        periods.period <= companies.today as has_begun,
        least(periods.period_end, companies.today) as as_of_date,
    from {{ ref('periods') }} as periods
    inner join companies using (company_id)
    left join movements using (company_id, period)
    left join purchases using (company_id, period)
    left join tied_up using (company_id, period)
    left join {{ ref('profit_and_loss_summary') }} as sold using (company_id, period)
    left join brought_forward using (company_id)
),

balances as (
    select
        *,
        {{ sum_of_money('brought_forward + sum(net_movement) over (
            partition by company_id order by period rows between unbounded preceding and current row
        )') }} as closing_ar,
        {{ sum_of_money('sum(credit_sales) over quarter') }} as quarter_sales,
        {{ sum_of_money('sum(cost_of_goods_sold) over quarter') }} as quarter_costs,
        {{ sum_of_money('sum(purchases) over quarter') }} as quarter_purchases,
        sum(days) over quarter as quarter_days,
    from months
    window quarter as (partition by company_id order by period rows between 2 preceding and current row)
),

timed as (
    select
        *,
        {%- for name, balance, flow in [
            ('dso', 'closing_ar', 'quarter_sales'),
            ('dio', 'inventory', 'quarter_costs'),
            ('dpo', 'payables', 'quarter_purchases'),
        ] %}
        case
            when has_begun and {{ flow }} > 0
                then {{ quotient('cast(' ~ balance ~ ' as decimal(38, 2)) * quarter_days', flow, 1) }}
        end as {{ name }},
        {%- endfor %}
    from balances
),

final as (
    select
        balances.company_id,
        balances.period,
        {{ sum_of_money('balances.closing_ar - balances.net_movement') }} as opening_ar,
        {{ sum_of_money('balances.credit_sales') }} as credit_sales,
        {{ sum_of_money('balances.cash_collected') }} as cash_collected,
        {{ sum_of_money('balances.net_movement - balances.credit_sales + balances.cash_collected') }}
            as other_movement,
        balances.closing_ar,
        balances.dso,
        {{ percent('agings.overdue', 'agings.outstanding') }} as overdue_pct,
        {{ percent('agings.over_90', 'agings.outstanding') }} as over_90_pct,
        {{ quotient('payments.days_to_pay', 'payments.paid_count', 2) }} as avg_days_to_pay,
        balances.dio,
        balances.dpo,
        cast(balances.dso + balances.dio - balances.dpo as decimal(18, 1)) as cash_conversion_days,
        coalesce(agings.is_reconstructed, false) as is_reconstructed,
        balances.currency,
        balances.built_at,
    from timed as balances
    left join agings
        on balances.has_begun
        and agings.company_id = balances.company_id
        and agings.as_of_date = balances.as_of_date
    left join payments
        on payments.company_id = balances.company_id and payments.period = balances.period
)

select * from final
