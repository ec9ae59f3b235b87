"""What a build costs at 10 k, 100 k and (`1000000`) a million invoices, whole and after a night.

Synthetic books are written straight to the landing: an invoice has one to three lines and a journal
entry of three, each day's payments are one entry, so that every law holds. A night brings 0.5 % new
invoices and pays 0.5 % of the old ones, both dated the day before. A build is `dbt build` as
`blsync build` runs it: models, laws and all; its memory is the dbt process's peak. Beside it the
same final SQL of a full build, run directly in DuckDB without dbt and without the laws, and
publishing the result. Medians of three runs; a million invoices once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zlib import crc32

import duckdb

from blsync import marts, settings
from blsync.entities import ENTITIES
from blsync.lake.store import Lake
from blsync.ledger import loads
from blsync.ledger.loads import Load
from blsync.session.binding import open_ledger

COMPANY = "company_bench"
SIZES = (10_000, 100_000)
RUNS = 3
ONCE_ABOVE = 100_000
FIRST_PULL = datetime(2026, 3, 14, 18, tzinfo=UTC)

# An invoice is a function of its number `n`: what a later night changes is `is_paid` and the times.
INVOICES = """
create or replace macro part(n, k) as cast(
    10 + (n * 7919 + k * 104729) % 90000 / 100 as decimal(18, 2));
create or replace macro line_count(n) as 1 + n % 3;
create or replace macro subtotal(n) as cast(
    part(n, 1)
    + case when line_count(n) > 1 then part(n, 2) else 0 end
    + case when line_count(n) > 2 then part(n, 3) else 0 end as decimal(18, 2));
create or replace macro tax_of(amount) as cast(round(amount * 0.06, 2) as decimal(18, 2));
create or replace macro tax(n) as cast(
    tax_of(part(n, 1))
    + case when line_count(n) > 1 then tax_of(part(n, 2)) else 0 end
    + case when line_count(n) > 2 then tax_of(part(n, 3)) else 0 end as decimal(18, 2));
