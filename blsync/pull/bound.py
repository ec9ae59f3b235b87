"""The bound on deletes: a server that lost its lists for a night must not empty the books."""

from __future__ import annotations

from blsync.errors import DeletesHeldBack
from blsync.ledger import loads
from blsync.ledger.loads import Load
from blsync.pull.work import PullContext
from blsync.settings import Settings

ENOUGH = 20
"""Records of an entity that are held at least before a share of them means anything."""


def is_above(settings: Settings, deletes: int, held: int) -> bool:
    """Tell whether so many deletes of so many records held are more than land by themselves."""
    return held >= ENOUGH and deletes > settings.delete_share * held


def check(work: PullContext, load: Load, gone: int, asked: int, request_id: str) -> None:
    """Raise DeletesHeldBack where so many records seem gone and nobody allowed as much.

    `asked` of them were asked for by id, in the last place by that request.
    """
    if work.is_allowed or not gone:
        return
    held = work.lake.stored_count(work.entity, load.company_id)
    if is_above(work.settings, gone, held):
        raise DeletesHeldBack(_told(work, load, gone, held, asked, request_id))


def _told(work: PullContext, load: Load, gone: int, held: int, asked: int, request_id: str) -> str:
    name, company = work.entity.name, work.company.name
    drift = loads.drift_of(work.ledger, load.company_id, name)
    listed = f"BigLedger lists {drift.total} of {held} {name} held" if drift else f"{held} are held"
    again = "also when they were" if asked == gone else f"{asked} of them also when they were"
    is_one = len(work.settings.companies()) == 1
    command = f"blsync sync {name}{'' if is_one else f' --company {company}'} --allow"
    return (
        f"{listed}; {gone} were not found, {again} asked for by id (request {request_id}). That is "
        f"more than {work.settings.delete_share:.0%} (BLSYNC_DELETE_SHARE), so none is marked "
        "deleted, nothing of this look landed, and the next sync looks again. Compare with "
        f"BigLedger's own screens; if they really are gone, `{command}` lets it through once."
    )
