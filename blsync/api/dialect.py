"""Dialects: in which of the documented spellings a server takes what is asked of a list.

The vendor's pages write one thing in several ways, and some lists take less than others
(bigledger-api.md, sections 3 and 9). So what is asked is a `Query`, which says no parameter, and
each part of it has its spellings, the reference's own first:

| part | spellings |
|---|---|
| `sort updatedAt` | `sort=updatedAt:asc`; `sort=updatedAt&order=asc`; none |
| `window updatedAt` | `updatedAt[gte]=…&updatedAt[lt]=…`; none: the whole list comes |
| `among id` | `id[in]=a,b`; `id=a` one by one; `GET /{id}` one by one; none |
| `fromDate,toDate` and other filters | as the query gives them; none |
| `apart active` | asked for besides; not, where the list has them with the others |
| `total` | believed; none is told: the list is read whole now and then |
| `limit` | the documented largest page; smaller ones; none |
| `pages` | cursor, or one of `Paging` |
| `list` | as documented; not available: the server or the key has no such list |
| `fields` | not asked for: what the list leaves out of a record, and what `GET /{id}` has of it |

A spelling that is refused (400, 422) is followed by the next one at once; where the refusal does
not say which parameter it is about, they are tried part by part. One that is taken and not
heeded is followed by the next one from then on: `passed_over` is told by whoever sees it. What was
learnt is kept in the ledger for a company and entity, and told once.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from unicodedata import normalize
from urllib.parse import quote

import msgspec

from blsync.api.client import Client
from blsync.api.pages import BY_OFFSET, Page, PageStyle, body_of
from blsync.entity import Feed
from blsync.errors import ApiError, CursorRefused
from blsync.lake.typing import Payload, raw_fields
from blsync.ledger import Ledger, dialects
from blsync.ledger.dialects import Fact

NONE = "none"
PAGES = "pages"
LIMIT = "limit"
TOTAL = "total"
FIELDS = "fields"
COLON, ORDER = "sort=f:asc", "sort=f&order=asc"
OPERATORS, BARE, DETAIL = "f[op]=v", "f=v", "GET /{id}"
SMALLEST_LIMIT = 20
"""Records of the smallest page that the vendor's pages write of."""
MOST_TRIES = 12
"""Spellings of one request that are tried, at most."""


@dataclass(frozen=True)
class Query:
    """What is asked of a list; instants are UTC.

    `filters` are spellings of one condition: the first that is taken counts.
    """

    path: str
    limit: int
    order: tuple[str, bool] | None = None
    """A field, and whether the latest come first."""
    window: tuple[str, datetime | None, datetime | None] | None = None
    """A field, from when on and before when."""
    filters: Sequence[Mapping[str, str]] = ({},)

    def parts(self) -> dict[str, list[str]]:
        """Return the parts of the query by name, each with its spellings."""
        parts: dict[str, list[str]] = {}
        if name := filter_part(self.filters):
            parts[name] = [",".join(spelt) for spelt in self.filters]
        if self.order:
            parts[sort_part(self.order[0])] = [COLON, ORDER, NONE]
        if self.window and any(self.window[1:]):
            parts[window_part(self.window[0])] = [OPERATORS, NONE]
        return parts

    def spelt(self, spellings: Mapping[str, str]) -> dict[str, str]:
        """Return the query's parameters in these spellings of its parts."""
        params = {"limit": str(self.limit)}
        for part, spelling in spellings.items():
            params |= self._spelt(part, spelling)
        return params

    def _spelt(self, part: str, spelling: str) -> Mapping[str, str]:
        if spelling == NONE:
            return {}
        if self.order and part == sort_part(self.order[0]):
            name, is_descending = self.order
            direction = "desc" if is_descending else "asc"
            if spelling == ORDER:
                return {"sort": name, "order": direction}
            return {"sort": f"{name}:{direction}"}
        if self.window and part == window_part(self.window[0]):
            name, lower, upper = self.window
            bounds = {f"{name}[gte]": lower, f"{name}[lt]": upper}
            return {bound: iso(at) for bound, at in bounds.items() if at}
        return next(spelt for spelt in self.filters if ",".join(spelt) == spelling)


def sort_part(name: str) -> str:
    """Name the part of a query that asks for an order by a field."""
    return f"sort {name}"


def window_part(name: str) -> str:
    """Name the part of a query that bounds the time in a field."""
    return f"window {name}"


def among_part(name: str) -> str:
    """Name the part of a query that asks for records by their values in a field."""
    return f"among {name}"


