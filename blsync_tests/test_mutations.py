"""Small breakages of the models, each seen by a law or by a check of made-up books.

`make test` makes every fourth of them, `make test-deep` all.
"""

from __future__ import annotations

from datetime import date

import pytest
from books.company import Plan
from books.making import make
from books.mutants import Mutation, Workshop
from rig.depth import is_deep
from test_warehouse import WAREHOUSE

pytestmark = pytest.mark.drawn
"""Few mutants in `make test`, all in `make test-deep`."""

KINDS = (
    Plan(seed=1, start_month=6, closings="last day"),
    Plan(seed=2, start_month=2, closings="taken back"),
    Plan(seed=3, start_month=7, closings="after", today=date(2024, 2, 29), months=40),
    Plan(seed=4, start_month=1, closings="none", timezone="America/St_Johns"),
    Plan(seed=5, start_month=12, closings="partly", today=date(2026, 1, 1)),
)
PLANS = (*KINDS * 3, Plan(seed=6, entries=0, invoices=0))
"""Companies of one plan differ all the same, by their names."""

HISTORY, LEDGER = "models/history", "models/marts/ledger"
RECEIVABLES, STEPS = "models/marts/receivables", "models/intermediate"
REFERENCE, STOCK, TRUST = "models/marts/reference", "models/marts/stock", "models/marts/trust"
COUNTS = "in ('posted', 'void')"
EXACTLY = "general_ledger_holds_exactly_the_entries_that_count"

