"""Buying on account: orders, deliveries in one or two parts, bills that differ, payments."""

from __future__ import annotations

import contextlib
import random
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from blsync.sandbox.books import purchasing
from blsync.sandbox.books.chart import MAIN_LOCATION
from blsync.sandbox.books.company import Books
from blsync.sandbox.books.errors import ApiError
from blsync.sandbox.books.values import Record, from_cents, money
from blsync.sandbox.generate import names
from blsync.sandbox.generate.agenda import Agenda, Event

FRIDAY = 4
TERMS = ((30, 0, 0), (30, 0, 0), (30, 10, 2), (45, 0, 0), (14, 0, 0), (60, 15, Decimal("1.5")))
"""Days, days of the early discount, per cent of it."""
EXPENSES = (
    ("Courier and haulage", "6060", "SST-8", 40_000),
    ("Shelf labels and packing", "6060", "EXEMPT", 25_000),
    ("Forklift and lorry repair", "6040", "SST-8", 60_000),
    ("Cleaning of the warehouse", "6040", "SST-8", 30_000),
    ("Mobile lines of the drivers", "6070", "SST-8", 18_000),
    ("Marine and fire cover, top-up", "6080", "SST-8", 45_000),
)
"""What is bought without an order: description, account, tax code, usual amount in cents."""

Delivered = list[tuple[str, Decimal | int]]
"""Id of an order's line and pieces."""


def found_suppliers(books: Books, rng: random.Random, count: int) -> None:
    """Make up the suppliers; the first are those that the items name."""
    for number in range(count):
        known = names.SUPPLIERS[number] if number < len(names.SUPPLIERS) else None
        add_supplier(books, rng, known)


def add_supplier(books: Books, rng: random.Random, known: tuple[str, str] | None = None) -> Record:
    """Let a new supplier in."""
    count = books.counters["SUPP-"] + 1
    name = known[1] if known else names.business_name(rng)
    days, discount_days, percent = rng.choice(TERMS)
    contact = names.person_name(rng)
    fields: Record = {
        "name": name,
        "email": f"akaun{count}@pembekal.example.my",
        "phone": f"+603{rng.randint(10_000_000, 99_999_999)}",
        "website": f"https://pembekal{count}.example.my" if rng.random() < 0.4 else None,
        "taxNumber": f"C{rng.randint(10**9, 10**10 - 1)}",
        "registrationNumber": f"{rng.randint(1990, 2024)}01{rng.randint(100_000, 999_999)}",
        "address": names.address(rng),
        "paymentTerms": {
            "termsDays": days,
            "discountDays": discount_days,
            "discountPercent": percent,
        },
        "creditLimit": from_cents(rng.choice((20, 50, 100, 200)) * 100_000),
        "status": "active",
        "tags": rng.sample(("import", "local", "key"), rng.randint(0, 2)),
        "contactPerson": {
            "name": contact,
            "email": f"jualan{count}@pembekal.example.my",
            "phone": f"+601{rng.randint(10_000_000, 99_999_999)}",
            "position": "Sales",
        },
        "bankDetails": {
            "accountName": name,
            "accountNumber": f"{rng.randint(10**11, 10**12 - 1)}",
            "bankName": rng.choice(("Maybank", "CIMB Bank", "Public Bank", "RHB Bank")),
            "bankCode": rng.choice(("MBB", "CIMB", "PBB", "RHB")),
            "swiftCode": rng.choice(("MBBEMYKL", "CIBBMYKL", "PBBEMYKL", "RHBBMYKL")),
        },
    }
    return purchasing.add_supplier(books, fields, known[0] if known else None)


