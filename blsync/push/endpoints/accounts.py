"""Accounts of the chart as they are written, in batches. They are made inactive in BigLedger: its
list leaves out inactive ones, so a push could not tell afterwards which there are.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from blsync.ledger.states import Action
from blsync.push.endpoint import Endpoint, Json, Likeness, Reference, Row, Settlement, Terms
from blsync.push.endpoints import listings
from blsync.push.endpoints.fields import Code, Id, Text, no_number


class AccountRow(Row):
    """An account's writable fields."""

    account_number: Code = ""
    name: Annotated[
        str,
        BeforeValidator(no_number),
        Field(min_length=1, max_length=200, description="a text of 1 to 200 characters"),
    ] = ""
    type: Annotated[
        Literal["asset", "liability", "equity", "revenue", "expense"],
        Field(description="asset, liability, equity, revenue or expense"),
    ] = "expense"
    category: Annotated[
        Literal[
            "current_asset", "fixed_asset", "other_asset", "current_liability",
            "long_term_liability", "other_liability", "equity", "operating_revenue",
            "other_revenue", "cost_of_goods_sold", "operating_expense", "other_expense",
        ],
        Field(
            description="current_asset, fixed_asset, other_asset, current_liability, "
            "long_term_liability, other_liability, equity, operating_revenue, other_revenue, "
            "cost_of_goods_sold, operating_expense or other_expense"
        ),
    ] = "operating_expense"  # fmt: skip
    parent_id: Id = ""
    parent_number: Code = ""
    description: Text = ""


def _no_money(_: Json) -> Decimal:
    return Decimal(0)


ACCOUNTS = Endpoint(
    name="accounts",
    record="account",
    batch=Terms("/batch/accounts", 200, (Action.CREATE, Action.UPDATE)),
    model=AccountRow,
    listing=listings.ACCOUNTS,
    required=("accountNumber", "name", "type", "category"),
    identifiers=("id", "accountNumber"),
    read_only=frozenset(("level", "currency", "isSystemAccount", "balance", "createdAt")),
    withheld={"isActive": "an account is made inactive in BigLedger itself"},
    references=(
        Reference(
            "parentId",
            listings.ACCOUNTS,
            {"parentId": "id", "parentNumber": "accountNumber"},
        ),
    ),
    settlement=Settlement(likeness=Likeness(("name",))),
    amount=_no_money,
)
