"""The other half on hand-made books: owed, received, ordered, accepted, taken, on the way.

Company alpha has every module, beta has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from rig import models
from rig.seeds import hand_over
from test_warehouse import TODAY, WAREHOUSE, account, journal, version, write

Row = dict[str, Any]
Query = Callable[[str], list[Any]]
FIRST = datetime(2026, 2, 10, 2, tzinfo=UTC)
SECOND = datetime(2026, 3, 10, 2, tzinfo=UTC)
ACCOUNTS = {
    "acc_1010": ("Maybank Current", "asset", "current_asset"),
    "acc_1051": ("Cash Takings", "asset", "current_asset"),
    "acc_1200": ("Inventory", "asset", "current_asset"),
    "acc_1220": ("Goods in Transit", "asset", "current_asset"),
    "acc_2010": ("Trade Payables", "liability", "current_liability"),
    "acc_2015": ("Goods Received Not Invoiced", "liability", "current_liability"),
    "acc_3000": ("Share Capital", "equity", "equity"),
    "acc_4000": ("Sales", "revenue", "operating_revenue"),
    "acc_7010": ("Card Fees", "expense", "operating_expense"),
}
MODULES = (
    *("suppliers", "bills", "bill_lines", "ap_open_items", "ap_aging", "supplier_statement"),
    *("payable_control", "payment_calendar", "purchase_order_lines", "grni", "grni_control"),
    *("three_way_match", "purchase_price_variance", "order_lines", "order_backlog"),
    *("backlog_movements", "quote_pipeline", "quote_conversion", "einvoice_compliance"),
    *("einvoice_gaps", "pos_daily_sales", "pos_sessions", "pos_banking", "pos_control"),
    *("stock_transfers", "transfers_in_transit", "transfer_losses"),
)


def alpha(key: str, pulled_at: datetime = FIRST, **fields: Any) -> Row:
    return version("alpha", pulled_at, id=key, updatedAt=pulled_at, **fields)


def bill(key: str, day: date, total: str, **more: Any) -> Row:
    amount = Decimal(total)
    standard: Row = {
        "billNumber": key.upper(), "supplierId": "s1", "billDate": day,
        "dueDate": day + timedelta(days=30), "status": "open", "currency": "MYR",
        "subtotal": amount, "taxTotal": Decimal(0), "total": amount, "paidAmount": Decimal(0),
        "balanceDue": amount,
        "items": [{"id": "1", "quantity": Decimal(1), "unitPrice": amount, "lineTotal": amount}],
    }  # fmt: skip
    return alpha(key, **standard | more)


def line(item: str | None, quantity: int, price: str, **more: Any) -> Row:
    total = quantity * Decimal(price)
    return {"itemId": item, "quantity": Decimal(quantity), "unitPrice": Decimal(price),
            "lineTotal": total, **more}  # fmt: skip


def posted(key: str, day: date, reference: str | None, *lines: tuple[str, str]) -> Row:
    entry = journal("alpha", key, (day, list(lines)), reference=reference)
    return entry | {"_pulled_at": FIRST, "_load_id": "load 10"}


def landing() -> dict[str, list[Row]]:
    march = date(2026, 3, 1)
    order = {"poNumber": "PO-1", "supplierId": "s1", "status": "partially_received",
             "orderDate": date(2026, 1, 20), "currency": "MYR"}  # fmt: skip
    till = {"sessionId": "poss_1", "businessDate": march, "locationId": "shop", "type": "sale",
            "status": "completed", "rounding": Decimal(0), "totalDiscount": Decimal(0)}  # fmt: skip
    return {
        "accounts": [
            account(company, key, *rest)
            for company in ("alpha", "beta") for key, rest in ACCOUNTS.items()
        ],
        "suppliers": [
            alpha("s1", name="Ong Hardware", status="active", currency="MYR",
                  currentBalance=Decimal("350"),
                  paymentTerms={"termsDays": 30, "discountDays": 14,
                                "discountPercent": Decimal(2)}),
        ],
        "bills": [
            bill("b1", date(2026, 3, 5), "200"),
            bill("b2", date(2026, 1, 10), "100", balanceDue=Decimal("50"),
                 paidAmount=Decimal("50")),
            bill("usd_known", date(2026, 3, 1), "25", currency="USD", supplierId="s2"),
            bill("usd_unknown", date(2026, 3, 1), "40", currency="USD", supplierId="s2"),
            bill("draft", date(2026, 3, 1), "999", status="draft"),
            bill("b_po", date(2026, 3, 2), "100", purchaseOrderId="po_1",
                 items=[{"id": "1", **line("widget", 4, "25")}]),
        ],
        "purchase_orders": [
            alpha("po_1", **order, items=[
                line("widget", 6, "20", receivedQuantity=Decimal(5)),
                line("widget", 4, "20", receivedQuantity=Decimal(0))]),
            version("alpha", SECOND, id="po_1", updatedAt=SECOND, **order, items=[
                line("widget", 6, "20", receivedQuantity=Decimal(6)),
                line("widget", 4, "20", receivedQuantity=Decimal(0))]),
        ],
        "sales_orders": [
            alpha("so_1", orderNumber="SO-1", customerId="c1", status="confirmed", currency="MYR",
                  orderDate=march, promisedDate=date(2026, 3, 10),
                  items=[line("widget", 10, "30")]),
        ],
        "quotes": [
            alpha("q1", quoteNumber="Q-1", customerId="c1", quoteDate=date(2026, 2, 1),
                  validUntil=date(2026, 3, 14), status="sent", currency="MYR",
                  total=Decimal(500)),
            alpha("q2", quoteNumber="Q-2", customerId="c1", quoteDate=date(2026, 2, 1),
                  validUntil=date(2026, 3, 15), status="sent", currency="MYR",
                  total=Decimal(700)),
        ],
        "invoices": [
            version("alpha", FIRST, id="i1", invoiceNumber="INV-1", customerId="c1",
                    invoiceDate=march, dueDate=march, status="sent", currency="MYR",
                    reference="SO-1", subtotal=Decimal(12000), totalTax=Decimal(0),
                    total=Decimal(12000), amountDue=Decimal(12000),
                    items=[line("widget", 3, "4000")], updatedAt=FIRST),
        ],
        "einvoices": [
            alpha("e1", invoiceId="i1", status="cancelled", uuid="u1", createdAt=SECOND),
            alpha("e2", invoiceId="i1", status="rejected", uuid="u2", createdAt=FIRST,
                  government={"validationTime": FIRST},
                  validation={"errors": [{"code": "CF321", "message": "TIN"}]}),
        ],
        "pos_sessions": [
            alpha("poss_1", sessionNumber="SES-1", locationId="shop", businessDate=march,
                  status="closed", openedAt=FIRST, closedAt=FIRST + timedelta(hours=8),
                  expectedCash=Decimal(206), countedCash=Decimal("205.50")),
        ],
        "pos_transactions": [
            alpha("t1", **till, subtotal=Decimal(100), totalTax=Decimal(6), total=Decimal(106),
                  createdAt=FIRST + timedelta(hours=9), payments=[
                      {"method": "cash", "amount": Decimal(120), "change": Decimal(14),
                       "accountId": "acc_1051"}]),
        ],
        "stock_transfers": [
            alpha("x1", transferNumber="X-1", date=march, status="received",
                  fromLocationId="main", toLocationId="shop", items=[
                      {"itemId": "widget", "quantityRequested": Decimal(5),
                       "quantityShipped": Decimal(5), "quantityReceived": Decimal(4),
                       "unitCost": Decimal(20)}]),
            alpha("x2", transferNumber="X-2", date=march, status="completed",
                  fromLocationId="main", toLocationId="shop", items=[
                      {"itemId": "widget", "quantityRequested": Decimal(5),
                       "quantityShipped": Decimal(5), "quantityReceived": Decimal(3),
                       "unitCost": Decimal(20)}]),
        ],
        "journal_entries": [
            posted("r1", date(2026, 2, 1), "PO-1", ("acc_1200", "120"), ("acc_2015", "-120")),
            posted("j1", date(2026, 3, 5), "B1", ("acc_1200", "200"), ("acc_2010", "-200")),
            posted("j2", date(2026, 1, 10), "B2", ("acc_1200", "100"), ("acc_2010", "-100")),
            posted("j3", date(2026, 3, 1), "USD_KNOWN", ("acc_1200", "110"), ("acc_2010", "-110")),
            posted("j4", date(2026, 3, 2), "B_PO", ("acc_2015", "80"), ("acc_1200", "20"),
                   ("acc_2010", "-100")),
            posted("p1", date(2026, 3, 1), "PAY-1", ("acc_2010", "50"), ("acc_1010", "-50")),
            posted("m1", date(2026, 3, 3), None, ("acc_2010", "7"), ("acc_1010", "-7")),
            posted("s1", march, "SES-1", ("acc_1051", "106"), ("acc_4000", "-106")),
            posted("k1", date(2026, 3, 2), "BNK-SES-1", ("acc_1010", "59"), ("acc_7010", "1"),
                   ("acc_1051", "-60")),
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    """Builds the books with every law, once."""
    data = tmp_path_factory.mktemp("payables")
    missing: Row = {
        "company_id": "alpha", "report": "aged_payables", "as_of_date": TODAY,
        "period_from": None, "entity_key": "report", "measure": "unavailable",
        "value": Decimal(0), "request_id": "r", "fetched_at": SECOND, "made_at": SECOND,
        "unavailable": "BigLedger has no such report (404).",
    }  # fmt: skip
    write(data, landing(), [missing])
    hand_over(data, WAREHOUSE / "seeds")
    assert not models.failed(models.build(data))
    with duckdb.connect(str(data / "build.duckdb"), read_only=True) as connection:
        connection.execute("set schema = 'finance'")

        def ask(sql: str) -> list[Any]:
            rows = connection.execute(sql).fetchall()
            return [row[0] if len(row) == 1 else row for row in rows]

        yield ask


@pytest.mark.deep_after(3)
@pytest.mark.parametrize("table", MODULES)
def test_a_company_without_a_module_has_an_empty_table(built: Query, table: str) -> None:
    assert built(f"select count(*) from {table} where company_id = 'beta'") == [0]


def test_a_foreign_bill_is_worth_what_its_entry_says_and_nothing_until_then(built: Query) -> None:
    assert built(
        "select bill_id, open_amount, document_amount from ap_open_items"
        f" where as_of_date = '{TODAY}' and bill_currency = 'USD' order by 1"
    ) == [("usd_known", Decimal(110), Decimal(25)), ("usd_unknown", None, Decimal(40))]


def test_a_discount_is_there_until_its_last_day(built: Query) -> None:
    assert built(
        "select bill_id, discount_until, discount_amount from ap_open_items"
        f" where as_of_date = '{TODAY}' and supplier_id = 's1' order by 1"
    ) == [
        ("b1", date(2026, 3, 19), Decimal(4)),
        ("b2", date(2026, 1, 24), Decimal(0)),
        ("b_po", date(2026, 3, 16), Decimal(2)),
    ]


def test_an_entry_of_ones_own_on_the_payables_is_a_difference_of_its_own(built: Query) -> None:
    assert built("select item_type, journal_id, difference from payable_control") == [
        ("entry", "m1", Decimal(-7))
    ]


def test_what_is_owed_to_a_supplier_is_compared_with_its_balance(built: Query) -> None:
    assert built(
        "select status, mart_value, source_value from reconciliation"
        " where check_name = 'supplier_balance'"
    ) == [("pass", Decimal(350), Decimal(350))]


def test_a_report_that_is_not_there_is_not_comparable(built: Query) -> None:
    assert built(
        "select entity_key, status, mart_value, reason from reconciliation"
        " where check_name = 'aged_payables'"
    ) == [
        (
            "report:unavailable",
            "not_comparable",
            None,
            "BigLedger has no such report (404).",
        )
    ]


def test_goods_received_and_not_billed_are_worth_the_orders_price(built: Query) -> None:
    """Four of six are billed: two are left; in February none was billed of the five that came."""
    assert built(
        "select as_of_date, line_no, received, billed, grni_amount from grni order by 1"
    ) == [
        (date(2026, 2, 28), 1, Decimal(5), Decimal(0), Decimal(100)),
        (TODAY, 1, Decimal(6), Decimal(4), Decimal(40)),
    ]
    assert built("from grni_control") == []
    assert built(
        "select verdict, price_variance from three_way_match where bill_id = 'b_po'"
    ) == [("price", Decimal(20))]  # fmt: skip


def test_the_backlog_is_what_is_not_invoiced(built: Query) -> None:
    assert built(
        "select remaining_quantity, backlog_amount, days_late from order_backlog"
        f" where as_of_date = '{TODAY}'"
    ) == [(Decimal(7), Decimal(210), 5)]


def test_a_quote_expires_the_day_after_its_last(built: Query) -> None:
    assert built("select state from quote_pipeline order by quote_id") == ["expired", "sent"]


def test_the_einvoice_that_counts_is_the_latest_that_is_not_cancelled(built: Query) -> None:
    assert built(
        "select einvoice_id, state, errors, attempts, cancel_until - validated_at"
        " from einvoice_status"
    ) == [("e2", "rejected", "CF321: TIN", 2, timedelta(hours=72))]
    assert built("select rejected, large_unsubmitted, consolidate_by from einvoice_compliance") == [
        (1, 0, date(2026, 4, 7))
    ]
    assert built("select side, reason from einvoice_gaps") == [("portal", "rejected by the portal")]


def test_takings_are_in_clearing_until_the_bank_has_them(built: Query) -> None:
    assert built("select taken, banked, fee, in_clearing, days_outstanding from pos_banking") == [
        (Decimal(106), Decimal(59), Decimal(1), Decimal(46), 14)
    ]
    assert built("from pos_control") == []
    assert built("select variance, late_transactions from pos_sessions") == [(Decimal("-0.50"), 1)]
    assert built(
        "select account_role, role_source from accounts"
        " where account_id = 'acc_1051' and company_id = 'alpha'"
    ) == [("pos_clearing", "tills")]


def test_what_is_received_and_not_completed_is_on_the_way_as_shipped(built: Query) -> None:
    assert built(
        f"select quantity, value, days from transfers_in_transit where as_of_date = '{TODAY}'"
    ) == [(Decimal(5), Decimal(100), 14)]
    assert built("select transfer_id, lost_quantity, lost_value from transfer_losses") == [
        ("x2", Decimal(2), Decimal(40))
    ]


def test_a_payment_run_takes_what_is_due_and_what_would_lose_its_discount(built: Query) -> None:
    assert built(
        "select bill_id, pay_on, amount_to_pay from proposals.payment_run order by 1"
    ) == [
        ("b1", date(2026, 3, 19), Decimal(196)),
        ("b2", TODAY, Decimal(50)),
        ("b_po", date(2026, 3, 16), Decimal(98)),
    ]  # fmt: skip
