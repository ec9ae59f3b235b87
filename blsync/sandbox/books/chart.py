"""The company's chart of accounts: two levels, the roles the books post to, locations."""

from __future__ import annotations

from typing import NamedTuple


class Account(NamedTuple):
    """One account of the chart; its parent is the four-digit number it names."""

    number: str
    name: str
    category: str
    parent: str | None = None
    is_active: bool = True


TYPES = {
    "current_asset": "asset",
    "fixed_asset": "asset",
    "other_asset": "asset",
    "current_liability": "liability",
    "long_term_liability": "liability",
    "other_liability": "liability",
    "equity": "equity",
    "operating_revenue": "revenue",
    "other_revenue": "revenue",
    "cost_of_goods_sold": "expense",
    "operating_expense": "expense",
    "other_expense": "expense",
}
"""Category → type (bigledger-api.md, section 5)."""

CHART = (
    Account("1000", "Cash and Bank", "current_asset"),
    Account("1010", "Maybank Current Account", "current_asset", "1000"),
    Account("1020", "CIMB Collection Account", "current_asset", "1000"),
    Account("1030", "Petty Cash", "current_asset", "1000"),
    Account("1040", "RHB Current Account (closed)", "current_asset", "1000", is_active=False),
    Account("1050", "Takings Clearing", "current_asset"),
    Account("1051", "Takings Clearing - Notes and Coins", "current_asset", "1050"),
    Account("1052", "Takings Clearing - Cards", "current_asset", "1050"),
    Account("1053", "Takings Clearing - QR Payments", "current_asset", "1050"),
    Account("1100", "Receivables", "current_asset"),
    Account("1110", "Accounts Receivable", "current_asset", "1100"),
    Account("1120", "Staff Advances", "current_asset", "1100"),
    Account("1200", "Stock in Trade", "current_asset"),
    Account("1210", "Inventory", "current_asset", "1200"),
    Account("1220", "Goods in Transit", "current_asset", "1200"),
    Account("1300", "Prepayments and Deposits", "other_asset"),
    Account("1310", "Prepaid Insurance", "other_asset", "1300"),
    Account("1320", "Rental Deposits", "other_asset", "1300"),
    Account("1500", "Property, Plant and Equipment", "fixed_asset"),
    Account("1510", "Office Equipment", "fixed_asset", "1500"),
    Account("1515", "Accumulated Depreciation - Office Equipment", "fixed_asset", "1500"),
    Account("1520", "Motor Vehicles", "fixed_asset", "1500"),
    Account("1525", "Accumulated Depreciation - Motor Vehicles", "fixed_asset", "1500"),
    Account("2000", "Payables", "current_liability"),
    Account("2010", "Accounts Payable", "current_liability", "2000"),
    Account("2015", "Goods Received Not Invoiced", "current_liability", "2000"),
    Account("2020", "Accrued Expenses", "current_liability", "2000"),
    Account("2030", "SST Payable", "current_liability", "2000"),
    Account("2040", "EPF and SOCSO Payable", "current_liability", "2000"),
    Account("2500", "Term Loan - Maybank", "long_term_liability"),
    Account("2800", "Customer Deposits", "other_liability"),
    Account("3000", "Equity", "equity"),
    Account("3010", "Share Capital", "equity", "3000"),
    Account("3020", "Retained Earnings", "equity", "3000"),
    Account("4000", "Sales", "operating_revenue"),
    Account("4010", "Sales of Goods", "operating_revenue", "4000"),
    Account("4020", "Service Revenue", "operating_revenue", "4000"),
    Account("4030", "Delivery Income", "operating_revenue", "4000"),
    Account("4090", "Commission Income (discontinued)", "operating_revenue", "4000", False),
    Account("4910", "Interest Income", "other_revenue"),
    Account("5000", "Cost of Sales", "cost_of_goods_sold"),
    Account("5010", "Cost of Goods Sold", "cost_of_goods_sold", "5000"),
    Account("5020", "Stock Adjustments", "cost_of_goods_sold", "5000"),
    Account("5030", "Purchase Price Variance", "cost_of_goods_sold", "5000"),
    Account("6000", "Operating Expenses", "operating_expense"),
    Account("6010", "Salaries and Wages", "operating_expense", "6000"),
    Account("6020", "EPF and SOCSO", "operating_expense", "6000"),
    Account("6030", "Rent", "operating_expense", "6000"),
    Account("6040", "Electricity and Water", "operating_expense", "6000"),
    Account("6050", "Depreciation", "operating_expense", "6000"),
    Account("6060", "Marketing", "operating_expense", "6000"),
    Account("6070", "Telephone and Internet", "operating_expense", "6000"),
    Account("6080", "Insurance", "operating_expense", "6000"),
    Account("6980", "Suspense (unused)", "operating_expense", "6000", False),
    Account("6990", "Rounding of Takings", "operating_expense", "6000"),
    Account("7010", "Bank Charges", "other_expense"),
    Account("7020", "Loan Interest", "other_expense"),
)

ROLES = {
    "bank": "1010",
    "collection": "1020",
    "closed_bank": "1040",
    "takings_cash": "1051",
    "takings_card": "1052",
    "takings_e_wallet": "1053",
    "receivable": "1110",
    "inventory": "1210",
    "in_transit": "1220",
    "prepaid_insurance": "1310",
    "deposits": "1320",
    "equipment": "1510",
    "equipment_depreciation": "1515",
    "vehicles": "1520",
    "vehicles_depreciation": "1525",
    "payable": "2010",
    "grni": "2015",
    "accrued": "2020",
    "sst": "2030",
    "epf_payable": "2040",
    "loan": "2500",
    "capital": "3010",
    "sales": "4010",
    "services": "4020",
    "delivery": "4030",
    "interest_income": "4910",
    "cogs": "5010",
    "stock_adjustments": "5020",
    "price_variance": "5030",
    "salaries": "6010",
    "epf": "6020",
    "rent": "6030",
    "utilities": "6040",
    "depreciation": "6050",
    "marketing": "6060",
    "telephone": "6070",
    "insurance": "6080",
    "rounding": "6990",
    "bank_charges": "7010",
    "loan_interest": "7020",
}
"""What an account is for → its number."""

SYSTEM_ROLES = (
    *("receivable", "inventory", "in_transit", "payable", "grni", "sst", "cogs"),
    *("stock_adjustments", "price_variance", "takings_cash", "takings_card", "takings_e_wallet"),
)

CASH = ("1010", "1020", "1030", "1040")
"""What the cash-flow report counts as cash; takings that no bank has seen yet are not."""

MAIN_LOCATION = "loc_shah_alam"
"""Where goods that are ordered and not yet received are expected."""

LOCATIONS = {
    "loc_shah_alam": "Shah Alam Warehouse",
    "loc_penang": "Penang Store",
    "loc_johor": "Johor Bahru Store",
}

TAX_RATES = {"SST": 6, "SST-10": 10, "SST-5": 5, "SST-8": 8, "EXEMPT": 0}
"""Tax code → per cent: sales tax 10 and 5, service tax 8; the vendor's example writes SST, 6."""
