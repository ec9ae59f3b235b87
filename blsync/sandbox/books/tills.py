"""Tills: sales, returns, sessions, what is posted, banking (bigledger-api.md, section 14).

An open session is not posted. Closing it posts one entry with the session's number: a clearing
account for each tender, sales, tax, the rounding of cash to five sen, and the cost of the goods.
What comes, is voided or is corrected later is posted with the same number; banking carries ``BNK-``
and the number. So a clearing account's balance is what was taken and no bank has seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from blsync.sandbox.books.company import Books
from blsync.sandbox.books.stock import cost_of, move_stock, stock_row
from blsync.sandbox.books.values import ZERO, Record, dumps, from_cents, money, to_cents


class Tender(NamedTuple):
    """A way to pay: the role of its clearing account, the bank's fee, days until it is banked."""

    role: str
    fee_per_mille: int
    days: int


TENDERS = {
    "cash": Tender("takings_cash", 0, 1),
    "card": Tender("takings_card", 12, 2),
    "e_wallet": Tender("takings_e_wallet", 8, 3),
}
TILLS = (
    ("loc_penang", "reg_pen_1"),
    ("loc_johor", "reg_jhb_1"),
    ("loc_penang", "reg_pen_2"),
    ("loc_johor", "reg_jhb_2"),
)
"""The shops' tills; the warehouse has none."""
CASHIERS = ("cashier_aina", "cashier_kumar", "cashier_meiyi", "cashier_haziq")
OPENING_FLOAT = 20_000
"""Cents in the drawer when a session opens."""

amount_of = lru_cache(maxsize=50_000)(from_cents)
"""Cents as an amount; the same amounts come again and again."""


class Sold(NamedTuple):
    """One line at the till: item, code, name, pieces, price and discount in cents, tax."""

    item_id: str
    item_code: str
    name: str
    pieces: int
    price: int
    discount: int
    tax_code: str
    tax_rate: int


def open_session(
    books: Books, till: tuple[str, str], cashier: str, day: str, opened_at: str
) -> Record:
    """Open a till with a float."""
    session_id = books.new_id("poss")
    float_ = from_cents(OPENING_FLOAT)
    session: Record = {
        "id": session_id,
        "sessionNumber": books.new_number("pos_sessions", day),
        "locationId": till[0],
        "registerId": till[1],
        "cashierId": cashier,
        "businessDate": day,
        "openedAt": opened_at,
        "closedAt": None,
        "status": "open",
        "openingFloat": float_,
        "cashIn": ZERO,
        "cashOut": ZERO,
        "expectedCash": float_,
        "countedCash": None,
        "variance": None,
        "tenders": [],
        "notes": None,
        "createdAt": books.stamp(session_id),
    }
    books.touch("pos_sessions", session_id, session)
    return session


def rounded_to_five(cents: int) -> int:
    """Round what is paid in cash to the nearest five sen, as the law has it."""
    return (cents + 2) // 5 * 5 if cents >= 0 else -((-cents + 2) // 5 * 5)


def ring_up(
    books: Books,
    session: Record,
    sold: Iterable[Sold],
    method: str,
    occurred_at: str,
    original: Record | None = None,
    **more: Any,
) -> Record:
    """Add a transaction: a sale, or with an ``original`` the return of what is ``sold``.

    Pieces of a return are negative, and so is what is paid.
    """
    transaction_id = books.new_id("post")
    lines: list[Record] = []
    subtotal = discounts = tax = 0
    for line in sold:
        net = line.pieces * line.price - line.discount
        charged = (abs(net) * line.tax_rate * 2 + 100) // 200 * (1 if net > 0 else -1)
        subtotal, discounts, tax = subtotal + net, discounts + line.discount, tax + charged
        lines.append(
            {
                "id": f"{transaction_id}_{len(lines) + 1}",
                "itemId": line.item_id,
                "itemCode": line.item_code,
                "description": line.name,
                "quantity": line.pieces,
                "unitPrice": amount_of(line.price),
                "discountAmount": amount_of(line.discount),
                "lineTotal": amount_of(net),
                "taxCode": line.tax_code,
                "taxRate": line.tax_rate,
                "taxAmount": amount_of(charged),
            }
        )
    exact = subtotal + tax
    total = rounded_to_five(exact) if method == "cash" else exact
    stamp = books.stamp(transaction_id)
    transaction = {
        "id": transaction_id,
        "transactionNumber": books.new_number("pos_transactions", session["businessDate"]),
        "type": "return" if original else "sale",
        "status": "completed",
        "businessDate": session["businessDate"],
        "occurredAt": occurred_at,
        "sessionId": session["id"],
        "locationId": session["locationId"],
        "registerId": session["registerId"],
        "cashierId": session["cashierId"],
        "customerId": more.get("customerId"),
        "originalTransactionId": original["id"] if original else None,
        "invoiceId": None,
        "currency": "MYR",
        "items": lines,
        "subtotal": amount_of(subtotal),
        "totalDiscount": amount_of(discounts),
        "totalTax": amount_of(tax),
        "rounding": amount_of(total - exact),
        "total": amount_of(total),
        "payments": [_payment(books, transaction_id, method, total)],
        "notes": None,
        "createdAt": stamp,
        "updatedAt": stamp,
    }
    books.store.put("pos_transactions", transaction_id, transaction)
    return transaction


