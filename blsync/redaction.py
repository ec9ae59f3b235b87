"""What nobody may read: this process's secrets, found in any text that is about to leave it.

Settings and token sources register each secret when they learn it. `redact` replaces it wherever a
text holds it: as it is, in another case, folded over lines, percent-, JSON-, HTML- or
backslash-escaped (also twice), in hexadecimal, and in base64 at any place of what was encoded.
Anything that looks like a BigLedger credential, and the password of any address, goes too, whoever
it belongs to.

A secret shorter than `SHORTEST` is not looked for: it would stand in every other word; only the
password of an address is known by its place. One shorter than `LIKE_A_WORD` may be a word, and is
replaced only where it stands by itself: with the password "postgres", "postgresql" stays readable.
"""

from __future__ import annotations

import base64
import html
import io
import logging
import re
import sys
import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

REPLACEMENT = "[secret]"
SHORTEST = 4
LIKE_A_WORD = 16
"""Characters; keys and tokens are longer."""
LONGEST_LINE = 2**20
"""Bytes of a line after which it is written in parts."""
LONGEST_KNOWN = 100
"""Characters of a text of which it is remembered what becomes of it."""

_SHAPES = re.compile(
    r"blg_(?:live|test)_[a-z]{1,8}_[\w-]+|blg_oauth_[a-z]{1,8}_[\w-]+"
    r"|(?<=://)[^\s/:@]*:[^\s/@]+(?=@)"
)
"""Credentials as in bigledger-api.md, section 1; user and password of an address."""
_ESCAPE = re.compile(
    r"(?:%(?:25)*[0-9a-f]{2})+|\\+u00[0-9a-f]{2}|\\+x[0-9a-f]{2}|&#x0*[0-9a-f]{1,4};|&#0*[0-9]{1,5};"
    r"|&(?:amp;)*(?:amp|lt|gt|quot|apos);|\\+[nrt](?=.)|\\+",
    re.IGNORECASE,
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_BETWEEN = r"(?:\s|\\+[nrt]|\x1b\[[0-9;]*[A-Za-z]){0,200}?"
"""What folding and colours put between two characters of a line."""
_ALONE_BEFORE = (
    r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt])|(?<=\\u[0-9A-Fa-f]{4})"
    r"|(?<=\\x[0-9A-Fa-f]{2})|(?<=\x1b\[[0-9]m)|(?<=\x1b\[[0-9]{2}m))"
)
_ALONE_AFTER = r"(?![A-Za-z0-9])"


class _Secrets:
    """What is known: how to see that a text may hold a secret, and how to find it then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self.public: frozenset[str] = frozenset()
        self.traces: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        """Texts of which one is in any squeezed text with a secret: in small letters, and exact."""
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str) -> None:
        if len(secret) < SHORTEST or secret in self._known:
            return
        with self._lock:
            self._known.add(secret)
            spelt = [way for s in self._known for way in (s, s.replace(" ", "+"), s.encode().hex())]
            exact = [core for s in self._known for core, _ in _base64_cores(s)]
            small = dict.fromkeys("".join(way.lower().split()) for way in spelt)
            self.traces = (tuple(small), tuple(exact))
            self._pattern = None

    @property
    def pattern(self) -> re.Pattern[str]:
        """What finds them all; made when a text may hold one, which few processes ever see."""
        with self._lock:
            if self._pattern is None:
                # The longest first: one secret may be the beginning of another.
                ordered = sorted(self._known, key=len, reverse=True)
                self._pattern = re.compile("|".join(map(_pattern_of, ordered)))
            return self._pattern

    def disclose(self, text: str) -> None:
        with self._lock:
            self.public |= {text}


_SECRETS = _Secrets()


def register(secret: str) -> None:
    """Have a secret replaced in all that `redact` is given from now on."""
    _SECRETS.add(secret)


def disclose(text: str) -> None:
    """Let a text pass that looks like a credential and is none: the local sandbox's own key."""
    _SECRETS.disclose(text)


