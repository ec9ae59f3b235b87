"""Names that people give the columns of a sheet, and words that they use for a field's choices.

One table for headers and one for words, English and Malay. `docs/reference/spreadsheets.md` is made
of both. Two names are the same where their letters and digits are: case, blanks and punctuation do
not count, `%` reads as percent, `#` as no, and a unit behind a name, such as (RM), is left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

_REFERENCE = (
    *("Ref", "Ref No", "Reference No", "Our Ref", "Doc No", "Document No"),
    *("Rujukan", "No Rujukan"),
)
_EMAIL = ("Email Address", "E-mail Address", "Customer Email", "Emel", "Alamat Emel")
_DATE = ("Doc Date", "Document Date", "Tarikh")
_ACCOUNT = ("Account", "Account No", "Account Code", "GL Account", "GL Code", "Akaun", "No Akaun")
_ITEM_CODE = (
    *("Item", "Item No", "SKU", "Product Code", "Stock Code"),
    *("Kod", "Kod Item", "Kod Barang"),
)
_CUSTOMER_NUMBER = (
    *("Customer No", "Customer Code", "Cust No", "Cust Code", "Debtor Code", "Debtor No"),
    *("No Pelanggan", "Kod Pelanggan"),
)
_INVOICE_NUMBER = ("Invoice No", "Inv No", "Invoice", "No Invois", "Nombor Invois", "Invois")

HEADERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "customers": {
        "email": (*_EMAIL, "Emel Pelanggan"),
        "name": (
            *("Customer Name", "Customer", "Company Name", "Company"),
            *("Nama", "Nama Pelanggan", "Nama Syarikat", "Pelanggan"),
        ),
        "customerNumber": _CUSTOMER_NUMBER,
        "type": ("Customer Type", "Jenis", "Jenis Pelanggan"),
        "status": ("Customer Status", "Status Pelanggan", "Active", "Is Active", "Aktif"),
        "phone": (
            *("Phone No", "Phone Number", "Telephone", "Telephone No", "Tel", "Tel No", "Mobile"),
            *("Mobile No", "Contact No", "Telefon", "No Telefon", "No Tel"),
        ),
        "website": ("Web", "Web Site", "Laman Web"),
        "taxNumber": (
            *("Tax No", "Tax ID", "TIN", "SST No", "SST Number", "GST No"),
            *("No Cukai", "Nombor Cukai"),
        ),
        "currency": ("Ccy", "Currency Code", "Matawang", "Mata Wang"),
        "paymentTerms": (
            *("Terms", "Term", "Credit Terms", "Credit Term", "Credit Days", "Payment Term"),
            "Payment Terms Days",
            *("Terma", "Terma Bayaran", "Tempoh Kredit"),
        ),
        "creditLimit": ("Limit", "Had Kredit", "Limit Kredit"),
        "tags": ("Tag", "Labels"),
    },
    "invoices": {
        "reference": (*_REFERENCE, "Order No"),
        "invoiceNumber": _INVOICE_NUMBER,
        "customerId": ("Cust ID", "ID Pelanggan"),
        "customer.email": (*_EMAIL, "Emel Pelanggan"),
        "customer.customerNumber": _CUSTOMER_NUMBER,
        "invoiceDate": ("Date", "Inv Date", *_DATE, "Tarikh Invois"),
        "dueDate": ("Due", "Payment Due", "Tarikh Akhir", "Tarikh Matang"),
        "purchaseOrder": ("PO", "PO No", "PO Number", "Pesanan Belian", "No PO"),
        "notes": ("Invoice Notes", "Nota"),
        "terms": ("Invoice Terms", "Terma"),
        "shippingCost": ("Shipping", "Freight", "Delivery Charge", "Kos Penghantaran"),
        "items.itemCode": _ITEM_CODE,
        "items.description": (
            *("Item Description", "Details", "Particulars", "Keterangan", "Butiran"),
        ),
        "items.quantity": ("Qty", "Kuantiti"),
        "items.unitPrice": ("Price", "Unit Rate", "Price Each", "Harga", "Harga Seunit"),
        "items.discountPercent": ("Disc %", "Diskaun %"),
        "items.discountAmount": (
            *("Discount Amt", "Disc Amt", "Discount RM", "Disc RM"),
            *("Diskaun RM", "Jumlah Diskaun"),
        ),
        "items.taxCode": ("SST Code", "Kod Cukai"),
        "items.taxRate": ("Tax %", "SST %", "GST %", "SST Rate", "Kadar Cukai"),
    },
    "payments": {
        "reference": (*_REFERENCE, "Receipt No", "Bank Ref", "No Resit"),
        "invoiceNumber": _INVOICE_NUMBER,
        "amount": ("Amount Paid", "Paid", "Payment Amount", "Amaun", "Jumlah Bayaran"),
        "paymentDate": ("Date", "Date Paid", "Paid On", *_DATE, "Tarikh Bayaran"),
        "paymentMethod": (
            *("Method", "Mode", "Payment Mode", "Mode of Payment"),
            *("Kaedah", "Kaedah Bayaran", "Cara Bayaran"),
        ),
        "accountNumber": (*_ACCOUNT, "Bank Account"),
    },
    "journal-entries": {
        "reference": (*_REFERENCE, "Voucher No", "JV No", "Journal Ref", "No Baucar"),
        "journalNumber": ("Journal No", "No Jurnal"),
        "date": ("Entry Date", "Journal Date", "Posting Date", *_DATE),
        "description": (
            *("Narration", "Particulars", "Details"),
            *("Keterangan", "Butiran", "Perihal"),
        ),
        "status": ("Posted", "Is Posted"),
        "lines.accountNumber": (*_ACCOUNT, "Kod Akaun"),
        "lines.description": ("Line Description", "Line Narration", "Memo", "Keterangan Baris"),
        "lines.debit": ("Dr", "Debit Amount"),
        "lines.credit": ("Cr", "Credit Amount", "Kredit"),
    },
    "inventory-adjustments": {
        "reference": (*_REFERENCE, "Adjustment No", "Count No"),
        "itemCode": _ITEM_CODE,
        "locationId": ("Location", "Warehouse", "Store", "Lokasi", "Gudang"),
        "adjustmentType": (
            *("Type", "In/Out", "Direction", "Movement", "Jenis", "Jenis Pelarasan"),
        ),
        "quantity": ("Qty", "Kuantiti"),
        "unitCost": ("Cost", "Cost Each", "Kos", "Kos Seunit"),
        "reason": ("Why", "Adjustment Reason", "Sebab"),
        "date": ("Adjustment Date", "Count Date", *_DATE),
    },
    "suppliers": {
        "email": ("Email Address", "E-mail Address", "Supplier Email", "Emel", "Alamat Emel"),
        "name": (
            *("Supplier Name", "Supplier", "Vendor", "Vendor Name", "Company Name", "Company"),
            *("Nama", "Nama Pembekal", "Nama Syarikat", "Pembekal"),
        ),
        "supplierNumber": (
            *("Supplier No", "Supplier Code", "Vendor No", "Vendor Code", "Creditor Code"),
            *("Creditor No", "No Pembekal", "Kod Pembekal"),
        ),
        "status": ("Supplier Status", "Status Pembekal"),
        "phone": ("Phone No", "Phone Number", "Telephone", "Tel", "Telefon", "No Telefon"),
        "website": ("Web", "Web Site", "Laman Web"),
        "taxNumber": ("Tax No", "Tax ID", "TIN", "SST No", "SST Number", "No Cukai"),
        "registrationNumber": ("Registration No", "Company No", "SSM No", "No Pendaftaran"),
        "currency": ("Ccy", "Currency Code", "Matawang", "Mata Wang"),
        "paymentTerms.termsDays": (
            *("Terms", "Payment Terms", "Credit Terms", "Credit Days", "Terma"),
            "Terma Bayaran",
        ),
        "creditLimit": ("Limit", "Had Kredit", "Limit Kredit"),
        "tags": ("Tag", "Labels"),
    },
    "items": {
        "itemCode": _ITEM_CODE,
        "name": ("Item Name", "Product", "Product Name", "Nama", "Nama Item", "Nama Barang"),
        "type": ("Item Type", "Jenis", "Jenis Item"),
        "description": ("Item Description", "Details", "Keterangan", "Butiran"),
        "category": ("Item Category", "Group", "Item Group", "Kategori"),
        "unitOfMeasure": ("Unit", "UOM", "Uom Code", "Unit Ukuran"),
        "costPrice": ("Cost", "Purchase Price", "Kos", "Harga Kos"),
        "sellingPrice": ("Price", "Sales Price", "Unit Price", "Harga", "Harga Jual"),
        "taxCode": ("SST Code", "Sales Tax Code", "Kod Cukai"),
        "reorderLevel": ("Reorder Point", "Reorder At", "Paras Pesanan"),
        "reorderQuantity": ("Reorder Qty", "Order Qty", "Kuantiti Pesanan"),
    },
    "accounts": {
        "accountNumber": (*_ACCOUNT, "Code", "Kod Akaun", "Kod"),
        "name": ("Account Name", "Nama", "Nama Akaun"),
        "type": ("Account Type", "Jenis", "Jenis Akaun"),
        "category": ("Account Category", "Kategori", "Kategori Akaun"),
        "parentNumber": ("Parent", "Parent Account", "Parent Code", "Akaun Induk"),
        "description": ("Account Description", "Keterangan"),
    },
    "bills": {
        "supplierInvoiceNumber": (
            *("Supplier Invoice No", "Supplier Inv No", "Invoice No", "Inv No", "Invoice"),
            *("No Invois", "No Invois Pembekal"),
        ),
        "billNumber": ("Bill No", "No Bil"),
        "supplier.email": ("Email", "Supplier Email", "Emel Pembekal"),
        "supplier.supplierNumber": (
            "Supplier No",
            "Supplier Code",
            "Creditor Code",
            "Kod Pembekal",
        ),
        "billDate": ("Date", "Invoice Date", *_DATE, "Tarikh Bil"),
        "dueDate": ("Due", "Payment Due", "Tarikh Akhir", "Tarikh Matang"),
        "reference": ("Ref", "Our Ref", "Rujukan"),
        "notes": ("Bill Notes", "Nota"),
        "items.itemCode": _ITEM_CODE,
        "items.description": ("Item Description", "Details", "Particulars", "Keterangan"),
        "items.quantity": ("Qty", "Kuantiti"),
        "items.unitPrice": ("Price", "Unit Cost", "Cost", "Harga", "Harga Seunit"),
        "items.taxCode": ("SST Code", "Kod Cukai"),
        "items.accountCode": (*_ACCOUNT, "Account Number", "Kod Akaun"),
    },
}
"""Endpoint → column → what else it may be called in a header."""

EITHER: Mapping[str, Mapping[tuple[str, ...], tuple[str, ...]]] = {
    "invoices": {
        ("items.discountPercent", "items.discountAmount"): ("Discount", "Disc", "Diskaun"),
        ("items.taxRate", "items.taxCode"): ("Tax", "SST", "GST", "Cukai"),
        ("customer.email", "customer.customerNumber", "customerId"): (
            *("Customer", "Client", "Debtor", "Bill To", "Sold To", "Pelanggan"),
        ),
    },
}
"""Endpoint → columns → names that may mean each of them: what the cells hold has to tell."""

_YES = ("Yes", "Y", "True", "1", "Ya", "Betul")
_NO = ("No", "N", "False", "0", "Tidak", "Salah")

QUESTIONS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("customers", "active"): ("active", "inactive"),
    ("customers", "isactive"): ("active", "inactive"),
    ("customers", "aktif"): ("active", "inactive"),
    ("journal-entries", "posted"): ("posted", "draft"),
    ("journal-entries", "isposted"): ("posted", "draft"),
}
"""Headers that ask a question (endpoint, the header's letters) → what yes and no are."""

WORDS: Mapping[tuple[str, str], Mapping[str, tuple[str, ...]]] = {
    ("customers", "type"): {
        "business": ("Company", "Corporate", "Organisation", "Syarikat", "Perniagaan"),
        "individual": ("Person", "Personal", "Individu", "Perseorangan"),
    },
    ("customers", "status"): {
        "active": ("Aktif",),
        "inactive": ("Not Active", "Tidak Aktif"),
        "blocked": ("On Hold", "Disekat"),
    },
    ("customers", "currency"): {"MYR": ("RM", "Ringgit", "Ringgit Malaysia")},
    ("invoices", "status"): {"draft": ("Draf",)},
    ("payments", "paymentMethod"): {
        "bank_transfer": (
            *("Transfer", "Bank Tfr", "IBG", "GIRO", "TT", "Telegraphic Transfer"),
            *("Pindahan Bank", "Pindahan"),
        ),
        "cheque": ("Check", "Chq", "Cek"),
        "cash": ("Tunai",),
        "credit_card": ("Card", "Visa", "Mastercard", "Kad Kredit"),
        "e_wallet": ("Wallet", "TNG", "Touch n Go", "GrabPay", "Boost", "e-Dompet"),
        "other": ("Others", "Lain-lain"),
    },
    ("journal-entries", "status"): {"draft": ("Draf",), "posted": ("Post",)},
    ("inventory-adjustments", "adjustmentType"): {
        "increase": ("In", "Add", "+", "Tambah", "Masuk"),
        "decrease": ("Out", "Reduce", "-", "Kurang", "Keluar"),
    },
    ("inventory-adjustments", "reason"): {
        "stock_count": ("Count", "Stock Take", "Stocktake", "Kiraan Stok"),
        "damaged": ("Damage", "Broken", "Rosak"),
        "found": ("Dijumpai",),
        "lost": ("Missing", "Hilang"),
        "expired": ("Luput", "Tamat Tempoh"),
    },
}
"""Endpoint and column → choice → what else it may be called; its own letters always are it."""

_UNITS = frozenset(
    ("rm", "myr", "percent", "day", "days", "hari", "required", "wajib", "optional", "pilihan")
)
"""What a header may have behind its name, in brackets or as its last word."""
_ORDERS = {"ddmm": "dmy", "dmy": "dmy", "mmdd": "mdy", "mdy": "mdy", "yyyy": "ymd", "ymd": "ymd"}
_MALAY = str.maketrans("hbt", "dmy")
"""Hari, bulan, tahun."""
_BRACKET = re.compile(r"\s*[(\[]([^()\[\]]*)[)\]][\s:*]*$")
_ORDER = re.compile(r"[\s:,-]*\b([dmyhbt]{1,4}(?:[/.\s-][dmyhbt]{1,4}){2})[\s:*]*$", re.IGNORECASE)
_CURRENCY = re.compile(r"[A-Z]{3}|[^\w\s]")


def letters(text: str) -> str:
    """Return the letters and digits of a name, by which two are the same."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    worded = folded.replace("%", " percent ").replace("#", " no ")
    return "".join(character for character in worded if character.isalnum())


def signs(text: str) -> str:
    """Return the letters of a word, or the sign that it is, as + and - are."""
    return letters(text) or unicodedata.normalize("NFKC", text).strip()


def without_unit(header: str) -> str:
    """Return a header without the unit behind its name, in brackets or as its last word, or the
    order of days.
    """
    found = _BRACKET.search(header)
    if found and (letters(found[1]) in _UNITS or order_told(header)):
        return header[: found.start()]
    if (found := _ORDER.search(header)) and found.start() and order_told(header):
        return header[: found.start()]
    first, _, last = header.rstrip(" *").rpartition(" ")
    return first if letters(last) in ("rm", "myr") else header


def without_explanation(header: str) -> str:
    """Return a header without what is said in brackets behind its name, such as (as per SSM).

    A currency there says what the numbers below are, and stays.
    """
    found = _BRACKET.search(header)
    is_currency = found and _CURRENCY.fullmatch(found[1].strip())
    return header if found is None or is_currency else header[: found.start()]


def order_told(header: str) -> str | None:
    """Return the order of days that a header names, as in Date (DD/MM/YYYY): dmy, mdy or ymd."""
    found = _BRACKET.search(header) or _ORDER.search(header)
    told = letters(found[1]) if found else ""
    if not re.fullmatch(r"[dmy]{3,8}|[hbt]{3,8}", told):
        return None
    told = told.translate(_MALAY)
    return next((order for start, order in _ORDERS.items() if told.startswith(start)), None)


def word_of(endpoint: str, column: str, header: str, value: str) -> str | None:
    """Return the choice that a word stands for by these tables; None where it is none."""
    word = signs(value)
    if choices := QUESTIONS.get((endpoint, letters(header))):
        for choice, words in zip(choices, (_YES, _NO), strict=True):
            if word in map(signs, words):
                return choice
    known = WORDS.get((endpoint, column), {})
    return next((c for c, words in known.items() if word in map(signs, words)), None)


def rows_of_headers() -> Iterator[tuple[str, str, str]]:
    """Yield the table of headers as documents show it: endpoint, column, names."""
    for endpoint, columns in HEADERS.items():
        for column, names in columns.items():
            yield f"`{endpoint}`", f"`{column}`", ", ".join(names)


def rows_of_words() -> Iterator[tuple[str, str, str]]:
    """Yield the table of words as documents show it: the field, the choice, words."""
    for (endpoint, column), choices in WORDS.items():
        for choice, words in choices.items():
            yield f"`{column}` of {endpoint}", f"`{choice}`", ", ".join(f"`{w}`" for w in words)
    for (endpoint, header), either in QUESTIONS.items():
        for choice, words in zip(either, (_YES, _NO), strict=True):
            told = ", ".join(f"`{word}`" for word in words)
            yield f"a column {header} of {endpoint}", f"`{choice}`", told
