"""Which generation of an entity's files in a bucket counts (`blsync.lake.mirror`)."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, insert, select, update

from blsync.ledger import Ledger
from blsync.ledger.tables import generations


def of(ledger: Ledger, company_id: str, entity: str, layer: str) -> int:
    """Return the number of the generation that counts; 0: the first."""
    with ledger.begin() as db:
        return db.scalar(select(generations.c.number).where(_is(company_id, entity, layer))) or 0


def put(ledger: Ledger, company_id: str, entity: str, layer: str, number: int) -> None:
    """Have this generation count from now on."""
    place = {"company_id": company_id, "entity": entity, "layer": layer}
    with ledger.begin(durable=True) as db:
        changed = update(generations).where(_is(company_id, entity, layer)).values(number=number)
        if not db.execute(changed).rowcount:
            db.execute(insert(generations).values(number=number, **place))


def _is(company_id: str, entity: str, layer: str) -> ColumnElement[bool]:
    about = generations.c
    return and_(about.company_id == company_id, about.entity == entity, about.layer == layer)
