"""Receivables, revenue, tax and proposals on made-up books, against the definitions in Python."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from rig import models
from rig.seeds import hand_over
from test_warehouse import (
    TODAY,
    WAREHOUSE,
    account,
    item,
    journal,
    stock,
    tombstone,
    version,
    write,
)

from blsync.push.endpoints.customers import CUSTOMERS
from blsync.push.plan.validate import validate
from blsync.push.source.read import read

Row = dict[str, Any]
Query = Callable[[str], list[Any]]
CENT = Decimal("0.01")
COMPANIES = ("alpha", "beta")
MONTH_ENDS = (date(2026, 1, 31), date(2026, 2, 28))
FIRST_PULL = datetime(2026, 1, 20, 18, tzinfo=UTC)
JANUARY_ENDS = datetime(2026, 1, 31, 16, tzinfo=UTC)
"""Midnight in Kuala Lumpur."""
RATES = {"SST-10": 10, "SST-5": 5, "EXEMPT": 0}
CHART = {
    "cash": ("Cash at Bank", "asset", "current_asset"),
    "debtors": ("Trade Debtors", "asset", "current_asset"),
    "sst": ("SST Payable", "liability", "current_liability"),
    "sales": ("Sales", "revenue", "operating_revenue"),
    "bad": ("Bad Debts", "expense", "operating_expense"),
    "cost": ("Cost of Sales", "expense", "cost_of_goods_sold"),
}


PUBLIC = {
    "collections": "period opening_ar credit_sales cash_collected closing_ar dso overdue_pct "
    "over_90_pct avg_days_to_pay is_reconstructed",
    "ar_aging_today": "customer_id customer_name current days_31_60 days_61_90 over_90 "
    "total_outstanding total_overdue oldest_days credit_limit",
    "ar_open_items_today": "customer_id customer_name invoice_id invoice_number invoice_date "
    "due_date invoice_total amount_paid open_amount days_past_due bucket",
    "customer_statement": "customer_id event_date event_type document_number debit credit "
    "running_balance is_inferred",
    "revenue_monthly": "period customer_id item_id quantity gross_revenue discount net_revenue tax "
    "invoice_count previous_year_net_revenue",
    "margin_by_invoice": "invoice_id invoice_number line_no customer_id period item_id quantity "
    "net_revenue cogs gross_profit cost_basis cogs_estimated",
    "gross_margin": "period item_id quantity net_revenue cogs cogs_estimated gross_profit "
    "margin_pct cost_basis",
    "margin_bridge": "period section step_order step amount",
    "tax_summary": "period tax_code tax_rate taxable_amount tax_amount invoice_count "
    "gl_tax_movement difference",
    "einvoice_status": "invoice_id invoice_number state submitted_at accepted_at hours_to_accept "
    "uuid issue",
}


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)


def made_invoice(
    company: str, key: str, day: date, amounts: list[tuple[str, str, str]], **more: Any
) -> Row:
    """An issued invoice; `amounts` are (item, tax code, net)."""
    lines: list[Row] = [
        {
            "id": str(number),
            "itemId": item_id,
            "quantity": Decimal(2),
            "discountAmount": Decimal("0.50"),
            "lineTotal": Decimal(net),
            "taxCode": code,
            "taxRate": Decimal(RATES[code]),
            "taxAmount": cents(Decimal(net) * RATES[code] / 100),
        }
        for number, (item_id, code, net) in enumerate(amounts)
    ]
    subtotal = sum((line["lineTotal"] for line in lines), Decimal(0))
    tax = sum((line["taxAmount"] for line in lines), Decimal(0))
    standard = {
        "id": key,
        "invoiceNumber": key.upper(),
        "customerId": "cust_1",
        "invoiceDate": day,
        "dueDate": day + timedelta(days=30),
        "status": "sent",
        "items": lines,
        "subtotal": subtotal,
        "totalTax": tax,
        "total": subtotal + tax,
        "amountPaid": Decimal(0),
        "amountDue": subtotal + tax,
        "createdAt": datetime(day.year, day.month, day.day, 3, tzinfo=UTC),
        "updatedAt": datetime(day.year, day.month, day.day, 3, tzinfo=UTC),
    }
    return version(company, FIRST_PULL, **(standard | more))


def later(row: Row, pulled_at: datetime, **more: Any) -> Row:
    """The same invoice as a later pull found it."""
    changed = {
        **row,
        "_pulled_at": pulled_at,
        "_load_id": f"load {pulled_at:%m%d%H%M}",
        "updatedAt": pulled_at - timedelta(hours=1),
        **more,
    }
    if "amountPaid" in more and "amountDue" not in more:
        changed["amountDue"] = changed["total"] - changed["amountPaid"]
    return changed


def random_invoices(company: str, seed: int) -> Iterator[list[Row]]:
    """Yield invoices of two years, each with its versions: paid in steps, cancelled, deleted."""
    rng = random.Random(seed)
    for number in range(120):
        day = date(2024, 2, 1) + timedelta(days=rng.randrange(770))
        more: Row = {"customerId": rng.choice(["cust_1", "cust_2", "cust_3", None])}
        if rng.random() < 0.15:
            more |= {"currency": "USD", "exchangeRate": Decimal("4.25512345")}
        amounts = [
            (rng.choice(["item_a", "item_b", "item_c"]), rng.choice(list(RATES)),
             f"{rng.randrange(1, 5_000_00) / 100:.2f}")
            for _ in range(rng.randint(1, 3))
        ]  # fmt: skip
        if rng.random() < 0.1:
            more["status"] = "draft"
        versions = [made_invoice(company, f"inv_{number}", day, amounts, **more)]
        at = FIRST_PULL
        for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
            at += timedelta(hours=rng.randrange(1, 500))
            fate = rng.random()
            last = versions[-1]
            if fate < 0.1:
                versions.append(later(last, at, status="cancelled"))
            elif fate < 0.15:
                versions.append(tombstone(company, last["id"], at))
                break
            else:
                paid = cents(last["total"] * rng.choice([1, 2, 4, 5]) / 4)
                payment_day = at.date() - timedelta(days=rng.randrange(3))
                versions.append(later(last, at, status="sent", amountPaid=paid,
                                      lastPaymentDate=payment_day))  # fmt: skip
        yield versions


def chosen_invoices() -> list[list[Row]]:
    """The cases that a random book may lack."""
    minute = timedelta(minutes=1)
    pair = [("item_a", "SST-10", "100.00")]
    in_time = made_invoice("beta", "in_time", date(2025, 9, 1), pair, customerId="cust_9")
    too_late = made_invoice("beta", "too_late", date(2025, 9, 1), pair, customerId="cust_9")
    gone = made_invoice("beta", "gone", date(2026, 1, 2), pair, customerId="cust_9")
    credited = made_invoice("beta", "credited", date(2026, 1, 5), pair, customerId="cust_8")
    big = made_invoice("omega", "big", date(2026, 1, 5), [("item_a", "EXEMPT", "9999999999.99")],
                       currency="USD", exchangeRate=Decimal("4.25512345"))  # fmt: skip
    leap = made_invoice("beta", "leap", date(2024, 2, 29), [("item_leap", "EXEMPT", "29.00")],
                        customerId="cust_8")  # fmt: skip
    paid = {"amountPaid": Decimal(60), "lastPaymentDate": date(2026, 1, 30)}
    five = ("item_a", "EXEMPT", "5.00")
    thirds = made_invoice("delta", "thirds", date(2026, 1, 9), [five] * 3)
    twice = [
        made_invoice("delta", f"twice_{month}", date(2026, month, 5), [five], invoiceNumber="TWICE")
        for month in (1, 2)
    ]
    return [
        *([row] for row in (thirds, *twice)),
        [in_time, later(in_time, JANUARY_ENDS - minute, **paid)],
        [too_late, later(too_late, JANUARY_ENDS, **paid)],
        [gone, tombstone("beta", "gone", JANUARY_ENDS)],
        [credited, later(credited, JANUARY_ENDS, amountDue=Decimal("80.00"))],
        [big],
        [leap, later(leap, JANUARY_ENDS, amountPaid=Decimal(29), lastPaymentDate=date(2026, 2, 1))],
        [made_invoice("beta", "ahead", TODAY + timedelta(days=1), pair, customerId="cust_8")],
        [made_invoice("beta", "due_55", TODAY - timedelta(days=85), pair, customerId="cust_7")],
        [made_invoice("beta", "due_61", TODAY - timedelta(days=91), pair, customerId="cust_6")],
        [
            made_invoice("alpha", "einvoice_late", TODAY - timedelta(days=9), pair, customerId=None,
                         einvoice={"status": "pending"}),
        ],
        [
            made_invoice(
                "alpha", "einvoice_ok", TODAY - timedelta(days=9), pair, customerId=None,
                einvoice={
                    "status": "accepted",
                    "uuid": "u-1",
                    "submittedAt": datetime(2026, 3, 6, 1, tzinfo=UTC),
                    "acceptedAt": datetime(2026, 3, 6, 2, 30, tzinfo=UTC),
                },
            ),
        ],
    ]  # fmt: skip


INVOICES = [
    *random_invoices("alpha", 1),
    *random_invoices("beta", 2),
    *chosen_invoices(),
]
CUSTOMER_LIMITS = {
    "cust_1": "100000000.00",
    "cust_2": "1.00",
    "cust_6": "5000.00",
    "cust_7": "5000.00",
    "cust_9": "500.00",
}


def ledger(company: str) -> list[tuple[date, str, dict[str, Decimal]]]:
    """Entries by hand: (date, reference, amounts by account)."""
    if company == "delta":
        return [
            (day, number, {"cost": Decimal(cost), "sales": Decimal(sales), "cash": Decimal(cash)})
            for day, number, cost, sales, cash in (
                (date(2026, 1, 9), "THIRDS", "10.00", "0", "-10.00"),
                (date(2026, 1, 5), "TWICE", "7.00", "-5.00", "-2.00"),
                (date(2026, 2, 5), "TWICE", "8.01", "-5.02", "-2.99"),
                (date(2026, 2, 6), "BY HAND", "1.00", "-3.00", "2.00"),
            )
        ]
    sale = {"debtors": Decimal(100), "sales": Decimal(-90), "sst": Decimal(-10)}
    return [
        (date(2025, 1, 10), "INV_X", sale),
        (date(2025, 2, 10), "PMT_1", {"cash": Decimal(40), "debtors": Decimal(-40)}),
        (date(2025, 2, 28), "INV_X", {key: -amount for key, amount in sale.items()}),
        (date(2025, 3, 15), "SST", {"sst": Decimal(7), "cash": Decimal(-7)}),
        (date(2025, 4, 1), "OFF", {"bad": Decimal(5), "debtors": Decimal(-5)}),
        (date(2026, 3, 1), "LEAP", {"debtors": Decimal(29), "sales": Decimal(-29)}),
        (TODAY + timedelta(days=20), "AHEAD", {"debtors": Decimal(110), "sales": Decimal(-110)}),
    ] if company == "beta" else [
        (date(2024, 2, 29), "ONE", {"debtors": Decimal("33.33"), "sales": Decimal("-33.33")}),
    ]  # fmt: skip


def books() -> dict[str, list[Row]]:
    customers = [
        version(company, FIRST_PULL, id=key, customerNumber=key.upper(), name=key, status="active",
                creditLimit=Decimal(limit), updatedAt=FIRST_PULL)
        for company in COMPANIES
        for key, limit in CUSTOMER_LIMITS.items()
    ]  # fmt: skip
    raised = [
        {
            **row,
            "_pulled_at": JANUARY_ENDS + timedelta(days=3),
            "_load_id": "load raise",
            "creditLimit": Decimal("700.00"),
        }
        for row in customers
        if row["_company_id"] == "beta" and row["id"] in ("cust_1", "cust_9")
    ]
    return {
        "accounts": [
            account(company, key, *about)
            for company in (*COMPANIES, "delta", "omega")
            for key, about in CHART.items()
        ],
        "journal_entries": [
            journal(
                company,
                f"{company}_{number}",
                (day, [(key, str(amount)) for key, amount in amounts.items()]),
                reference=reference,
            )
            for company in (*COMPANIES, "delta")
            for number, (day, reference, amounts) in enumerate(ledger(company))
        ],
        "customers": [*customers, *raised, tombstone("alpha", "cust_2")],
        "invoices": [row for versions in INVOICES for row in versions],
        "items": [item("item_a", pricing={"costPrice": Decimal("3.5")}),
                  item("item_b", pricing={"costPrice": Decimal("2.25")}), item("item_c")],
        "stock": [stock("item_a", "north", "3", "30.00"), stock("item_a", "south", "1", "2.00"),
                  stock("item_b", "north", "0", "0")],
    }  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    """Builds the books with every law, once."""
    data = tmp_path_factory.mktemp("receivables")
    write(data, books(), [])
    hand_over(data, WAREHOUSE / "seeds")
    wanted = [path.stem for place in ("marts/receivables", "proposals")
              for path in (WAREHOUSE / "models" / place).glob("*.sql")]  # fmt: skip
    results = models.build(data, *wanted, "customers")
    assert not models.failed(results)
    assert "customer_statement_ends_at_what_is_open" in results
    with duckdb.connect(str(data / "build.duckdb"), read_only=True) as connection:
        connection.execute("set schema = 'finance'")

        def ask(sql: str) -> list[Any]:
            rows = connection.execute(sql).fetchall()
            return [row[0] if len(row) == 1 else row for row in rows]

        yield ask


def rate(row: Row) -> Decimal:
    return row["exchangeRate"] if row.get("currency") == "USD" else Decimal(1)


def known(company: str, before: datetime | None = None) -> list[Row]:
    """The invoices that counted in what had been pulled before an instant."""
    found = []
    for versions in INVOICES:
        seen = [v for v in versions if before is None or v["_pulled_at"] < before]
        if seen and seen[-1]["_company_id"] == company and seen[-1]["_op"] == "upsert":
            found.append(seen[-1])
    return [row for row in found if row["status"] not in ("draft", "cancelled")]


def owed(company: str, day: date, before: datetime | None) -> dict[str, tuple[Decimal, int]]:
    return {
        row["id"]: (cents(row["amountDue"] * rate(row)), (day - row["dueDate"]).days)
        for row in known(company, before)
        if row["amountDue"] > 0 and row["invoiceDate"] <= day
    }


def midnight_after(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 16, tzinfo=UTC)


@pytest.mark.deep_after(3)
@pytest.mark.parametrize("mart", PUBLIC)
def test_a_mart_has_its_public_columns_and_says_what_they_mean(built: Query, mart: str) -> None:
    columns = built(
        "select column_name, data_type, comment from duckdb_columns()"
        f" where schema_name = 'finance' and table_name = '{mart}'"
    )
    names, types, comments = zip(*columns, strict=True)
    assert {*PUBLIC[mart].split(), "company_id", "currency", "built_at"} <= {*names}
    assert all(comments)
    assert not {"DOUBLE", "HUGEINT"} & {*types}
    widths = {kind.partition(",")[0] for kind in types if kind.startswith("DECIMAL")}
    assert widths <= {"DECIMAL(18", "DECIMAL(36"}  # of one amount, and of a sum


@pytest.mark.parametrize("company", COMPANIES)
@pytest.mark.parametrize("day", [*MONTH_ENDS, TODAY])
def test_open_items_are_what_was_known_by_midnight(built: Query, company: str, day: date) -> None:
    rows = built(
        "select invoice_id, open_amount, days_past_due from ar_open_items"
        f" where company_id = '{company}' and as_of_date = '{day}'"
    )
    expected = owed(company, day, None if day == TODAY else midnight_after(day))
    assert len(expected) > 20
    assert {key: (amount, days) for key, amount, days in rows} == expected


def test_as_of_dates_are_today_and_the_month_ends_since_the_first_pull_and_twelve_before(
    built: Query,
) -> None:
    days = "select distinct as_of_date from ar_aging where company_id = 'beta' and"
    assert built(f"{days} not is_reconstructed order by 1") == [*MONTH_ENDS, TODAY]
    past = built(f"{days} is_reconstructed order by 1")
    assert (past[0], past[-1], len(past)) == (date(2025, 1, 31), date(2025, 12, 31), 12)


@pytest.mark.parametrize("mart", ["ar_open_items", "ar_aging"])
def test_what_is_owed_today_is_a_table_of_its_own(built: Query, mart: str) -> None:
    today = built(f"from {mart}_today order by all")
    assert len(today) > 3
    assert today == built(
        f"select * exclude (is_reconstructed) from {mart} where as_of_date = '{TODAY}' order by all"
    )


def test_a_payment_pulled_at_midnight_was_not_known_the_day_before(built: Query) -> None:
    assert built(
        "select invoice_id, open_amount from ar_open_items"
        " where customer_id = 'cust_9' and as_of_date = '2026-01-31' order by all"
    ) == [("gone", 110), ("in_time", 50), ("too_late", 110)]


@pytest.mark.parametrize("day", [*MONTH_ENDS, TODAY])
def test_the_ageing_adds_up_the_open_items_by_bucket(built: Query, day: date) -> None:
    buckets = [Decimal(0)] * 4
    overdue = Decimal(0)
    for amount, days in owed("alpha", day, None if day == TODAY else midnight_after(day)).values():
        buckets[0 if days <= 30 else 1 if days <= 60 else 2 if days <= 90 else 3] += amount
        overdue += amount if days > 0 else 0
    assert built(
        "select sum(current), sum(days_31_60), sum(days_61_90), sum(over_90), sum(total_overdue)"
        f" from ar_aging where company_id = 'alpha' and as_of_date = '{day}'"
    ) == [(*buckets, overdue)]


def test_a_past_credit_limit_is_the_one_known_then(built: Query) -> None:
    assert built(
        "select credit_limit from ar_aging where company_id = 'beta' and customer_id = 'cust_9'"
        " and not is_reconstructed order by as_of_date"
    ) == [500, 700, 700]
    assert built(
        "select is_reconstructed, credit_limit from ar_aging"
        " where company_id = 'alpha' and customer_id = 'cust_1' group by all order by all"
    ) == [(False, 100_000_000), (True, None)]


@pytest.mark.parametrize("company", COMPANIES)
def test_a_statement_ends_at_what_is_due_and_runs_through_every_event(
    built: Query, company: str
) -> None:
    expected: dict[str | None, Decimal] = defaultdict(Decimal)
    for row in known(company):
        if row["invoiceDate"] <= TODAY:
            expected[row["customerId"]] += cents(row["amountDue"] * rate(row))
    running: dict[str | None, Decimal] = defaultdict(Decimal)
    events = built(
        "select customer_id, debit, credit, running_balance from customer_statement"
        f" where company_id = '{company}' order by customer_id, event_no"
    )
    for customer, debit, credit, balance in events:
        running[customer] += debit - credit
        assert balance == running[customer]
    assert {k: v for k, v in running.items() if v} == {k: v for k, v in expected.items() if v}


def test_a_statement_infers_payments_credits_and_what_vanished(built: Query) -> None:
    events = built(
        "select invoice_id, event_date, event_type, debit, credit, is_inferred"
        " from customer_statement where company_id = 'beta'"
        " and invoice_id in ('in_time', 'gone', 'credited', 'ahead') order by invoice_id, event_no"
    )
    assert events == [
        ("credited", date(2026, 1, 5), "invoice", 110, 0, False),
        ("credited", date(2026, 1, 31), "credit", 0, 30, True),
        ("gone", date(2026, 1, 2), "invoice", 110, 0, False),
        ("gone", date(2026, 2, 1), "cancellation", 0, 110, True),
        ("in_time", date(2025, 9, 1), "invoice", 110, 0, False),
        ("in_time", date(2026, 1, 30), "payment", 0, 60, True),
    ]


def revenue(company: str) -> dict[tuple[date, str | None, str], list[Any]]:
    """Month, customer and item → quantity, discount, net, tax, invoices."""
    found: dict[tuple[date, str | None, str], list[Any]] = {}
    for row in known(company):
        for line in row["items"]:
            key = (row["invoiceDate"].replace(day=1), row["customerId"], line["itemId"])
            sums = found.setdefault(key, [Decimal(0)] * 4 + [set()])
            for place, field in enumerate(("quantity", "discountAmount", "lineTotal", "taxAmount")):
                value = line[field]
                sums[place] += value if field == "quantity" else cents(value * rate(row))
            sums[4].add(row["id"])
    return found


@pytest.mark.parametrize("company", COMPANIES)
def test_revenue_by_month_customer_and_item_stands_beside_that_of_the_year_before(
    built: Query, company: str
) -> None:
    now = revenue(company)
    before = {(d.replace(year=d.year + 1), c, i): v[2] for (d, c, i), v in now.items()}
    before = {key: net for key, net in before.items() if key[0] <= TODAY}
    expected = {}
    for key in now.keys() | before.keys():
        count, discount, net, tax, ids = now.get(key, [0, 0, 0, 0, ()])
        expected[key] = (count, net + discount, discount, net, tax, len(ids), before.get(key, 0))
    rows = built(
        "select period, customer_id, item_id, quantity, gross_revenue, discount, net_revenue, tax,"
        " invoice_count, previous_year_net_revenue from revenue_monthly"
        f" where company_id = '{company}'"
    )
    assert {row[:3]: row[3:] for row in rows} == expected


def test_a_29_february_is_compared_with_the_february_after(built: Query) -> None:
    assert built(
        "select period, net_revenue, previous_year_net_revenue from revenue_monthly"
        " where item_id = 'item_leap' order by 1"
    ) == [(date(2024, 2, 1), 29, 0), (date(2025, 2, 1), 0, 29)]


def test_the_margin_takes_average_cost_then_cost_price_then_none(built: Query) -> None:
    rows = built(
        "select item_id, cost_basis, sum(quantity), sum(cogs_estimated), sum(gross_profit)"
        " from gross_margin where company_id = 'alpha' group by all order by 1"
    )
    sold: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for (_, _, item_id), sums in revenue("alpha").items():
        sold[item_id][0] += sums[0]
        sold[item_id][1] += sums[2]
    (a, a_net), (b, b_net), (c, _) = sold["item_a"], sold["item_b"], sold["item_c"]
    assert rows == [
        ("item_a", "average_cost", a, 8 * a, a_net - 8 * a),
        ("item_b", "cost_price", b, b * Decimal("2.25"), b_net - b * Decimal("2.25")),
        ("item_c", "none", c, None, None),
    ]


def test_the_cost_of_an_entry_lies_on_the_lines_of_its_invoices_to_the_cent(built: Query) -> None:
    assert built(
        "select invoice_id, line_no, cogs, gross_profit, cost_basis from margin_by_invoice"
        " where company_id = 'delta' order by 1, 2"
    ) == [
        ("thirds", 1, Decimal("3.33"), Decimal("1.67"), "ledger"),
        ("thirds", 2, Decimal("3.34"), Decimal("1.66"), "ledger"),
        ("thirds", 3, Decimal("3.33"), Decimal("1.67"), "ledger"),
        ("twice_1", 1, Decimal("7.51"), Decimal("-2.51"), "ledger"),
        ("twice_2", 1, Decimal("7.50"), Decimal("-2.50"), "ledger"),
    ]


def test_every_step_from_the_invoices_to_the_profit_has_its_name(built: Query) -> None:
    january, february = date(2026, 1, 1), date(2026, 2, 1)
    assert built(
        "select section, step, period, amount from margin_bridge where company_id = 'delta'"
        " order by section desc, step_order, period"
    ) == [
        ("operating_revenue", "invoices", january, Decimal("20.00")),
        ("operating_revenue", "invoices", february, Decimal("5.00")),
        ("operating_revenue", "not_on_ledger", january, Decimal("-15.00")),
        ("operating_revenue", "booked_in_other_months", january, Decimal("-0.02")),
        ("operating_revenue", "from_other_months", february, Decimal("0.02")),
        ("operating_revenue", "posted_differently", january, Decimal("0.02")),
        ("operating_revenue", "other_entries", february, Decimal("3.00")),
        ("cost_of_goods_sold", "invoices", january, Decimal("17.51")),
        ("cost_of_goods_sold", "invoices", february, Decimal("7.50")),
        ("cost_of_goods_sold", "booked_in_other_months", january, Decimal("-0.51")),
        ("cost_of_goods_sold", "from_other_months", february, Decimal("0.51")),
        ("cost_of_goods_sold", "other_entries", february, Decimal("1.00")),
    ]


@pytest.mark.parametrize("company", COMPANIES)
def test_tax_by_code_is_that_of_the_lines(built: Query, company: str) -> None:
    expected: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for row in known(company):
        for line in row["items"]:
            key = (row["invoiceDate"].replace(day=1), line["taxCode"])
            expected[key] += cents(line["taxAmount"] * rate(row))
    rows = built(
        "select period, tax_code, tax_amount from tax_summary"
        f" where company_id = '{company}' and invoice_count > 0"
    )
    assert {(period, code): amount for period, code, amount in rows} == expected


def test_tax_on_the_ledger_is_that_of_sales_and_not_what_settles_it(built: Query) -> None:
    months = built(
        "select period, sum(gl_tax_movement) from tax_summary where company_id = 'beta'"
        " group by period having sum(gl_tax_movement) <> 0 order by 1"
    )
    assert months == [(date(2025, 1, 1), 10), (date(2025, 2, 1), -10)]


def test_collections_foot_from_the_ledger(built: Query) -> None:
    rows = built(
        "select period, opening_ar, credit_sales, cash_collected, other_movement, closing_ar, dso"
        " from collections where company_id = 'beta' and (credit_sales <> 0 or cash_collected <> 0"
        " or other_movement <> 0) order by 1"
    )
    assert rows == [
        (date(2025, 1, 1), 0, 100, 0, 0, 100, 31),  # the first month of the books
        (date(2025, 2, 1), 100, -100, 40, 0, -40, None),
        (date(2025, 4, 1), -40, 0, 0, -5, -45, None),
        (date(2026, 3, 1), -45, 29, 0, 0, -16, Decimal("-40.8")),  # 31 + 28 + 15 days
        (date(2026, 4, 1), -16, 110, 0, 0, 94, None),  # ahead of today
    ]


def test_collections_know_the_overdue_share_where_the_history_reaches(built: Query) -> None:
    day = MONTH_ENDS[1]
    items = owed("alpha", day, midnight_after(day)).values()
    total = sum(amount for amount, _ in items)
    late = sum(amount for amount, days in items if days > 0)
    shares = built(
        "select period, overdue_pct, is_reconstructed from collections where company_id = 'alpha'"
        " and period in ('2024-12-01', '2025-12-01', '2026-02-01') order by 1"
    )
    assert shares[0] == (date(2024, 12, 1), None, False)
    assert shares[1][1] > 0
    assert [row[2] for row in shares] == [False, True, False]
    assert abs(shares[2][1] - 100 * late / total) < Decimal("0.001")


def test_what_parts_the_control_account_from_the_open_items_is_itemised(built: Query) -> None:
    items = built(
        "select item_type, document_number, difference from receivable_control"
        " where company_id = 'beta' and (item_type = 'entry'"
        " or document_number in ('LEAP', 'CREDITED'))"
        " order by all"
    )
    assert items == [
        ("credit", "CREDITED", 30),
        ("entry", "BETA_0", 100),
        ("entry", "BETA_2", -100),
        ("entry", "BETA_4", -5),
        ("invoice", "CREDITED", -110),
    ]
    open_items = sum(amount for amount, _ in owed("beta", TODAY, None).values())
    assert built("select sum(difference) from receivable_control where company_id = 'beta'") == [
        -16 - open_items
    ]


def test_an_einvoice_shows_how_long_it_took_and_what_is_wrong(built: Query) -> None:
    assert built(
        "select invoice_id, state, hours_to_accept, uuid, issue from einvoice_status"
        " where invoice_id like 'einvoice%' order by 1"
    ) == [
        ("einvoice_late", "pending", None, None, "not submitted"),
        ("einvoice_ok", "accepted", Decimal("1.50"), "u-1", None),
    ]


def test_amounts_of_ten_digits_in_another_currency_are_exact(built: Query) -> None:
    exact = cents(Decimal("9999999999.99") * Decimal("4.25512345"))
    assert built("select running_balance from customer_statement where company_id = 'omega'") == [
        exact
    ]
    assert built("select net_revenue from revenue_monthly where company_id = 'omega'") == [exact]


def test_customers_that_owe_for_long_are_lowered_then_blocked(built: Query, tmp_path: Path) -> None:
    proposed = built(
        'select id, status, "creditLimit" from proposals.push_customers_credit_limit'
        " where _company_id = 'beta' and id in ('cust_6', 'cust_7', 'cust_9') order by 1"
    )
    assert proposed == [("cust_6", None, 110), ("cust_9", "blocked", None)]
    assert built("from proposals.push_customers_credit_limit where _company_id = 'alpha'"
                 " and id = 'cust_2'") == []  # deleted  # fmt: skip
    columns = built("select column_name from (describe proposals.push_customers_credit_limit)")
    rows = built("from proposals.push_customers_credit_limit where _company_id = 'beta'")
    file = tmp_path / "limits.csv"
    text = [columns, *[["" if v is None else str(v) for v in row] for row in rows]]
    file.write_text("\n".join(",".join(line) for line in text))
    wanted = validate(CUSTOMERS, read(file))
    assert [w.problems for w in wanted] == [()] * len(rows)
    bodies = {w.named["id"]: w.data for w in wanted}
    assert bodies["cust_9"] == {"status": "blocked"}
    assert bodies["cust_6"] == {"creditLimit": Decimal("110.00")}
    assert all(w.based_on for w in wanted)
