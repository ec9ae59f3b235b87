"""What of a record may be kept, said once more: secrets go, documents leave a digest.

A list of suppliers shows no contact either, though the sandbox holds one.
"""

from __future__ import annotations

import hashlib
import json
import re

_TEXT = r'"(?:[^"\\]|\\.)*"'
_BANK = re.compile(r',"(?:bankDetails|contactPerson)":(?:null|\{[^{}]*\})')
_DOCUMENT = re.compile(rf'"(xml|pdf|json|qrCode|certificate)":({_TEXT})')


def kept(entity: str, text: str) -> str:
    """Return what is landed of a record that the sandbox sent as that text."""
    if entity == "suppliers":
        return _BANK.sub("", text)
    return _DOCUMENT.sub(_digested, text) if entity == "einvoices" else text


def _digested(found: re.Match[str]) -> str:
    value = json.loads(found[2])
    if not value or value.startswith(("https://", "/")):
        return found[0]
    return f'"{found[1]}":"sha256:{hashlib.sha256(value.encode()).hexdigest()}"'
