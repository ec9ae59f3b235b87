"""The lists of a pack: a worksheet for each, with sums that the spreadsheet adds up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class List:
    """A list of the month: what `query` finds of `$company`, `$month` and `$month_end`.

    `columns` are its columns and what they are called, `formulas` further ones, made of others of
    the same row, whose names stand in braces; `sums` are those with a sum below. `expected` is a
    query of one row with what some sums have to be, `checked` the columns of those and what the
    cover calls them.
    """

    title: str
    table: str
    heading: str
    query: str
    columns: Mapping[str, str]
    sums: tuple[str, ...] = ()
    formulas: Mapping[str, str] = field(default_factory=dict)
    expected: str = ""
    checked: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


_BUCKETS = {
    "current": "Up to 30 days",
    "days_31_60": "31 to 60",
    "days_61_90": "61 to 90",
    "over_90": "Over 90",
    "total": "Total",
}


def _ageing(title: str, table: str, who: str, before: str) -> List:
    buckets = tuple(_BUCKETS)
    return List(
        title,
        f"finance.{table}",
        f"{title} as of {{day}}, by days past due",
        f'select {who}_name, "current", days_31_60, days_61_90, over_90, oldest_days, '  # noqa: S608 (of this file's own names)
        f"credit_limit from finance.{table} where company_id = $company "
        "and as_of_date = $month_end order by total_outstanding desc",
        {f"{who}_name": who.capitalize(), **_BUCKETS, "oldest_days": "Oldest, days",
         "credit_limit": "Credit limit"},
        sums=buckets,
        formulas={"total": "=" + "+".join(f"{{{name}}}" for name in buckets[:-1])},
        expected="select coalesce(sum(total_outstanding), 0) as total "  # noqa: S608
        f"from finance.{table} where company_id = $company and as_of_date = $month_end",
        checked={"total": "outstanding"},
        note=f"As far as it was known by that day; {before}.",
    )  # fmt: skip


_CHOSEN_BUDGET = """
company_id = $company and period = $month and version = (
    select coalesce(max(version) filter (where version = 'budget'), min(version))
    from finance.budget_vs_actual where company_id = $company and period = $month
)
"""


LISTS = (
    List(
        "Budget",
        "finance.budget_vs_actual",
        "Profit and loss of {month} beside its budget",
        "select version, section, account_number, account_name, budget_amount, actual_amount, "  # noqa: S608 (of this file's own names)
        "profit_effect, ytd_budget_amount, ytd_actual_amount from finance.budget_vs_actual "
        f"where {_CHOSEN_BUDGET} order by section_order, account_number",
        {
            "version": "Version",
            "section": "Section",
            "account_number": "Account",
            "account_name": "Name",
            "budget_amount": "Budget",
            "actual_amount": "Actual",
            "variance": "Variance",
            "profit_effect": "Effect on profit",
            "ytd_budget_amount": "Budget, year to date",
            "ytd_actual_amount": "Actual, year to date",
            "ytd_variance": "Variance, year to date",
        },
        sums=("profit_effect",),
        formulas={
            "variance": "={actual_amount}-{budget_amount}",
            "ytd_variance": "={ytd_actual_amount}-{ytd_budget_amount}",
        },
        expected="select coalesce(sum(profit_effect), 0) as profit_effect "  # noqa: S608 (as above)
        f"from finance.budget_vs_actual where {_CHOSEN_BUDGET}",
        checked={"profit_effect": "effect on profit"},
        note="The version called budget, else the first by its name.",
    ),
    _ageing(
        "Receivables",
        "ar_aging",
        "customer",
        "the year before the first sync is rebuilt",
    ),
    _ageing("Payables", "ap_aging", "supplier", "months before the first sync have none"),
    List(
        "Revenue",
        "finance.revenue_monthly",
        "Revenue of {month} by customer",
        "select customer_name, sum(quantity) as quantity, sum(gross_revenue) as gross, "
        "sum(discount) as discount, sum(previous_year_net_revenue) as before "
        "from finance.revenue_monthly left join finance.customers "
        "using (company_id, customer_id) where company_id = $company and period = $month "
        "group by customer_id, customer_name order by sum(net_revenue) desc, customer_name",
        {
            "customer_name": "Customer",
            "quantity": "Quantity",
            "gross": "Before discount",
            "discount": "Discount",
            "net": "Net, before tax",
            "before": "Same month last year",
        },
        sums=("gross", "discount", "net", "before"),
        formulas={"net": "={gross}-{discount}"},
        expected="select coalesce(sum(net_revenue), 0) as net from finance.revenue_monthly "
        "where company_id = $company and period = $month",
        checked={"net": "net revenue"},
    ),
    List(
        "Margin",
        "finance.gross_margin",
        "Margin of {month} by item",
        "select item_code, item_name, quantity, net_revenue, cogs, gross_profit, "
        "cost_basis from finance.gross_margin left join finance.items "
        "using (company_id, item_id) where company_id = $company and period = $month "
        "order by net_revenue desc, item_code",
        {
            "item_code": "Item",
            "item_name": "Name",
            "quantity": "Quantity",
            "net_revenue": "Net revenue",
            "cogs": "Cost",
            "gross_profit": "Gross profit",
            "cost_basis": "Cost basis",
        },
        sums=("net_revenue", "cogs", "gross_profit"),
        note="Basis ledger: what the invoices' entries cost. Else an estimate: today's cost of one "
        "unit.",
    ),
    List(
        "Stock",
        "finance.inventory_valuation",
        "Stock as of {day}",
        "select item_code, quantity, average_cost, stock_value from finance.inventory_valuation "
        "where company_id = $company and as_of_date = $month_end order by stock_value desc",
        {
            "item_code": "Item",
            "quantity": "Quantity",
            "average_cost": "Average cost",
            "stock_value": "Value",
        },
        sums=("stock_value",),
        expected="select coalesce(sum(stock_value), 0) as stock_value "
        "from finance.inventory_valuation where company_id = $company and as_of_date = $month_end",
        checked={"stock_value": "value"},
        note="As far as it was known by that day; months before the first sync have none.",
    ),
    List(
        "Tax",
        "finance.tax_summary",
        "Tax of {month} by code",
        "select tax_code, tax_rate, taxable_amount, tax_amount, invoice_count, gl_tax_movement, "
        "difference from finance.tax_summary where company_id = $company and period = $month "
        "order by tax_code, tax_rate",
        {
            "tax_code": "Code",
            "tax_rate": "Rate, %",
            "taxable_amount": "Taxable",
            "tax_amount": "Tax",
            "invoice_count": "Invoices",
            "gl_tax_movement": "In the ledger",
            "difference": "Difference",
        },
        sums=("taxable_amount", "tax_amount", "gl_tax_movement", "difference"),
        expected="select coalesce(sum(tax_amount), 0) as tax_amount from finance.tax_summary "
        "where company_id = $company and period = $month",
        checked={"tax_amount": "tax"},
    ),
    List(
        "SST-02",
        "finance.sst_02",
        "SST-02: the taxable period that {month} is in",
        "select cycle, cycle_end, line, tariff_code, taxable_amount, tax_amount, document_count, "
        "restated_taxable, restated_tax from finance.sst_02 where company_id = $company "
        "and $month_end between cycle and cycle_end order by line, tariff_code",
        {
            "cycle": "From",
            "cycle_end": "To",
            "line": "Line",
            "tariff_code": "Tariff code",
            "taxable_amount": "Taxable",
            "tax_amount": "Tax",
            "document_count": "Documents",
            "restated_taxable": "Taxable, changed since",
            "restated_tax": "Tax, changed since",
        },
    ),
    List(
        "E-invoices",
        "finance.einvoice_status",
        "E-invoices of {month} to mend",
        "select invoices.invoice_number, invoice_date, customer_name, total, state, issue, errors "
        "from finance.einvoice_status inner join finance.invoices using (company_id, invoice_id) "
        "where company_id = $company and issue is not null "
        "and invoice_date between $month and $month_end "
        "order by invoice_date, invoices.invoice_number",
        {
            "invoice_number": "Invoice",
            "invoice_date": "Date",
            "customer_name": "Customer",
            "total": "Amount",
            "state": "State",
            "issue": "What is wrong",
            "errors": "What the authority says",
        },
    ),
    List(
        "Restatements",
        "finance.restatements",
        "What changed {month} after its close",
        "select account_number, account_name, journal_number, change_type, date_before, "
        "date_after, amount_before, amount_after, amount_delta, known_from, request_id "
        "from finance.restatements where company_id = $company and period = $month "
        "order by known_from, account_number",
        {
            "account_number": "Account",
            "account_name": "Name",
            "journal_number": "Entry",
            "change_type": "Change",
            "date_before": "Date before",
            "date_after": "Date after",
            "amount_before": "Before",
            "amount_after": "After",
            "amount_delta": "Change of the balance",
            "known_from": "Known since, UTC",
            "request_id": "Request",
        },
        sums=("amount_delta",),
    ),
    List(
        "Movements",
        "finance.variance_drivers",
        "What moved the accounts of {month} against the month before",
        "select section, account_number, account_name, account_movement, driver_type, driver_name, "
        "amount, compared_amount from finance.variance_drivers where company_id = $company "
        "and period = $month and comparison = 'previous_month' "
        "order by section_order, account_number, driver_order",
        {
            "section": "Section",
            "account_number": "Account",
            "account_name": "Name",
            "account_movement": "Movement of the account",
            "driver_type": "Kind",
            "driver_name": "Customer, supplier or reference",
            "amount": "This month",
            "compared_amount": "Month before",
            "movement": "Movement",
        },
        sums=("movement",),
        formulas={"movement": "={amount}-{compared_amount}"},
        expected="select coalesce(sum(account_movement), 0) as movement from (select distinct "
        "account_number, account_movement from finance.variance_drivers where "
        "company_id = $company and period = $month and comparison = 'previous_month') as moved",
        checked={"movement": "movements"},
        note="Accounts that moved by 1,000 and 5 % or more; the last row of one is the rest.",
    ),
    List(
        "Exceptions",
        "finance.exceptions",
        "What somebody should look at",
        "select severity, rule, entity, record_id, evidence, first_seen, is_accepted, accepted_by "
        "from finance.exceptions where company_id = $company "
        "order by severity, rule, entity, record_id",
        {
            "severity": "Severity",
            "rule": "Rule",
            "entity": "Kind",
            "record_id": "Record",
            "evidence": "What was found",
            "first_seen": "First seen, UTC",
            "is_accepted": "Accepted",
            "accepted_by": "By",
        },
    ),
)
