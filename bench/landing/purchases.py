"""Suppliers, purchase orders and bills: one bill to ten invoices, nine of ten bills with an order.

Bills are paid as invoices are. Ahead of the bills there are as many orders as two nights bring: of
the first half the goods are received, so that they are owed without a bill; the second half is on
its way. A night bills the one half, receives the other, orders anew, and pays. One bill in twenty
is dearer than its order. What is received is sold the same day, so that the stock stays as it is.
"""

from __future__ import annotations

from landing.facts import Documents, entry, numbers, share_of

MACROS = """
create or replace macro pieces(n) as 1 + n % 9;
create or replace macro extra(n, k) as if(n % 20 = 7 and k = 1, 1.00, 0.00);
create or replace macro bought(n, k) as cast(part(n, k) * pieces(n) as decimal(18, 2));
create or replace macro charged(n, k) as
    cast((part(n, k) + extra(n, k)) * pieces(n) as decimal(18, 2));
create or replace macro ordered_value(n) as
    sum_of(n, bought(n, 1), bought(n, 2), bought(n, 3));
create or replace macro billed_value(n) as
    sum_of(n, charged(n, 1), charged(n, 2), charged(n, 3));
create or replace macro ordered_tax(n) as
    sum_of(n, tax_of(bought(n, 1)), tax_of(bought(n, 2)), tax_of(bought(n, 3)));
create or replace macro billed_tax(n) as
    sum_of(n, tax_of(charged(n, 1)), tax_of(charged(n, 2)), tax_of(charged(n, 3)));
create or replace macro billed_total(n) as
    cast(billed_value(n) + billed_tax(n) as decimal(18, 2));
create or replace macro is_ordered(n) as n % 10 > 0;
create or replace macro settled_on(n, bills, load) as
    if(load = 0, day_of(n, bills) + 20, night_of(load));
create or replace macro order_line(n, k, is_received) as {
    'id': concat('poli_', k), 'itemId': concat('item_', item_of(n, k)),
    'itemCode': concat('SKU', item_of(n, k)), 'description': 'Minyak masak 5kg',
    'quantity': pieces(n), 'unitPrice': part(n, k), 'lineTotal': bought(n, k),
    'taxCode': 'SST6', 'taxRate': 6, 'taxAmount': tax_of(bought(n, k)),
    'receivedQuantity': if(is_received, pieces(n), 0)};
create or replace macro bill_line(n, k) as {
    'id': concat('bili_', k), 'itemId': concat('item_', item_of(n, k)),
    'description': 'Minyak masak 5kg', 'quantity': pieces(n),
    'unitPrice': part(n, k) + extra(n, k), 'lineTotal': charged(n, k), 'taxCode': 'SST6',
    'taxRate': 6, 'taxAmount': tax_of(charged(n, k)),
    'accountCode': if(is_ordered(n), '1300', '6000')};
"""
SUPPLIER = {
    "id": "concat('supp_', n)",
    "supplierNumber": "concat('S', n)",
    "name": "concat('Pembekal ', n)",
    "email": "concat('sales', n, '@example.com')",
    "paymentTerms": "{'termsDays': 30, 'discountDays': 10, 'discountPercent': 2}",
    "creditLimit": "50000 + load",
    "currency": "'MYR'",
    "status": "'active'",
    "createdAt": "timestamptz '2022-12-01'",
    "updatedAt": "pulled_at - interval 1 hour",
}
PARTY = "{'id': concat('supp_', n * 7 % suppliers), 'name': 'Pembekal', 'email': null}"
ORDER = {
    "id": "concat('po_', n)",
    "poNumber": "concat('PO-', n)",
    "supplierId": "concat('supp_', n * 7 % suppliers)",
    "supplier": PARTY,
    "orderDate": "day_of(n, bills) - 20",
    "requiredDate": "day_of(n, bills)",
    "status": "if(is_received, 'received', 'sent')",
    "currency": "'MYR'",
    "exchangeRate": "1",
    "subtotal": "ordered_value(n)",
    "taxTotal": "ordered_tax(n)",
    "discountTotal": "0",
    "total": "ordered_value(n) + ordered_tax(n)",
    "items": "lines_of(n, order_line(n, 1, is_received), order_line(n, 2, is_received),"
    " order_line(n, 3, is_received))",
    "approvedAt": "at_hour(day_of(n, bills) - 20, 2)",
    "sentAt": "at_hour(day_of(n, bills) - 20, 3)",
    "createdAt": "at_hour(day_of(n, bills) - 20, 1)",
    "updatedAt": "pulled_at - interval 1 hour",
}
BILL = {
    "id": "concat('bill_', n)",
    "billNumber": "concat('BILL-', n)",
    "supplierInvoiceNumber": "concat('T-', n)",
    "supplierId": "concat('supp_', n * 7 % suppliers)",
    "supplier": PARTY,
    "purchaseOrderId": "if(is_ordered(n), concat('po_', n), null)",
    "billDate": "day_of(n, bills)",
    "dueDate": "day_of(n, bills) + 30",
    "status": "if(is_paid, 'paid', 'open')",
    "currency": "'MYR'",
    "subtotal": "billed_value(n)",
    "taxTotal": "billed_tax(n)",
    "total": "billed_total(n)",
    "paidAmount": "if(is_paid, billed_total(n), 0)",
    "balanceDue": "if(is_paid, 0, billed_total(n))",
    "items": "lines_of(n, bill_line(n, 1), bill_line(n, 2), bill_line(n, 3))",
    "paymentTerms": "'2/10 Net 30'",
    "createdAt": "at_hour(day_of(n, bills), 1)",
    "updatedAt": "pulled_at - interval 1 hour",
}
RECEIPT = entry(
    "concat('GRN-', n)",
    "day_of(n, bills) - 1",
    "concat('PO-', n)",
    "Goods received",
    "[leg(1, '1300', ordered_value(n)), leg(2, '2015', -ordered_value(n))]",
    "ordered_value(n)",
)
SOLD = entry(
    "concat('COGS-', load, '-', day)",
    "day",
    "null",
    "Goods sold",
    "[leg(1, '5000', amount), leg(2, '1300', -amount)]",
    "amount",
)
COST = entry(
    "concat('JB-', n)",
    "day_of(n, bills)",
    "concat('BILL-', n)",
    "Bill",
    "[leg(1, if(is_ordered(n), '2015', '6000'), ordered_value(n)),"
    " leg(2, '5100', billed_value(n) - ordered_value(n)), leg(3, '6000', billed_tax(n)),"
    " leg(4, '2010', -billed_total(n))]",
    "billed_total(n)",
)
PAYMENT = entry(
    "concat('RUN-', load, '-', day)",
    "day",
    "concat('RUN-', load, '-', day)",
    "Payment run",
    "[leg(1, '2010', amount), leg(2, '1000', -amount)]",
    "amount",
)


