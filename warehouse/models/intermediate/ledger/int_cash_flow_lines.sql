-- Which line of the cash flow statement shows an account of the balance sheet: its role decides, else
-- its category. Each account has exactly one, so that the statement foots by construction.
with

accounts as (
    select * from {{ ref('accounts') }} where statement = 'balance_sheet'
),

roles (account_role, line_order) as (
    values
        ('cash', 150),
        ('accumulated_depreciation', 20),
        ('accounts_receivable', 30),
        ('allowance_for_doubtful_debts', 30),
        ('inventory', 40),
        ('stock_in_transit', 40),
        ('prepaid_expense', 50),
        ('other_receivable', 60),
        ('pos_clearing', 80),
        ('tax_receivable', 70),
        ('accounts_payable', 90),
        ('goods_received_not_invoiced', 90),
        ('accrued_expense', 100),
        ('tax_payable', 110),
        ('deferred_revenue', 120),
        ('fixed_asset', 210),
        ('loan', 310),
        ('share_capital', 320),
        ('dividends', 330),
        ('retained_earnings', 340),
        ('current_earnings', 340),
        ('opening_balance_equity', 350)
),

lines (line_order, section, line_name) as (
    values
        (20, 'operating', 'Depreciation and amortisation added back'),
        (30, 'operating', 'Change in trade receivables'),
        (40, 'operating', 'Change in inventory'),
        (50, 'operating', 'Change in prepayments'),
        (60, 'operating', 'Change in other receivables'),
        (70, 'operating', 'Change in recoverable tax'),
        (80, 'operating', 'Change in other current assets'),
        (90, 'operating', 'Change in trade payables'),
        (100, 'operating', 'Change in accrued expenses'),
        (110, 'operating', 'Change in tax payable'),
        (120, 'operating', 'Change in deferred revenue'),
        (130, 'operating', 'Change in other liabilities'),
        (150, 'operating', 'Closing entries through cash'),
        (210, 'investing', 'Fixed assets at cost'),
        (220, 'investing', 'Other assets'),
        (310, 'financing', 'Loans'),
        (320, 'financing', 'Capital'),
        (330, 'financing', 'Dividends and drawings'),
        (340, 'financing', 'Entries on earnings other than closings'),
        (350, 'financing', 'Opening balances'),
        (360, 'financing', 'Other equity')
),

placed as (
    select
        accounts.company_id,
        accounts.account_id,
        coalesce(accounts.account_role = 'cash', false) as is_cash,
        coalesce(roles.line_order, case
            when accounts.account_type = 'equity' then 360
            when accounts.account_category = 'long_term_liability' then 310
            when accounts.account_type = 'liability' then 130
            when accounts.account_category = 'fixed_asset' then 210
            when accounts.account_category = 'other_asset' then 220
            else 80
        end) as line_order,
    from accounts
    left join roles using (account_role)
),

final as (
    select
        placed.company_id,
        placed.account_id,
        placed.is_cash,
        lines.section,
        cast(lines.line_order as integer) as line_order,
        lines.line_name,
    from placed
    inner join lines using (line_order)
)

select * from final