def filter_part(filters: Sequence[Mapping[str, str]]) -> str:
    """Name the part of a query that has these filters; empty where there are none."""
    return ",".join(filters[0])


def apart_part(filters: Sequence[Mapping[str, str]]) -> str:
    """Name what is known of records that a filter brings: whether they are listed apart."""
    return f"apart {filter_part(filters)}"


def iso(at: datetime) -> str:
    """Write an instant as the API's filters take it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class NotTaken(ApiError):
    """The server takes none of the spellings of a part of the query that cannot be left out."""


@dataclass
class Dialect:
    """What one company's server takes of one entity's list; `say` tells what was learnt."""

    client: Client
    entity: str
    path: str
    say: Callable[[str], None]
    now: Callable[[], datetime]
    keep: Callable[[msgspec.Raw], msgspec.Raw] | None = None
    """Makes of a record what is kept of it; None: all."""
    known: dict[str, Fact] = field(default_factory=dict)
    tells_total: bool = True
    """Whether pages may say how many records there are: those without `pagination` do not."""
    _told_style: PageStyle | None = None
    _told_limit: int | None = None
    _has_answered: bool = False
    _is_trying_smaller: bool = False

    def __post_init__(self) -> None:
        facts = dialects.facts_of(self._ledger, self._company_id, self.entity, self.now())
        self.known = {fact.parameter: fact for fact in facts}
        style = PageStyle.read(self.known[PAGES].spelling) if PAGES in self.known else None
        if style and self.path not in self.client.styles:
            self.client.styles[self.path] = style
        self._told_style = style
        if LIMIT in self.known and self.path not in self.client.page_limits:
            told = self.known[LIMIT].spelling
            self.client.page_limits[self.path] = int(told) if told.isdecimal() else 0
        self._told_limit = self.client.page_limits.get(self.path)

    @property
    def _ledger(self) -> Ledger:
        return self.client.limiter.ledger

    @property
    def _company_id(self) -> str:
        return self.client.company.company_id

    def has_order(self, name: str) -> bool:
        """Tell whether the list can be asked for in the order of a field."""
        return self._spelling(sort_part(name)) != NONE

    def has_window(self, name: str) -> bool:
        """Tell whether the list can be asked for a part of the time in a field."""
        return self._spelling(window_part(name)) != NONE

    def has_filters(self, filters: Sequence[Mapping[str, str]]) -> bool:
        """Tell whether the list takes one of the spellings of a filter."""
        return self._spelling(filter_part(filters)) != NONE

    def apart(self, feeds: Sequence[Feed]) -> list[Feed]:
        """Return the feeds that the server has to be asked for, each by itself."""
        return [feed for feed in feeds if apart_part(feed.spellings) not in self.known]

    def note_included(self, feed: Feed, request_id: str) -> None:
        """Learn that the list without a feed's filters has what they bring, too."""
        part = apart_part(feed.spellings)
        if part not in self.known:
            self._learn(part, NONE, "some of them came without being asked for", request_id)

    def forget_included(self) -> bool:
        """Forget that a list has what filters are to bring; tell whether that was believed."""
        parts = [part for part in self.known if part.startswith(apart_part(({},)))]
        for part in parts:
            self._forget(part)
        return bool(parts)

    def _forget(self, part: str) -> None:
        del self.known[part]
        dialects.forget(self._ledger, self._company_id, self.entity, part)

    def note_total(self, request_id: str | None) -> None:
        """Learn whether the list tells how many records it has; None: it does not."""
        if request_id is None and TOTAL not in self.known:
            self._learn(TOTAL, NONE, "its pages have none", "")
        elif request_id is not None and TOTAL in self.known:
            self._forget(TOTAL)

    def pages_by_offset(self, documented: bool) -> bool:
        """Tell whether the list pages by offset, as is `documented` where nothing else was seen."""
        style = self.client.styles.get(self.path)
        return style.paging in BY_OFFSET if style else documented

    def learnt_at(self, part: str) -> datetime | None:
        """Return when the spelling of a part was learnt, UTC; None: it is the reference's own."""
        return self.known[part].learnt_at if part in self.known else None

    def _spelling(self, part: str) -> str | None:
        return self.known[part].spelling if part in self.known else None

    async def pages(self, query: Query, cursor: str | None = None) -> AsyncGenerator[Page]:
        """Walk a list from a place on, in the spellings that the server takes.

        Raises NotTaken where it takes no spelling of the filters, else what `Client.pages` raises.
        """
        parts = query.parts()
        wording = {part: self._spelling(part) or names[0] for part, names in parts.items()}
        if query.filters and wording.get(filter_part(query.filters)) == NONE:
            raise NotTaken(self.known[filter_part(query.filters)].reason, status=400)
        start = dict(wording)
        refused: ApiError | None = None
        others = _others(parts, wording)
        while True:
            asked = self.client.pages(query.path, query.spelt(wording), cursor)
            try:
                async with aclosing(asked) as pages:
                    async for page in pages:
                        if refused:
                            self._learn_all(wording, parts, refused)
                            refused = None
                        self._learn_pages()
                        self.tells_total = not page.is_untold
                        self._has_answered, self._is_trying_smaller = True, False
                        yield self._kept(page)
                return
            except ApiError as error:
                is_of_place = cursor is not None or isinstance(error, CursorRefused)
                if not error.is_refusal or is_of_place or _is_of_page(error):
                    raise
                refused = refused or error
                following = others.send(error)
            if following is None and named_in(refused, parts) is None and self._has_smaller(query):
                others, following = _others(parts, wording), dict(start)
            if following is None:
                self._give_up(query, parts, refused)
                raise refused
            wording = following

    def _has_smaller(self, query: Query) -> bool:
        """Ask for the smallest of the documented pages from now on, then for none, where that is
        yet to be tried: a refusal that names no parameter may be about `limit`.
        """
        known = self.client.page_limits.get(self.path)
        is_tried = known is not None and not (self._is_trying_smaller and known)
        if self._has_answered or query.limit <= SMALLEST_LIMIT or is_tried:
            return False
        self.client.page_limits[self.path] = 0 if self._is_trying_smaller else SMALLEST_LIMIT
        self._is_trying_smaller = True
        return True

    def _give_up(self, query: Query, parts: Mapping[str, list[str]], refused: ApiError) -> None:
        if self._is_trying_smaller:
            self.client.page_limits.pop(self.path, None)
            self._is_trying_smaller = False
        part = filter_part(query.filters)
        if part in parts and named_in(refused, parts) in (part, None):
            self._learn(part, NONE, f"it is refused: {refused}", refused.request_id)
            raise NotTaken(
                str(refused),
                status=refused.status,
                code=refused.code,
                details=refused.details,
                request_id=refused.request_id,
            ) from refused

    def _learn_all(
        self, wording: Mapping[str, str], parts: Mapping[str, list[str]], refused: ApiError
    ) -> None:
        for part, spelling in wording.items():
            if spelling != (self._spelling(part) or parts[part][0]):
                self._learn(part, spelling, f"{refused}", refused.request_id)

    def passed_over(self, part: str, spellings: Sequence[str], seen: str, request_id: str) -> None:
        """Learn that the server takes a part of a query and does not heed it, as was `seen`.

        The next spelling is tried from then on.
        """
        current = self._spelling(part) or spellings[0]
        if current == NONE:
            return
        following = spellings[spellings.index(current) + 1]
        self._learn(part, following, f"it is taken and not heeded: {seen}", request_id)

    def window_passed_over(self, name: str, seen: str, request_id: str) -> None:
        """Learn that bounds on the time in a field are not heeded."""
        self.passed_over(window_part(name), (OPERATORS, NONE), seen, request_id)

    def order_passed_over(self, name: str, seen: str, request_id: str) -> None:
        """Learn that the order by a field is not heeded."""
        self.passed_over(sort_part(name), (COLON, ORDER, NONE), seen, request_id)

    def filters_passed_over(
        self, filters: Sequence[Mapping[str, str]], seen: str, request_id: str
    ) -> None:
        """Learn that a filter is not heeded."""
        spellings = [*(",".join(spelt) for spelt in filters), NONE]
        self.passed_over(filter_part(filters), spellings, seen, request_id)

    def note_fields(
        self, absent: Sequence[str], in_detail: Sequence[str], records: int, request_id: str
    ) -> None:
        """Learn which fields of the model the list leaves out, and which of them a detail has."""
        spelling = json.dumps({"absent": sorted(absent), "detail": sorted(in_detail)})
        reason = f"absent in all {records:,} records"
        fact = Fact(FIELDS, spelling, reason, request_id, self.now())
        self.known[FIELDS] = fact
        dialects.put(self._ledger, self._company_id, self.entity, fact)

    def _learn(self, part: str, spelling: str, reason: str, request_id: str) -> None:
        fact = Fact(part, spelling, reason, request_id, self.now())
        self.known[part] = fact
        dialects.put(self._ledger, self._company_id, self.entity, fact)
        self.say(f"{self.entity}: {told(fact)}")

    def _learn_pages(self) -> None:
        limit = self.client.page_limits.get(self.path)
        if limit is not None and limit != self._told_limit:
            self._told_limit = limit
            reason = "a larger one is refused" if limit else "it is refused"
            self._learn(LIMIT, str(limit) if limit else NONE, reason, "")
        style = self.client.styles.get(self.path)
        if style is not None and style != self._told_style:
            is_new = self._told_style is None or self._told_style.paging != style.paging
            self._told_style = style
            fact = Fact(PAGES, str(style), "its pages say so", "", self.now())
            self.known[PAGES] = fact
            dialects.put(self._ledger, self._company_id, self.entity, fact)
            if is_new:
                self.say(f"{self.entity}: {told(fact)}")

    async def among(
        self,
        name: str,
        values: Sequence[str],
        *,
        limit: int,
        filters: Sequence[Mapping[str, str]] = ({},),
        is_key: bool = False,
        known_id: str | None = None,
    ) -> AsyncGenerator[Page]:
        """Yield the pages of the records that have one of these values in a field.

        One by one by their addresses only where the field `is_key` and the record `known_id`, which
        was listed, has one: else a 404 says nothing. Raises NotTaken where there is no way.
        """
        part = among_part(name)
        spellings = [OPERATORS, BARE, *([DETAIL] if is_key and known_id else []), NONE]
        while True:
            spelling = self._spelling(part) or OPERATORS
            if spelling not in spellings[:-1]:
                reason = self.known[part].reason if part in self.known else "no way to ask"
                raise NotTaken(reason, status=400)
            if spelling == DETAIL:
                async for page in self._details(part, values, str(known_id)):
                    yield page
                if self._spelling(part) == DETAIL:
                    return
                continue
            is_heeded = True
            for asked, chunk in _chunks(name, values, spelling):
                wanted = [{**spelt, asked: ",".join(chunk)} for spelt in filters]
                try:
                    async with aclosing(self._plain(limit, wanted, filters)) as pages:
                        async for page in pages:
                            others = _others_than(page, name, chunk)
                            if others:
                                is_heeded = False
                                seen = f"{asked} was asked for, and others came"
                                self.passed_over(part, spellings, seen, page.request_id)
                                break
                            yield page
                except ApiError as error:
                    if not error.is_refusal or isinstance(error, NotTaken):
                        raise
                    is_heeded = False
                    following = spellings[spellings.index(spelling) + 1]
                    self._learn(part, following, str(error), error.request_id)
                if not is_heeded:
                    break
            if is_heeded:
                return

    async def _plain(
        self, limit: int, wanted: Sequence[Mapping[str, str]], filters: Sequence[Mapping[str, str]]
    ) -> AsyncGenerator[Page]:
        """Yield the pages of a list with filters in the spelling that is known of them."""
        spelling = self._spelling(filter_part(filters)) or ",".join(filters[0])
        if spelling == NONE:
            raise NotTaken(self.known[filter_part(filters)].reason, status=400)
        at = [",".join(spelt) for spelt in filters].index(spelling)
        async with aclosing(
            self.client.pages(self.path, {"limit": str(limit), **wanted[at]})
        ) as pages:
            async for page in pages:
                self._learn_pages()
                yield self._kept(page)

    async def _details(
        self, part: str, values: Sequence[str], known_id: str
    ) -> AsyncGenerator[Page]:
        """Yield the records that have an address of their own, each as a page of one."""
        if await self.detail(known_id) is None:
            seen = f"GET {self.path}/{{id}} does not know a record that was listed"
            self._learn(part, NONE, seen, "")
            return
        for value in values:
            page = await self.detail(value)
            if page is not None:
                yield page

    async def detail(self, key: str) -> Page | None:
        """Return one record by its id, as a page of one; None where it is not found."""
        try:
            answer = await self.client.get(f"{self.path}/{quote(key, safe='')}")
        except ApiError as error:
            if error.status in (400, 404, 405, 410, 422):
                return None
            raise
        records = [answer.data]
        page = Page(body_of(records), records, None, None, None, answer.request_id, answer.at)
        return self._kept(page)

    def _kept(self, page: Page) -> Page:
        """Return a page with what is kept of its records."""
        if self.keep is None:
            return page
        records = [self.keep(record) for record in page.records]
        if records == page.records:
            return page
        return replace(page, body=body_of(records), records=records)


