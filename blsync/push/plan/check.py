"""Asking BigLedger what it would say of a plan: batches with `validateOnly`, which write nothing.

It is asked of `/batch` whatever the dialect is that changes are sent in: bulk requests have no such
option (bigledger-api.md, section 15). A server that does not know it would carry out what it is
asked about. So one row goes out alone first, and what comes back must not show that it was done.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from blsync.api.client import Client
from blsync.api.envelope import Answer
from blsync.errors import ApiError, ConfigError, ServerFault
from blsync.ledger.plans import Operation, Problem
from blsync.ledger.states import SENDS, Action, OperationState
from blsync.push.apply.results import MAY_BE_ONE_ROW, answer_of, outcomes_of, refusal
from blsync.push.compare import changes, from_text
from blsync.push.dialects import (
    MOST_AT_ONCE,
    batch_body,
    by_reference,
    encoded,
    references_of,
)
from blsync.push.endpoint import Endpoint
from blsync.push.lookup import RecordIndex, look_up_id

MOST_ALONE = 3
"""Rows that go out alone, one after the other, while each is refused."""
_NOT_THERE = (404, 405)


@dataclass
class Check:
    """What the server has said of a plan's rows so far: number → why it would refuse the row."""

    client: Client
    endpoint: Endpoint
    refused: dict[int, Problem] = field(default_factory=dict)
    asked: int = 0
    is_proven: bool = False
    """Whether a row would be taken, and was seen not to be carried out."""

    async def ask(self, operations: Iterable[Operation]) -> None:
        """Ask about every row that would be sent and that batches take.

        Raises ConfigError where the server has no such batches, ServerFault where it seems to have
        carried out what it was asked about, or answers otherwise than documented, and ApiError.
        """
        terms = self.endpoint.batch
        rows = deque(o for o in operations if o.action in SENDS and o.action in terms.actions)
        alone = 0
        while rows:
            is_trial = not self.is_proven and alone < MOST_ALONE
            alone += is_trial
            size = 1 if is_trial else min(terms.limit, MOST_AT_ONCE)
            await self._ask([rows.popleft() for _ in range(min(size, len(rows)))])

    def notes(self, operations: Sequence[Operation]) -> tuple[str, ...]:
        """Say what was asked, and of how many rows nothing could be."""
        terms = self.endpoint.batch
        sent = [row for row in operations if row.action in SENDS]
        left = sum(row.action not in terms.actions for row in sent)
        told = (
            f"checked: {terms.path} was asked about {self.asked} rows, without writing anything, "
            f"and would refuse {len(self.refused)}"
        )
        takes = ", ".join(terms.actions)
        unasked = f"not checked: {left} rows, as {terms.path} takes only {takes}"
        return (told, unasked) if left else (told,)

    async def _ask(self, rows: list[Operation]) -> None:
        """Ask about rows, in halves where the request is refused as a whole."""
        path, references = self.endpoint.batch.path, references_of(rows, uuid.uuid4().hex)
        body = encoded(batch_body(rows, references, validate_only=True))
        try:
            answer = await self.client.post(path, body, records=len(rows))
        except ApiError as error:
            if error.status in _NOT_THERE:
                raise ConfigError(
                    f"--check asks POST {path}, which this server does not have ({error.status}, "
                    f"request {error.request_id}). Plan without --check; no plan was stored."
                ) from None
            if error.status not in MAY_BE_ONE_ROW:
                raise
            if len(rows) > 1:
                half = len(rows) // 2
                await self._ask(rows[:half])
                await self._ask(rows[half:])
                return
            self._note(rows[0], refusal(self.endpoint, rows[0], error).error)
            return
        await self._read(rows, references, answer)

    async def _read(
        self, rows: Sequence[Operation], references: Sequence[str], answer: Answer
    ) -> None:
        read = partial(by_reference, references)
        told = read(answer_of(answer.data), len(rows))
        if told.why_not or not told.by_place:
            why = told.why_not or "the answer has no results"
            raise ServerFault(
                f"--check asked POST {self.endpoint.batch.path}, and what came back tells nothing: "
                f"{why} (request {answer.request_id}). Plan without --check; no plan was stored.",
                request_id=answer.request_id,
            )
        outcomes, _ = outcomes_of(self.endpoint, rows, answer.data, read)
        for place, (row, outcome) in enumerate(zip(rows, outcomes, strict=True)):
            if outcome.state == OperationState.REJECTED:
                self._note(row, outcome.error)
                continue
            self.asked += place in told.by_place
            results = told.by_place.get(place, [{}])
            if results[0].get("success") is True:
                await self._see_that_nothing_was_done(row, results[0].get("data"), answer)

    def _note(self, row: Operation, why: Problem | None) -> None:
        self.asked += 1
        self.refused[row.row] = why or {"code": "REJECTED", "field": None, "message": ""}

    async def _see_that_nothing_was_done(
        self, row: Operation, data: object, answer: Answer
    ) -> None:
        """Look whether a row was carried out, as far as it tells: what is created has an id, and
        of the first row that is changed or deleted the record itself is read.
        """
        if row.action == Action.CREATE:
            is_done = isinstance(data, dict) and bool(data.get("id"))
        elif self.is_proven:
            is_done = False
        else:
            is_done = await self._is_done(row)
        if is_done:
            raise ServerFault(
                f"--check asked POST {self.endpoint.batch.path} to write nothing, and it has "
                f"carried out row {row.place} (request {answer.request_id}). Nothing more was "
                "asked and no plan was stored. Plan the file without --check: it sees what is "
                "there already.",
                request_id=answer.request_id,
            )
        self.is_proven = True

    async def _is_done(self, row: Operation) -> bool:
        known = RecordIndex()
        await look_up_id(self.client, self.endpoint.listing, str(row.remote_id), known)
        found = known.find("id", str(row.remote_id))
        if row.action == Action.DELETE:
            return not found
        wanted = self.endpoint.comparable(from_text(row.body))
        return bool(found) and not changes(self.endpoint, found[0], wanted)
