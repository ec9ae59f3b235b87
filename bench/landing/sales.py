"""Invoices, their payments, and what they are of: customers, items, stock, the chart of accounts.

Invoices of the last two months are open and one in fifty of the others. A night brings new ones and
pays as many old ones.
"""

from __future__ import annotations

from landing.facts import Documents, entry, numbers, share_of

MACROS = """
create or replace macro subtotal(n) as sum_of(n, part(n, 1), part(n, 2), part(n, 3));
create or replace macro tax(n) as
    sum_of(n, tax_of(part(n, 1)), tax_of(part(n, 2)), tax_of(part(n, 3)));
create or replace macro total(n) as cast(subtotal(n) + tax(n) as decimal(18, 2));
create or replace macro paid_on(n, size, load) as
    if(load = 0, day_of(n, size) + 20, night_of(load));
create or replace macro line(n, k, times) as {
    'id': concat('line_', k), 'itemId': concat('item_', item_of(n, k)),
    'itemCode': concat('SKU', item_of(n, k)), 'description': 'Minyak masak 5kg',
    'quantity': times * (1 + n % 9), 'unitPrice': part(n, k) / (1 + n % 9), 'discountPercent': 0,
    'discountAmount': 0, 'lineTotal': times * part(n, k), 'taxCode': 'SST6', 'taxRate': 6,
    'taxAmount': times * tax_of(part(n, k))};
"""
INVOICE = {
    "id": "concat('inv_', n)",
    "invoiceNumber": "concat('INV-', n)",
    "customerId": "concat('cust_', n * 13 % customers)",
    "customer": "{'id': concat('cust_', n * 13 % customers), 'name': 'Kedai', 'email': null}",
    "salesOrderId": "if(n % 10 = 0, concat('so_', n // 10), null)",
    "invoiceDate": "day_of(n, size)",
    "dueDate": "day_of(n, size) + 30",
    "status": "if(is_paid, 'paid', 'sent')",
    "currency": "'MYR'",
    "exchangeRate": "1",
    "reference": "concat('PO', n)",
    "items": "lines_of(n, line(n, 1, 1), line(n, 2, 1), line(n, 3, 1))",
    "subtotal": "subtotal(n)",
    "totalDiscount": "0",
    "totalTax": "tax(n)",
    "shippingCost": "0",
    "total": "total(n)",
    "amountPaid": "if(is_paid, total(n), 0)",
    "amountDue": "if(is_paid, 0, total(n))",
    "paymentStatus": "if(is_paid, 'paid', 'unpaid')",
    "lastPaymentDate": "if(is_paid, paid_on(n, size, load), null)",
    "einvoice": "{'status': 'accepted', 'uuid': concat('uuid_', n),"
    " 'submittedAt': cast(day_of(n, size) as timestamptz),"
    " 'acceptedAt': cast(day_of(n, size) + 1 as timestamptz)}",
    "createdAt": "cast(day_of(n, size) as timestamptz)",
    "updatedAt": "pulled_at - interval 1 hour",
}
SALE = entry(
    "concat('JE-', n)",
    "day_of(n, size)",
    "concat('INV-', n)",
    "Invoice",
    "[leg(1, '1200', total(n)), leg(2, concat('4', lpad(cast(n % 40 as varchar), 3, '0')),"
    " -subtotal(n)), leg(3, '2200', -tax(n))]",
    "total(n)",
)
PAYMENT = entry(
    "concat('PAY-', load, '-', day)",
    "day",
    "null",
    "Payments",
    "[leg(1, '1000', amount), leg(2, '1200', -amount)]",
    "amount",
)
CUSTOMER = {
    "id": "concat('cust_', n)",
    "customerNumber": "concat('C', n)",
    "name": "concat('Kedai Runcit ', n)",
    "type": "'business'",
    "email": "concat('owner', n, '@example.com')",
    "currency": "'MYR'",
    "paymentTerms": "30",
    "creditLimit": "5000",
    "status": "'active'",
    "createdAt": "timestamptz '2022-12-01'",
    "updatedAt": "pulled_at - interval 1 hour",
}
ITEM = {
    "id": "concat('item_', n)",
    "itemCode": "concat('SKU', n)",
    "name": "concat('Item ', n)",
    "type": "'inventory'",
    "unit": "'pcs'",
    "accounting": "{'incomeAccountId': 'acc_4000', 'expenseAccountId': 'acc_5000',"
    " 'assetAccountId': 'acc_1300'}",
    "isActive": "true",
    "createdAt": "timestamptz '2022-12-01'",
    "updatedAt": "pulled_at - interval 1 hour",
}
STOCK = {
    "itemId": "concat('item_', n)",
    "locationId": "'main'",
    "currentStock": "10",
    "availableStock": "10",
    "averageCost": "2",
    "stockValue": "20",
    "updatedAt": "pulled_at - interval 1 hour",
}
ACCOUNT = {
    "id": "concat('acc_', number)",
    "accountNumber": "number",
    "name": "name",
    "type": "kind",
    "category": "category",
    "isActive": "true",
    "createdAt": "timestamptz '2022-12-01'",
    "updatedAt": "pulled_at - interval 1 hour",
}
CHART = """(
    select * from (values
        ('1000', 'Cash at Bank', 'asset', 'current_asset'),
        ('1110', 'Takings in Cash', 'asset', 'current_asset'),
        ('1120', 'Takings by Card', 'asset', 'current_asset'),
        ('1130', 'Takings by E-Wallet', 'asset', 'current_asset'),
        ('1200', 'Trade Debtors', 'asset', 'current_asset'),
        ('1300', 'Inventory', 'asset', 'current_asset'),
        ('2010', 'Trade Creditors', 'liability', 'current_liability'),
        ('2015', 'Goods Received Not Invoiced', 'liability', 'current_liability'),
        ('2200', 'Sales Tax Payable', 'liability', 'current_liability'),
        ('3000', 'Share Capital', 'equity', 'equity'),
        ('3200', 'Retained Earnings', 'equity', 'equity'),
        ('4900', 'Rounding', 'revenue', 'operating_revenue'),
        ('5000', 'Cost of Sales', 'expense', 'cost_of_goods_sold'),
        ('5100', 'Purchase Price Variance', 'expense', 'cost_of_goods_sold'),
        ('6000', 'General Expenses', 'expense', 'operating_expense'),
        ('6100', 'Card Fees', 'expense', 'operating_expense'))
    union all
    select concat('4', lpad(cast(n as varchar), 3, '0')), concat('Sales ', n), 'revenue',
        'operating_revenue' from range(40) as numbers (n)
) as chart (number, name, kind, category)"""