def _payment(books: Books, transaction_id: str, method: str, total: int) -> Record:
    given = -(-total // 1000) * 1000 if method == "cash" and total > 0 else total
    return {
        "id": f"{transaction_id}_p1",
        "method": method,
        "amount": amount_of(given),
        "change": amount_of(given - total),
        "reference": None if method == "cash" else f"A{transaction_id[-6:].upper()}",
        "accountId": books.role(TENDERS[method].role),
    }


def sold_again(line: Record, pieces: int) -> Sold:
    """Return a line of a transaction once more, for so many pieces and their discount."""
    discount = to_cents(line["discountAmount"]) * pieces // line["quantity"]
    return Sold(
        *(line["itemId"], line["itemCode"], line["description"], pieces),
        *(to_cents(line["unitPrice"]), discount, line["taxCode"], line["taxRate"]),
    )


def void(books: Books, transaction: Record) -> None:
    """Void a transaction, as if it had not been; after the close that is posted."""
    transaction["status"] = "voided"
    books.touch("pos_transactions", transaction["id"], transaction)
    session = books.find("pos_sessions", transaction["sessionId"])
    if session["status"] == "closed":
        post_takings(books, session, [transaction], sign=-1)
        _count_again(books, session, [transaction], sign=-1)


def deliver_late(books: Books, session: Record, transaction: Record) -> None:
    """Post a transaction that a till sent after its session was closed."""
    post_takings(books, session, [transaction])
    _count_again(books, session, [transaction])


def correct_tender(books: Books, transaction: Record, method: str) -> None:
    """Say that a sale without rounding was paid in another way, after its session was closed."""
    session = books.find("pos_sessions", transaction["sessionId"])
    (payment,) = transaction["payments"]
    amount, before = payment["amount"] - payment["change"], payment["accountId"]
    _count_again(books, session, [transaction], sign=-1)
    payment.update(method=method, accountId=books.role(TENDERS[method].role))
    payment.update(amount=amount, change=ZERO)
    books.touch("pos_transactions", transaction["id"], transaction)
    _count_again(books, session, [transaction])
    note = f"Tender of {transaction['transactionNumber']} corrected"
    books.write_entry(
        *(session["businessDate"], session["sessionNumber"], note),
        [(payment["accountId"], amount, note), (before, -amount, note)],
        source=session["id"],
    )


def close_session(
    books: Books,
    session: Record,
    transactions: Sequence[Record],
    closed_at: str,
    miscount: int = 0,
) -> None:
    """Close a till: count it, ``miscount`` cents off, and post what it took."""
    session["status"], session["closedAt"] = "closed", closed_at
    _count_again(books, session, transactions)
    counted = session["expectedCash"] + from_cents(miscount)
    session["countedCash"], session["variance"] = counted, from_cents(miscount)
    for tender in session["tenders"]:
        if tender["method"] == "cash":
            tender["counted"] += from_cents(miscount)
    post_takings(books, session, transactions)
    books.touch("pos_sessions", session["id"], session)


def _count_again(
    books: Books, session: Record, transactions: Iterable[Record], sign: int = 1
) -> None:
    """Bring what a session expects up to date; what was counted stays as it was counted."""
    tenders = {tender["method"]: tender for tender in session["tenders"]}
    is_first = session["countedCash"] is None
    for transaction in transactions:
        if is_first and transaction["status"] == "voided":
            continue
        for payment in transaction["payments"]:
            method, amount = payment["method"], sign * (payment["amount"] - payment["change"])
            tender = tenders.setdefault(
                method, {"method": method, "expected": ZERO, "counted": ZERO}
            )
            tender["expected"] += amount
            if method == "cash":
                session["expectedCash"] += amount
            if is_first or method != "cash":
                tender["counted"] += amount
    session["tenders"] = list(tenders.values())
    if not is_first:
        session["variance"] = session["countedCash"] - session["expectedCash"]
    books.touch("pos_sessions", session["id"], session)


def post_takings(
    books: Books, session: Record, transactions: Iterable[Record], sign: int = 1
) -> None:
    """Post transactions of a session, or with sign -1 take them back."""
    amounts: Counter[str] = Counter()
    pieces: Counter[str] = Counter()
    sales, tax, rounding = books.role("sales"), books.role("sst"), books.role("rounding")
    for transaction in transactions:
        if transaction["status"] == "voided" and sign > 0:
            continue
        for payment in transaction["payments"]:
            amounts[payment["accountId"]] += sign * to_cents(payment["amount"] - payment["change"])
        amounts[sales] -= sign * to_cents(transaction["subtotal"])
        amounts[tax] -= sign * to_cents(transaction["totalTax"])
        amounts[rounding] -= sign * to_cents(transaction["rounding"])
        for line in transaction["items"]:
            pieces[line["itemId"]] += sign * line["quantity"]
    cost = sum((_hand_over(books, session, key, count) for key, count in pieces.items()), ZERO)
    amounts[books.role("cogs")] += to_cents(cost)
    amounts[books.role("inventory")] -= to_cents(cost)
    note = f"Takings of {session['registerId']}, session {session['sessionNumber']}"
    lines = [(account, from_cents(cents), note) for account, cents in amounts.items() if cents]
    if lines:
        day, number = session["businessDate"], session["sessionNumber"]
        books.write_entry(day, number, note, lines, source=session["id"])


def wanted(books: Books, place: str, transactions: Iterable[Record]) -> dict[str, int]:
    """Return what transactions take of each tracked item and the shop does not hold."""
    pieces: Counter[str] = Counter()
    for transaction in transactions:
        if transaction["status"] == "completed":
            for line in transaction["items"]:
                pieces[line["itemId"]] += line["quantity"]
    short = {}
    for item_id, count in pieces.items():
        if books.find("items", item_id)["inventory"]["tracked"]:
            row = stock_row(books, item_id, place)
            held = row["currentStock"] if row else 0
            if held < count:
                short[item_id] = int(count - held)
    return short


def _hand_over(books: Books, session: Record, item_id: str, pieces: int) -> Decimal:
    """Take sold pieces of an item out of the shop, or put returned ones back; return their cost."""
    item = books.find("items", item_id)
    if not pieces or not item["inventory"]["tracked"]:
        return ZERO
    place = session["locationId"]
    row = stock_row(books, item_id, place)
    if pieces > 0 and row is not None:
        cost = cost_of(row, pieces)
    else:
        held = row is not None and row["currentStock"] > 0
        cost = money(
            pieces * (row["averageCost"] if row and held else item["pricing"]["costPrice"])
        )
    move_stock(
        *(books, item, place, -pieces, -cost),
        day=session["businessDate"],
        kind="sale" if pieces > 0 else "return",
        reference=session["sessionNumber"],
        document_id=session["id"],
    )
    return cost


def unbanked(books: Books, session: Record) -> dict[str, int]:
    """Return what was taken in a session and no bank has seen, in cents by clearing account."""
    books.store.flush()
    number = session["sessionNumber"]
    accounts = [books.role(tender.role) for tender in TENDERS.values()]
    rows = books.store.query(
        "select l.account_id, sum(l.debit_cents) - sum(l.credit_cents) from journal_lines l"
        " join journal_entries e on e.id = l.entry_id"
        " where l.account_id in (select value from json_each(?)) and l.date >= ?"
        " and +e.reference in (?, ?) group by l.account_id",
        *(dumps(accounts), session["businessDate"], number, f"BNK-{number}"),
    )
    return {account: cents for account, cents in rows if cents}


def bank_takings(books: Books, session: Record, method: str, cents: int, day: str) -> None:
    """Bring takings of one tender to the bank, less the bank's fee; negative ones it takes back."""
    tender = TENDERS[method]
    fee = from_cents(round(cents * tender.fee_per_mille / 1000))
    amount = from_cents(cents)
    note = f"Banking of {method.replace('_', '-')} takings, session {session['sessionNumber']}"
    lines = [
        (books.role("bank"), amount - fee, note),
        (books.role("bank_charges"), fee, note),
        (books.role(tender.role), -amount, note),
    ]
    books.write_entry(
        *(day, f"BNK-{session['sessionNumber']}", note),
        [line for line in lines if line[1]],
        source=session["id"],
    )