def redact(text: str) -> str:
    """Return the text with each secret replaced; what was replaced already stays as it is."""
    if len(text) <= LONGEST_KNOWN:
        return _redacted_before(text, _SECRETS.traces, _SECRETS.public)
    return _redacted(text)


@lru_cache(maxsize=4096)
def _redacted_before(text: str, _traces: object, _public: object) -> str:
    """Return what becomes of a short text while the same secrets are known: the name of an asset or
    a run, which Dagster writes again and again.
    """
    return _redacted(text)


def _redacted(text: str) -> str:
    if REPLACEMENT in text:
        return REPLACEMENT.join(map(redact, text.split(REPLACEMENT)))
    if _may_hold_secret(text):
        text = _SECRETS.pattern.sub(REPLACEMENT, text)
    return _SHAPES.sub(_replaced_shape, text)


def redact_all(value: Any) -> Any:
    """Return a JSON-like value with each text in it redacted, names of fields too."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact_all(name): redact_all(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(redact_all, value)) if type(value) in (list, tuple) else value
    return value


def holds_secret(text: str) -> bool:
    """Tell whether `redact` would change the text."""
    return redact(text) != text


def guard_streams() -> None:
    """Have everything redacted that this process writes to stdout and stderr from now on.

    Tracebacks, warnings and log lines take these ways too. Called again, it does nothing.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        buffer = getattr(stream, "buffer", None)
        if buffer is None or isinstance(buffer, _Redacting):
            continue
        stream.flush()
        guarded = io.TextIOWrapper(
            cast(Any, _Redacting(buffer, stream.encoding)),
            encoding=stream.encoding,
            errors=stream.errors,
            newline="",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, guarded)
        _point_handlers(stream, guarded)


class _Redacting(io.BufferedIOBase):
    """Writes whole lines, redacted, to a stream of bytes: a secret may come in parts."""

    def __init__(self, below: Any, encoding: str) -> None:
        self._below = below
        self._encoding = encoding
        self._held = b""
        self._lock = threading.RLock()

    def write(self, data: Any) -> int:
        with self._lock:
            whole, newline, self._held = (self._held + bytes(data)).rpartition(b"\n")
            if len(self._held) > LONGEST_LINE:
                whole, newline, self._held = whole + newline + self._held, b"", b""
            self._emit(whole + newline)
        return len(data)

    def flush(self) -> None:
        with self._lock:
            held, self._held = self._held, b""
            self._emit(held)
            self._below.flush()

    def _emit(self, data: bytes) -> None:
        if data:
            text = data.decode(self._encoding, "surrogateescape")
            redacted = redact(text)
            same = redacted == text
            self._below.write(data if same else redacted.encode(self._encoding, "surrogateescape"))

    def close(self) -> None:
        """Write what is left; the stream below belongs to the interpreter."""
        if not self._below.closed:
            self.flush()

    def fileno(self) -> int:
        return int(self._below.fileno())

    def isatty(self) -> bool:
        return bool(self._below.isatty())

    def writable(self) -> bool:
        return True

    @property
    def raw(self) -> Any:
        return getattr(self._below, "raw", self._below)


def _point_handlers(before: object, after: Any) -> None:
    """Have log handlers write to the guarded stream that were made for the one before."""
    loggers = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, logging.StreamHandler) and handler.stream is before:
                handler.setStream(after)


def _replaced_shape(found: re.Match[str]) -> str:
    text = found.group()
    if text in _SECRETS.public:
        return text
    is_credential = text.startswith("blg_")
    return REPLACEMENT if is_credential else f"{text.partition(':')[0]}:{REPLACEMENT}"