MUTATIONS = [
    Mutation("drafts count", f"{HISTORY}/hist_journal_entries.sql", COUNTS,
             "in ('posted', 'void', 'draft')", EXACTLY),
    Mutation("void entries do not count", f"{HISTORY}/hist_journal_entries.sql", COUNTS,
             "= 'posted'", EXACTLY),
    Mutation("of two versions pulled at once any is the latest",
             f"{HISTORY}/hist_journal_entries.sql",
             "case status when 'void' then 2 when 'posted' then 1 else 0 end", "0",
             "general_ledger"),
    Mutation("deleted entries count", "models/staging/stg_journal_entries.sql",
             "is_counted and not is_deleted as is_counted", "is_counted as is_counted", EXACTLY),
    Mutation("the first version is the latest", "macros/versions.sql",
             "= max(case when not is_deleted", "= min(case when not is_deleted", "invoices"),
    Mutation("deletes are ignored", "macros/versions.sql", "where _op = 'delete' and",
             "where false and", "invoices"),
    Mutation("versions of all companies follow each other", "macros/versions.sql",
             "{%- set keys = (['company_id'] + key.keys() | list) | join(', ') %}",
             "{%- set keys = key.keys() | join(', ') %}", "accounts"),
    Mutation("the running balance runs through all companies", f"{LEDGER}/general_ledger.sql",
             "partition by headers.company_id, lines.account_id", "partition by lines.account_id",
             "running_balance_ends_at_the_balance_of_the_account"),
    Mutation("the running balance forgets the date", f"{LEDGER}/general_ledger.sql",
             "order by headers.journal_date, headers.journal_number",
             "order by headers.journal_number", "general_ledger"),
    Mutation("days are told in UTC", f"{LEDGER}/general_ledger.sql",
             "{{ local_date('entries.created_at', 'companies.timezone') }}",
             "cast(entries.created_at as date)", "general_ledger"),
    Mutation("the natural sign is swapped", "macros/types.sql",
             "case when {{ normal_side }} = 'credit'", "case when {{ normal_side }} = 'debit'",
             "general_ledger"),
    Mutation("credits and debits are swapped", "models/staging/stg_journal_lines.sql",
             "coalesce(line.debit, 0) - coalesce(line.credit, 0)",
             "coalesce(line.credit, 0) - coalesce(line.debit, 0)", "trial_balance"),
    Mutation("balances run through all companies", f"{STEPS}/ledger/int_account_months.sql",
             "partition by dense.company_id, dense.account_id", "partition by dense.account_id",
             "trial_balance_equals_the_ledger_at_every_month_end"),
    Mutation("months before the first posting are listed", f"{STEPS}/ledger/int_account_months.sql",
             "and periods.period >= first_postings.first_period", "", "trial_balance"),
    Mutation("closing entries are profit", f"{STEPS}/ledger/int_account_months.sql",
             "case when is_closing_entry then amount else 0 end", "0 * amount",
             "profit_and_loss_summary_equals_the_ledger"),
    Mutation("a closing taken back is profit", f"{STEPS}/ledger/int_closing_entries.sql",
             "    union\n    select * from reversals", "", "profit_and_loss"),
    Mutation("the quarter after a year closes nothing", f"{STEPS}/ledger/int_closing_entries.sql",
             "when fiscal_month <= 3 then fiscal_year - 1", "when false then fiscal_year - 1",
             "general_ledger"),
    Mutation("a part of the accounts closes a year", f"{STEPS}/ledger/int_closing_entries.sql",
             "bool_and(left_over = 0) as is_complete", "true as is_complete", "general_ledger"),
    Mutation("every fiscal year starts in January", f"{REFERENCE}/periods.sql",
             "coalesce(fiscal_years.start_month, 1)", "1", "periods"),
    Mutation("a fiscal year bears the number of its beginning", f"{REFERENCE}/periods.sql",
             "to_months(12 - numbered.fiscal_month)", "to_months(1 - numbered.fiscal_month)",
             "periods"),
    Mutation("drafts begin the books", f"{REFERENCE}/periods.sql",
             "where entries.is_counted and", "where",
             "periods"),
    Mutation("a deleted account is gone", f"{REFERENCE}/accounts.sql",
             "select * from {{ ref('stg_accounts') }}",
             "select * from {{ ref('stg_accounts') }} where not is_deleted",
             "no_journal_line_without_an_account"),
    Mutation("other revenue is operating revenue", f"{REFERENCE}/accounts.sql",
             "account_category = 'other_revenue'", "account_category = ''", "accounts"),
    Mutation("the credit column shows debits", f"{LEDGER}/trial_balance.sql",
             "greatest(-account_months", "greatest(account_months",
             "trial_balance_equals_the_ledger_at_every_month_end"),
    Mutation("the opening balance is the closing one", f"{LEDGER}/trial_balance.sql",
             "account_months.closing_balance - account_months.net_movement",
             "account_months.closing_balance",
             "trial_balance_opens_where_the_month_before_closed"),
    Mutation("a year is eleven months", f"{LEDGER}/balance_sheet.sql", "lag(lines.balance, 12)",
             "lag(lines.balance, 11)", "balance_sheet"),
    Mutation("a closing clears more than there was", f"{STEPS}/ledger/int_unclosed_earnings.sql",
             "least(abs(brought_forward), abs(cleared))", "abs(cleared)", "balance_sheet"),
    Mutation("all earnings are this year's", f"{STEPS}/ledger/int_unclosed_earnings.sql",
             "first_value(closing_balance - net_movement)", "first_value(0)", "balance_sheet"),
    Mutation("unclosed earnings are no equity", f"{STEPS}/ledger/int_unclosed_earnings.sql",
             "money('-sum(earlier_years)')", "money('0')",
             "balance_sheet_balances_every_month_end"),
    Mutation("the year to date runs on over years", f"{LEDGER}/profit_and_loss.sql",
             "amounts.account_id, amounts.fiscal_year", "amounts.account_id", "profit_and_loss"),
    Mutation("thirteen months roll", f"{LEDGER}/profit_and_loss.sql", "11 preceding",
             "12 preceding", "profit_and_loss"),
    Mutation("other revenue is left out of the profit", f"{LEDGER}/profit_and_loss_summary.sql",
             "+ other_revenue - other_expense", "- other_expense",
             "profit_and_loss_summary_equals_the_ledger"),
    Mutation("what was bought brings cash", f"{LEDGER}/cash_flow.sql",
             "else months.closing_entries - months.net_movement",
             "else months.net_movement - months.closing_entries",
             "cash_flow_foots_to_the_change_in_cash"),
    Mutation("a machine is an operating cost", f"{STEPS}/ledger/int_cash_flow_lines.sql",
             "('fixed_asset', 210)", "('fixed_asset', 30)", "cash_flow_summary"),
    Mutation("cancelled invoices are owed", f"{STEPS}/receivables/int_invoice_versions.sql",
             "not in ('draft', 'cancelled')", "not in ('draft')",
             "ar_open_items_of_today_are_the_open_invoices"),
    Mutation("an overpaid invoice is owed", f"{RECEIVABLES}/ar_open_items.sql", "amount_due > 0",
             "amount_due <> 0", "ar_open_items_of_today_are_the_open_invoices"),
    Mutation("31 days late is current", f"{RECEIVABLES}/ar_open_items.sql",
             "aged.days_past_due <= 30", "aged.days_past_due <= 31", "ar_open_items"),
    Mutation("60 days late is older", f"{RECEIVABLES}/ar_open_items.sql",
             "aged.days_past_due <= 60", "aged.days_past_due < 60", "ar_aging"),
    Mutation("the business date tells what was known", f"{RECEIVABLES}/ar_open_items.sql",
             "{{ local_date('known_from', 'timezone') }} as known_on",
             "coalesce(invoice_date, today) as known_on", "ar_open_items"),
    Mutation("a day ends at midnight in Greenwich", f"{RECEIVABLES}/ar_open_items.sql",
             "{{ local_date('known_to', 'timezone') }} as replaced_on",
             "cast(known_to as date) as replaced_on", "ar_open_items"),
    Mutation("an invoice dated ahead is owed", f"{RECEIVABLES}/ar_open_items.sql",
             "where coalesce(invoice_date <= as_of_date, true)", "",
             "ar_open_items_of_today_are_the_open_invoices"),
    Mutation("a bucket is left out", f"{RECEIVABLES}/ar_aging.sql", "bucket = '61_90'",
             "bucket = '61_89'", "ar_aging_buckets_sum_to_the_open_items"),
    Mutation("today's credit limit is any day's", f"{RECEIVABLES}/ar_aging.sql",
             "when totals.as_of_date = companies.today then", "when true then", "ar_aging"),
    Mutation("due today is overdue", f"{REFERENCE}/customers.sql", "items.days_past_due > 0",
             "items.days_past_due >= 0", "customers"),
    Mutation("a year of revenue has thirteen months", f"{REFERENCE}/customers.sql",
             "interval 12 months", "interval 13 months", "customers"),
    Mutation("foreign amounts are taken as they are", "macros/types.sql",
             "* ' ~ exchange_rate ~ ', 2)'", "* 1, 2)'", "ar_open_items"),
    Mutation("the sum is rounded, not its parts", f"{RECEIVABLES}/revenue_monthly.sql",
             "sum({{ in_company_currency('line_total', 'exchange_rate') }})",
             "round(sum(cast(line_total as decimal(38, 2)) * exchange_rate), 2)",
             "revenue_monthly"),
    Mutation("drafts are revenue", f"{RECEIVABLES}/revenue_monthly.sql", "is_recognised and ", "",
             "revenue_monthly_equals_the_invoice_lines"),
    Mutation("the year before was eleven months ago", f"{RECEIVABLES}/revenue_monthly.sql",
             "interval 12 months", "interval 11 months",
             "revenue_monthly_equals_the_invoice_lines"),
    Mutation("cost price comes before average cost", f"{RECEIVABLES}/gross_margin.sql",
             "coalesce(averages.average_cost, items.cost_price) as unit_cost",
             "coalesce(items.cost_price, averages.average_cost) as unit_cost", "gross_margin"),
    Mutation("settling the tax is tax on sales", f"{RECEIVABLES}/tax_summary.sql",
             "where is_on_tax and (is_on_receivables or is_on_revenue)", "where is_on_tax",
             "tax_summary_equals_the_lines_and_the_ledger"),
    Mutation("a cash sale is on credit", f"{RECEIVABLES}/collections.sql",
             "when not is_on_cash and (is_on_revenue", "when (is_on_revenue", "collections"),
    Mutation("a quarter has four months", f"{RECEIVABLES}/collections.sql", "2 preceding",
             "3 preceding", "collections"),
    Mutation("receivables run through all companies", f"{RECEIVABLES}/collections.sql",
             "partition by company_id order by period rows between unbounded",
             "order by period rows between unbounded",
             "collections_foot_and_close_at_the_ledger"),
    Mutation("customers of one id share a statement", f"{RECEIVABLES}/customer_statement.sql",
             "partition by company_id, customer_id", "partition by customer_id",
             "customer_statement_ends_at_what_is_open"),
    Mutation("payments of one id are one invoice's",
             f"{STEPS}/receivables/int_statement_events.sql",
             "partition by company_id, invoice_id", "partition by invoice_id",
             "customer_statement"),
    Mutation("what was paid parts the accounts twice", f"{RECEIVABLES}/receivable_control.sql",
             "0, -amount_paid", "0, amount_paid",
             "receivable_control_itemises_the_whole_difference"),
    Mutation("stock at its least is enough", f"{STOCK}/stock_on_hand.sql",
             "<= items.minimum_stock", "< items.minimum_stock", "stock_on_hand"),
    Mutation("a pace of ninety-one days", f"{STOCK}/stock_on_hand.sql", "companies.today - 90",
             "companies.today - 91", "stock_on_hand"),
    Mutation("the first version of a day stands for it", f"{STOCK}/stock_history.sql",
             "order by known_from desc", "order by known_from",
             "stock_history_ends_at_the_stock_on_hand"),
    Mutation("stock of all companies is one", f"{STOCK}/stock_history.sql",
             "partition by company_id, item_id, location_id, day",
             "partition by item_id, location_id, day", "inventory_valuation"),
    Mutation("a restatement may come before the books were seen",
             f"{STEPS}/restatements/int_period_closes.sql",
             "greatest(periods.closed_at, beginnings.known_from)", "periods.closed_at",
             "restatements"),
    Mutation("changes of earlier months move no later one", f"{TRUST}/restatements.sql",
             "closes.period_end >= least(changes.date_before, changes.date_after)",
             "closes.period = date_trunc('month', least(changes.date_before, changes.date_after))",
             "restatements_lead_from_the_close_to_now"),
    Mutation("what is known now was known then", "macros/trial_balance_as_known.sql",
             "and (known_to is null or known_to > cast(known_at as timestamp))", "",
             "trial_balance_as_known"),
    Mutation("a void with its reversal is an exception",
             f"{STEPS}/exceptions/int_entry_exceptions.sql",
             "entries.status = 'void' and reversals.journal_id is null",
             "entries.status = 'void'", "exceptions"),
    Mutation("a report's credits are debits", f"{STEPS}/reconciliation/int_ledger_figures.sql",
             "unnest([greatest(amount, 0), greatest(-amount, 0)])",
             "unnest([greatest(amount, 0), greatest(amount, 0)])", "reconciliation"),
    Mutation("a failure is not comparable", f"{TRUST}/reconciliation.sql",
             "when mart_value = source_value then 'pass'", "when false then 'pass'",
             "reconciliation"),
    Mutation("what closes a year is in its balance", f"{STEPS}/ledger/int_closing_entries.sql",
             "and movements.closed_year is distinct from years.closed_year", "", "general_ledger"),
    Mutation("sheets of one day are numbered through", f"{LEDGER}/balance_sheet.sql",
             "partition by lines.company_id, lines.as_of_date", "partition by lines.as_of_date",
             "balance_sheet"),
    Mutation("what was paid is owed where BigLedger does not say", f"{HISTORY}/hist_invoices.sql",
             """total - coalesce("amountPaid", 0)""", "total", "invoices"),
    Mutation("a limit raised at midnight was known the day before", f"{RECEIVABLES}/ar_aging.sql",
             "dated.known_before > credit_limits.known_from",
             "dated.known_before >= credit_limits.known_from", "ar_aging"),
    Mutation("the least tax bears the rounding", f"{RECEIVABLES}/tax_summary.sql",
             "abs(totalled.tax_amount) desc", "abs(totalled.tax_amount)", "tax_summary"),
    Mutation("what ties out is itemised", f"{STEPS}/receivables/int_receivable_items.sql",
             "having sum(ledger_amount) <> sum(document_amount)", "",
             "receivable_control_itemises_the_whole_difference"),
    Mutation("credits of nothing", f"{STEPS}/receivables/int_statement_events.sql",
             "where newly_credited <> 0", "", "customer_statement"),
    Mutation("stock at its reorder point is enough", f"{STOCK}/stock_on_hand.sql",
             "<= items.reorder_point", "< items.reorder_point", "stock_on_hand"),
    Mutation("stock that is gone has a cost", f"{STOCK}/stock_history.sql",
             "case when is_deleted then 0 else stock_value end", "stock_value", "stock_history"),
    Mutation("every month is closed", f"{STEPS}/restatements/int_period_closes.sql",
             "    where periods.is_closed\n", "", "restatements"),
    Mutation("changes of nothing are listed", f"{TRUST}/restatements.sql",
             "    where judged.change_type is not null\n", "", "restatements"),
]  # fmt: skip
DRAWN = MUTATIONS[:: 1 if is_deep() else 4]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    books = [make(f"co_{place}", plan) for place, plan in enumerate(PLANS)]
    return Workshop(tmp_path_factory.mktemp("mutants"), books, DRAWN)


@pytest.mark.parametrize("check", sorted({mutation.caught_by for mutation in DRAWN}))
def test_nothing_is_found_in_the_models_as_they_are(workshop: Workshop, check: str) -> None:
    assert workshop.findings(check) == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_what_a_breakage_breaks_is_in_the_models(mutation: Mutation) -> None:
    assert mutation.old in (WAREHOUSE / mutation.file).read_text(), (
        f"warehouse/{mutation.file} no longer has the text {mutation.old!r}: break the same "
        "rule where it stands now, or take the mutation out with its rule."
    )


@pytest.mark.parametrize("mutation", DRAWN, ids=lambda mutation: mutation.name)
def test_a_breakage_is_seen(workshop: Workshop, mutation: Mutation) -> None:
    found = workshop.findings_with(mutation, mutation.caught_by)
    assert found, f"{mutation.caught_by} does not see that {mutation.name}"
