"""Answers that are damaged, or spelled in another way: one record's damage is that record's
alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import Asked, Reply, listed
from rig.commands import pull
from test_cli import blsync, call, environment  # noqa: F401
from test_pull import control, landed, latest, on_server, run

from blsync.entities import ENTITIES, select
from blsync.errors import Unanswered
from blsync.sandbox import Handle, Options, running


@pytest.fixture
def sandbox() -> Iterator[Handle]:
    options = Options(invoices=130, customers=45, items=30, months=3, limits=False)
    with running(options) as handle:
        yield handle


REASONS = {
    "surrogate": "half of a surrogate pair in ",
    "control": "a raw control character (09) in ",
    "nan": "NaN, which is no number in ",
    "escape": "invalid escaped character in ",
    "torn": ("Input data was truncated", "invalid number"),
}


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("kind", REASONS)
def test_one_damaged_record_of_a_page_goes_to_quarantine_and_the_others_land(
    configure, sandbox, kind
):
    loaded = configure(sandbox, BLSYNC_QUARANTINE_SHARE="0.3")
    truth = {name: len(on_server(sandbox, name)) for name in ENTITIES}
    control(sandbox, "faults", faults=f"damage={kind}")
    results = run(loaded, *ENTITIES)
    assert sum(bool(result.quarantined) for result in results.values()) >= 5
    for name, result in results.items():
        rejects = landed(loaded, name, "quarantine")
        assert result.quarantined == len(rejects), name
        assert result.rows == truth[name] - len(rejects), name
        assert result.requests <= -(-truth[name] // ENTITIES[name].page_limit) + 2, name
        for row in rejects:
            assert row["_reason"].startswith(REASONS[kind]), row["_reason"]
            assert "byte " in row["_reason"]
    again = run(loaded, *ENTITIES)
    for name, result in again.items():
        assert (result.rows, result.quarantined, result.deleted) == (0, 0, 0), name


def test_a_byte_order_mark_before_any_answer_is_passed_over(configure, sandbox):
    truth = {name: on_server(sandbox, name) for name in ENTITIES}
    control(sandbox, "faults", faults="bom")
    loaded = configure(sandbox)
    run(loaded, *ENTITIES)
    assert {name: latest(loaded, name) for name in ENTITIES} == truth


def account(number: int, **more: Any) -> dict[str, Any]:
    names = {"id": f"acc{number:03d}", "accountNumber": f"{number}", "name": f"Account {number}"}
    at = f"2026-03-01T{number // 60:02d}:{number % 60:02d}:00Z"
    return {**names, "type": "asset", "createdAt": at, "updatedAt": at, **more}


def text_of(number: int, **more: Any) -> str:
    return json.dumps(account(number, **more))


def paged(texts: Callable[[], list[str]], most: int = 100) -> Callable[[Asked], Reply]:
    """Answer a list of records' texts in pages of up to `most`, as it was asked for."""

    def answer(asked: Asked) -> Reply:
        wanted = asked.params.get("id[in]", "").split(",")
        found = [
            text
            for text in texts()
            if wanted == [""] or '"acc' not in text or any(f'"{w}"' in text for w in wanted)
        ]
        if asked.params.get("active") or asked.params.get("isActive"):
            return listed([], total=0)
        at, limit = int(asked.params.get("cursor", "0")), int(asked.params.get("limit", "100"))
        end = at + min(limit, most)
        return listed(found[at:end], str(end) if end < len(found) else None, total=len(found))

    return answer


def broken(text: str, damage: str) -> str:
    spoilt = {
        "surrogate": text.replace("Account", "\\ud83d"),
        "tab": text.replace("Account ", "a\tb"),
        "infinity": text[:-1] + ',"level":-Infinity}',
        "no quote": text.replace("Account", 'Acc"ount'),
        "cut": text[: text.index("type")],
        "cut before its id": text[:5],
    }
    return spoilt[damage]


DAMAGES = ["surrogate", "tab", "infinity", "no quote", "cut", "cut before its id"]