create or replace macro total(n) as cast(subtotal(n) + tax(n) as decimal(18, 2));
create or replace macro day_of(n, size) as date '2023-01-01' + cast(
    least(n * 1169 // size, 1168) + if(n < size, 0, 1 + (n - size) // (size // 200)) as integer);
create or replace macro paid_on(n, size, load) as
    if(load = 0, day_of(n, size) + 20, date '2026-03-14' + load);
create or replace macro line(n, k) as {
    'id': concat('line_', k), 'itemId': concat('item_', (n * 31 + k) % 2000),
    'itemCode': concat('SKU', (n * 31 + k) % 2000), 'description': 'Minyak masak 5kg',
    'quantity': 1 + n % 9, 'unitPrice': part(n, k) / (1 + n % 9), 'discountPercent': 0,
    'discountAmount': 0, 'lineTotal': part(n, k), 'taxCode': 'SST6', 'taxRate': 6,
    'taxAmount': tax_of(part(n, k))};
create or replace macro leg(k, account, amount) as {
    'id': concat('line_', k), 'accountId': concat('acc_', account), 'accountNumber': account,
    'accountName': concat('Account ', account), 'description': null,
    'debit': greatest(amount, 0), 'credit': greatest(-amount, 0)};
"""
INVOICE = {
    "id": "concat('inv_', n)",
    "invoiceNumber": "concat('INV-', n)",
    "customerId": "concat('cust_', n * 13 % customers)",
    "customer": "{'id': concat('cust_', n * 13 % customers), 'name': 'Kedai', 'email': null}",
    "invoiceDate": "day_of(n, size)",
    "dueDate": "day_of(n, size) + 30",
    "status": "if(is_paid, 'paid', 'sent')",
    "currency": "'MYR'",
    "exchangeRate": "1",
    "reference": "concat('PO', n)",
    "items": "list_slice([line(n, 1), line(n, 2), line(n, 3)], 1, line_count(n))",
    "subtotal": "subtotal(n)",
    "totalDiscount": "0",
    "totalTax": "tax(n)",
    "shippingCost": "0",
    "total": "total(n)",
    "amountPaid": "if(is_paid, total(n), 0)",
    "amountDue": "if(is_paid, 0, total(n))",
    "paymentStatus": "if(is_paid, 'paid', 'unpaid')",
    "lastPaymentDate": "if(is_paid, paid_on(n, size, load), null)",
    "einvoice": "{'status': 'accepted', 'uuid': concat('uuid_', n),"
    " 'submittedAt': cast(day_of(n, size) as timestamptz),"
    " 'acceptedAt': cast(day_of(n, size) + 1 as timestamptz)}",
    "createdAt": "cast(day_of(n, size) as timestamptz)",
    "updatedAt": "pulled_at - interval 1 hour",
}
SALE = {
    "id": "concat('je_', n)",
    "journalNumber": "concat('JE-', n)",
    "date": "day_of(n, size)",
    "reference": "concat('INV-', n)",
    "description": "'Invoice'",
    "status": "'posted'",
    "totalDebit": "total(n)",
    "totalCredit": "total(n)",
    "lines": "[leg(1, '1200', total(n)), leg(2, concat('4', lpad(cast(n % 40 as varchar), 3, '0')),"
    " -subtotal(n)), leg(3, '2200', -tax(n))]",
    "createdBy": "'user_1'",
    "createdAt": "cast(day_of(n, size) as timestamptz)",
    "postedAt": "cast(day_of(n, size) as timestamptz)",
}
PAYMENT = {
    **SALE,
    "id": "concat('je_paid_', load, '_', day)",
    "journalNumber": "concat('PAY-', load, '-', day)",
    "date": "day",
    "reference": "null",
    "description": "'Payments'",
    "totalDebit": "amount",
    "totalCredit": "amount",
    "lines": "[leg(1, '1000', amount), leg(2, '1200', -amount)]",
    "createdAt": "cast(day as timestamptz)",
    "postedAt": "cast(day as timestamptz)",
}
CUSTOMER = {
    "id": "concat('cust_', n)",
    "customerNumber": "concat('C', n)",
    "name": "concat('Kedai Runcit ', n)",
    "type": "'business'",
    "email": "concat('owner', n, '@example.com')",
    "currency": "'MYR'",
    "paymentTerms": "30",
    "creditLimit": "5000",
    "status": "'active'",
    "createdAt": "timestamptz '2022-12-01'",
    "updatedAt": "pulled_at - interval 1 hour",
}
ITEM = {
    "id": "concat('item_', n)",
    "itemCode": "concat('SKU', n)",
    "name": "concat('Item ', n)",
    "type": "'inventory'",
    "unit": "'pcs'",
    "accounting": "{'incomeAccountId': 'acc_4000', 'expenseAccountId': 'acc_5000',"
    " 'assetAccountId': 'acc_1300'}",
    "isActive": "true",
    "createdAt": "timestamptz '2022-12-01'",
    "updatedAt": "pulled_at - interval 1 hour",
}
STOCK = {
    "itemId": "concat('item_', n)",
    "locationId": "'main'",
    "currentStock": "10",
    "availableStock": "10",
    "averageCost": "2",
    "stockValue": "20",
    "updatedAt": "pulled_at - interval 1 hour",
}
ACCOUNT = {
    "id": "concat('acc_', number)",
    "accountNumber": "number",
    "name": "name",
    "type": "kind",
    "category": "category",
    "isActive": "true",
    "createdAt": "timestamptz '2022-12-01'",
    "updatedAt": "pulled_at - interval 1 hour",
}
CHART = """(
    select * from (values
        ('1000', 'Cash at Bank', 'asset', 'current_asset'),
        ('1200', 'Trade Debtors', 'asset', 'current_asset'),
        ('1300', 'Inventory', 'asset', 'current_asset'),
        ('2200', 'Sales Tax Payable', 'liability', 'current_liability'),
        ('3000', 'Share Capital', 'equity', 'equity'),
        ('3200', 'Retained Earnings', 'equity', 'equity'),
        ('5000', 'Cost of Sales', 'expense', 'cost_of_goods_sold'))
    union all
    select concat('4', lpad(cast(n as varchar), 3, '0')), concat('Sales ', n), 'revenue',
        'operating_revenue' from range(40) as numbers (n)
) as chart (number, name, kind, category)"""
OPENING = {
    **PAYMENT,
    "id": "'je_opening'",
    "journalNumber": "'OPEN'",
    "description": "'Opening stock'",
    "lines": "[leg(1, '1300', amount), leg(2, '3000', -amount)]",
}


@dataclass
class Books:
    """A landing that grows by loads: three years of invoices, those of the last two months open and
    one in fifty of the others."""

    data: Path
    size: int
    db: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)
    loads: list[dict[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.db.execute("set TimeZone = 'UTC'; set preserve_insertion_order = false")
        self.db.execute(INVOICES)

    def first(self) -> None:
        is_paid = f"n < {self._first_open} and n % 50 > 0"
        invoices = f"range({self.size}) as numbers (n)"
        self._invoices(0, f"(select n, {is_paid} as is_paid from {invoices})")
        self._entries(0, invoices, self._payments(0, f"from {invoices} where {is_paid}"))
        self._land("accounts", 0, [(ACCOUNT, CHART)])
        self._land("items", 0, [(ITEM, "range(2000) as numbers (n)")])
        self._land("stock", 0, [(STOCK, "range(2000) as numbers (n)")])
        self._land("customers", 0, [(CUSTOMER, f"range({self.size // 50}) as numbers (n)")])
        self._land("stock_adjustments", 0, [])
        self._write_inputs()

    def night(self, number: int) -> None:
        """Half a percent of new invoices, and another of old ones paid."""
        share = self.size // 200
        new = self.size + (number - 1) * share
        first_paid = self._first_open + (number - 1) * share
        fresh = f"range({new}, {new + share}) as numbers (n)"
        paid = f"from range({first_paid}, {first_paid + share}) as numbers (n)"
        self._invoices(
            number, f"(select n, false as is_paid from {fresh} union all select n, true {paid})"
        )
        self._entries(number, fresh, self._payments(number, paid))
        self._write_inputs(number)

    @property
    def _first_open(self) -> int:
        return self.size * 95 // 100

    def _payments(self, load: int, paid: str) -> str:
        day = f"paid_on(n, {self.size}, {load})"
        return (
            f"(select {day} as day, cast(sum(total(n)) as decimal(18, 2)) as amount {paid}"
            " group by all)"
        )

    def _invoices(self, load: int, rows: str) -> None:
        self._land("invoices", load, [(INVOICE, rows)])

    def _entries(self, load: int, sales: str, payments: str) -> None:
        parts = [(SALE, sales), (PAYMENT, payments)]
        if load == 0:
            parts.append((OPENING, "(select date '2023-01-01' as day, 40000.00 as amount)"))
        self._land("journal_entries", load, parts)

    def _land(self, name: str, load: int, parts: list[tuple[Mapping[str, str], str]]) -> None:
        pulled_at = FIRST_PULL + timedelta(days=load)
        load_id = f"{pulled_at:%Y%m%dT%H%M%S%f}Z-{crc32(name.encode()):08x}"
        empty = ENTITIES[name].schema.empty_table()
        columns = self.db.from_arrow(empty)
        kinds = dict(zip(columns.columns, map(str, columns.types), strict=True))
        folder = self.data / "landing" / name / f"company_id={COMPANY}"
        folder.mkdir(parents=True, exist_ok=True)
        beside = {
            "_company_id": f"'{COMPANY}'",
            "_load_id": f"'{load_id}'",
            "_pulled_at": "pulled_at",
            "_request_id": "'req_bench'",
            "_op": "'upsert'",
        }
        selects = []
        for fields, rows in parts:
            known = {**fields, **beside}
            told = ", ".join(f"'{name}': {text}" for name, text in fields.items())
            known["_payload"] = f"cast(to_json({{{told}}}) as varchar)"
            listed = ", ".join(
                f'cast({known.get(column, "null")} as {kind}) as "{column}"'
                for column, kind in kinds.items()
            )
            facts = (
                f"(select {self.size} as size, {max(self.size // 50, 1)} as customers, {load} as "
                f"load, timestamptz '{pulled_at}' as pulled_at) as facts"
            )
            selects.append(f"select {listed} from {rows}, {facts}")
        if not selects:
            nothing = ", ".join(f'cast(null as {kind}) as "{c}"' for c, kind in kinds.items())
            selects = [f"select {nothing} where false"]
        self.db.execute(
            f"copy ({' union all '.join(selects)}) to '{folder / load_id}.parquet'"
            " (format parquet, compression zstd, row_group_size 4096)"
        )
        self.loads.append({"company_id": COMPANY, "load_id": load_id, "entity": name})

    def _write_inputs(self, load: int = 0) -> None:
        lake = Lake(self.data)
        company = {
            "company_id": COMPANY,
            "company_name": "Bench",
            "currency": "MYR",
            "timezone": "Asia/Kuala_Lumpur",
            "today": FIRST_PULL.date() + timedelta(days=1 + load),
            "built_at": datetime.now(UTC),
        }
        rows = {"companies": [company], "loads": self.loads}
        for name, columns in marts.INPUT_COLUMNS.items():
            lake.write_input(name, rows.get(name, []), columns)


def built(given: settings.Settings, target: Path) -> tuple[float, float, int]:
    """Run dbt as a build does; returns its seconds, those of the processor, and its peak bytes."""
    command = [marts.dbt_executable(), "--quiet", "build", "--target-path", str(target)]
    for name in ("project-dir", "profiles-dir"):
        command += [f"--{name}", str(marts.PROJECT)]
    command += ["--log-path", str(target)]
    environment = {**os.environ, **marts.dbt_environment(given)}
    with marts.building(given, lambda _: None), (target / "out.txt").open("w") as out:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    if status:
        sys.exit((target / "out.txt").read_text())
    memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return seconds, usage.ru_utime + usage.ru_stime, memory


def models_of(target: Path) -> tuple[list[dict[str, str]], dict[str, float], float]:
    """The models in the order in which they ran, their seconds, and those of all laws."""
    results = json.loads((target / "run_results.json").read_text())["results"]
    nodes = json.loads((target / "manifest.json").read_text())["nodes"]
    models = [
        result for result in results if nodes[result["unique_id"]]["resource_type"] == "model"
    ]
    seconds = {nodes[r["unique_id"]]["name"]: r["execution_time"] for r in models}
    laws = sum(r["execution_time"] for r in results) - sum(seconds.values())
    done = [
        {
            "name": f"{nodes[r['unique_id']]['schema']}.{nodes[r['unique_id']]['alias']}",
            "kind": nodes[r["unique_id"]]["config"]["materialized"],
            "sql": r["compiled_code"],
        }
        for r in models
    ]
    return done, seconds, laws


def run_directly(models: list[dict[str, str]], folder: Path) -> float:
    """Run the same SQL of a full build in DuckDB alone; returns its seconds."""
    folder.mkdir()
    with duckdb.connect() as db:
        # Under the name that the compiled SQL says.
        db.execute(f"attach '{folder / 'build.duckdb'}' (storage_version 'v1.0.0')")
        db.execute(
            "use build; set TimeZone = 'UTC'; set preserve_insertion_order = false;"
            f"set memory_limit = '{marts.MOST_MEMORY // 2**20}MiB'"
        )
        started = time.perf_counter()
        for model in models:
            db.execute(f"create schema if not exists {model['name'].partition('.')[0]}")
            kind = "view" if model["kind"] == "view" else "table"
            db.execute(f"create {kind} {model['name']} as {model['sql']}")
        db.execute("checkpoint")
        return time.perf_counter() - started


def slowest(seconds: dict[str, float], count: int = 6) -> str:
    ranked = sorted(seconds.items(), key=lambda pair: -pair[1])[:count]
    return ", ".join(f"{name} {took:.1f}" for name, took in ranked)


def measure(size: int, folder: Path) -> None:
    data, target = folder / "data", folder / "dbt"
    target.mkdir(parents=True)
    os.environ |= {"BLSYNC_DATA": str(data), "BLSYNC_ENV_FILE": os.devnull}
    os.environ["BIGLEDGER_COMPANY_ID"] = COMPANY
    given = settings.load()
    with closing(open_ledger(given)) as ledger:  # one that knows of no load would be taken for lost
        loads.start(ledger, Load("bench", COMPANY, "invoices", None, None, FIRST_PULL))
    books = Books(data, size)
    books.first()
    built(given, target)  # parses the project, and warms the file system's cache
    fulls, nights, directs = [], [], []
    for run in range(1 if size > ONCE_ABOVE else RUNS):
        marts.ask_for_full_build(given)
        fulls.append(built(given, target))
        models, full_seconds, full_laws = models_of(target)
        directs.append(run_directly(models, folder / f"direct {run}"))
        books.night(run + 1)
        nights.append(built(given, target))
    _, night_seconds, night_laws = models_of(target)
    started = time.perf_counter()
    marts.publish(given)
    publishing = time.perf_counter() - started
    full, night = sorted(fulls)[len(fulls) // 2], sorted(nights)[len(nights) // 2]
    file_size = (data / "blsync.duckdb").stat().st_size / 2**20
    print(
        f"| {size:,} | {full[0]:.0f} s | {night[0]:.0f} s | {night[0] / full[0]:.2f} "
        f"| {full[1]:.0f} s, {night[1]:.0f} s "
        f"| {full[2] / 2**30:.1f} GB, {night[2] / 2**30:.1f} GB "
        f"| {sorted(directs)[len(directs) // 2]:.0f} s | {publishing:.1f} s, {file_size:,.0f} MB |",
        flush=True,
    )
    for name, seconds, laws in (
        ("full", full_seconds, full_laws),
        ("night", night_seconds, night_laws),
    ):
        print(f"    {name}: laws {laws:.1f} s, {slowest(seconds)}", file=sys.stderr)


HEADER = """\
| invoices | full build | night of 1 % | night / full | CPU | peak memory | SQL alone | publish |
|---:|---:|---:|---:|---:|---:|---:|---:|"""


def main(sizes: list[int]) -> None:
    print(HEADER)
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes or SIZES:
            measure(size, Path(folder) / str(size))


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]])
