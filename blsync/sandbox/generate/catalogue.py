"""The goods and services that the company deals in."""

from __future__ import annotations

import random

from blsync.sandbox.books.company import Books
from blsync.sandbox.books.masters import add_item
from blsync.sandbox.books.values import Record, from_cents
from blsync.sandbox.generate import names

SECOND_US = 1_000_000


def stock_the_shop(
    books: Books, rng: random.Random, count: int, demand: int, start_us: int
) -> None:
    """Make up the catalogue, 25 items an instant; ``demand`` is a week's at a location."""
    for number in range(count):
        if number % 25 == 0:
            books.tick(start_us + (number + 1) * SECOND_US)
        service = number % 10 == 9
        fields = _service(rng) if service else _goods(rng, number, demand)
        category = fields["category"]["name"]
        supplier_id, supplier = rng.choice(names.SUPPLIERS)
        fields |= {
            "itemCode": f"{category[:3].upper()}-{number + 1:04d}",
            "name": f"{fields['name']} {number + 1:03d}",
            "description": f"{fields['name']}, {category.lower()}",
            "supplier": {
                "id": supplier_id,
                "name": supplier,
                "supplierItemCode": f"S{number:04d}",
                "leadTimeDays": rng.randint(2, 21),
            },
            "customFields": {"origin": rng.choice(("Malaysia", "China", "India", "Japan"))},
            "isActive": number % 40 != 39,
        }
        add_item(books, fields)


def _priced(rng: random.Random, category: str, cost: int) -> Record:
    price = round(cost * rng.uniform(1.3, 1.7) / 10) * 10
    return {
        "category": {"id": f"cat_{category.lower()}", "name": category, "path": category},
        "pricing": {"costPrice": from_cents(cost), "sellingPrice": from_cents(price)},
    }


def _service(rng: random.Random) -> Record:
    return {
        "name": rng.choice(names.SERVICES),
        "type": "service",
        "unit": "job",
        **_priced(rng, "Services", rng.randint(3000, 20000)),
    }


def _goods(rng: random.Random, number: int, demand: int) -> Record:
    """Make up goods: in stock, but for a few sundries."""
    goods = rng.choice(names.GOODS)
    fields: Record = {
        "name": f"{goods.name} {rng.choice(names.VARIANTS)}",
        "type": "non_inventory" if number % 15 == 7 else "inventory",
        "unit": goods.unit,
        "barcode": f"955{rng.randint(10**9, 10**10 - 1)}",
        "tax": {"salesTaxCode": goods.tax_code, "taxable": goods.tax_code != "EXEMPT"},
        **_priced(rng, goods.category, rng.randint(goods.cost_from, goods.cost_to)),
    }
    if fields["type"] == "inventory":
        fields["inventory"] = {
            "minimumStock": demand,
            "maximumStock": demand * 8,
            "reorderPoint": demand * 2,
            "reorderQuantity": demand * 4,
        }
    return fields