_Others = Generator[dict[str, str] | None, ApiError, None]


def _others(parts: Mapping[str, list[str]], wording: Mapping[str, str]) -> _Others:
    """Return what gives, for each refusal that is sent to it, what to ask next."""
    others = _each_other(parts, wording)
    next(others)
    return others


def _each_other(parts: Mapping[str, list[str]], wording: Mapping[str, str]) -> _Others:
    """Yield what to ask next after each refusal that is sent here; None where nothing is left.

    A part that the refusal names is spelt in its next way. Where it names none, the ways of the
    first part are tried with each way of the others.
    """
    start, current = dict(wording), dict(wording)
    error = yield None
    for _ in range(MOST_TRIES):
        named = named_in(error, {part: [] for part in parts if _next(parts, current, part)})
        if named:
            start[named] = current[named] = str(_next(parts, current, named))
            error = yield dict(current)
            continue
        for part in parts:
            following = _next(parts, current, part)
            if following:
                current[part] = following
                break
            current[part] = start[part]
        else:
            break
        error = yield dict(current)
    yield None


def _next(parts: Mapping[str, list[str]], wording: Mapping[str, str], part: str) -> str | None:
    spellings = parts[part]
    place = spellings.index(wording[part]) + 1 if wording[part] in spellings else len(spellings)
    return spellings[place] if place < len(spellings) else None