class Purchases:
    """A buyer's habits; every choice comes from ``rng``, what follows is put on the ``agenda``."""

    def __init__(self, books: Books, rng: random.Random, agenda: Agenda, demand: int) -> None:
        self.books = books
        self.rng = rng
        self.agenda = agenda
        self.demand = demand
        self.suppliers = [
            supplier["id"]
            for supplier in books.store.all("suppliers")
            if supplier["status"] == "active"
        ]
        self.goods = [item["id"] for item in books.store.all("items") if item["type"] != "service"]

    def _supplier(self) -> Record:
        chosen = self.suppliers[int(len(self.suppliers) * self.rng.random() ** 1.5)]
        return self.books.find("suppliers", chosen)

    def _order(self, supplier: Record, day: date, required: date, wanted: dict[str, int]) -> Record:
        lines = []
        for item_id, count in wanted.items():
            cost = self.books.find("items", item_id)["pricing"]["costPrice"]
            price = money(cost * Decimal(self.rng.randint(96, 105)) / 100)
            lines.append({"itemId": item_id, "quantity": count, "unitPrice": price})
        return purchasing.draft_order(
            *(self.books, supplier, day.isoformat(), required.isoformat(), lines),
            deliveryAddress={
                "contactName": "Gudang Shah Alam",
                "phone": "+60355190000",
                "street": "No. 8, Persiaran Kayangan",
                "city": "Shah Alam",
                "state": "Selangor",
                "postalCode": "40150",
                "country": "MY",
            },
            terms=purchasing.terms_text(supplier["paymentTerms"]),
        )

    def buy(self, day: date, wanted: list[tuple[str, str, int]]) -> None:
        """Take in goods that were ordered some days ago: (item, location, pieces)."""
        rng, books = self.rng, self.books
        total: dict[str, int] = {}
        for item_id, _, count in wanted:
            total[item_id] = total.get(item_id, 0) + count
        is_part = rng.random() < 0.2
        ordered = dict(total)
        if is_part:
            item_id = rng.choice(list(ordered))
            ordered[item_id] += max(2, ordered[item_id] // 2)
        placed = day - timedelta(days=rng.randint(2, 14))
        order = self._order(self._supplier(), placed, day, ordered)
        if rng.random() < 0.7:
            purchasing.approve_order(books, order)
        purchasing.send_order(books, order)
        if rng.random() < 0.8:
            purchasing.confirm_order(books, order)
        lines = {line["itemId"]: line["id"] for line in order["items"]}
        receipts = [(lines[item_id], place, count) for item_id, place, count in wanted]
        purchasing.receive_goods(books, order, day.isoformat(), receipts)
        delivered = {lines[item_id]: count for item_id, count in total.items()}
        if is_part and rng.random() < 0.2:  # billed in full at once, before the rest has come
            delivered = {line["id"]: line["quantity"] for line in order["items"]}
            self._later(day, 5, 20, partial(self.deliver, order["id"], is_billed=True))
        elif is_part:
            self._later(day, 5, 20, partial(self.deliver, order["id"]))
        bill = partial(self.bill, order["id"], list(delivered.items()))
        self._later(day, 0, 10, bill)

    def _later(self, day: date, least: int, most: int, event: Event) -> None:
        self.agenda.on(day + timedelta(days=max(1, self.rng.randint(least, most))), event)

    def order_ahead(self, day: date) -> Record:
        """Order goods that will come in some weeks, in one part or two; a few never do."""
        rng, books = self.rng, self.books
        chosen = rng.sample(self.goods, min(rng.randint(1, 3), len(self.goods)))
        wanted = {item_id: rng.randint(2, max(4, self.demand // 2)) for item_id in chosen}
        comes = day + timedelta(days=rng.randint(5, 28))
        order, chance = self._order(self._supplier(), day, comes, wanted), rng.random()
        if chance < 0.05:
            return order
        if rng.random() < 0.7:
            purchasing.approve_order(books, order)
        purchasing.send_order(books, order)
        if rng.random() < 0.7:
            self._later(day, 1, 3, partial(self._confirm, order["id"]))
        if chance < 0.12:
            self._later(day, 2, 4, partial(self._cancel, order["id"]))
        else:
            late = timedelta(days=rng.choice((0, 0, 0, 2, 6)))
            self.agenda.on(comes + late, partial(self.deliver, order["id"], is_part=chance < 0.3))
        return order

    def _confirm(self, order_id: str) -> None:
        with contextlib.suppress(ApiError):
            purchasing.confirm_order(self.books, self.books.find("purchase_orders", order_id))

    def _cancel(self, order_id: str) -> None:
        with contextlib.suppress(ApiError):
            purchasing.cancel_order(self.books, self.books.find("purchase_orders", order_id))

    def deliver(self, order_id: str, *, is_part: bool = False, is_billed: bool = False) -> None:
        """Take in what an order still expects, or half of it."""
        books, day = self.books, self.books.today
        order = books.find("purchase_orders", order_id)
        receipts: list[purchasing.Receipt] = []
        delivered: Delivered = []
        if order["status"] not in purchasing.EXPECTED:
            return
        for line in order["items"]:
            left = int(line["quantity"] - line["receivedQuantity"])
            count = (left + 1) // 2 if is_part else left
            if count > 0:
                receipts.append((line["id"], MAIN_LOCATION, count))
                delivered.append((line["id"], count))
        purchasing.receive_goods(books, order, day.isoformat(), receipts)
        if is_part and order["status"] == "partially_received":
            self._later(day, 6, 18, partial(self.deliver, order_id))
        if not is_billed:
            self._later(day, 0, 12, partial(self.bill, order_id, delivered))

    def bill(self, order_id: str, delivered: Delivered) -> Record:
        """Enter the bill for what was delivered; one in eight asks another price."""
        rng, books = self.rng, self.books
        order = books.find("purchase_orders", order_id)
        lines = {line["id"]: line for line in order["items"]}
        differs, entered = rng.random() < 0.12, []
        for line_id, count in delivered:
            line = lines[line_id]
            factor = Decimal(rng.choice((97, 98, 102, 103, 105)) if differs else 100)
            entered.append(
                {
                    "itemId": line["itemId"],
                    "description": line["description"],
                    "quantity": count,
                    "unitPrice": money(line["unitPrice"] * factor / 100),
                    "taxCode": line["taxCode"],
                    "accountCode": "2015",
                }
            )
        supplier = books.find("suppliers", order["supplierId"])
        return self._enter(supplier, entered, order, reference=order["poNumber"])

    def expense(self, day: date) -> Record:
        """Enter a bill that nobody ordered."""
        rng = self.rng
        description, account, code, usual = rng.choice(EXPENSES)
        line = {
            "description": description,
            "quantity": rng.randint(1, 3),
            "unitPrice": from_cents(rng.randint(usual // 3, usual)),
            "taxCode": code,
            "accountCode": account,
        }
        return self._enter(self._supplier(), [line], None)

    def _enter(
        self, supplier: Record, lines: list[Record], order: Record | None, **more: Any
    ) -> Record:
        """Enter a bill, dated some days back, approve it, and plan how it is paid."""
        rng, books, today = self.rng, self.books, self.books.today
        day = today - timedelta(days=rng.choice((0, 0, 1, 2, 5)))
        due = day + timedelta(days=supplier["paymentTerms"]["termsDays"])
        number = books.counters["bill"] + 1
        bill = purchasing.draft_bill(
            *(books, supplier, day.isoformat(), due.isoformat(), lines, order),
            supplierInvoiceNumber=f"{rng.choice(('INV', 'SI', 'TI'))}{number:06d}",
            **more,
        )
        if rng.random() < 0.05:
            self._later(today, 2, 9, partial(self.approve, bill["id"]))
        else:
            self.approve(bill["id"])
        return bill

    def approve(self, bill_id: str) -> None:
        """Approve a draft bill; its payment comes on a Friday about when it is due."""
        bill, chance = self.books.find("bills", bill_id), self.rng.random()
        purchasing.approve_bill(self.books, bill)
        due = date.fromisoformat(bill["dueDate"]) + timedelta(days=self.rng.choice((-3, 0, 4, 11)))
        run = due + timedelta(days=(FRIDAY - due.weekday()) % 7)
        run = max(run, self.books.today + timedelta(days=1))
        if chance < 0.86:
            self.agenda.on(run, partial(self.pay, bill_id))
        elif chance < 0.97:
            self.agenda.on(run, partial(self.pay, bill_id, Decimal("0.4")))
            if chance < 0.91:
                self.agenda.on(run + timedelta(days=14), partial(self.pay, bill_id))

    def pay(self, bill_id: str, share: Decimal = Decimal(1)) -> bool:
        """Pay what is due of a bill, or a share of it; tell whether there was any."""
        bill = self.books.find("bills", bill_id)
        amount = money(bill["balanceDue"] * share)
        if bill["status"] not in purchasing.PAYABLE or amount <= 0:
            return False
        day = max(self.books.today.isoformat(), bill["billDate"])
        purchasing.pay_bill(self.books, bill, amount, day)
        return True
