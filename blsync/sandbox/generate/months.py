"""The entries a month always has: rent, payroll, tax, suppliers, depreciation and the rest."""

from __future__ import annotations

import calendar
import random
from collections.abc import Callable
from datetime import date
from decimal import Decimal

from blsync.sandbox.books.company import Books
from blsync.sandbox.books.values import ZERO, money


class Months:
    """A company of a certain size, month after month; ``revenue`` is its usual monthly sales."""

    def __init__(self, books: Books, rng: random.Random, revenue: Decimal) -> None:
        self.books = books
        self.rng = rng
        self.revenue = max(revenue, Decimal(20_000))
        self.by_day: dict[int, tuple[Callable[[date], None], ...]] = {
            1: (self._rent, self._insurance),
            3: (self._telephone,),
            5: (self._utilities,),
            7: (self._loan,),
            10: (self._suppliers,),
            15: (self._epf, self._sst),
            20: (self._marketing,),
            25: (self._payroll,),
            28: (self._depreciation, self._bank),
        }

    def events(self, day: date) -> tuple[Callable[[date], None], ...]:
        """Return what falls on this day of the month."""
        return self.by_day.get(day.day, ())

    def open(self, day: date) -> None:
        """Found the company: capital to pay the first stock and more, a loan, vans, deposits."""
        size = money(self.revenue)
        owed = self._balance("payable") + self._balance("grni")
        capital = money(4 * size - owed)
        self._post(day, "OPEN-001", "Share capital paid in", bank=capital, capital=-capital)
        self._post(day, "OPEN-002", "Maybank term loan drawn", bank=2 * size, loan=-2 * size)
        fund = money(size / 2)
        self._post(day, "OPEN-003", "Deposit at RHB", closed_bank=fund, bank=-fund)
        outfit, vans = money(size / 2), money(size)
        self._post(
            *(day, "OPEN-004", "Office equipment and delivery vans"),
            equipment=outfit,
            vehicles=vans,
            bank=-outfit - vans,
        )
        rent = money(size * Decimal("0.06"))
        self._post(day, "OPEN-005", "Rental deposit", deposits=rent, bank=-rent)

    def close_bank(self, day: date) -> None:
        """Move out of the RHB account, which is inactive ever since."""
        fund = self._balance("closed_bank")
        self._post(day, "RHB-CLOSE", "RHB account closed", bank=fund, closed_bank=-fund)

    def _post(self, day: date, reference: str, note: str, **amounts: Decimal) -> None:
        lines = [(self.books.role(role), money(value), note) for role, value in amounts.items()]
        if all(amount for _, amount, _ in lines):
            self.books.write_entry(day.isoformat(), reference, note, lines)

    def _balance(self, role: str) -> Decimal:
        net = self.books.find("accounts", self.books.role(role))["balance"]["net"]
        return Decimal(net)

    def _share(self, percent: float) -> Decimal:
        """Take about that many per cent of the usual sales."""
        return money(self.revenue * Decimal(round(percent * self.rng.uniform(90, 110))) / 10_000)

    def _rent(self, day: date) -> None:
        rent = money(self.revenue * Decimal("0.03"))
        self._post(day, f"RENT-{day:%Y%m}", f"Sewa gudang {day:%m/%Y}", rent=rent, bank=-rent)

    def _insurance(self, day: date) -> None:
        year = money(self.revenue * Decimal("0.06"))
        if self._balance("prepaid_insurance") < year / 12:
            note = "Insurance premium, twelve months"
            self._post(day, f"INS-{day:%Y}", note, prepaid_insurance=year, bank=-year)
        month = money(year / 12)
        note = f"Insurance used up, {day:%m/%Y}"
        self._post(day, f"INS-{day:%Y%m}", note, insurance=month, prepaid_insurance=-month)

    def _telephone(self, day: date) -> None:
        cost = self._share(0.4)
        self._post(day, f"UNIFI-{day:%Y%m}", "Unifi and Maxis", telephone=cost, bank=-cost)

    def _utilities(self, day: date) -> None:
        cost, owed = self._share(0.9), -self._balance("accrued")
        self._post(day, f"TNB-{day:%Y%m}", "TNB and Air Selangor", utilities=cost, bank=-cost)
        if owed > 0:
            self._post(day, f"ACC-{day:%Y%m}", "Accruals paid", accrued=owed, bank=-owed)

    def _loan(self, day: date) -> None:
        owed = -self._balance("loan")
        interest = money(owed * Decimal("0.004"))
        part = min(owed, money(self.revenue / 30))
        if owed > 0:
            self._post(
                *(day, f"LOAN-{day:%Y%m}", "Maybank loan instalment"),
                loan=part,
                loan_interest=interest,
                bank=-part - interest,
            )

    def _suppliers(self, day: date) -> None:
        owed = money(-self._balance("payable") * Decimal("0.85"))
        if owed > 0 and not self.books.modules:  # else each bill is paid by itself
            note = "Supplier payment run"
            self._post(day, f"SPAY-{day:%Y%m}", note, payable=owed, bank=-owed)
        moved = money(self._balance("collection") * Decimal("0.9"))
        if moved > 0:
            note = "Collections moved to Maybank"
            self._post(day, f"XFER-{day:%Y%m}", note, bank=moved, collection=-moved)

    def _epf(self, day: date) -> None:
        owed = -self._balance("epf_payable")
        if owed > 0:
            self._post(day, f"KWSP-{day:%Y%m}", "EPF and SOCSO", epf_payable=owed, bank=-owed)

    def _sst(self, day: date) -> None:
        owed = -self._balance("sst")
        if day.month % 2 and owed > 0:
            self._post(day, f"SST-{day:%Y%m}", "SST-02 return", sst=owed, bank=-owed)

    def _marketing(self, day: date) -> None:
        cost = self._share(1.2)
        self._post(day, f"MKT-{day:%Y%m}", "Shopee and Lazada ads", marketing=cost, bank=-cost)

    def _payroll(self, day: date) -> None:
        gross = self._share(11)
        ours, theirs = money(gross * Decimal("0.13")), money(gross * Decimal("0.11"))
        self._post(
            *(day, f"GAJI-{day:%Y%m}", f"Gaji {day:%m/%Y}"),
            salaries=gross,
            epf=ours,
            epf_payable=-ours - theirs,
            bank=theirs - gross,
        )

    def _depreciation(self, day: date) -> None:
        outfit, vans = money(self.revenue / 2 / 60), money(self.revenue / 96)
        self._post(
            *(day, f"DEP-{day:%Y%m}", f"Depreciation {day:%m/%Y}"),
            depreciation=outfit + vans,
            equipment_depreciation=-outfit,
            vehicles_depreciation=-vans,
        )

    def _bank(self, day: date) -> None:
        charges = self._share(0.1)
        interest = money(max(self._balance("bank"), ZERO) * Decimal("0.0008"))
        last = calendar.monthrange(day.year, day.month)[1]
        stated = day.replace(day=min(last, 28))
        self._post(stated, f"BC-{day:%Y%m}", "Bank charges", bank_charges=charges, bank=-charges)
        self._post(stated, f"INT-{day:%Y%m}", "Hibah", bank=interest, interest_income=-interest)
