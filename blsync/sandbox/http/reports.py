"""The reports, added up in SQL from posted lines in cents (bigledger-api.md, sections 5 and 16)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from blsync.sandbox.books.company import Books
from blsync.sandbox.books.values import ZERO, Record, from_cents, from_ten_thousandths, quantity

BUCKETS = (("Current", 0, 30), ("31-60 Days", 31, 60), ("61-90 Days", 61, 90))
BUCKET_FIELDS = ("current", "days31to60", "days61to90", "over90days")
ASSETS = {
    "currentAssets": "current_asset",
    "fixedAssets": "fixed_asset",
    "otherAssets": "other_asset",
}
LIABILITIES = {
    "currentLiabilities": "current_liability",
    "longTermLiabilities": "long_term_liability",
    "otherLiabilities": "other_liability",
}


class Reports:
    """Reports over a company's books; days are business dates, both ends inclusive."""

    def __init__(self, books: Books) -> None:
        self.books = books

    def _net(self, last: str, first: str = "") -> dict[str, int]:
        """Return debits less credits by account, in cents."""
        rows = self.books.store.query(
            "select account_id, sum(debit_cents) - sum(credit_cents) from journal_lines"
            " where date >= ? and date <= ? group by account_id",
            *(first, last),
        )
        return dict(rows)

    def _accounts(self) -> list[Record]:
        return sorted(self.books.store.all("accounts"), key=lambda a: str(a["accountNumber"]))

    def trial_balance(self, day: str, with_zeros: bool = False) -> Record:
        """Give each account's balance in the debit or the credit column."""
        net, accounts = self._net(day), []
        for account in self._accounts():
            cents = net.get(account["id"], 0)
            if cents or with_zeros:
                accounts.append(
                    {
                        **_name(account),
                        "type": account["type"],
                        "debit": from_cents(max(cents, 0)),
                        "credit": from_cents(max(-cents, 0)),
                    }
                )
        debit = sum((account["debit"] for account in accounts), ZERO)
        credit = sum((account["credit"] for account in accounts), ZERO)
        return {
            **_title("Trial Balance", asOfDate=day),
            "accounts": accounts,
            "totalDebit": debit,
            "totalCredit": credit,
            "balanced": debit == credit,
        }

    def balance_sheet(self, day: str) -> Record:
        """Give assets, liabilities and equity; unclosed earnings are a line of equity."""
        net, accounts = self._net(day), self._accounts()
        assets = {key: _section(accounts, net, category, 1) for key, category in ASSETS.items()}
        debts = {key: _section(accounts, net, name, -1) for key, name in LIABILITIES.items()}
        equity = _section(accounts, net, "equity", -1)
        earned = -sum(net.get(a["id"], 0) for a in accounts if a["type"] in ("revenue", "expense"))
        line = {"accountId": None, "accountNumber": None, "accountName": "Current Earnings"}
        equity["accounts"].append({**line, "balance": from_cents(earned)})
        equity["total"] += from_cents(earned)
        owned, owed = _total(assets), _total(debts)
        return {
            **_title("Balance Sheet", asOfDate=day),
            "assets": {**assets, "totalAssets": owned},
            "liabilities": {**debts, "totalLiabilities": owed},
            "equity": equity,
            "totalLiabilitiesAndEquity": owed + equity["total"],
            "balanced": owned == owed + equity["total"],
        }

    def profit_loss(self, first: str, last: str) -> Record:
        """Give the profit of a period."""
        net, accounts = self._net(last, first), self._accounts()
        parts = {
            name: _section(accounts, net, name, sign)
            for name, sign in (
                ("operating_revenue", -1),
                ("other_revenue", -1),
                ("cost_of_goods_sold", 1),
                ("operating_expense", 1),
                ("other_expense", 1),
            )
        }
        revenue = parts["operating_revenue"]["total"] + parts["other_revenue"]["total"]
        expenses = parts["operating_expense"]["total"] + parts["other_expense"]["total"]
        gross = revenue - parts["cost_of_goods_sold"]["total"]
        return {
            **_title("Profit & Loss Statement", periodFrom=first, periodTo=last),
            "revenue": {
                "operatingRevenue": parts["operating_revenue"],
                "otherRevenue": parts["other_revenue"],
                "totalRevenue": revenue,
            },
            "costOfGoodsSold": parts["cost_of_goods_sold"],
            "grossProfit": gross,
            "expenses": {
                "operatingExpenses": parts["operating_expense"],
                "otherExpenses": parts["other_expense"],
                "totalExpenses": expenses,
            },
            "netProfit": gross - expenses,
        }

    def aged_receivables(self, day: str) -> Record:
        """Give what each customer owes by days past due, of what was dated by then."""
        owing = self._aged(
            "select m.customer_id, i.dueDate, sum(m.cents) from receivable_moves m"
            " join invoices i on i.id = m.invoice_id where m.date <= ?"
            " group by m.invoice_id having sum(m.cents) <> 0",
            day,
        )
        customers = [self._debtor(key, buckets) for key, buckets in owing.items()]
        return {
            **_title("Aged Receivables", asOfDate=day),
            "agingPeriods": _periods(owing),
            "customers": sorted(customers, key=lambda c: (-c["totalOwing"], c["customerId"])),
            "summary": {
                "totalOutstanding": _outstanding(owing),
                "totalCustomers": len(customers),
            },
        }

    def aged_payables(self, day: str) -> Record:
        """Give what each supplier is owed by days past due, of what was dated by then."""
        owing = self._aged(
            "select m.supplier_id, b.dueDate, sum(m.cents) from payable_moves m"
            " join bills b on b.id = m.bill_id where m.date <= ?"
            " group by m.bill_id having sum(m.cents) <> 0",
            day,
        )
        suppliers = [
            {
                "supplierId": key,
                "supplierName": (self.books.store.get("suppliers", key) or {}).get("name"),
                **_owed(buckets),
            }
            for key, buckets in owing.items()
        ]
        return {
            **_title("Aged Payables", asOfDate=day),
            "agingPeriods": _periods(owing),
            "suppliers": sorted(suppliers, key=lambda s: (-s["totalOwing"], s["supplierId"])),
            "summary": {
                "totalOutstanding": _outstanding(owing),
                "totalSuppliers": len(suppliers),
            },
        }

    def _aged(self, sql: str, day: str) -> dict[str, list[int]]:
        """Return cents by party and bucket of what a query finds: party, due date, cents."""
        owing: dict[str, list[int]] = {}
        for party, due, cents in self.books.store.query(sql, day):
            buckets = owing.setdefault(party, [0, 0, 0, 0])
            buckets[_bucket((date.fromisoformat(day) - date.fromisoformat(due)).days)] += cents
        return owing

    def _debtor(self, customer_id: str, buckets: Iterable[int]) -> Record:
        customer = self.books.store.get("customers", customer_id) or {}
        return {
            "customerId": customer_id,
            "customerName": customer.get("name"),
            **_owed(buckets),
            "creditLimit": customer.get("creditLimit"),
        }

    def stock_valuation(self, day: str, location_id: str | None = None) -> Record:
        """Give quantity and value of each item in stock, at average cost."""
        rows = self.books.store.query(
            "select item_id, sum(quantity), sum(value_cents) from stock_moves"
            " where date <= ? and (? is null or location_id = ?) group by item_id"
            " having sum(quantity) <> 0 or sum(value_cents) <> 0",
            *(day, location_id, location_id),
        )
        items = [self._valued(*row) for row in rows]
        items.sort(key=lambda item: str(item["itemCode"]))
        return {
            **_title("Stock Valuation Report", asOfDate=day),
            "valuationMethod": "average",
            "summary": {
                "totalItems": len(items),
                "totalQuantity": quantity(sum(item["quantity"] for item in items)),
                "totalValue": sum((item["totalValue"] for item in items), ZERO),
            },
            "items": items,
        }

    def _valued(self, item_id: str, held: int, cents: int) -> Record:
        item = self.books.store.get("items", item_id) or {}
        count, value = from_ten_thousandths(held), from_cents(cents)
        average = value / Decimal(count) if count else ZERO
        return {
            "itemId": item_id,
            "itemCode": item.get("itemCode"),
            "itemName": item.get("name"),
            "quantity": count,
            "averageCost": average.quantize(Decimal("0.0001"), ROUND_HALF_UP),
            "totalValue": value,
        }