@pytest.mark.deep_after(2)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_record_that_comes_damaged_later_is_kept_and_not_marked_deleted(
    configure, tiny_server, damage
):
    texts = [text_of(n) for n in range(40)]
    loaded = configure(tiny_server(paged(lambda: texts)), BLSYNC_DRIFT_HOURS="0")
    run(loaded, "accounts")
    newer = text_of(7, updatedAt=datetime.now(UTC).isoformat(), description="new")
    texts[7] = broken(newer, damage)
    result = run(loaded, "accounts")["accounts"]
    assert (result.rows, result.deleted, result.quarantined) == (0, 0, 1)
    assert landed(loaded, "accounts", "quarantine")[0]["_payload"] == texts[7]
    result = run(loaded, "accounts")["accounts"]
    assert (result.rows, result.deleted, result.quarantined) == (0, 0, 0)
    # One whose id cannot be read may be any, so it counts beside the one that is held.
    assert result.drift == (-1 if damage == "cut before its id" else 0)
    texts[7] = newer
    assert run(loaded, "accounts")["accounts"].rows == 1


def test_a_page_that_nobody_can_take_apart_is_named_and_asked_for_in_smaller_pages(
    configure, tiny_server
):
    whole = paged(lambda: [text_of(n) for n in range(130)])

    def answer(asked: Asked) -> Reply:
        body = whole(asked).body
        return Reply(body[:9000])  # as from a program whose buffer is full

    server = tiny_server(answer)
    loaded = configure(server)
    assert run(loaded, "accounts")["accounts"].rows == 130
    lists = [asked.params for asked in server.asked if asked.path == "/accounts"]
    of_active = [params for params in lists if "active" not in params]
    assert [params["limit"] for params in of_active] == ["100", "100", "50", "50", "50"]


def test_a_page_that_cannot_be_used_at_all_is_named_with_its_request_and_byte(
    configure, tiny_server
):
    server = tiny_server(lambda _: Reply(b'{"success":true,"data":[{"id":"acc1","na'))
    loaded = configure(server)
    (result,) = pull(loaded, loaded.companies()[0], select(["accounts"])).values()
    assert isinstance(result.error, Unanswered)
    assert "GET /accounts" in str(result.error)
    assert "byte 40" in str(result.error)
    assert result.error.request_id in str(result.error)
    lists = [asked.params for asked in server.asked if asked.path == "/accounts"]
    of_active = [params for params in lists if "active" not in params]
    assert len(of_active) == 6  # once more, then in each smaller page


def test_damage_outside_the_records_is_no_damage_of_theirs(configure, tiny_server):
    whole = paged(lambda: [text_of(n) for n in range(3)])

    def answer(asked: Asked) -> Reply:
        body = whole(asked).body.replace(b'"success":true', b'"meta":{"note":"\\ud800\t"}', 1)
        return Reply(body)

    loaded = configure(tiny_server(answer))
    assert run(loaded, "accounts")["accounts"].rows == 3


def test_where_a_record_is_damaged_is_said_while_it_is_pulled(configure, tiny_server):
    texts = [text_of(n) for n in range(40)]
    texts[9] = broken(texts[9], "tab")
    said: list[str] = []
    loaded = configure(tiny_server(paged(lambda: texts)))
    run(loaded, "accounts", say=said.append)
    (line,) = [line for line in said if "quarantine" in line]
    assert "1 of 40" in line
    assert (
        f"a raw control character (09) in name, byte {texts[9].index(chr(9))} of the record" in line
    )


ZONE = "Asia/Kuala_Lumpur"
DAYS = {
    "": None,
    "  ": None,
    "0000-00-00": None,
    "0000-00-00 00:00:00": None,
    "0000-00-00T00:00:00.000Z": None,
    "0001-01-01": None,
    "0001-01-01T00:00:00Z": None,
    "2026-03-01T00:00:00": date(2026, 3, 1),
    "2026-03-01T00:00:00Z": date(2026, 3, 1),
    "2026-03-01 00:00:00.000": date(2026, 3, 1),
    "2026-03-01T00:00:00.000000+08:00": date(2026, 3, 1),
    "2026-02-28T16:00:00Z": date(2026, 3, 1),
    "2026-02-28T16:00:00.000Z": date(2026, 3, 1),
}
TIMES = {
    "": None,
    "0000-00-00 00:00:00": None,
    "0000-00-00": None,
    "0001-01-01T00:00:00": None,
    "0001-01-01T00:00:00+08:00": None,
    "2026-03-01": datetime(2026, 2, 28, 16, tzinfo=UTC),
}
NO_DAYS = [
    "2026-02-31", "2026-02-31T00:00:00Z", "2026-03-01T09:30:00Z", "01/03/2026",
    "2026-03-01T10:00:00",
]  # fmt: skip
NO_TIMES = ["2026-02-31", "next week", "0000-13-00"]


