"""What the marts should say of made-up books, straight from the definitions.

Nothing here reads a model: figures are added up from the landed records, with decimals throughout.
"""

from __future__ import annotations

from functools import cache

from books import ledger, margins, payables, receivables, stock
from books.company import Book
from books.definitions import Figures


@cache
def figures_of(book: Book) -> dict[str, Figures]:
    """Table → key → column → what it should be."""
    accounts = ledger.accounts_of(book)
    flows = ledger.cash_flow(accounts)
    open_items = receivables.ar_open_items(book)
    aging = receivables.ar_aging(book, open_items)
    by_invoice = margins.margin_by_invoice(book, accounts)
    owed = payables.ap_open_items(book)
    return {
        "accounts": ledger.accounts_table(book),
        "periods": ledger.periods(book, accounts),
        "customers": receivables.customers(book, open_items),
        "general_ledger": ledger.general_ledger(book, accounts),
        "trial_balance": ledger.trial_balance(accounts),
        "balance_sheet": ledger.balance_sheet(book, accounts),
        "profit_and_loss": ledger.profit_and_loss(accounts),
        "profit_and_loss_summary": ledger.profit_and_loss_summary(accounts),
        "cash_flow": flows,
        "cash_flow_summary": ledger.cash_flow_summary(accounts, flows),
        "invoices": receivables.invoices(book),
        "ar_open_items": open_items,
        "ar_aging": aging,
        "collections": receivables.collections(book, accounts, aging),
        "revenue_monthly": receivables.revenue_monthly(book),
        "margin_by_invoice": by_invoice,
        "gross_margin": margins.gross_margin(by_invoice),
        "margin_bridge": margins.margin_bridge(book, accounts, by_invoice),
        "tax_summary": receivables.tax_summary(book, accounts),
        "stock_on_hand": stock.stock_on_hand(book),
        "stock_history": stock.stock_history(book),
        "inventory_valuation": stock.inventory_valuation(book),
        "suppliers": payables.suppliers(book, owed),
        "ap_open_items": owed,
        "ap_aging": payables.ap_aging(owed),
        "purchase_order_lines": payables.purchase_order_lines(book),
        "grni": payables.grni(book),
        "order_lines": payables.order_lines(book),
        "order_backlog": payables.order_backlog(book),
        "quote_pipeline": payables.quote_pipeline(book),
        "einvoice_compliance": payables.einvoice_compliance(book),
        "sst_02": payables.sst_02(book, set(accounts.months)),
        "pos_daily_sales": payables.pos_daily_sales(book),
        "pos_banking": payables.pos_banking(book),
        "transfers_in_transit": payables.transfers_in_transit(book),
        "transfer_losses": payables.transfer_losses(book),
    }