def documents(size: int, load: int) -> Documents:
    first_open, share = size * 95 // 100, share_of(size)
    if load == 0:
        fresh = numbers(0, size)
        is_paid = f"n < {first_open} and n % 50 > 0"
        paid = f"{fresh} where {is_paid}"
        invoices = f"(select n, {is_paid} as is_paid from {fresh})"
    else:
        fresh = numbers(size + (load - 1) * share, size + load * share)
        paid = numbers(first_open + (load - 1) * share, first_open + load * share)
        invoices = f"(select n, false as is_paid from {fresh} union all select n, true from {paid})"
    payments = (
        f"(select paid_on(n, {size}, {load}) as day, cast(sum(total(n)) as decimal(18, 2)) as"
        f" amount from {paid} group by all)"
    )
    landed: Documents = {
        "invoices": [(INVOICE, invoices)],
        "journal_entries": [(SALE, fresh), (PAYMENT, payments)],
    }
    if load == 0:
        landed |= {
            "accounts": [(ACCOUNT, CHART)],
            "items": [(ITEM, numbers(0, 2000))],
            "stock": [(STOCK, numbers(0, 2000))],
            "customers": [(CUSTOMER, numbers(0, max(size // 50, 1)))],
            "stock_adjustments": [],
        }
    return landed
