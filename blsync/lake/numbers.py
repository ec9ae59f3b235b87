"""Numbers that a server has computed in binary: how they are told from real ones, and what they
mean.

A program that adds 0.1 and 0.2 in binary fractions says 0.30000000000000004. Such a number has 15
digits or more and stands beside a short decimal, which is what was meant. One that is as long and
stands beside none is a number of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation

import pyarrow as pa

NOISY_DIGITS = 15
"""Digits that a number computed in binary has at least: a binary fraction holds 15 to 17."""
NOISE = Decimal("1e-9")
"""How near a short decimal such a number stands; or by its last binary digits, where it is
large."""
LAST_DIGITS = Decimal(2) ** -51
"""The last two binary digits of a number, as a share of it."""
_TRAPS = [Inexact, InvalidOperation]
_WIDE = Context(prec=60, traps=[InvalidOperation])


def without_noise(value: Decimal, decimals: int) -> Decimal:
    """Return the number of at most `decimals` decimals that a noisy one stands for, else
    `value`.
    """
    if not value.is_finite() or len(value.as_tuple().digits) < NOISY_DIGITS:
        return value
    try:
        short = value.quantize(Decimal((0, (1,), -decimals)), context=_WIDE)
    except InvalidOperation:
        return value
    bound = max(NOISE, abs(value) * LAST_DIGITS)
    return short if abs(_WIDE.subtract(short, value)) < bound else value


def exact(values: Iterable[Decimal | None], kind: pa.Decimal128Type) -> tuple[pa.Array, int]:
    """Return the same numbers as an array, and how many of them were without their noise.

    Raises ArrowInvalid where the array's type would lose something. Arrow itself loses decimals
    without a word where there are 39 more than the type has.
    """
    unit = Decimal((0, (1,), -kind.scale))
    exactly = Context(prec=kind.precision, traps=_TRAPS)
    noisy = 0

    def fitted(value: Decimal) -> Decimal:
        nonlocal noisy
        try:
            return value.quantize(unit, context=exactly)
        except DecimalException:
            short = without_noise(value, kind.scale)
            if short is value:
                raise
            noisy += 1
            return short.quantize(unit, context=exactly)

    try:
        same = [None if v is None else fitted(v) for v in values]
    except DecimalException:
        digits = kind.precision - kind.scale
        message = f"not a number of at most {digits} digits and {kind.scale} decimals"
        raise pa.ArrowInvalid(message) from None
    return pa.array(same, kind), noisy