def invoice(number: int, **more: Any) -> str:
    at = "2026-03-01T10:00:00Z"
    record = {"id": f"inv{number:03d}", "createdAt": at, "updatedAt": at, **more}
    return json.dumps(record)


def test_dates_that_are_spelled_otherwise_are_read_by_one_rule_each(configure, tiny_server):
    days = [invoice(n, dueDate=text) for n, text in enumerate(DAYS)]
    times = [invoice(100 + n, einvoice={"acceptedAt": text}) for n, text in enumerate(TIMES)]
    loaded = configure(tiny_server(paged(lambda: days + times)), BLSYNC_TIMEZONE=ZONE)
    result = run(loaded, "invoices")["invoices"]
    assert result.quarantined == 0
    rows = {row["id"]: row for row in landed(loaded, "invoices")}
    read = {text: rows[f"inv{n:03d}"]["dueDate"] for n, text in enumerate(DAYS)}
    assert read == DAYS
    instants = {
        text: rows[f"inv{100 + n:03d}"]["einvoice"]["acceptedAt"] for n, text in enumerate(TIMES)
    }
    assert instants == TIMES
    assert {row["_payload"] for row in rows.values()} == {*days, *times}


def test_dates_that_could_be_either_of_two_days_go_to_quarantine_with_their_field(
    configure, tiny_server
):
    odd = [invoice(n, dueDate=text) for n, text in enumerate(NO_DAYS)]
    odd += [invoice(100 + n, einvoice={"acceptedAt": text}) for n, text in enumerate(NO_TIMES)]
    loaded = configure(
        tiny_server(paged(lambda: [*odd, invoice(999)])), BLSYNC_QUARANTINE_SHARE="1"
    )
    assert run(loaded, "invoices")["invoices"].rows == 1
    rejects = landed(loaded, "invoices", "quarantine")
    assert [row["_payload"] for row in rejects] == odd
    assert all("dueDate" in row["_reason"] for row in rejects[: len(NO_DAYS)])


AS_WRITTEN = ("fulfillment", "shipping")
"""Fields that hold days which are kept as the server wrote them."""


def pulled_apart(configure, server: Handle, data: Path) -> dict[str, list[dict[str, Any]]]:
    """Pull everything into a folder of its own; return the records' fields, as they are typed."""
    loaded = configure(server, BLSYNC_DATA=str(data))
    results = run(loaded, *ENTITIES)
    assert not any(result.quarantined for result in results.values())
    return {
        name: sorted(
            (
                {k: v for k, v in row.items() if k[0] != "_" and k not in AS_WRITTEN}
                for row in landed(loaded, name)
            ),
            key=str,
        )
        for name in ENTITIES
    }


@pytest.mark.deep
@pytest.mark.parametrize("kind", ["empty", "zero", "midnight"])
def test_a_server_that_spells_every_date_otherwise_lands_as_one_that_does_not(
    configure, sandbox, tmp_path, kind
):
    plain = pulled_apart(configure, sandbox, tmp_path / "plain")
    control(sandbox, "faults", faults=f"odd-dates={kind}")
    assert pulled_apart(configure, sandbox, tmp_path / "odd") == plain