def named_in(error: ApiError, parts: Mapping[str, Sequence[str]]) -> str | None:
    """Return the part of a query that a refusal is about, by the parameter that it names."""
    fields = [str(detail["field"]) for detail in error.details if detail.get("field")]
    message = str(error).partition("(")[2]  # what the server itself said
    for text in (*fields, message):
        words = set(re.findall(r"\w+", text))
        for part in parts:
            kind, _, name = part.partition(" ")
            if kind == "sort":
                is_named = not words.isdisjoint(("sort", "order", "sorting"))
            else:
                is_named = not words.isdisjoint((name or part).split(","))
            if is_named:
                return part
    return None


def _is_of_page(error: ApiError) -> bool:
    """Tell whether a refusal is about the size of the page, which the client has dealt with."""
    return any(detail.get("field") == "limit" for detail in error.details)


def _chunks(name: str, values: Sequence[str], spelling: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the parameters that ask for records by their values, and the values that each asks for.

    `in` takes a comma list and knows no escape.
    """
    together = [value for value in values if "," not in value] if spelling == OPERATORS else []
    if together:
        yield f"{name}[in]", together
    yield from ((name, [value]) for value in values if value not in together)


def _others_than(page: Page, name: str, values: Sequence[str]) -> bool:
    """Tell whether a page has records whose value in a field is none of these."""
    wanted = {normalize("NFKC", value).casefold() for value in values}
    found = (value_in(record, name) for record in page.records)
    return any(v is not None and normalize("NFKC", v).casefold() not in wanted for v in found)


def value_in(record: Payload, name: str) -> str | None:
    """Return the text that a record has in a field; None where it has none that can be read."""
    try:
        found = msgspec.json.decode(raw_fields(record)[name], type=str | int)
    except (KeyError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return str(found)


def told(fact: Fact) -> str:
    """Return a fact for people."""
    kind, _, name = fact.parameter.partition(" ")
    if fact.parameter == FIELDS:
        found = json.loads(fact.spelling)
        has = ", ".join(found["detail"]) or "none of them"
        return (
            f"BigLedger's list leaves out {', '.join(found['absent'])} ({fact.reason}); "
            f"GET /{{id}} has {has}."
        )
    if fact.parameter == TOTAL:
        return (
            "BigLedger tells no total of this list: what is deleted there is found by reading it "
            "whole, once in BLSYNC_DRIFT_HOURS."
        )
    if fact.parameter == LIMIT:
        if fact.spelling == NONE:
            return "BigLedger takes no limit: pages are as long as it gives them."
        return f"BigLedger gives at most {fact.spelling} records a page."
    if fact.parameter == dialects.LIST:
        return f"BigLedger has no such list here, or not for this key. {fact.reason}"
    if fact.parameter == PAGES:
        return f"BigLedger pages this list by {fact.spelling}."
    if kind == "apart":
        return f"BigLedger's list has, unasked, what the filter {name} is for. {fact.reason}"
    what = {"sort": f"an order by {name}", "window": f"bounds on {name}"}.get(
        kind, f"records by their {name}" if kind == "among" else f"the filter {fact.parameter}"
    )
    way = {
        ("sort", NONE): "the list is read in whatever order it comes",
        ("window", NONE): "the whole list is read, and what changed is told by comparing",
        ("among", NONE): "the list itself is read",
    }.get((kind, fact.spelling))
    if way is None:
        way = "it is not asked for" if fact.spelling == NONE else f"asked as {fact.spelling}"
    return f"BigLedger does not take {what} as documented first; {way}. {fact.reason}"
