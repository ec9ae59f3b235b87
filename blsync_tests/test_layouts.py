"""Layouts of a pack's statements: which accounts a row takes, what a file of one's own may say."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from blsync.errors import ConfigError
from blsync.pack import layout
from blsync.pack.layout import Account

SECTIONS = {
    "profit_and_loss": {
        "operating_revenue": ("operating_revenue",),
        "other_revenue": ("other_revenue",),
        "cost_of_goods_sold": ("cost_of_goods_sold",),
        "operating_expense": ("operating_expense",),
        "other_expense": ("other_expense",),
    },
    "balance_sheet": {
        "assets": ("current_asset", "fixed_asset", "other_asset", "assets", "unassigned"),
        "liabilities": ("current_liability", "long_term_liability", "other_liability"),
        "equity": ("equity", "computed"),
    },
}
ROLES = (
    *("", "cash", "pos_clearing", "accounts_receivable", "allowance_for_doubtful_debts"),
    *("inventory", "stock_in_transit", "prepaid_expense", "other_receivable", "tax_receivable"),
    *("fixed_asset", "accumulated_depreciation", "accounts_payable", "accrued_expense", "loan"),
    *("goods_received_not_invoiced", "tax_payable", "deferred_revenue", "share_capital"),
    *("retained_earnings", "current_earnings", "dividends", "opening_balance_equity", "revenue"),
    *("other_income", "cost_of_goods_sold", "inventory_adjustment", "operating_expense"),
    *("depreciation_expense", "interest_expense", "income_tax_expense", "other_expense", "own"),
)


def account(number: str, section: str, category: str = "", role: str = "") -> Account:
    return Account(f"id-{number}", number, "Name", section, category, role, "debit")


@pytest.mark.parametrize("name", layout.shipped())
@pytest.mark.parametrize("statement", SECTIONS)
def test_a_layout_that_ships_has_one_row_for_every_account_that_there_can_be(name, statement):
    accounts = [
        account(f"{section} {category} {role}", section, category, role)
        for section, categories in SECTIONS[statement].items()
        for category, role in product((*categories, "a category of one's own", ""), ROLES)
    ]
    rows, missing = layout.read(name).placed(statement, accounts)
    assert missing == []
    assert sum(map(len, rows.values())) == len(accounts)
    labelled = {
        language for row in layout.read(name).statements[statement] for language in row.labels
    }
    assert labelled == {"en", "ms"}


GOOD = """
[[profit_and_loss]]
name = "costs"
en = "Costs"
side = "debit"
accounts = ["6000..6099", "A10", "B..C"]
[[profit_and_loss]]
name = "net_profit"
en = "Left"
formula = "- costs"
[[balance_sheet]]
name = "assets"
en = "Assets"
side = "debit"
sections = ["assets"]
[[balance_sheet]]
name = "liabilities"
en = "Liabilities"
side = "credit"
sections = ["liabilities"]
[[balance_sheet]]
name = "equity"
en = "Equity"
side = "credit"
sections = ["equity"]
"""


@pytest.mark.parametrize(
    ("number", "is_in"),
    [
        *(("6000", True), ("6099", True), ("6100", False), ("60", False), ("60000", False)),
        *(("A10", True), ("A1", False), ("B7", True), ("D", False), ("", False)),
    ],
)
def test_accounts_are_named_one_by_one_and_by_ranges(tmp_path, number, is_in):
    file = tmp_path / "own.toml"
    file.write_text(GOOD)
    rows, missing = layout.read(str(file)).placed("profit_and_loss", [account(number, "expense")])
    assert (bool(rows), bool(missing)) == (is_in, not is_in)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('formula = "- costs"', 'formula = "costs * 2"', "names with + and -"),
        ('formula = "- costs"', 'formula = "sales"', "no row above it"),
        ('side = "debit"\naccounts', "accounts", "needs a side"),
        ('name = "costs"\n', "", "needs a name"),
        ('en = "Costs"', 'fr = "Charges"', "'fr' is unknown"),
        ('en = "Costs"\n', "", "has no label"),
        ('name = "net_profit"', 'name = "costs"', "there twice"),
        ('name = "net_profit"', 'name = "profit"', "needs a row 'net_profit'"),
        ("[[profit_and_loss]]", "[[profits]]", "no statement"),
        ("accounts = [", "accounts = [6000, ", "a list of texts"),
        ('en = "Left"', "en = Left", "no TOML"),
    ],
)
def test_what_is_wrong_with_a_layout_is_told_with_its_row(tmp_path, old, new, said):
    assert old in GOOD
    file = tmp_path / "own.toml"
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        layout.read(str(file))
    assert said in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_layout_that_is_not_there_is_told_with_those_that_ship():
    with pytest.raises(ConfigError, match="mpers"):
        layout.read("ifrs")
    assert not Path("ifrs").exists()
