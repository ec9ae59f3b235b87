"""How many examples tests draw: the same few in `make test`, many others in `make test-deep`.

Deep is Hypothesis's own choice of a profile: `pytest --hypothesis-profile deep`.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

DEEP = "deep"


def is_deep() -> bool:
    """Tell whether the tests are to go deep; known once pytest has read its options."""
    return settings.get_current_profile_name() == DEEP


def drawn(shallow: int, deep: int, **more: int) -> settings:
    """Return settings for so many examples, each of which takes seconds.

    One that fails is not shortened, because much hangs on timing.
    """
    return settings(
        max_examples=deep if is_deep() else shallow,
        derandomize=not is_deep(),
        deadline=None,
        database=None,
        print_blob=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        **more,
    )


settings.register_profile(DEEP)
