"""Sales orders, quotes, e-invoices and stock transfers.

An order to ten invoices, and one in five is for twice what its invoice has; ahead of the invoices
there are as many orders as two nights bring, not yet invoiced. A quote to ten invoices, every other
one an order's. An e-invoice to each invoice, and one in twenty was rejected before. A transfer to a
hundred invoices, those of two nights on their way. A night brings new ones of each and lets as many
old ones go on.
"""

from __future__ import annotations

from landing.facts import Documents, entry, numbers, share_of

MACROS = """
create or replace macro times_of(n) as if(n % 5 = 0, 2, 1);
create or replace macro einvoice_state(is_accepted) as if(is_accepted, 'accepted', 'submitted');
create or replace macro transfer_line(n, k, is_completed, is_short) as {
    'id': concat('xfli_', k), 'itemId': concat('item_', item_of(n, k)),
    'itemCode': concat('SKU', item_of(n, k)), 'itemName': 'Minyak masak 5kg',
    'quantityRequested': 5, 'quantityShipped': 5,
    'quantityReceived': if(is_completed, if(is_short, 4, 5), 0), 'unitCost': 2, 'totalCost': 10};
"""
CUSTOMER = "{'id': concat('cust_', n * 10 * 13 % customers), 'name': 'Kedai', 'email': null}"
ORDER = {
    "id": "concat('so_', n)",
    "orderNumber": "concat('SO-', n)",
    "customerId": "concat('cust_', n * 10 * 13 % customers)",
    "customer": CUSTOMER,
    "orderDate": "day_of(n, orders) - 10",
    "requiredDate": "day_of(n, orders) + 5",
    "promisedDate": "day_of(n, orders) + 3",
    "status": "case when not is_invoiced then 'confirmed' when times_of(n) = 2 then 'shipped'"
    " else 'delivered' end",
    "priority": "'normal'",
    "currency": "'MYR'",
    "exchangeRate": "1",
    "reference": "concat('their order ', n)",
    "items": "lines_of(10 * n, line(10 * n, 1, times_of(n)), line(10 * n, 2, times_of(n)),"
    " line(10 * n, 3, times_of(n)))",
    "subtotal": "times_of(n) * subtotal(10 * n)",
    "totalDiscount": "0",
    "totalTax": "times_of(n) * tax(10 * n)",
    "shippingCost": "0",
    "total": "times_of(n) * total(10 * n)",
    "fulfillment": "{'status': if(is_invoiced, 'shipped', 'pending')}",
    "createdAt": "at_hour(day_of(n, orders) - 10, 1)",
    "updatedAt": "pulled_at - interval 1 hour",
}
QUOTE = {
    "id": "concat('quote_', n)",
    "quoteNumber": "concat('QT-', n)",
    "customerId": "concat('cust_', n * 10 * 13 % customers)",
    "customer": CUSTOMER,
    "quoteDate": "day_of(n, quotes) - 15",
    "validUntil": "day_of(n, quotes) + 15",
    "status": "case when not is_answered then 'sent' when n % 2 = 0 then 'converted'"
    " else 'rejected' end",
    "currency": "'MYR'",
    "title": "'Offer'",
    "items": "lines_of(10 * n, line(10 * n, 1, 1), line(10 * n, 2, 1), line(10 * n, 3, 1))",
    "subtotal": "subtotal(10 * n)",
    "totalDiscount": "0",
    "totalTax": "tax(10 * n)",
    "total": "total(10 * n)",
    "acceptedAt": "if(is_answered and n % 2 = 0, at_hour(day_of(n, quotes) - 12, 1), null)",
    "convertedToOrderAt": "if(is_answered and n % 2 = 0, at_hour(day_of(n, quotes) - 10, 1), null)",
    "salesOrderId": "if(is_answered and n % 2 = 0, concat('so_', n), null)",
    "createdAt": "at_hour(day_of(n, quotes) - 15, 1)",
    "updatedAt": "pulled_at - interval 1 hour",
}
EINVOICE = {
    "id": "concat('einv_', n)",
    "invoiceId": "concat('inv_', n)",
    "format": "'UBL21'",
    "status": "einvoice_state(is_accepted)",
    "submissionType": "'original'",
    "uuid": "concat('uuid_', n)",
    "submissionId": "concat('sub_', n // 50)",
    "validationHash": "md5(concat('einv_', n))",
    "government": "{'portal': 'myinvois', 'submissionId': concat('sub_', n // 50),"
    " 'longId': concat('long_', n), 'status': einvoice_state(is_accepted),"
    " 'submittedAt': at_hour(day_of(n, size), 3),"
    " 'validationTime': if(is_accepted, at_hour(day_of(n, size), 4), null),"
    " 'acceptedAt': if(is_accepted, at_hour(day_of(n, size), 4), null)}",
    "validation": "{'isValid': true, 'validatedAt': at_hour(day_of(n, size), 2), 'errors': [],"
    " 'warnings': []}",
    "document": "{'xml': concat('sha256:', md5(concat('xml', n))), 'pdf': null, 'json': null}",
    "timeline": "[{'status': 'created', 'timestamp': at_hour(day_of(n, size), 2), 'notes': null},"
    " {'status': 'submitted', 'timestamp': at_hour(day_of(n, size), 3), 'notes': null}]",
    "createdAt": "at_hour(day_of(n, size), 2)",
    "updatedAt": "pulled_at - interval 1 hour",
}
REJECTED = EINVOICE | {
    "id": "concat('einv_rejected_', n)",
    "status": "'rejected'",
    "uuid": "null",
    "government": "{'portal': 'myinvois', 'status': 'rejected'}",
    "validation": "{'isValid': false, 'validatedAt': at_hour(day_of(n, size), 1),"
    " 'errors': [{'code': 'CF321', 'message': 'Wrong TIN', 'field': 'buyer.taxId'}],"
    " 'warnings': []}",
    "createdAt": "at_hour(day_of(n, size), 1)",
}
TRANSFER = {
    "id": "concat('xfer_', n)",
    "transferNumber": "concat('ST-', n)",
    "date": "day_of(n, transfers)",
    "status": "if(is_completed, 'completed', 'shipped')",
    "fromLocationId": "concat('loc_', n % 8)",
    "toLocationId": "concat('loc_', (n + 1) % 8)",
    "items": "[transfer_line(n, 1, is_completed, is_short),"
    " transfer_line(n, 2, is_completed, false)]",
    "shipping": "{'method': 'lorry', 'shippedAt': at_hour(day_of(n, transfers), 2)}",
    "totalValue": "20",
    "createdAt": "at_hour(day_of(n, transfers), 1)",
    "updatedAt": "pulled_at - interval 1 hour",
}
OPENING = entry(
    "'OPEN'",
    "date '2023-01-01'",
    "null",
    "Opening stock, and what is on its way",
    "[leg(1, '1300', amount), leg(2, '3000', -amount)]",
    "amount",
)
STOCK_VALUE = 40_000


