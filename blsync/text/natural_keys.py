"""One form of the texts by which records are known: emails, references, codes and ids.

People copy them out of mails, web pages and spreadsheets, and with them come characters that nobody
sees, and wrappers. `cleaned` is what is sent and looked up, `normal_form` is by what two are told
to be the same: in look-ups, among the rows of a file, in the ledger and in tokens.
"""

from __future__ import annotations

import re
import unicodedata

_WRAPPERS = {
    "'": "'",
    '"': '"',
    "`": "`",
    "\u2018": "\u2019",
    "\u201c": "\u201d",
    "\u201e": "\u201c",
    "\u00ab": "\u00bb",
}
"""Quotes that open → those that close."""
_MAILTO = "mailto:"
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Characters without a shape whose category does not say so."""
_SPACES = re.compile(r"\s")


def is_invisible(character: str) -> bool:
    """Tell whether a character takes no place where it is shown.

    Zero-width characters, direction marks, soft hyphens, byte-order marks, selectors of variants
    and control characters do. Blanks, tabs and line ends are seen.
    """
    return not character.isspace() and (
        unicodedata.category(character) in ("Cf", "Cc")
        or character in _FILLERS
        or "\ufe00" <= character <= "\ufe0f"
        or "\u180b" <= character <= "\u180f"
    )


def stripped(text: str) -> str:
    """Return a text without blanks and invisible characters around it; NUL stays, to be told."""
    start, end = 0, len(text)
    while start < end and _is_padding(text[start]):
        start += 1
    while end > start and _is_padding(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_padding(character: str) -> bool:
    return character.isspace() or (character != "\0" and is_invisible(character))


def cleaned(text: str) -> str:
    r"""Return a key as it is meant: without what nobody sees, and without wrappers.

    Blanks of any kind are plain ones; quotes around all of it, an apostrophe before it (by which a
    spreadsheet keeps a number as text) and `mailto:` are left out. Its letters stay as they are.

    >>> cleaned("\u200bmailto:Aina@Kedai.my")
    'Aina@Kedai.my'
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(c for c in unicodedata.normalize("NFC", text) if not is_invisible(c))
        text = _SPACES.sub(" ", text)
    found = text.strip()
    while found != (inner := _unwrapped(found)):
        found = inner
    return found


def _unwrapped(text: str) -> str:
    if text[: len(_MAILTO)].casefold() == _MAILTO:
        return text[len(_MAILTO) :].strip()
    if len(text) > 1 and _WRAPPERS.get(text[0]) == text[-1]:
        return text[1:-1].strip()
    return text[1:].strip() if text.startswith("'") else text


def normal_form(text: str) -> str:
    """Return the form in which two keys that are the same are equal.

    Cleaned, and with Unicode's compatible letters (NFKC) in lower case: `ＰＯ-7` is `po-7`.
    """
    if text.isascii():
        return cleaned(text).lower()
    folded = unicodedata.normalize("NFKC", cleaned(text)).casefold()
    return cleaned(unicodedata.normalize("NFKC", folded))
