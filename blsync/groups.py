"""The groups of companies that the user's `group.toml` describes, read here and nowhere else.

It lies among the user's own tables (`blsync.user_tables`) and has a table for each group:

    [acme]
    currency = "MYR"                  # in which the group is presented
    parent = "company_acme"           # whose equity is the group's

    [acme.companies.company_acme]
    from = "2025-01"                  # the first month that counts

    [acme.companies.company_sg]
    from = "2025-01"
    share = 60                        # in hundredths; what is left is the minority's
    investment = "1800"               # the parent's account of what it paid for the company
    capital = ["3000"]                # accounts on which the owners pay in after that
    accounts = { "4-100" = "4010" }   # its account → the group's, where the numbers differ
    historical_rate = 3.20            # of its equity before `from`
    historical_rates = [{ account = "3000", month = "2026-02", rate = 3.45 }]

    [[acme.intercompany]]
    name = "Goods sold to Singapore"
    between = [
        { company = "company_acme", account = "4020" },
        { company = "company_sg", account = "5020" },
    ]

    [[acme.intercompany]]
    name = "Owed by Singapore"
    between = [
        { company = "company_acme", account = "1200", customer = "cust_17" },  # its part of it
        { company = "company_sg", account = "2100" },
    ]

Rates of each month are in `exchange_rates.csv`. Whatever is wrong with the file is a ConfigError
with the file, the place in it and what to write.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa

from blsync.errors import ConfigError
from blsync.text.natural_keys import cleaned

GROUP_FILE = "group.toml"
GROUPS = "groups"
COMPANIES = "group_companies"
ACCOUNTS = "group_accounts"
HISTORICAL_RATES = "group_historical_rates"
COUNTERPARTIES = "group_counterparties"
RATE = pa.decimal128(18, 8)
_ACCOUNT = [(name, pa.string()) for name in ("group_id", "company_id", "account_number")]
SCHEMAS = {
    GROUPS: pa.schema(
        [(name, pa.string()) for name in ("group_id", "group_name", "currency", "company_id")]
    ),
    COMPANIES: pa.schema(
        [
            ("group_id", pa.string()),
            ("company_id", pa.string()),
            ("first_period", pa.date32()),
            ("share", pa.decimal128(7, 6)),
            ("historical_rate", RATE),
            ("investment_account", pa.string()),
        ]
    ),
    ACCOUNTS: pa.schema(
        [*_ACCOUNT, ("group_account_number", pa.string()), ("is_capital", pa.bool_())]
    ),
    HISTORICAL_RATES: pa.schema([*_ACCOUNT, ("period", pa.date32()), ("rate", RATE)]),
    COUNTERPARTIES: pa.schema(
        [
            *_ACCOUNT,
            ("customer_id", pa.string()),
            ("supplier_id", pa.string()),
            ("elimination", pa.string()),
            ("side", pa.int32()),
        ]
    ),
}
"""Table → the types of its columns, as the marts read them. `company_id` of a group is its
parent's, `share` a part of 1; `side` is 1 or 2.
"""
_GROUP = ("name", "currency", "parent", "companies", "intercompany")
_COMPANY = (
    *("from", "share", "investment", "capital", "accounts"),
    *("historical_rate", "historical_rates"),
)
_SIDE = ("company", "account", "customer", "supplier")
_CURRENCY = re.compile("[A-Z]{3}")
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_HIGHEST = Decimal(10) ** 10  # what the column of rates has no room for
_MOST_SHOWN = 40

Rows = dict[str, list[dict[str, Any]]]
_Side = tuple[str, str, str | None, str | None]
"""Company, account, and the customer or supplier whose part of the account it is."""


@dataclass(frozen=True)
class Section:
    """A table of the file, and where it stands, for whoever has to mend it."""

    path: Path
    place: str
    values: dict[str, Any]


def rows_of_groups(path: Path) -> Rows:
    """Return the rows of all tables, typed as SCHEMAS has them; none where there is no file.

    Raises ConfigError.
    """
    rows: Rows = {name: [] for name in SCHEMAS}
    for group_id, values in _read(path).items():
        group = _section(path, f"[{group_id}]", values, _GROUP)
        _read_group(cleaned(group_id), group, rows)
    return rows


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"), parse_float=Decimal)
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path} line {line} is not UTF-8; save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (tomllib.TOMLDecodeError, RecursionError, ArithmeticError) as error:
        raise ConfigError(
            f"{path} is not well-formed TOML ({error}). A name is followed by =, a text stands in "
            'double quotes, and each table has its name in brackets once: [acme.companies."id"].'
        ) from None


def _read_group(group_id: str, group: Section, rows: Rows) -> None:
    currency = _text(group, "currency")
    if not _CURRENCY.fullmatch(currency):
        _wrong(group, "currency", "a code of three letters like MYR")
    parent = _text(group, "parent")
    companies = {
        cleaned(name): _section(
            group.path, f"{group.place[:-1]}.companies.{name}]", values, _COMPANY
        )
        for name, values in _table(group, "companies").items()
    }
    if parent not in companies:
        _wrong(group, "parent", f"one of its companies: {', '.join(companies) or 'it has none'}")
    rows[GROUPS].append(
        {
            "group_id": group_id,
            "group_name": _text(group, "name", group_id),
            "currency": currency,
            "company_id": parent,
        }
    )
    invested: dict[str, str] = {}
    for company_id, company in companies.items():
        keys = {"group_id": group_id, "company_id": company_id}
        row = keys | _company(company, company_id == parent)
        if row["first_period"] < (begins := _month(companies[parent], "from")):
            _wrong(company, "from", f"no month before the parent's, {begins:%Y-%m}")
        rows[COMPANIES].append(row)
        rows[ACCOUNTS] += [keys | account for account in _accounts(company)]
        rows[HISTORICAL_RATES] += [keys | rate for rate in _historical_rates(company)]
        if account := row["investment_account"]:
            if account in invested:
                _wrong(
                    company, "investment",
                    f"an account of its own; {invested[account]} has this one already",
                )  # fmt: skip
            invested[account] = company_id
    taken: list[_Side] = [(parent, account, None, None) for account in invested]
    rows[COUNTERPARTIES] += _counterparties(group, group_id, companies, taken)


def _company(company: Section, is_parent: bool) -> dict[str, Any]:
    for key in {"share", "investment"} & company.values.keys() if is_parent else ():
        _wrong(company, key, "nothing: the parent is the group's whole")
    share = Decimal(100) if is_parent else _number(company, "share")
    if share is None:
        _lacks(company, "share", "share = 60")
    if share > 100 or share % Decimal("0.0001"):
        _wrong(company, "share", "hundredths with at most four decimals, like 60 or 33.3333")
    return {
        "first_period": _month(company, "from"),
        "share": share / 100,
        "historical_rate": _rate(company, "historical_rate"),
        "investment_account": _text(company, "investment", "") or None,
    }


def _accounts(company: Section) -> Iterator[dict[str, Any]]:
    names = _table(company, "accounts", {})
    mapping = Section(company.path, f"{company.place} accounts", names)
    capital = [cleaned(number) for number in _texts(company, "capital")]
    mapped = {cleaned(number): _text(mapping, number) for number in names}
    for number in dict.fromkeys([*mapped, *capital]):
        yield {
            "account_number": number,
            "group_account_number": mapped.get(number),
            "is_capital": number in capital,
        }


def _historical_rates(company: Section) -> Iterator[dict[str, Any]]:
    seen = set()
    for place in _tables(company, "historical_rates", ("account", "month", "rate")):
        account = _text(place, "account")
        period = _month(place, "month") if "month" in place.values else None
        rate = _rate(place, "rate")
        if rate is None:
            _lacks(place, "rate", "rate = 3.45")
        if (account, period) in seen:
            _wrong(place, "account", "one rate of an account and month")
        seen.add((account, period))
        yield {"account_number": account, "period": period, "rate": rate}


def _counterparties(
    group: Section, group_id: str, companies: dict[str, Section], taken: list[_Side]
) -> Iterator[dict[str, Any]]:
    names = set()
    for pair in _tables(group, "intercompany", ("name", "between")):
        name = _text(pair, "name")
        if name in names or name.startswith("Investment in "):
            _wrong(pair, "name", "a name that no other elimination has")
        names.add(name)
        sides = list(_tables(pair, "between", _SIDE))
        ids = {_text(side, "company") for side in sides}
        if len(sides) != 2 or len(ids) != 2:
            raise ConfigError(
                f"{pair.path} {pair.place}: between names {len(sides)} sides of {len(ids)} "
                "companies; write two, each of another company."
            )
        for number, side in enumerate(sides, 1):
            if _text(side, "company") not in companies:
                _wrong(side, "company", f"one of the group's: {', '.join(companies)}")
            company_id, account, customer, supplier = key = _side(side)
            if any(_is_shared(key, other) for other in taken):
                _wrong(side, "account", "an account that no other elimination takes out")
            taken.append(key)
            yield {
                "group_id": group_id,
                "company_id": company_id,
                "account_number": account,
                "customer_id": customer,
                "supplier_id": supplier,
                "elimination": name,
                "side": number,
            }


def _side(side: Section) -> _Side:
    customer, supplier = (_text(side, key, "") or None for key in ("customer", "supplier"))
    if customer and supplier:
        _wrong(side, "supplier", "either a customer or a supplier")
    return _text(side, "company"), _text(side, "account"), customer, supplier


def _is_shared(one: _Side, other: _Side) -> bool:
    """Tell whether two sides take out the same, one perhaps as a part of the other."""
    return one[:2] == other[:2] and (one[2:] == other[2:] or (None, None) in (one[2:], other[2:]))


def _section(path: Path, place: str, values: Any, known: tuple[str, ...]) -> Section:
    """Return a table whose keys are all known. Raises ConfigError."""
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path} {place} is {_shown(values)}; write a table of {', '.join(known)}."
        )
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            meant = f"; did you mean {near[0]}?" if near else "."
            raise ConfigError(f"{path} {place} has no {key!r}: it has {', '.join(known)}{meant}")
    return Section(path, place, values)


def _table(section: Section, key: str, otherwise: dict[str, Any] | None = None) -> dict[str, Any]:
    found = section.values.get(key, otherwise)
    if found is None:
        _lacks(section, key, f"[…{key}.NAME]")
    if not isinstance(found, dict):
        _wrong(section, key, "a table, name = value")
    return found


def _tables(section: Section, key: str, known: tuple[str, ...]) -> Iterator[Section]:
    found = section.values.get(key, [])
    if not isinstance(found, list):
        _wrong(section, key, f"a list of tables of {', '.join(known)}")
    for number, values in enumerate(found, 1):
        yield _section(section.path, f"{section.place} {key} {number}", values, known)


def _texts(section: Section, key: str) -> list[str]:
    found = section.values.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        _wrong(section, key, 'a list of texts like ["3000"]')
    return found


def _text(section: Section, key: str, otherwise: str | None = None) -> str:
    found = section.values.get(key, otherwise)
    if found is None:
        _lacks(section, key, f'{key} = "…"')
    if not isinstance(found, str) or (key in section.values and not cleaned(found)):
        _wrong(section, key, 'a text in double quotes like "1800"')
    return cleaned(found)


def _month(section: Section, key: str) -> date:
    found = section.values.get(key)
    if type(found) is date and found.day == 1:
        return found
    if found is None:
        _lacks(section, key, f'{key} = "2025-01"')
    told = _MONTH.fullmatch(found.strip()) if isinstance(found, str) else None
    if told is None:
        _wrong(section, key, 'a month like "2025-01"')
    return date(int(told[1]), int(told[2]), 1)


def _number(section: Section, key: str) -> Decimal | None:
    """Return a number above 0; None where there is none."""
    found = section.values.get(key)
    if found is None:
        return None
    is_number = isinstance(found, int | Decimal) and not isinstance(found, bool)
    if not is_number or not Decimal(found).is_finite() or found <= 0:
        _wrong(section, key, "a number above 0, without quotes")
    return Decimal(found)


def _rate(section: Section, key: str) -> Decimal | None:
    rate = _number(section, key)
    if rate is not None and (rate >= _HIGHEST or rate % Decimal("0.00000001")):
        _wrong(section, key, "a rate like 3.45, with at most eight decimals")
    return rate


def _wrong(section: Section, key: str, form: str) -> NoReturn:
    shown = _shown(section.values.get(key))
    raise ConfigError(f"{section.path} {section.place}: {key} is {shown}; write {form}.")


def _lacks(section: Section, key: str, form: str) -> NoReturn:
    raise ConfigError(f"{section.path} {section.place} has no {key}; write one like {form}.")


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    return repr(str(value)[:_MOST_SHOWN])
