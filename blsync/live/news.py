"""Which entities have news: events were stored after which no pull of them has begun."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from blsync.entities import pulled
from blsync.entity import Entity
from blsync.ledger import events, loads
from blsync.live.events import channels, entities_of, names_about
from blsync.pull import availability
from blsync.session import Session
from blsync.settings import Company


@dataclass
class News:
    """What events told of a company and no pull has satisfied; times are UTC."""

    entities: list[Entity] = field(default_factory=list)
    up_to: int = 0
    """The number of the last of the events."""
    since: datetime | None = None
    """When the first of them was received."""
    never_pulled: list[str] = field(default_factory=list)
    """Entities that have news and that no sync has ever pulled: they wait for the first."""

    @property
    def requests(self) -> int:
        """How many requests it takes at least to pull it: one a feed."""
        return sum(len(entity.feeds) for entity in self.entities)


def news_of(session: Session, company: Company) -> News:
    """Return what events told of a company and no pull has satisfied."""
    ledger, company_id = session.ledger, company.company_id
    found = News()
    marks = events.marks(ledger, company_id)
    for entity in _asked(session, company):
        names = names_about(
            entity.name, events.names_after(ledger, company_id, marks.get(entity.name, 0))
        )
        if not names:
            continue
        waiting = events.waiting(ledger, company_id, entity.name, names)
        if waiting is None:
            continue
        if loads.uncovered_from(ledger, company_id, entity.name, None, session.clock()) is None:
            found.never_pulled.append(entity.name)
            continue
        found.entities.append(entity)
        found.up_to = max(found.up_to, waiting.up_to)
        found.since = min(found.since or waiting.since, waiting.since)
    return found


def heard_entities(session: Session, company: Company) -> list[Entity]:
    """Return the entities that some event may tell of and that were pulled before: what a stream
    that was cut may have told meanwhile.
    """
    asked = _asked(session, company)
    known = [entity.name for entity in asked]
    names = {name for channel in channels(known) for name in entities_of(channel)}
    now = session.clock()
    return [
        entity
        for entity in asked
        if entity.name in names
        and loads.uncovered_from(session.ledger, company.company_id, entity.name, None, now)
    ]


def _asked(session: Session, company: Company) -> list[Entity]:
    """Return the entities that a pull would ask for now.

    Those that BLSYNC_ENTITIES leaves out never are; the events of one that is not available here
    wait until it is looked for again.
    """
    return [
        entity
        for entity in pulled(session.settings.entities)
        if availability.left_alone(session, company, entity) is None
    ]