@pytest.mark.deep
def test_a_build_after_syncs_that_built_nothing_publishes_what_landed_and_names_the_damaged(
    tmp_path,
):
    options = Options(invoices=60, customers=30, items=10, months=2, limits=False)
    with running(options) as server:
        env = environment(tmp_path / "data", server.base_url, BLSYNC_QUARANTINE_SHARE="0.5")
        others = [name for name in ENTITIES if name != "customers"]
        assert blsync("sync", *others, "--no-build", env=env).returncode == 0
        control(server, "faults", faults="damage=torn")
        assert blsync("sync", "customers", "--no-build", env=env).returncode == 0
        done = blsync("build", env=env)
        assert done.returncode == 0, done.stderr
        assert "was not asked about the company" in done.stderr
        assert "taken to be MYR" in done.stderr
        rejects = [
            row
            for path in (tmp_path / "data/quarantine").rglob("*.parquet")
            for row in pq.read_table(path).to_pylist()
        ]
        asked = "select record_id from finance.exceptions where rule = 'quarantined_record'"
        found = json.loads(blsync("query", asked, "--format", "json", env=env).stdout)
        ids = {json.loads(row["_payload"].split(",")[0] + "}").get("id") for row in rejects}
        assert ids - {None}
        assert ids - {None} <= {row["record_id"] for row in found}
        revenue = "select currency, sum(net_revenue) from finance.revenue_monthly group by all"
        before = blsync("query", revenue, env=env).stdout
        assert "MYR" in before
        control(server, "faults", faults="")
        control(server, "touch", entity="customers", ids=sorted(ids - {None}))
        assert blsync("sync", env=env).returncode == 0
        assert json.loads(blsync("query", asked, "--format", "json", env=env).stdout) == []


def test_a_build_before_anything_was_pulled_says_so(call, tmp_path):  # noqa: F811
    env = environment(tmp_path / "data", "http://127.0.0.1:9/v1")
    done = call("build", env=env)
    assert done.returncode == 1
    assert "nothing to build from" in done.stderr


@pytest.mark.deep_after(1)
@pytest.mark.parametrize("kind", ["zeros", "noise"])
def test_a_server_that_spells_every_amount_at_length_lands_as_one_that_does_not(
    configure, sandbox, tmp_path, kind
):
    plain = pulled_apart(configure, sandbox, tmp_path / "plain")
    control(sandbox, "faults", faults=f"decimals={kind}")
    assert pulled_apart(configure, sandbox, tmp_path / "long") == plain


def test_noise_is_counted_by_field_and_a_real_long_number_is_not_taken_for_it(
    configure, tiny_server
):
    texts = {
        "30.300000000000004": Decimal("30.3"),
        "-0.09999999999999998": Decimal("-0.1"),
        '"12.340000000000002"': Decimal("12.34"),
        "0.1000000000000000055511151231257827": Decimal("0.1"),
        "123456789012.34001": Decimal("123456789012.34"),
        "7.1250000000000004": Decimal("7.125"),
    }
    lost = ["1.123456789012345", "33.333333333333336", "0.00001", "1e-9"]
    records = [
        invoice(n)[:-1] + f',"total":{text},"items":[{{"lineTotal":{text}}}]}}'
        for n, text in enumerate((*texts, *lost))
    ]
    loaded = configure(tiny_server(paged(lambda: records)), BLSYNC_QUARANTINE_SHARE="1")
    result = run(loaded, "invoices")["invoices"]
    assert (result.rows, result.quarantined) == (len(texts), len(lost))
    rows = landed(loaded, "invoices")
    assert [row["total"] for row in rows] == [*texts.values()]
    assert [row["items"][0]["lineTotal"] for row in rows] == [*texts.values()]
    assert [row["_payload"] for row in rows] == records[: len(texts)]
    assert result.noisy_numbers == ["items.lineTotal: 6", "total: 6"]
    assert result.finer_amounts == [
        "items.lineTotal: 1, together -0.0050",
        "total: 1, together -0.0050",
    ]


@pytest.mark.deep
def test_a_third_decimal_of_money_is_kept_in_the_lake_and_rounded_in_the_marts(tmp_path):
    options = Options(invoices=60, customers=30, items=10, months=2, limits=False)
    with running(options) as server:
        env = environment(tmp_path / "data", server.base_url)
        assert blsync("sync", "--no-build", env=env).returncode == 0
        control(server, "faults", faults="decimals=mills")
        control(server, "touch", entity="invoices", share=0.5)
        done = blsync("sync", "invoices", env=env)
        assert done.returncode == 0, done.stderr
        assert "amounts of more than 2 decimals" in done.stdout
        files = (tmp_path / "data/landing/invoices").rglob("*.parquet")
        finer = [
            row["total"]
            for path in files
            for row in pq.read_table(path).to_pylist()
            if row["total"] % Decimal("0.01")
        ]
        assert len(finer) == 30
        scales = "select distinct typeof(total), total % 0.01 from finance.invoices"
        told = json.loads(blsync("query", scales, "--format", "json", env=env).stdout)
        assert len(told) == 1
        assert "DECIMAL(18,2)" in told[0].values()
