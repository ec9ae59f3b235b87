"""Stamps: the times that versions are ordered by, rising from load to load whatever the clock does.

Every version that lands, and every delete row, has the time of its pull, and of two versions of a
record the one pulled later is the truth: in staging and history, and wherever the lake is asked
what it holds. This machine's clock alone cannot order them, because it may have been set back
between two nights. So each page gets the clock's time or, where that is not later, a microsecond
after the last one that the company's entity was given (a hybrid logical clock). The ledger knows
the last one, the footers do after it was lost, and one process at a time holds an entity.

What an earlier night dated up to a day ahead is gone on from: the order is right, and the times are
again as soon as the clock has caught up. What lies further ahead would date all that follows
wrongly for as long, so nothing is pulled until `blsync repair` has dated it anew.
"""

from __future__ import annotations

from datetime import datetime

from blsync.clock import FURTHEST_AHEAD, is_ahead
from blsync.errors import WrongClock
from blsync.ledger import loads
from blsync.pull.work import PullContext

_MINUTE = "%Y-%m-%d %H:%M UTC"


async def begin(work: PullContext) -> None:
    """Have the work's stamps follow the last one known of its entity.

    A load that was left open by a clock that ran ahead is dropped, to be read anew. Raises
    WrongClock where something is dated more than a day ahead of now.
    """
    company_id, entity, now = work.company.company_id, work.entity, work.clock()
    for load_id in loads.open_ahead(work.ledger, company_id, entity.name, now):
        if not work.lake.file_of(entity, company_id, load_id).exists():
            loads.forget(work.ledger, load_id)
            work.lake.drop_spool(load_id)
            work.say(
                f"{entity.name}: what a clock that ran ahead has begun to read is read anew, "
                "because nobody knows when that was."
            )
    last = loads.last_stamp(work.ledger, company_id, entity.name)
    if last is None:
        return
    if last - now > FURTHEST_AHEAD:
        raise await _refusal(work, last, now)
    if is_ahead(last, now):
        work.say(
            f"{entity.name}: the last pull is dated {last:{_MINUTE}}, and this clock says "
            f"{now:{_MINUTE}}. What is pulled now is dated behind it, so that the latest version "
            "still wins; `blsync repair` dates anew what a clock that ran ahead has dated."
        )
    work.follow(last)


async def _refusal(work: PullContext, last: datetime, now: datetime) -> WrongClock:
    """Return the error that says which clock is wrong, for one request: it is a rare night.

    Raises WrongClock itself where the server's time says that this clock is.
    """
    await work.client.check_clock()
    if work.client.skew is None:
        cure = (
            "The server could not be asked for its time, so if this clock is wrong now, set it by "
            "a time server; if it was wrong then, run `blsync repair`"
        )
    else:
        cure = "This clock agrees with the server's, so it was wrong then: run `blsync repair`"
    return WrongClock(
        f"{work.entity.name} of {work.company.name} were last pulled at {last:{_MINUTE}} by this "
        f"machine's clock, and it says {now:{_MINUTE}} now. Nothing was pulled: it would be dated "
        f"ahead too. {cure}, which dates anew what a wrong clock has dated, then sync again."
    )
