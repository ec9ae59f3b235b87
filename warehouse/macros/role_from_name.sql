{# The role that an account's name suggests, within what its type and category allow; English and
   Malay words, the two languages of the vendor's market. The first match wins, so the narrow words
   come before the wide ones. Null where no word is known. #}
{% macro role_from_name(account_type, account_category, name) %}
    {%- set words = [
        ('asset', 'accum.*deprec|accum.*amorti|susut nilai terkumpul', 'accumulated_depreciation'),
        ('asset', '(input|recoverable|receivable|refund).*\\b(tax|gst|sst|vat)\\b', 'tax_receivable'),
        ('asset', '\\b(tax|gst|sst|vat)\\b.*(input|recoverable|receivable|refund)', 'tax_receivable'),
        ('asset', 'receivable|debtor|belum terima', 'accounts_receivable'),
        ('asset', 'inventor|stock in|stock on|^stock|stok', 'inventory'),
        ('asset', 'prepaid|prepayment|deposit paid|bayaran terdahulu', 'prepaid_expense'),
        ('asset', 'advance|deposit', 'other_receivable'),
        ('asset', 'cash|bank|petty|tunai|cimb|rhb|hsbc|ocbc|\\buob\\b|\\btill\\b|\\bkas\\b|wallet|paypal|stripe', 'cash'),
        ('liability', '\\b(tax|taxes|taxation|gst|sst|vat|cukai)\\b', 'tax_payable'),
        ('liability', 'accru|akru|epf|kwsp|socso|perkeso|payroll|salar|wage|gaji', 'accrued_expense'),
        ('liability', 'loan|borrowing|overdraft|hire purchase|lease|pinjaman', 'loan'),
        ('liability', 'accounts? payable|trade payable|^payables?$|creditor|belum bayar', 'accounts_payable'),
        ('liability', 'deferred|unearned|customer deposit|advance', 'deferred_revenue'),
        ('equity', 'retained|untung (tertahan|terkumpul)', 'retained_earnings'),
        ('equity', 'accumulated (profit|loss|earning|deficit)', 'retained_earnings'),
        ('equity', 'current.*earning|income summary|profit and loss|net (income|profit)', 'current_earnings'),
        ('equity', 'dividend|drawing|ambilan', 'dividends'),
        ('equity', 'opening balance', 'opening_balance_equity'),
        ('equity', 'capital|share|common stock|modal', 'share_capital'),
        ('expense', 'deprec|amorti|susut nilai', 'depreciation_expense'),
        ('expense', 'income tax|tax expense|taxation', 'income_tax_expense'),
        ('expense', 'interest|faedah', 'interest_expense'),
        ('expense', '(stock|inventory).*(adjust|loss|write|shrink|variance)', 'inventory_adjustment'),
    ] %}
    case
        {%- for type, pattern, role in words %}
        when {{ account_type }} = '{{ type }}' and regexp_matches({{ name }}, '{{ pattern }}')
            then '{{ role }}'
        {%- endfor %}
        when {{ account_category }} = 'fixed_asset' then 'fixed_asset'
        when {{ account_category }} = 'long_term_liability' then 'loan'
        when {{ account_category }} = 'operating_revenue' then 'revenue'
        when {{ account_category }} = 'other_revenue' then 'other_income'
        when {{ account_category }} = 'cost_of_goods_sold' then 'cost_of_goods_sold'
        when {{ account_category }} = 'operating_expense' then 'operating_expense'
        when {{ account_category }} = 'other_expense' then 'other_expense'
    end
{% endmacro %}
