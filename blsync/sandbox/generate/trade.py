"""What happens in the company on any day; the history and the nights are made of it."""

from __future__ import annotations

import random
from datetime import date, timedelta
from decimal import Decimal

from blsync.sandbox.books.adjustments import write_adjustment
from blsync.sandbox.books.chart import LOCATIONS
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.masters import add_customer
from blsync.sandbox.books.pipeline import order_lines
from blsync.sandbox.books.sales import draft_invoice, issue_invoice, pay_invoice, write_lines
from blsync.sandbox.books.stock import move_stock, stock_row
from blsync.sandbox.books.values import ZERO, Record, from_cents, money
from blsync.sandbox.generate import names
from blsync.sandbox.generate.compliance import Compliance
from blsync.sandbox.generate.orders import Orders, Waiting
from blsync.sandbox.generate.purchases import Purchases

METHODS = ("bank_transfer", "duitnow", "cheque", "cash", "fpx")
REASONS = ("stock_count", "damaged", "found", "lost", "expired")


class Trade:
    """A trader's habits over a company's books; every choice comes from ``rng``.

    ``demand`` is how many pieces of a stocked item a location sells in a week, about. Where the
    company has the modules, what is bought are ``purchases``, some invoices are made of ``orders``,
    and ``compliance`` files the e-invoices.
    """

    purchases: Purchases | None = None
    orders: Orders | None = None
    compliance: Compliance | None = None

    def __init__(self, books: Books, rng: random.Random, demand: int = 20) -> None:
        self.books = books
        self.rng = rng
        self.demand = max(10, demand)
        self.buyers = [c["id"] for c in books.store.all("customers") if c["status"] == "active"]
        goods = [item for item in books.store.all("items") if item["isActive"]]
        self.stocked = [item["id"] for item in goods if item["inventory"]["tracked"]]
        self.untracked = [item["id"] for item in goods if not item["inventory"]["tracked"]]

    def customer(self, status: str = "active") -> Record:
        """Let a new customer in."""
        rng, count = self.rng, self.books.counters["cust"] + 1
        business = rng.random() < 0.75
        name = names.business_name(rng) if business else names.person_name(rng)
        contact, place = names.person_name(rng), names.address(rng)
        slug = "".join(c for c in name.lower() if c.isascii() and c.isalnum())[:14] or "akaun"
        phone = f"+601{rng.randint(10_000_000, 99_999_999)}"
        email = f"{slug}{count}@example.my"
        customer = add_customer(
            self.books,
            {
                "name": name,
                "type": "business" if business else "individual",
                "email": None if rng.random() < 0.03 else email,
                "phone": phone,
                "website": f"https://{slug}{count}.example.my" if rng.random() < 0.3 else None,
                "taxNumber": f"C{rng.randint(10**9, 10**10 - 1)}" if business else None,
                "address": place,
                "billingAddress": place,
                "shippingAddress": names.address(rng) if rng.random() < 0.3 else place,
                "paymentTerms": rng.choice((7, 14, 30, 30, 30, 45, 60)),
                "creditLimit": from_cents(rng.choice((5, 10, 20, 50, 100)) * 100_000),
                "status": status,
                "tags": rng.sample(
                    ("retail", "wholesale", "vip", "east-malaysia"), rng.randint(0, 2)
                ),
                "customFields": {
                    "industry": rng.choice(names.INDUSTRIES),
                    "accountManager": f"{rng.choice(names.MALAY)} {rng.choice(names.FATHERS)}",
                },
                "contacts": [
                    {
                        "id": self.books.new_id("contact"),
                        "name": contact,
                        "email": f"kontak{count}@example.my",
                        "phone": phone,
                        "title": "Purchasing",
                        "isPrimary": True,
                    }
                ]
                if business
                else [],
            },
        )
        if status == "active":
            self.buyers.append(customer["id"])
        return customer

    def invoice(self, day: date, draft: bool = False) -> Record:
        """Sell something, dated ``day``; what is not in stock is bought first."""
        if self.orders and not draft and day == self.books.today:
            part = self.orders.ready(day)
            if part:
                return self._fulfil(self.orders, part, day)
        rng, books = self.rng, self.books
        buyers = self.buyers
        buyer = books.find("customers", buyers[int(len(buyers) * rng.random() ** 1.6)])
        lines = [
            self._line(item_id)
            for item_id in rng.sample(self.stocked, min(rng.randint(1, 4), len(self.stocked)))
        ]
        if self.untracked and rng.random() < 0.25:
            lines.append({"itemId": rng.choice(self.untracked), "quantity": rng.randint(1, 3)})
        number = books.counters["inv"] + 1
        invoice = draft_invoice(
            books,
            buyer,
            day.isoformat(),
            (day + timedelta(days=buyer["paymentTerms"])).isoformat(),
            write_lines(books, lines),
            reference=f"SO-{number:06d}",
            purchaseOrder=f"PO-{rng.randint(1000, 99999)}" if rng.random() < 0.4 else None,
            notes="Terima kasih" if rng.random() < 0.2 else None,
            terms=f"Payment due within {buyer['paymentTerms']} days",
            shippingCost=from_cents(rng.choice((800, 1500, 2500))) if rng.random() < 0.2 else ZERO,
        )
        if not draft:
            self.ensure(invoice, day)
            issue_invoice(books, invoice)
            self._submit(invoice)
        return invoice

    def _fulfil(self, orders: Orders, part: Waiting, day: date) -> Record:
        """Invoice what is ready of an order; what is not in stock is bought first."""
        order = self.books.find("sales_orders", part.order_id)
        self.ensure({"items": order_lines(order, part.parts)}, day)
        invoice = orders.invoice(part, day)
        self._submit(invoice)
        return invoice

    def _line(self, item_id: str) -> Record:
        rng = self.rng
        discount = rng.choice((0, 0, 0, 0, 5, 10, Decimal("2.5")))
        amount = rng.choice((1, 2, 2, 3, 4, 5, 6, 10, 12, 20))
        return {"itemId": item_id, "quantity": amount, "discountPercent": discount}

    def _submit(self, invoice: Record) -> None:
        """Most invoices have been through the e-invoice portal."""
        if self.rng.random() < 0.9:
            outcome = "accepted" if self.rng.random() < 0.97 else "rejected"
            uuid = f"{self.rng.getrandbits(64):016x}"
            if self.compliance:
                self.compliance.file(invoice, outcome, uuid)
                return
            invoice["einvoice"].update(
                status=outcome,
                submittedAt=invoice["updatedAt"],
                acceptedAt=invoice["updatedAt"],
                uuid=uuid,
            )

    def ensure(self, invoice: Record, day: date) -> None:
        """Buy what an invoice needs and no location holds."""
        short: dict[str, int] = {}
        for line in invoice["items"]:
            item = self.books.find("items", line["itemId"])
            if (
                item["inventory"]["tracked"]
                and item["inventory"]["currentStock"] < line["quantity"]
            ):
                short[item["id"]] = 2 * self.demand + int(line["quantity"])
        if short:
            place = self.rng.choice(list(LOCATIONS))
            self.purchase(day, [(item_id, place, count) for item_id, count in short.items()])

    def purchase(self, day: date, wanted: list[tuple[str, str, int]]) -> None:
        """Buy stock on account: (item, location, pieces), one entry where there are no orders."""
        if self.purchases:
            self.purchases.buy(day, wanted)
            return
        books, rng = self.books, self.rng
        reference = f"GRN-{books.new_id('grn')[4:]}"
        supplier = rng.choice(names.SUPPLIERS)[1]
        total = ZERO
        for item_id, place, count in wanted:
            item = books.find("items", item_id)
            cents = item["pricing"]["costPrice"] * Decimal(rng.randint(96, 105)) / 100
            value = money(cents * count)
            move_stock(
                *(books, item, place, count, value),
                day=day.isoformat(),
                kind="purchase",
                reference=reference,
                document_id=reference,
            )
            total += value
        note = f"Goods received from {supplier}"
        books.write_entry(
            day.isoformat(),
            reference,
            note,
            [(books.role("inventory"), total, note), (books.role("payable"), -total, note)],
            source=reference,
        )

    def restock(self, day: date) -> None:
        """Buy what has fallen under its reorder point, anywhere."""
        wanted = []
        for item_id in self.stocked:
            for place in LOCATIONS:
                row = stock_row(self.books, item_id, place)
                if row and row["currentStock"] < 2 * self.demand:
                    wanted.append((item_id, place, self.demand * self.rng.randint(3, 5)))
        if wanted:
            self.purchase(day, wanted)

    def payment(self, invoice_id: str, day: date, share: Decimal = Decimal(1)) -> bool:
        """Take money for an invoice, if there is any due; tell whether there was."""
        invoice = self.books.find("invoices", invoice_id)
        if invoice["status"] not in ("sent", "overdue"):
            return False
        amount = min(money(invoice["amountDue"] * share), invoice["amountDue"])
        if amount <= 0:
            return False
        paid_on = max(day.isoformat(), invoice["invoiceDate"])
        account = self.books.role(self.rng.choice(("bank", "bank", "collection")))
        method = self.rng.choice(METHODS)
        pay_invoice(self.books, invoice, amount, paid_on, method, account_id=account)
        return True

    def adjustment(self, day: date, draft: bool = False) -> Record | None:
        """Correct stock at one location after a count."""
        rng, place = self.rng, self.rng.choice(list(LOCATIONS))
        reason, lines = rng.choice(REASONS), []
        for item_id in rng.sample(self.stocked, min(3, len(self.stocked))):
            row = stock_row(self.books, item_id, place)
            if row is None or row["currentStock"] < 10:
                continue
            change = rng.randint(1, 4) if reason == "found" else -rng.randint(1, 5)
            if reason == "stock_count" and rng.random() < 0.5:
                change = -change
            lines.append({"itemId": item_id, "adjustmentQuantity": change})
        if not lines:
            return None
        return write_adjustment(
            *(self.books, day.isoformat(), place, reason, lines),
            reference=f"SC-{day:%Y%m}-{rng.randint(100, 999)}",
            draft=draft,
        )

    def manual_entry(self, day: date, cents: int, draft: bool = False) -> Record:
        """Accrue an expense by hand."""
        books, rng = self.books, self.rng
        role, note = rng.choice(
            (
                ("marketing", "Pasar Malam booth accrual"),
                ("utilities", "TNB electricity accrual"),
                ("telephone", "Unifi line accrual"),
            )
        )
        amount = from_cents(rng.randint(cents // 2, cents))
        number = books.counters["je"] + 1
        return books.write_entry(
            day.isoformat(),
            f"ACC-{number:06d}",
            note,
            [(books.role(role), amount, note), (books.role("accrued"), -amount, note)],
            draft=draft,
            created_by=rng.choice(("user_farah", "user_weijie", "user_kavitha")),
        )
