"""Tills: as many transactions as invoices, fifty a session.

Half is paid in cash and rounded to five sen, a quarter by card, a quarter by wallet; one in forty
is a return. A session is open, then closed, which posts what it took, then banked, each in a night
of its own. In a night ten times as many sessions as were closed have one sale voided.
"""

from __future__ import annotations

from landing.facts import Documents, entry, numbers, share_of

IN_SESSION = 50
VOIDED = 13
"""The sale of a session that a later night voids."""

MACROS = f"""
create or replace macro session_of(n) as n // {IN_SESSION};
create or replace macro sign_of(n) as if(n % 40 = 39, -1, 1);
create or replace macro tender_of(n) as
    case n % 4 when 2 then 'card' when 3 then 'e_wallet' else 'cash' end;
create or replace macro clearing_of(tender) as
    case tender when 'cash' then '1110' when 'card' then '1120' else '1130' end;
create or replace macro rung(n) as
    cast(sign_of(n) * sum_of(n, part(n, 1), part(n, 2), part(n, 3)) as decimal(18, 2));
create or replace macro rung_tax(n) as cast(sign_of(n)
    * sum_of(n, tax_of(part(n, 1)), tax_of(part(n, 2)), tax_of(part(n, 3))) as decimal(18, 2));
create or replace macro rung_total(n) as cast(if(
    tender_of(n) = 'cash', round((rung(n) + rung_tax(n)) / 5, 2) * 5, rung(n) + rung_tax(n)
) as decimal(18, 2));
create or replace macro rung_rounding(n) as
    cast(rung_total(n) - rung(n) - rung_tax(n) as decimal(18, 2));
create or replace macro banked_on(n, sessions, load) as
    if(load = 0, day_of(n, sessions) + 2, night_of(load));
create or replace macro rung_at(n, sessions) as
    at_hour(day_of(session_of(n), sessions), 1) + to_minutes(12 * (n % {IN_SESSION}));
create or replace macro till_line(n, k) as {{
    'id': concat('tili_', k), 'itemId': concat('item_', item_of(n, k)),
    'itemCode': concat('SKU', item_of(n, k)), 'description': 'Minyak masak 5kg',
    'quantity': sign_of(n), 'unitPrice': part(n, k) + if(n % 5 = 0, 1, 0),
    'discountAmount': sign_of(n) * if(n % 5 = 0, 1, 0), 'lineTotal': sign_of(n) * part(n, k),
    'taxCode': 'SST6', 'taxRate': 6, 'taxAmount': sign_of(n) * tax_of(part(n, k))}};
"""
TRANSACTION = {
    "id": "concat('post_', n)",
    "transactionNumber": "concat('POS-', n)",
    "type": "if(sign_of(n) < 0, 'return', 'sale')",
    "status": "if(is_voided, 'voided', 'completed')",
    "businessDate": "day_of(session_of(n), sessions)",
    "occurredAt": "rung_at(n, sessions)",
    "sessionId": "concat('poss_', session_of(n))",
    "locationId": "concat('loc_', session_of(n) % 8)",
    "registerId": "concat('reg_', session_of(n) % 8)",
    "cashierId": "concat('cashier_', session_of(n) % 20)",
    "originalTransactionId": "if(sign_of(n) < 0, concat('post_', n - 1), null)",
    "currency": "'MYR'",
    "items": "lines_of(n, till_line(n, 1), till_line(n, 2), till_line(n, 3))",
    "subtotal": "rung(n)",
    "totalDiscount": "sign_of(n) * if(n % 5 = 0, line_count(n), 0)",
    "totalTax": "rung_tax(n)",
    "rounding": "rung_rounding(n)",
    "total": "rung_total(n)",
    "payments": "[{'id': 'p1', 'method': tender_of(n), 'amount': rung_total(n), 'change': 0,"
    " 'reference': null, 'accountId': concat('acc_', clearing_of(tender_of(n)))}]",
    "createdAt": "rung_at(n, sessions)",
    "updatedAt": "pulled_at - interval 1 hour",
}
SESSION = {
    "id": "concat('poss_', n)",
    "sessionNumber": "concat('SES-', n)",
    "locationId": "concat('loc_', n % 8)",
    "registerId": "concat('reg_', n % 8)",
    "cashierId": "concat('cashier_', n % 20)",
    "businessDate": "day_of(n, sessions)",
    "openedAt": "at_hour(day_of(n, sessions), 1)",
    "closedAt": "if(is_closed, at_hour(day_of(n, sessions), 12), null)",
    "status": "if(is_closed, 'closed', 'open')",
    "openingFloat": "200",
    "cashIn": "0",
    "cashOut": "0",
    "expectedCash": "200 + cash",
    "countedCash": "if(is_closed, 200 + cash + if(n % 100 = 7, 0.50, 0), null)",
    "variance": "if(is_closed, if(n % 100 = 7, 0.50, 0), null)",
    "tenders": "[{'method': 'cash', 'expected': cash, 'counted': if(is_closed, cash, 0)},"
    " {'method': 'card', 'expected': card, 'counted': if(is_closed, card, 0)},"
    " {'method': 'e_wallet', 'expected': wallet, 'counted': if(is_closed, wallet, 0)}]",
    "createdAt": "at_hour(day_of(n, sessions), 1)",
    "updatedAt": "pulled_at - interval 1 hour",
}
LEGS = (
    "[leg(1, '1110', cash), leg(2, '1120', card), leg(3, '1130', wallet),"
    " leg(4, concat('4', lpad(cast(n % 40 as varchar), 3, '0')), -net), leg(5, '2200', -tax),"
    " leg(6, '4900', -rounding)]"
)
TAKINGS = entry(
    "concat('TILL-', n)",
    "day_of(n, sessions)",
    "concat('SES-', n)",
    "Takings",
    LEGS,
    f"list_sum(list_transform({LEGS}, lambda each: each.debit))",
)
VOID = TAKINGS | entry(
    "concat('VOID-', n)",
    "day_of(n, sessions)",
    "concat('SES-', n)",
    "Voided sale",
    LEGS,
    f"list_sum(list_transform({LEGS}, lambda each: each.debit))",
)
BANKING = entry(
    "concat('BNK-', n, '-', tender)",
    "banked_on(n, sessions, load)",
    "concat('BNK-SES-', n)",
    "Banking",
    "[leg(1, '1000', amount - fee), leg(2, '6100', fee), leg(3, clearing_of(tender), -amount)]",
    "amount",
)