def documents(size: int, load: int) -> Documents:
    landed: Documents = {
        "sales_orders": [(ORDER, _orders(size // 10, load))],
        "quotes": [(QUOTE, _quotes(size // 10, load))],
        "einvoices": _einvoices(size, load),
        "stock_transfers": [(TRANSFER, _transfers(size // 100, load))],
    }
    if load == 0:
        value = STOCK_VALUE + 20 * 2 * share_of(size // 100)
        opening = f"(select cast({value} as decimal(18, 2)) as amount)"
        landed["journal_entries"] = [(OPENING, opening)]
    return landed


def _orders(orders: int, load: int) -> str:
    share = share_of(orders)
    invoiced = orders + load * share
    changed = numbers(0, invoiced + 2 * share)
    if load:
        done, new = (
            numbers(invoiced - share, invoiced),
            numbers(invoiced + share, invoiced + 2 * share),
        )
        changed = f"(from {done} union all from {new})"
    return f"(select n, {orders} as orders, n < {invoiced} as is_invoiced from {changed})"


def _quotes(quotes: int, load: int) -> str:
    share = share_of(quotes)
    answered, known = quotes * 95 // 100 + load * share, quotes + load * share
    changed = numbers(0, known)
    if load:
        changed = (
            f"(from {numbers(answered - share, answered)} union all"
            f" from {numbers(known - share, known)})"
        )
    return f"(select n, {quotes} as quotes, n < {answered} as is_answered from {changed})"


def _einvoices(size: int, load: int) -> list[tuple[dict[str, str], str]]:
    share = share_of(size)
    known = size + load * share
    changed = numbers(0 if load == 0 else known - 2 * share, known)
    new = numbers(0 if load == 0 else known - share, known)
    return [
        (EINVOICE, f"(select n, n < {known - share} as is_accepted from {changed})"),
        (REJECTED, f"(select n from {new} where n % 20 = 3)"),
    ]


def _transfers(transfers: int, load: int) -> str:
    share = share_of(transfers)
    known = transfers + load * share
    changed = numbers(0, known)
    if load:
        done, new = numbers(known - 3 * share, known - 2 * share), numbers(known - share, known)
        changed = f"(from {done} union all from {new})"
    return (
        f"(select n, {transfers} as transfers, n < {known - 2 * share} as is_completed,"
        f" n % 50 = 0 and n < {transfers - 2 * share} as is_short from {changed})"
    )