def _outstanding(owing: dict[str, list[int]]) -> Decimal:
    return from_cents(sum(sum(buckets) for buckets in owing.values()))


def _owed(buckets: Iterable[int]) -> Record:
    amounts = [from_cents(cents) for cents in buckets]
    return {"totalOwing": sum(amounts, ZERO), **dict(zip(BUCKET_FIELDS, amounts, strict=True))}


def _periods(owing: dict[str, list[int]]) -> list[Record]:
    sums = [sum(buckets[index] for buckets in owing.values()) for index in range(4)]
    return [
        {
            "periodName": name,
            "fromDays": first,
            "toDays": last,
            "amount": from_cents(sums[index]),
            "percentage": _percentage(sums[index], sum(sums)),
        }
        for index, (name, first, last) in enumerate((*BUCKETS, ("Over 90 Days", 91, None)))
    ]


def _title(name: str, **days: str) -> Record:
    return {"reportName": name, **days, "currency": "MYR"}


def _name(account: Record) -> Record:
    return {
        "accountId": account["id"],
        "accountNumber": account["accountNumber"],
        "accountName": account["name"],
    }


def _section(accounts: list[Record], net: dict[str, int], category: str, sign: int) -> Any:
    lines = [
        {**_name(account), "balance": from_cents(sign * net[account["id"]])}
        for account in accounts
        if account["category"] == category and net.get(account["id"])
    ]
    return {"total": sum((line["balance"] for line in lines), ZERO), "accounts": lines}


def _total(sections: dict[str, Any]) -> Decimal:
    return sum((section["total"] for section in sections.values()), ZERO)


def _bucket(days_late: int) -> int:
    return 0 if days_late <= 30 else 1 if days_late <= 60 else 2 if days_late <= 90 else 3


def _percentage(part: int, whole: int) -> Decimal:
    return (Decimal(100 * part) / Decimal(whole or 1)).quantize(Decimal("0.1"), ROUND_HALF_UP)
