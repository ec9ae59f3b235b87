"""What a pack's statements are called, in English and Malay; figures and accounts' names are the
books' own. A text without a translation stays English.
"""

from __future__ import annotations

from datetime import date
from typing import Any

_MONTHS = (
    *("Januari", "Februari", "Mac", "April", "Mei", "Jun", "Julai", "Ogos", "September"),
    *("Oktober", "November", "Disember"),
)
_MALAY = {
    "Cover": "Muka depan",
    "Trial balance": "Imbangan duga",
    "Profit and loss": "Untung dan rugi",
    "Balance sheet": "Kedudukan kewangan",
    "Cash flow": "Aliran tunai",
    "Trial balance as of {day}": "Imbangan duga pada {day}",
    "Profit and loss, {month}": "Penyata untung rugi, {month}",
    "Balance sheet as of {day}": "Penyata kedudukan kewangan pada {day}",
    "Cash flow, {month}": "Penyata aliran tunai, {month}",
    "The month is the sum of the lines on the sheet Journal.": (
        "Angka bulan ialah jumlah baris pada helaian Journal."
    ),
    "Account": "Akaun",
    "Name": "Nama",
    "Type": "Jenis",
    "Opening": "Pembukaan",
    "Debit": "Debit",
    "Credit": "Kredit",
    "Closing": "Penutup",
    "Total": "Jumlah",
    "Total {label}": "Jumlah {label}",
    "Year before the month": "Tahun sebelum bulan ini",
    "Month": "Bulan",
    "Year to date": "Tahun hingga kini",
    "Same month last year": "Bulan sama tahun lalu",
    "Last year to date": "Tahun lalu hingga kini",
    "Change to last year": "Perubahan dari tahun lalu",
    "Account id": "Id akaun",
    "Group": "Kumpulan",
    "Balance": "Baki",
    "A month before": "Sebulan sebelum",
    "A year before": "Setahun sebelum",
    "Change in the month": "Perubahan dalam bulan",
    "Assets less liabilities and equity": "Aset tolak liabiliti dan ekuiti",
    "Line": "Baris",
    "Amount": "Amaun",
    "Opening cash": "Tunai pembukaan",
    "Closing cash": "Tunai penutup",
    "operating": "operasi",
    "investing": "pelaburan",
    "financing": "pembiayaan",
    "Net profit": "Untung bersih",
    "Depreciation and amortisation added back": "Susut nilai dan pelunasan ditambah balik",
    "Change in trade receivables": "Perubahan penghutang perdagangan",
    "Change in inventory": "Perubahan inventori",
    "Change in prepayments": "Perubahan prabayaran",
    "Change in other receivables": "Perubahan penghutang lain",
    "Change in recoverable tax": "Perubahan cukai boleh pulih",
    "Change in other current assets": "Perubahan aset semasa lain",
    "Change in trade payables": "Perubahan pemiutang perdagangan",
    "Change in accrued expenses": "Perubahan perbelanjaan terakru",
    "Change in tax payable": "Perubahan cukai kena dibayar",
    "Change in deferred revenue": "Perubahan hasil tertunda",
    "Change in other liabilities": "Perubahan liabiliti lain",
    "Closing entries through cash": "Catatan penutup melalui tunai",
    "Fixed assets at cost": "Aset tetap pada kos",
    "Other assets": "Aset lain",
    "Loans": "Pinjaman",
    "Capital": "Modal",
    "Dividends and drawings": "Dividen dan ambilan",
    "Entries on earnings other than closings": "Catatan perolehan selain penutup",
    "Opening balances": "Baki pembukaan",
    "Other equity": "Ekuiti lain",
    "asset": "aset",
    "liability": "liabiliti",
    "revenue": "hasil",
    "expense": "perbelanjaan",
    "None.": "Tiada.",
    "Not placed in the layout": "Tiada tempat dalam susun atur",
    "Not placed in the layout: {accounts}": "Tiada tempat dalam susun atur: {accounts}",
    "debit": "debit",
    "credit": "kredit",
    "closing": "penutup",
    "net profit": "untung bersih",
    "assets": "aset",
    "liabilities": "liabiliti",
    "equity": "ekuiti",
    "closing cash": "tunai penutup",
    "Amounts in {currency}; marts of {built_at}, from BigLedger.": (
        "Amaun dalam {currency}; data pada {built_at}, daripada BigLedger."
    ),
    "What the workbook adds up": "Hasil tambah buku kerja",
    "What the statements add up": "Hasil tambah penyata",
    "here": "di sini",
    "the marts": "data",
    "difference": "beza",
    "ok": "sama",
    "off": "beza",
    "Compared with BigLedger's own reports": "Dibandingkan dengan laporan BigLedger",
    "Report": "Laporan",
    "As of": "Pada",
    "Figures": "Angka",
    "Different": "Berbeza",
    "Not comparable": "Tidak boleh dibandingkan",
    "Request": "Permintaan",
    "Closed at {closed_at} by {closed_by}.": "Ditutup pada {closed_at} oleh {closed_by}.",
    "SHA-256 of the trial balance: {hash}": "SHA-256 imbangan duga: {hash}",
    "The month is not closed by `blsync close`.": "Bulan ini belum ditutup oleh `blsync close`.",
}


class Words:
    """Texts in a language, `en` or `ms`."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, text: str, **values: Any) -> str:
        """Return a text in the language, with `values` for its names in braces."""
        found = _MALAY.get(text, text) if self.language == "ms" else text
        return found.format(**values) if values else found

    def month(self, first: date) -> str:
        """Return a month's name and year."""
        return (
            f"{_MONTHS[first.month - 1]} {first:%Y}" if self.language == "ms" else f"{first:%B %Y}"
        )
