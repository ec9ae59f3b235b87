"""Reading what a client sends, field by field, with the vendor's field codes (section 2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from blsync.sandbox.books.errors import Detail, bad_request, invalid
from blsync.sandbox.books.values import Record, dumps, loads, money, parse_date, quantity

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
LARGEST = Decimal(10) ** 13


def read_body(body: bytes) -> Record:
    """Read a request's JSON object; an empty body is an empty object. Raises ApiError 400."""
    try:
        data = loads(body) if body.strip() else {}
        dumps(data)  # what cannot be written again must not get into the books
    except (ValueError, OverflowError, RecursionError) as error:
        raise bad_request(f"The body is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise bad_request("The body must be a JSON object")
    return data


class Form:
    """One object of a request. Collects what is wrong with it; `check` raises it all at once.

    ``partial`` is for updates, where a field that is not there stays as it is.
    """

    def __init__(self, data: object, *, partial: bool = False, prefix: str = "") -> None:
        self.details: list[Detail] = []
        self.data: Record = data if isinstance(data, dict) else {}
        self.partial = partial
        self.prefix = prefix
        if not isinstance(data, dict):
            self.refuse(prefix.rstrip(".") or "data", "INVALID_FORMAT", "must be an object", data)

    def refuse(
        self, field: str, code: str, message: str, value: object = None, constraint: str = ""
    ) -> None:
        """Note that a field is not acceptable."""
        detail: Detail = {
            "field": self.prefix + field,
            "message": f"{field} {message}",
            "code": code,
        }
        if code != "REQUIRED_FIELD":
            detail |= {"value": value}
        if constraint:
            detail |= {"constraint": constraint}
        self.details.append(detail)

    def has(self, field: str) -> bool:
        """Tell whether a field was sent, null included."""
        return field in self.data

    def check(self) -> None:
        """Raise ApiError 422 if anything was refused."""
        if self.details:
            raise invalid(self.details)

    def _get(self, field: str, required: bool) -> Any:
        value = self.data.get(field)
        missing = value is None or (isinstance(value, str) and not value.strip())
        if missing and required and (not self.partial or self.has(field)):
            self.refuse(field, "REQUIRED_FIELD", "is required")
        return None if missing else value

    def text(
        self, field: str, *, required: bool = False, choices: Sequence[str] = (), most: int = 500
    ) -> str | None:
        """Read a text, of these choices if there are any."""
        value = self._get(field, required)
        if value is None:
            return None
        if choices and value not in choices:
            listed = ", ".join(choices)
            self.refuse(field, "INVALID_CHOICE", f"must be one of {listed}", value, listed)
        elif not isinstance(value, str):
            self.refuse(field, "INVALID_FORMAT", "must be text", value)
        elif len(value) > most:
            self.refuse(field, "MAX_VALUE", f"is longer than {most}", value, f"<= {most}")
        else:
            return value
        return None

    def email(self, field: str) -> str | None:
        """Read an e-mail address."""
        value = self.text(field)
        if value is not None and not EMAIL.fullmatch(value):
            self.refuse(field, "INVALID_EMAIL_FORMAT", "is not an e-mail address", value)
        return value

    def number(
        self,
        field: str,
        *,
        required: bool = False,
        least: Decimal | int | None = None,
        above: Decimal | int | None = None,
        most: Decimal | int | None = None,
        decimals: int = 2,
    ) -> Decimal | None:
        """Read a number of at most so many decimals within bounds."""
        value = self._get(field, required)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            self.refuse(field, "INVALID_FORMAT", "must be a number", value)
        elif abs(value) > LARGEST or Decimal(value) != round(Decimal(value), decimals):
            self.refuse(field, "INVALID_FORMAT", f"takes {decimals} decimals at most", value)
        elif (least is not None and value < least) or (above is not None and value <= above):
            bound = f">= {least}" if above is None else f"> {above}"
            self.refuse(field, "MIN_VALUE", f"must be {bound}", value, bound)
        elif most is not None and value > most:
            self.refuse(field, "MAX_VALUE", f"must be <= {most}", value, f"<= {most}")
        else:
            return Decimal(value)
        return None

    def amount(self, field: str, **bounds: Any) -> Decimal | None:
        """Read money: two decimals at most."""
        value = self.number(field, **bounds)
        return None if value is None else money(value)

    def count(self, field: str, **bounds: Any) -> Decimal | int | None:
        """Read a quantity: four decimals at most."""
        value = self.number(field, decimals=4, **bounds)
        return None if value is None else quantity(value)

    def whole(self, field: str, least: int, most: int) -> int | None:
        """Read a whole number."""
        value = self.number(field, least=least, most=most, decimals=0)
        return None if value is None else int(value)

    def flag(self, field: str) -> bool | None:
        """Read true or false."""
        value = self._get(field, required=False)
        if value is not None and not isinstance(value, bool):
            self.refuse(field, "INVALID_FORMAT", "must be true or false", value)
            return None
        return value

    def day(self, field: str, default: date | None = None, *, required: bool = False) -> str | None:
        """Read a business date, YYYY-MM-DD."""
        value = self._get(field, required)
        if value is None:
            return default.isoformat() if default else None
        try:
            return parse_date(value)
        except (TypeError, ValueError):
            self.refuse(field, "INVALID_FORMAT", "must be a date, YYYY-MM-DD", value)
            return default.isoformat() if default else None

    def part(self, field: str, kind: type) -> Any:
        """Read a list or an object as it stands."""
        value = self._get(field, required=False)
        if value is not None and not isinstance(value, kind):
            name = "a list" if kind is list else "an object"
            self.refuse(field, "INVALID_FORMAT", f"must be {name}", value)
            return None
        return value

    def lines(self, field: str, least: int = 1) -> list[Form]:
        """Read a list of objects; their details name them ``items[0].quantity``."""
        value = self._get(field, required=True)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) < least:
            self.refuse(field, "MIN_VALUE", f"needs {least} or more", None, f">= {least}")
            return []
        return [
            Form(line, prefix=f"{self.prefix}{field}[{number}].")
            for number, line in enumerate(value)
        ]

    def gather(self, forms: Sequence[Form]) -> None:
        """Take over what the lines refuse, then raise if there is anything."""
        for form in forms:
            self.details += form.details
        self.check()