def documents(size: int, load: int) -> Documents:
    sessions = size // IN_SESSION
    share = share_of(sessions)
    known = sessions + load * share
    first_voided = sessions - 2 * share - 10 * share * load
    if load == 0:
        new, closed, banked = (0, known), (0, known - share), (0, known - 2 * share)
        sales = f"(select n, false as is_voided from {_rung(new)})"
        changed = _sums(_rung(new))
    else:
        new, closed = (known - share, known), (known - 2 * share, known - share)
        banked = (known - 3 * share, known - 2 * share)
        of_voided = _rung((first_voided, first_voided + 10 * share))
        voided = f"{of_voided} where n % {IN_SESSION} = {VOIDED}"
        kept = f"{of_voided} where n % {IN_SESSION} <> {VOIDED}"
        sales = (
            f"(select n, false as is_voided from {_rung(new)} union all"
            f" select n, true from {voided})"
        )
        changed = " union all from ".join(map(_sums, (_rung(new), _rung(closed), kept)))
    facts = f"{sessions} as sessions"
    told = f"(select *, n < {known - share} as is_closed from (from {changed}))"
    landed: Documents = {
        "pos_transactions": [(TRANSACTION, f"(select *, {facts} from {sales})")],
        "pos_sessions": [(SESSION, f"(select *, {facts} from {told})")],
        "journal_entries": [
            (TAKINGS, f"(select *, {facts} from {_sums(_rung(closed))})"),
            (BANKING, f"(select *, {facts} from {_banked(_rung(banked))})"),
        ],
    }
    if load:
        taken_back = (VOID, f"(select *, {facts} from {_sums(voided, sign=-1)})")
        landed["journal_entries"].append(taken_back)
    return landed


def _rung(sessions: tuple[int, int]) -> str:
    """Return rows with the numbers of the transactions of sessions."""
    return numbers(IN_SESSION * sessions[0], IN_SESSION * sessions[1])


def _sums(transactions: str, sign: int = 1) -> str:
    """Return rows with what the transactions of each session `n` come to."""
    of_tender = ", ".join(
        f"cast({sign} * coalesce(sum(rung_total(n)) filter (where tender_of(n) = '{tender}'), 0)"
        f" as decimal(18, 2)) as {name}"
        for tender, name in (("cash", "cash"), ("card", "card"), ("e_wallet", "wallet"))
    )
    others = ", ".join(
        f"cast({sign} * sum({macro}(n)) as decimal(18, 2)) as {name}"
        for macro, name in (("rung", "net"), ("rung_tax", "tax"), ("rung_rounding", "rounding"))
    )
    return f"(select session_of(n) as n, {of_tender}, {others} from {transactions} group by 1)"


def _banked(transactions: str) -> str:
    """Return rows with what is banked of each session and tender, and the fee."""
    return (
        "(select n, tender, amount, cast(round(amount * case tender when 'card' then 0.012"
        " when 'e_wallet' then 0.008 else 0 end, 2) as decimal(18, 2)) as fee from (select"
        " session_of(n) as n, tender_of(n) as tender, cast(sum(rung_total(n)) as decimal(18, 2))"
        f" as amount from {transactions} group by 1, 2))"
    )