def _may_hold_secret(text: str) -> bool:
    """Tell it from the text without what folding and escaping put in: far faster than to find it.

    The text is read with its escapes resolved and, for base64, as it stands.
    """
    small, exact = _SECRETS.traces
    if "\x1b" in text:
        text = _COLOURS.sub("", text)
    plain = "".join(text.split())
    if any(trace in plain for trace in exact):
        return True
    lower = plain.lower()
    unspaced = lower.replace(":", "")  # hexadecimal
    if any(trace in lower or trace in unspaced for trace in small):
        return True
    if not any(sign in lower for sign in "%\\&"):
        return False
    resolved = "".join(_ESCAPE.sub(_resolved, lower).split())
    if any(trace in resolved.lower() for trace in small):
        return True
    unfolded = re.sub(r"\\+[nrt]|\\+", "", plain)
    return any(trace in unfolded for trace in exact) or any(
        trace in unfolded.lower() for trace in small
    )


_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


def _resolved(found: re.Match[str]) -> str:
    text = found.group()
    if text[0] == "%":
        codes = re.findall(r"%(?:25)*([0-9a-f]{2})", text)
        return bytes.fromhex("".join(codes)).decode("utf-8", "replace")
    if text[0] == "&":
        code = text.rstrip(";").rpartition("&")[2].rpartition(";")[2]
        if code in _NAMED:
            return _NAMED[code]
        return chr(int(code[2:], 16) if code[1] == "x" else int(code[1:]))
    code = text.lstrip("\\")
    return chr(int(code[1:], 16)) if code[:1] in ("u", "x") else ""


def _pattern_of(secret: str) -> str:
    """Return what finds a secret in all the ways it may be written."""
    plain = _BETWEEN.join(map(_ways_to_write, secret))
    if len(secret) < LIKE_A_WORD:
        plain = _ALONE_BEFORE + plain + _ALONE_AFTER
    ways = [f"(?i:{plain})"]
    ways += [_folded_base64(core, rest) for core, rest in _base64_cores(secret)]
    ways.append("(?i:" + r"[\s:]*".join(f"{byte:02x}" for byte in secret.encode()) + ")")
    return "|".join(ways)


def _ways_to_write(character: str) -> str:
    code, utf8 = ord(character), character.encode()
    ways = [
        r"\\*" + re.escape(character),
        "".join(rf"%(?:25)*{byte:02x}" for byte in utf8),
        "".join(rf"\\+x{byte:02x}" for byte in utf8),
        rf"\\+x{code:02x}",
        rf"\\+u{code:04x}",
        rf"&(?:amp;)*#0*{code};",
        rf"&(?:amp;)*#x0*{code:x};",
    ]
    if (named := html.escape(character)) != character:
        ways.append("&(?:amp;)*" + re.escape(named[1:]))
    if character == " ":
        ways.append(r"\+")
    # Each way once: what is written in escapes and ends otherwise than the secret would else be
    # tried in all combinations.
    return f"(?:{'|'.join(dict.fromkeys(ways))})"


def _base64_cores(secret: str) -> list[tuple[str, tuple[bool, bool]]]:
    """Return the characters that stand for the secret alone, wherever it begins in what is encoded,
    in both alphabets, with whether the characters before and after hold some bits of it as well.
    """
    given = secret.encode()
    cores = []
    for before in range(3):
        text = base64.b64encode(b"\0" * before + given).decode().rstrip("=")
        core = text[(0, 2, 3)[before] : (before + len(given)) * 8 // 6]
        rest = (before > 0, (before + len(given)) % 3 > 0)
        cores += [(core, rest), (core.translate(_URL_SAFE), rest)]
    return [(core, rest) for core, rest in dict.fromkeys(cores) if len(core) >= SHORTEST]


_URL_SAFE = str.maketrans("+/", "-_")


def _folded_base64(core: str, rest: tuple[bool, bool]) -> str:
    """Match a core, and the characters beside it that hold some of the secret's bits."""
    written = {"+": r"(?:\+|%2[bB]|\\+u002[bB])", "/": r"(?:\\*/|%2[fF]|\\+u002[fF])"}
    folded = _BETWEEN.join(written.get(c, re.escape(c)) for c in core)
    before, after = ("[A-Za-z0-9+/_-]?" if has_bits else "" for has_bits in rest)
    return rf"{before}{folded}{after}={{0,2}}"
