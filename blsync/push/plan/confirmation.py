"""Sending a plan from Dagster's UI: allowed by a setting, and confirmed by the plan's own code.

The code is random, and only a terminal shows it (`blsync push plan`, `push show`). So whoever can
do everything in Dagster, or makes somebody's browser do it, cannot send a plan that nobody looked
at on the terminal.
"""

from __future__ import annotations

import hmac
import secrets

from blsync.errors import SafetyLimit
from blsync.ledger.plans import Plan
from blsync.settings import Settings

_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
"""No letter that looks like another one, or like a digit."""


def new_code() -> str:
    """Return a code for a plan: ten letters and digits with a hyphen, of 8 * 10^14 there are."""
    first, second = ("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in "12")
    return f"{first}-{second}"


def check_confirmed(settings: Settings, plan: Plan, given: str | None) -> None:
    """Raise SafetyLimit where a plan may not be sent from the UI, saying what to do."""
    here = f"`blsync push apply {plan.plan_id}` on the terminal sends it all the same"
    if not settings.push_from_ui:
        raise SafetyLimit(
            f"Plan {plan.plan_id} is not sent from Dagster: BLSYNC_PUSH_FROM_UI is off. Nothing "
            f"was sent. Set it to true to allow it; {here}."
        )
    if not plan.confirmation_code:
        raise SafetyLimit(
            f"Plan {plan.plan_id} has no confirmation code: an earlier version made it. Nothing "
            f"was sent. Plan the same file again; {here}."
        )
    wanted = plan.confirmation_code.encode()
    if not hmac.compare_digest((given or "").strip().lower().encode(), wanted):
        what = "is not the plan's" if given else "is missing"
        raise SafetyLimit(
            f"Plan {plan.plan_id} is not sent: the confirmation code {what}. Nothing was sent. "
            f"`blsync push show {plan.plan_id}` on the terminal shows it; write it as "
            "`confirmation: CODE` beside `dry_run: false`."
        )