def documents(size: int, load: int) -> Documents:
    bills, suppliers = size // 10, max(size // 500, 1)
    first_open, share = bills * 95 // 100, share_of(bills)
    billed = bills + load * share
    if load == 0:
        new_bills = new_receipts = numbers(0, billed)
        is_paid = f"n < {first_open} and n % 50 > 0"
        paid = f"{new_bills} where {is_paid}"
        changed_bills = f"(select n, {is_paid} as is_paid from {new_bills})"
        new_receipts = f"{numbers(0, billed + share)} where is_ordered(n)"
        changed_orders = numbers(0, billed + 2 * share)
        changed_suppliers = numbers(0, suppliers)
    else:
        new_bills = numbers(billed - share, billed)
        paid = numbers(first_open + (load - 1) * share, first_open + load * share)
        changed_bills = (
            f"(select n, false as is_paid from {new_bills} union all select n, true from {paid})"
        )
        new_receipts = f"{numbers(billed, billed + share)} where is_ordered(n)"
        changed_orders = numbers(billed, billed + 2 * share)
        changed_suppliers = f"(select n from {numbers(0, suppliers)} where n % 100 = {load})"
    facts = f"{bills} as bills, {suppliers} as suppliers"
    orders = (
        f"(select n, n < {billed + share} as is_received from {changed_orders} where is_ordered(n))"
    )
    payments = (
        f"(select settled_on(n, {bills}, {load}) as day, cast(sum(billed_total(n)) as"
        f" decimal(18, 2)) as amount from {paid} group by all)"
    )
    sold = (
        f"(select day_of(n, {bills}) - 1 as day, cast(sum(ordered_value(n)) as decimal(18, 2)) as"
        f" amount from {new_receipts} group by all)"
    )
    return {
        "suppliers": [(SUPPLIER, changed_suppliers)],
        "purchase_orders": [(ORDER, f"(select *, {facts} from {orders})")],
        "bills": [(BILL, f"(select *, {facts} from {changed_bills})")],
        "journal_entries": [
            (RECEIPT, f"(select n, {facts} from {new_receipts})"),
            (SOLD, sold),
            (COST, f"(select n, {facts} from {new_bills})"),
            (PAYMENT, payments),
        ],
    }
