"""What a text that others read may say of a person: mail addresses and quoted values left out.

Two readers need two answers. A page of Dagster's UI, and a log, show no address at all. The push
log of the marts keeps enough of one to tell whose it is: the first letter and the domain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

LEFT_OUT = "…"
SHORTENED = "***"
"""Stands for the characters that are missing of an address, or for a text that may be a name."""
_ADDRESS = re.compile(r"[^\s'\"(]*@[^\s'\")]*")
_BEFORE_DOMAIN = re.compile(r"([^\s@'\"<>()`:,;])[^\s@'\"<>()`:,;]*@(?=[\w-]+\.)")
"""A mail address up to its domain."""
QUOTED = re.compile(r"""(?<!\w)(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")""")
"""Any value that a message quotes."""
QUOTED_COLUMN = re.compile(rf"(?:(?<=\bcolumn )|(?<=\band as )|(?<=--map )){QUOTED.pattern}")
"""A value that a message quotes as the name of a column."""

_ADDRESSES = ("address", "billingAddress", "shippingAddress")
PERSONAL_FIELDS = {
    "customers": frozenset(
        ("id", "email", "name", "phone", "website", "taxNumber", "customFields", *_ADDRESSES)
    ),
    "invoices": frozenset({"customer", "notes"}),
    "suppliers": frozenset(
        (
            *("id", "email", "name", "displayName", "phone", "website", "taxNumber"),
            *("registrationNumber", "address"),
        )
    ),
    "bills": frozenset({"supplier", "notes"}),
}
"""Fields of what is pushed whose values are a person's, by endpoint; no message names them."""


def without_addresses(text: str) -> str:
    """Take mail addresses out of a text: `no customer … here`."""
    return _ADDRESS.sub(LEFT_OUT, text)


def shortened_addresses(text: str) -> str:
    """Shorten the mail addresses in a text: `no customer a***@x.example here`."""
    return _BEFORE_DOMAIN.sub(rf"\1{SHORTENED}@", text)


def shortened_address(text: str) -> str:
    """Shorten a text that is one address, even where its beginning has spaces or quotes in it."""
    return f"{text[:1]}{SHORTENED}@{text.rpartition('@')[2]}"


def without_quoted(
    text: str,
    is_kept: Callable[[str], bool] = lambda _: False,
    pattern: re.Pattern[str] = QUOTED,
) -> str:
    """Take values out of a message, which quotes them, but for those that are kept."""
    return pattern.sub(lambda m: m.group() if is_kept(m.group()[1:-1]) else f"'{LEFT_OUT}'", text)


def without_words(text: str, words: Iterable[str]) -> str:
    """Take these words out of a text, in upper or lower case; those of one or two letters stay."""
    for word in sorted(words, key=len, reverse=True):
        if len(word) > 2:
            text = re.sub(re.escape(word), LEFT_OUT, text, flags=re.IGNORECASE)
    return text
