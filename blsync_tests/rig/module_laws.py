"""The laws that the books of the optional modules obey, checked from records and reports."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from blsync.sandbox.books.values import loads
from rig.sandbox_api import Api

Record = dict[str, Any]

MODULES = {
    "suppliers": "suppliers",
    "purchase_orders": "purchase-orders",
    "bills": "bills",
    "sales_orders": "sales-orders",
    "quotes": "quotes",
    "einvoices": "einvoice",
    "stock_transfers": "inventory/transfers",
    "pos_transactions": "pos/transactions",
    "pos_sessions": "pos/sessions",
}
"""Entity → path of its list."""
CASH = ("1010", "1020", "1030", "1040")
CLEARING = {"cash": "1051", "card": "1052", "e_wallet": "1053"}
ZERO = Decimal(0)


def walk(client: Api, entity: str, **query: Any) -> list[Record]:
    """Return all of a list, by offset where that is how it pages."""
    path = f"/{MODULES[entity]}"
    if entity != "suppliers":
        return client.walk(path, **query)
    records: list[Record] = []
    offset: int | None = 0
    while offset is not None:
        page = loads(client.get(path, limit=100, offset=offset, **query).content)
        records += page["data"]
        offset = page["pagination"]["nextOffset"]
        assert page["pagination"]["hasMore"] == (offset is not None)
    return records


class Ledger:
    """The posted entries: balances by account and day."""

    def __init__(self, client: Api) -> None:
        entries = client.walk("/journal-entries")
        self.entries = [entry for entry in entries if entry["status"] != "draft"]
        self.days = sorted({entry["date"] for entry in self.entries})

    def balance(self, *numbers: str, day: str = "9999", reference: str = "") -> Decimal:
        return sum(
            (
                line["debit"] - line["credit"]
                for entry in self.entries
                if entry["date"] <= day and (entry["reference"] or "").startswith(reference)
                for line in entry["lines"]
                if line["accountNumber"] in numbers
            ),
            ZERO,
        )

    @property
    def some_days(self) -> tuple[str, ...]:
        return self.days[0], self.days[len(self.days) // 2], self.days[-1]


def assert_modules_hold(client: Api, *, has_transit_account: bool = True) -> None:
    ledger = Ledger(client)
    assert_payables_hold(client, ledger)
    assert_orders_hold(client, ledger)
    assert_pipeline_holds(client)
    assert_einvoices_hold(client)
    assert_transit_holds(client, ledger, has_transit_account=has_transit_account)
    assert_tills_hold(client, ledger)
    assert_cash_flow_holds(client, ledger)


def assert_payables_hold(client: Api, ledger: Ledger) -> None:
    owed: Counter[str] = Counter()
    for bill in walk(client, "bills"):
        assert bill["subtotal"] == total_of(bill["items"], "lineTotal")
        assert bill["total"] == bill["subtotal"] + bill["taxTotal"]
        assert bill["balanceDue"] == bill["total"] - bill["paidAmount"]
        assert (bill["status"] == "paid") == (not bill["balanceDue"])
        if bill["status"] != "draft":
            owed[bill["supplierId"]] += bill["balanceDue"]
    by_hand = ledger.balance("2010", reference="PAY-ADJ")
    assert by_hand
    assert -ledger.balance("2010") == sum(owed.values()) - by_hand
    for day in ledger.some_days:
        aged = client.data("/reports/aged-payables", asOfDate=day)
        by_then = ledger.balance("2010", reference="PAY-ADJ", day=day)
        assert aged["summary"]["totalOutstanding"] == by_then - ledger.balance("2010", day=day)
        assert total_of(aged["suppliers"], "totalOwing") == aged["summary"]["totalOutstanding"]
    aged = client.data("/reports/purchasing/aged-payables")
    told = {supplier["supplierId"]: supplier["totalOwing"] for supplier in aged["suppliers"]}
    assert told == {key: amount for key, amount in owed.items() if amount}
    for supplier in walk(client, "suppliers"):
        assert supplier["currentBalance"] == owed[supplier["id"]]


def assert_orders_hold(client: Api, ledger: Ledger) -> None:
    billed: Counter[tuple[str, str]] = Counter()
    for bill in walk(client, "bills"):
        if bill["purchaseOrderId"] and bill["status"] != "draft":
            for line in bill["items"]:
                billed[bill["purchaseOrderId"], line["itemId"]] += line["quantity"]
    not_billed, expected = ZERO, Counter[str]()
    for order in walk(client, "purchase_orders"):
        is_whole = all(line["receivedQuantity"] >= line["quantity"] for line in order["items"])
        assert (order["status"] == "received") == is_whole
        for place, line in enumerate(order["items"]):
            key = order["id"], line["itemId"]
            later = [other["itemId"] for other in order["items"][place + 1 :]]
            is_last = line["itemId"] not in later
            taken = billed[key] if is_last else min(billed[key], line["quantity"])
            billed[key] -= taken
            not_billed += (line["receivedQuantity"] - taken) * line["unitPrice"]
            if order["status"] in ("sent", "confirmed", "partially_received"):
                expected[line["itemId"]] += line["quantity"] - line["receivedQuantity"]
    assert not +billed
    assert -ledger.balance("2015") == not_billed
    tracked = {item["id"] for item in client.walk("/items") if item["inventory"]["tracked"]}
    on_order: Counter[str] = Counter()
    for row in client.walk("/stock"):
        on_order[row["itemId"]] += row["onOrderStock"]
    assert +on_order == +Counter({key: n for key, n in expected.items() if key in tracked})


def assert_pipeline_holds(client: Api) -> None:
    orders = {order["id"]: order for order in walk(client, "sales_orders")}
    by_number = {order["orderNumber"]: key for key, order in orders.items()}
    invoiced: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for invoice in client.walk("/invoices"):
        key = invoice["salesOrderId"] or by_number.get(invoice["reference"])
        if key and invoice["status"] not in ("draft", "cancelled"):
            for line in invoice["items"]:
                invoiced[key][line["itemId"]] += line["quantity"]
    assert invoiced.keys() <= orders.keys()
    for key, order in orders.items():
        about, pieces = order["fulfillment"], total_of(order["items"], "quantity")
        assert order["subtotal"] == total_of(order["items"], "lineTotal")
        assert order["total"] == order["subtotal"] + order["totalTax"] + order["shippingCost"]
        assert about["shippedQuantity"] + about["remainingQuantity"] == pieces
        assert about["shippedQuantity"] == sum(invoiced[key].values())
        ordered = Counter({line["itemId"]: line["quantity"] for line in order["items"]})
        assert invoiced[key] <= ordered
    for quote in walk(client, "quotes"):
        assert (quote["status"] == "converted") == (quote["salesOrderId"] is not None)
        assert quote["salesOrderId"] is None or quote["salesOrderId"] in orders


def assert_einvoices_hold(client: Api) -> None:
    filed: defaultdict[str, list[Record]] = defaultdict(list)
    uuids: Counter[str] = Counter()
    for einvoice in walk(client, "einvoices"):
        filed[einvoice["invoiceId"]].append(einvoice)
        uuids.update([einvoice["uuid"]] if einvoice["uuid"] else [])
    assert set(uuids.values()) == {1}
    for invoice in client.walk("/invoices"):
        told, ours = invoice["einvoice"], filed.pop(invoice["id"], [])
        if invoice["status"] == "cancelled":
            assert not {"submitted", "accepted"} & {einvoice["status"] for einvoice in ours}
        elif told["uuid"]:
            (same,) = [einvoice for einvoice in ours if einvoice["uuid"] == told["uuid"]]
            assert same["status"] == told["status"]
        else:
            assert {einvoice["status"] for einvoice in ours} <= {"created", "validated"}
    assert not filed


def assert_transit_holds(client: Api, ledger: Ledger, *, has_transit_account: bool) -> None:
    on_its_way = ZERO
    for transfer in walk(client, "stock_transfers"):
        assert transfer["totalValue"] == total_of(transfer["items"], "totalCost")
        for line in transfer["items"]:
            shipped = line["quantityShipped"]
            assert line["quantityReceived"] <= shipped <= line["quantityRequested"]
            assert line["totalCost"] == (shipped * line["unitCost"]).quantize(Decimal("0.01"))
        if transfer["status"] in ("shipped", "received"):
            on_its_way += transfer["totalValue"]
    held = total_of(client.walk("/stock"), "stockValue")
    kept_apart = on_its_way if has_transit_account else ZERO
    assert ledger.balance("1220") == kept_apart
    assert ledger.balance("1210") == held + on_its_way - kept_apart


def assert_tills_hold(client: Api, ledger: Ledger) -> None:
    sessions = {session["id"]: session for session in walk(client, "pos_sessions")}
    by_session: defaultdict[str, list[Record]] = defaultdict(list)
    for sale in walk(client, "pos_transactions"):
        assert sale["total"] == sale["subtotal"] + sale["totalTax"] + sale["rounding"]
        assert sale["subtotal"] == total_of(sale["items"], "lineTotal")
        assert abs(sale["rounding"]) <= Decimal("0.02")
        assert sum(paid(payment) for payment in sale["payments"]) == sale["total"]
        if sale["payments"][0]["method"] == "cash":
            assert not sale["total"] % Decimal("0.05")
        if sale["status"] == "completed":
            by_session[sale["sessionId"]].append(sale)
    taken: Counter[str] = Counter()
    for key, session in sessions.items():
        tenders = takings(by_session[key])
        number = session["sessionNumber"]
        if session["status"] == "open":
            assert not [e for e in ledger.entries if (e["reference"] or "").endswith(number)]
            continue
        taken.update(tenders)
        assert {t["method"]: t["expected"] for t in session["tenders"] if t["expected"]} == tenders
        cash = tenders.get("cash", ZERO)
        assert session["expectedCash"] == session["openingFloat"] + cash
        assert session["variance"] == session["countedCash"] - session["expectedCash"]
        for account, field in (("4010", "subtotal"), ("2030", "totalTax"), ("6990", "rounding")):
            posted = ledger.balance(account, reference=number)
            assert -posted == total_of(by_session[key], field), (number, account)
    for method, account in CLEARING.items():
        banked = -ledger.balance(account, reference="BNK-")
        assert ledger.balance(account) == taken[method] - banked
    for day in {session["businessDate"] for session in sessions.values()}:
        _assert_day_agrees(client, day, by_session.values())


def _assert_day_agrees(client: Api, day: str, sold: Iterable[list[Record]]) -> None:
    sales = [sale for of_one in sold for sale in of_one if sale["businessDate"] == day]
    report = client.data("/pos/reports/daily", date=day)
    assert report["transactionCount"] == len(sales)
    assert report["total"] == total_of(sales, "total")
    assert report["netSales"] == total_of(sales, "subtotal")
    assert report["netSales"] == report["grossSales"] - report["discounts"] - report["returns"]
    assert report["total"] == report["netSales"] + report["tax"] + report["rounding"]
    assert {p["method"]: p["amount"] for p in report["payments"] if p["amount"]} == takings(sales)
    places = ("loc_penang", "loc_johor")
    parts = [client.data("/pos/reports/daily", date=day, locationId=place) for place in places]
    assert total_of(parts, "total") == report["total"]


def assert_cash_flow_holds(client: Api, ledger: Ledger) -> None:
    first, middle, last = ledger.some_days
    for begins, ends in ((first, last), (middle, last), (first, middle)):
        day_before = max((day for day in ledger.days if day < begins), default="0000")
        sections = []
        for method in ("direct", "indirect"):
            flow = client.data(
                "/reports/cash-flow", periodFrom=begins, periodTo=ends, method=method
            )
            assert flow["openingCash"] == ledger.balance(*CASH, day=day_before)
            assert flow["closingCash"] == ledger.balance(*CASH, day=ends)
            assert flow["closingCash"] == flow["openingCash"] + flow["netChange"]
            parts = [flow[name] for name in ("operating", "investing", "financing")]
            assert total_of(parts, "total") == flow["netChange"]
            for part in parts:
                assert total_of(part["lines"], "amount") == part["total"]
            sections.append([part["total"] for part in parts])
        assert sections[0] == sections[1]


def paid(payment: Record) -> Decimal:
    amount: Decimal = payment["amount"] - payment["change"]
    return amount


def takings(sales: Iterable[Record]) -> dict[str, Decimal]:
    """Return what sales brought in by tender; without those that come to nothing."""
    amounts: Counter[str] = Counter()
    for sale in sales:
        for payment in sale["payments"]:
            amounts[payment["method"]] += paid(payment)
    return {method: Decimal(amount) for method, amount in amounts.items() if amount}


def total_of(records: Iterable[Record], field: str) -> Decimal:
    return sum((Decimal(record[field]) for record in records), ZERO)
