"""The company's books: who has which number, what time it is, and posting to the journal.

Every effect on the books, whether the seed's, a night's or a request's, goes through this
module and its neighbours `stock` and `sales`, so that debits equal credits, the stock's
value equals the inventory account and the receivables account equals the open invoices
at every date, by construction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

from blsync.sandbox.books.chart import ROLES, TYPES
from blsync.sandbox.books.entities import ENTITIES
from blsync.sandbox.books.errors import ApiError, broken_rule, not_found
from blsync.sandbox.books.store import Store
from blsync.sandbox.books.values import (
    ZERO,
    Record,
    business_today,
    now_us,
    to_cents,
    write_instant,
)

UNIQUE = (("customers", "email"), ("suppliers", "email"), ("items", "itemCode"))
"""Fields that no two records of a kind may share."""
Line = tuple[str, Decimal, str]
"""Account id, amount (debit-positive), description."""


@dataclass
class Trial:
    """What was written since it began, and whether it stays."""

    is_kept: bool = True


class Books:
    """The books of one company in one store.

    ``day`` fixes today's business date; None follows the clock in Asia/Kuala_Lumpur. ``modules``
    tells whether the company has the optional ones, ``keeps_transit_account`` whether goods on
    their way between locations have an account of their own.
    """

    def __init__(self, store: Store, day: date | None = None) -> None:
        self.store = store
        self.day = day
        self.on_payment: Callable[[Record], None] = lambda _: None
        """Hears of each payment: no record has it but the event that tells of it."""
        self.counters: Counter[str] = Counter(store.recall("counters") or {})
        self.modules: bool = store.recall("modules") is True
        self.keeps_transit_account: bool = store.recall("transit_account") is True
        self._instant_us = store.recall("instant_us") or 0
        self._spelled: dict[bool, str] = {}
        self.by_number: dict[str, str] = {
            account["accountNumber"]: account["id"] for account in store.all("accounts")
        }
        self.taken: dict[tuple[str, str], dict[str, str]] = {}
        for entity, field in UNIQUE:
            self.taken[entity, field] = {
                str(record[field]).casefold(): record["id"]
                for record in store.all(entity)
                if record.get(field)
            }
        self.taken["accounts", "accountNumber"] = self.by_number
        self.taken["bills", "supplierInvoiceNumber"] = {
            f"{supplier_id} {number}".casefold(): bill_id
            for bill_id, supplier_id, number in store.query(
                "select id, supplierId, supplierInvoiceNumber from bills"
                " where supplierInvoiceNumber is not null"
            )
        }

    def choose(self, *, modules: bool, transit_account: bool) -> None:
        """Decide once and for all what the company has."""
        self.modules, self.keeps_transit_account = modules, transit_account
        self.store.remember("modules", modules)
        self.store.remember("transit_account", transit_account)

    @property
    def today(self) -> date:
        """Today's business date."""
        return self.day or business_today()

    def tick(self, instant_us: int | None = None) -> int:
        """Move to an instant (default: the clock's), never backwards and never standing still."""
        moment = now_us() if instant_us is None else instant_us
        self._instant_us = max(moment, self._instant_us + 1)
        self._spelled.clear()
        return self._instant_us

    def pass_time(self, microseconds: int) -> None:
        """Let so much time pass within what happens at one go."""
        self.tick(self._instant_us + microseconds)

    def stamp(self, record_id: str) -> str:
        """Write the current instant, in the spelling this record keeps for good."""
        local = record_id[-1:] in "bdf"
        if local not in self._spelled:
            self._spelled[local] = write_instant(self._instant_us, local)
        return self._spelled[local]

    def touch(self, entity: str, record_id: str, record: Record) -> None:
        """Move updatedAt, and keep the record for the next flush."""
        record["updatedAt"] = self.stamp(record_id)
        self.store.put(entity, record_id, record)

    def save(self) -> None:
        """Write all changes, and the counters that outlive the process."""
        self.store.remember("counters", dict(self.counters))
        self.store.remember("instant_us", self._instant_us)
        self.store.flush()

    @contextmanager
    def trial(self) -> Iterator[Trial]:
        """Hold what is written within, and what is told of it, until it is known to stay."""
        trial, store = Trial(), self.store
        counters = Counter(self.counters)
        taken = {key: dict(values) for key, values in self.taken.items()}
        watch, on_payment = store.watch, self.on_payment
        told: list[Callable[[], None]] = []
        store.begin_trial()
        store.watch = lambda *one: told.append(partial(watch, *one))
        self.on_payment = lambda payment: told.append(partial(on_payment, payment))
        try:
            yield trial
        except BaseException:
            trial.is_kept = False
            raise
        finally:
            store.end_trial(is_kept=trial.is_kept)
            store.watch, self.on_payment = watch, on_payment
            if trial.is_kept:
                for one in told:
                    one()
            else:
                self.counters = counters
                for key, values in taken.items():
                    self.taken[key].clear()  # one of them is `by_number` as well
                    self.taken[key].update(values)

    def new_id(self, prefix: str) -> str:
        """Make an id that is unique, the same for the same history, and in no order."""
        self.counters[prefix] += 1
        return f"{prefix}_{self.counters[prefix] * 0x9E3779B1 & 0xFFFFFFFF:08x}"

    def new_number(self, entity: str, day: str | None = None) -> str:
        """Give the next document number: CUST-0001, INV-2026-00001 (a sequence a year)."""
        prefix = ENTITIES[entity].number_prefix
        if day is None:
            self.counters[f"{prefix}-"] += 1
            return f"{prefix}-{self.counters[f'{prefix}-']:04d}"
        year = day[:4]
        self.counters[f"{prefix}-{year}"] += 1
        return f"{prefix}-{year}-{self.counters[f'{prefix}-{year}']:05d}"

    def find(self, entity: str, record_id: object) -> Record:
        """Return a record to work on. Raises ApiError 404 with the entity's own code."""
        record = self.store.get(entity, record_id) if isinstance(record_id, str) else None
        if record is None:
            kind = ENTITIES[entity]
            raise not_found(kind.resource, record_id, kind.code)
        return record

    def role(self, role: str) -> str:
        """Return the id of the account with this role in the chart."""
        return self.by_number[ROLES[role]]

    def open_account(
        self, number: str, name: str, category: str, parent_id: str | None = None, **more: Any
    ) -> Record:
        """Add an account, level 1 or under a parent."""
        parent = self.find("accounts", parent_id) if parent_id else None
        account_id = self.new_id("acc")
        account = {
            "id": account_id,
            "accountNumber": number,
            "name": name,
            "type": TYPES[category],
            "category": category,
            "parentId": parent_id,
            "level": parent["level"] + 1 if parent else 1,
            "currency": "MYR",
            "description": more.get("description"),
            "isActive": more.get("isActive", True),
            "isSystemAccount": more.get("isSystemAccount", False),
            "balance": {"debit": ZERO, "credit": ZERO, "net": ZERO},
            "createdAt": self.stamp(account_id),
        }
        self.by_number[number] = account_id
        self.touch("accounts", account_id, account)
        return account

    def write_entry(
        self,
        day: str,
        reference: str | None,
        description: str,
        lines: Iterable[Line],
        *,
        draft: bool = False,
        source: str | None = None,
        reverses: str | None = None,
        created_by: str = "user_import",
    ) -> Record:
        """Add a journal entry, posted unless it is a draft. The lines must balance.

        ``source`` is the document that the entry belongs to; it can then not be voided by
        itself.
        """
        entry_id = self.new_id("je")
        written = [self.line(*line) for line in lines]
        entry = {
            "id": entry_id,
            "journalNumber": self.new_number("journal_entries", day),
            "date": day,
            "reference": reference,
            "description": description,
            "status": "draft",
            "totalDebit": sum((line["debit"] for line in written), ZERO),
            "totalCredit": sum((line["credit"] for line in written), ZERO),
            "lines": written,
            "reversesId": reverses,
            "attachments": [],
            "createdBy": created_by if source is None else "system",
            "createdAt": self.stamp(entry_id),
            "postedAt": None,
        }
        check_balance(written)
        if draft:
            self.store.put("journal_entries", entry_id, entry)
        else:
            self.post_entry(entry)
        return entry

    def line(self, account_id: str, amount: Decimal, description: str) -> Record:
        """Make a journal line of a debit-positive amount."""
        account = self.store.get("accounts", account_id)
        if account is None:
            raise not_found("account", account_id, "ACCOUNT_NOT_FOUND")
        return {
            "id": self.new_id("jel"),
            "accountId": account_id,
            "accountNumber": account["accountNumber"],
            "accountName": account["name"],
            "description": description,
            "debit": amount if amount > 0 else ZERO,
            "credit": -amount if amount < 0 else ZERO,
        }

    def post_entry(self, entry: Record) -> None:
        """Make a draft count: postedAt, the journal's lines, the accounts' balances."""
        if entry["status"] != "draft":
            raise broken_rule(
                "ENTRY_NOT_DRAFT",
                f"Only a draft can be posted; the entry is {entry['status']}",
                journalEntryId=entry["id"],
            )
        entry["status"], entry["postedAt"] = "posted", self.stamp(entry["id"])
        self.store.put("journal_entries", entry["id"], entry)
        for line in entry["lines"]:
            account_id, debit, credit = line["accountId"], line["debit"], line["credit"]
            self.store.move(
                "journal_lines",
                *(entry["id"], account_id, entry["date"], to_cents(debit), to_cents(credit)),
            )
            account = self.find("accounts", account_id)
            net = account["balance"]["net"] + debit - credit
            account["balance"] = {"debit": max(net, ZERO), "credit": max(-net, ZERO), "net": net}
            self.touch("accounts", account_id, account)

    def void_entry(self, entry: Record, day: str, reason: str) -> Record:
        """Reverse a posted entry; its own timestamps do not move (bigledger-api.md, section 3)."""
        if entry["status"] != "posted":
            raise broken_rule(
                "ENTRY_NOT_POSTED",
                f"Only a posted entry can be voided; the entry is {entry['status']}",
                journalEntryId=entry["id"],
            )
        reversal = self.write_entry(
            day,
            entry["reference"],
            f"Reversal of {entry['journalNumber']}: {reason}",
            [
                (line["accountId"], line["credit"] - line["debit"], line["description"])
                for line in entry["lines"]
            ],
            reverses=entry["id"],
            created_by=entry["createdBy"],
        )
        entry["status"] = "void"
        self.store.put("journal_entries", entry["id"], entry)
        return reversal


def check_balance(lines: Sequence[Record]) -> None:
    """Raise 400 INVALID_JOURNAL_ENTRY unless debits equal credits over two lines or more."""
    debit = sum((line["debit"] for line in lines), ZERO)
    credit = sum((line["credit"] for line in lines), ZERO)
    if len(lines) < 2:
        raise _unbalanced("A journal entry needs at least two lines")
    if debit != credit:
        raise _unbalanced(f"Total debits ({debit}) do not equal total credits ({credit})")


def _unbalanced(message: str) -> ApiError:
    detail = {"field": "lines", "message": message}
    return ApiError(400, "INVALID_JOURNAL_ENTRY", "Journal entry is not balanced", [detail])
