{# What an account is for, by its own record. Its category decides: of what the category leaves open, a
   word in its name chooses (`role_from_name`), and where no word is known, the category alone says it
   (`role_from_category`). A word never speaks against the category: no fixed asset is cash, whatever it
   is called. Only where the category is none of BigLedger's may any word of the type be meant.

   English and Malay words, the two languages of the vendor's market. The first match wins, so the
   narrow words come before the wide ones; a role of none ends the search without a role. #}
{% macro role_from_name(account_type, account_category, name) %}
    {%- set categories = {
        'asset': ['current_asset', 'fixed_asset', 'other_asset'],
        'liability': ['current_liability', 'long_term_liability', 'other_liability'],
        'equity': ['equity'],
        'expense': ['cost_of_goods_sold', 'operating_expense', 'other_expense'],
    } -%}
    {%- set owed = '(receivable|debtor|belum terima|penghutang)' -%}
    {%- set not_trade = '\\b(other|sundry|non.?trade|lain.lain)\\b' -%}
    {%- set not_customers = '\\b(staff|employees?|directors?|shareholders?|related|inter.?compan(y|ies)|group'
        ~ '|holding|subsidiar(y|ies)|associates?|affiliates?|sister|loans?|notes?|interest|dividends?'
        ~ '|rent|rental|grants?|insurance|claims?|subsid(y|ies)|kakitangan|pengarah)\\b' -%}
    {%- set current = ['current_asset'] -%}
    {%- set not_fixed = ['current_asset', 'other_asset'] -%}
    {%- set owing = ['current_liability', 'other_liability'] -%}
    {%- set words = [
        ('asset', ['fixed_asset'], 'depreciation|\\bdepn\\b|\\b(accum|acc)\\w*\\W+(depr|amort)|amorti[sz]ation|impairment|susut nilai', 'accumulated_depreciation'),
        ('asset', ['other_asset'], '(accum|provision|allowance).*(deprec|amorti)|susut nilai terkumpul', 'accumulated_depreciation'),
        ('asset', not_fixed, '(input|recoverable|receivable|refund).*\\b(tax|gst|sst|vat)\\b', 'tax_receivable'),
        ('asset', not_fixed, '\\b(tax|gst|sst|vat)\\b.*(input|recoverable|receivable|refund)', 'tax_receivable'),
        ('asset', current, '(allowance|provision|impairment).*(debt|' ~ owed ~ ')|(doubtful|bad) debt', 'allowance_for_doubtful_debts'),
        ('asset', current, '^trade\\b.*' ~ owed, 'accounts_receivable'),
        ('asset', current, not_trade ~ '.*' ~ owed ~ '|' ~ owed ~ '.*' ~ not_trade, 'other_receivable'),
        ('asset', current, '\\btrade\\b.*' ~ owed ~ '|' ~ owed ~ '.*\\btrade\\b', 'accounts_receivable'),
        ('asset', current, not_customers ~ '.*' ~ owed ~ '|' ~ owed ~ '.*' ~ not_customers, 'other_receivable'),
        ('asset', current, owed, 'accounts_receivable'),
        ('asset', ['other_asset'], owed, 'other_receivable'),
        ('asset', not_fixed, '\\b(due|owing) (from|by)\\b', 'other_receivable'),
        ('asset', current, '\\b(stocks?|inventor(y|ies)|goods|merchandise|barang|stok)\\b.*\\b(in transit|dalam (perjalanan|transit))', 'stock_in_transit'),
        ('asset', current, 'inventor|stock in|stock on|^stock|stok', 'inventory'),
        ('asset', not_fixed, 'prepaid|prepayment|deposit paid|bayaran terdahulu', 'prepaid_expense'),
        ('asset', current, 'undeposited', 'cash'),
        ('asset', not_fixed, 'advance|deposit', 'other_receivable'),
        ('asset', current, 'cash|bank|petty|tunai|cimb|rhb|hsbc|ocbc|\\buob\\b|\\btill\\b|\\bkas\\b|wallet|paypal|stripe', 'cash'),
        ('liability', owing, '\\b(grni|gr/?ir|goods? received|receipts?|received|barang diterima|inventory|creditor)\\b.*\\b(not|un|belum)[ -]?(yet )?(invoiced|billed|invois|dibil)', 'goods_received_not_invoiced'),
        ('liability', owing, '\\bgrni\\b|\\bgr/?ir\\b|\\b(uninvoiced|unbilled) (receipts?|goods)', 'goods_received_not_invoiced'),
        ('liability', owing, '\\b(tax|taxes|taxation|gst|sst|vat|cukai)\\b', 'tax_payable'),
        ('liability', owing, 'accru|akru|epf|kwsp|socso|perkeso|payroll|salar|wage|gaji', 'accrued_expense'),
        ('liability', categories['liability'], 'loan|borrowing|overdraft|hire purchase|lease|pinjaman', 'loan'),
        ('liability', ['current_liability'], not_trade ~ '.*(payable|creditor|belum bayar)', none),
        ('liability', ['current_liability'], 'accounts? payable|trade payable|^payables?$|creditor|belum bayar', 'accounts_payable'),
        ('liability', categories['liability'], 'deferred (revenue|income)|unearned|customer deposit|advance', 'deferred_revenue'),
        ('liability', owing, 'deferred', 'deferred_revenue'),
        ('equity', ['equity'], 'retained|untung (tertahan|terkumpul)', 'retained_earnings'),
        ('equity', ['equity'], 'accumulated (profit|loss|earning|deficit)', 'retained_earnings'),
        ('equity', ['equity'], 'current.*earning|income summary|profit and loss|net (income|profit)', 'current_earnings'),
        ('equity', ['equity'], 'dividend|drawing|ambilan', 'dividends'),
        ('equity', ['equity'], 'opening balance', 'opening_balance_equity'),
        ('equity', ['equity'], 'capital|share|common stock|modal', 'share_capital'),
        ('expense', ['operating_expense', 'other_expense'], 'deprec|amorti|susut nilai', 'depreciation_expense'),
        ('expense', ['operating_expense', 'other_expense'], 'income tax|tax expense|taxation', 'income_tax_expense'),
        ('expense', ['operating_expense', 'other_expense'], 'interest|faedah', 'interest_expense'),
        ('expense', categories['expense'], '(stock|inventory).*(adjust|loss|write|shrink|variance)', 'inventory_adjustment'),
    ] %}
    case
        {%- for type, allowed, pattern, role in words %}
        when {{ account_type }} = '{{ type }}'
            and coalesce(
                {{ account_category }} in ('{{ allowed | join("', '") }}')
                or {{ account_category }} not in ('{{ categories[type] | join("', '") }}'),
                true
            )
            and regexp_matches({{ name }}, '{{ pattern }}')
            then {{ "'" ~ role ~ "'" if role else 'null' }}
        {%- endfor %}
    end
{% endmacro %}

{# The role of a category of which all accounts are for the same; null of the others. #}
{% macro role_from_category(account_category) %}
    case {{ account_category }}
        when 'fixed_asset' then 'fixed_asset'
        when 'long_term_liability' then 'loan'
        when 'operating_revenue' then 'revenue'
        when 'other_revenue' then 'other_income'
        when 'cost_of_goods_sold' then 'cost_of_goods_sold'
        when 'operating_expense' then 'operating_expense'
        when 'other_expense' then 'other_expense'
    end
{% endmacro %}
