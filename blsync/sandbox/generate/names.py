"""Names, addresses and goods of a Malaysian trading company's world, in its own scripts."""

from __future__ import annotations

import random
from typing import NamedTuple

MALAY = (
    "Aminah", "Azlan", "Faridah", "Hafiz", "Haslinda", "Ismail", "Khairul", "Mazlan", "Nadia",
    "Norhayati", "Nurul", "Rahman", "Rosli", "Shahrizal", "Siti", "Suraya", "Zainab", "Zulkifli",
)  # fmt: skip
FATHERS = ("Abdullah", "Ahmad", "Hamzah", "Hassan", "Ibrahim", "Osman", "Yusof", "Zakaria")
CHINESE = (
    ("Tan", "陈"), ("Lim", "林"), ("Lee", "李"), ("Wong", "黄"), ("Ng", "吴"), ("Chan", "曾"),
    ("Goh", "吴"), ("Teoh", "张"), ("Yap", "叶"), ("Ong", "王"), ("Chong", "钟"), ("Liew", "廖"),
)  # fmt: skip
CHINESE_GIVEN = (
    ("Wei Jie", "伟杰"), ("Mei Ling", "美玲"), ("Kok Seng", "国成"), ("Siew Lan", "秀兰"),
    ("Jia Hui", "佳慧"), ("Chee Keong", "志强"), ("Boon Hock", "文福"), ("Xin Yi", "欣怡"),
)  # fmt: skip
CHINESE_TRADES = (
    ("Trading", "贸易有限公司"), ("Hardware", "五金店"), ("Enterprise", "企业"),
    ("Electrical", "电器行"), ("Stationery", "文具店"), ("Motor", "车行"),
)  # fmt: skip
TAMIL = (
    ("Murugan", "முருகன்"), ("Lakshmi", "லட்சுமி"), ("Saravanan", "சரவணன்"),
    ("Priya", "பிரியா"), ("Ganesan", "கணேசன்"), ("Kavitha", "கவிதா"),
    ("Rajendran", "இராஜேந்திரன்"), ("Meena", "மீனா"),
)  # fmt: skip
TAMIL_TRADES = (("Stores", "ஸ்டோர்ஸ்"), ("Textiles", "ஜவுளிக்கடை"), ("Traders", "வர்த்தகம்"))
ENGLISH = (
    "Straits", "Selangor", "Meridian", "Kinta", "Pacific", "Borneo", "Hibiscus", "Seri Mutiara",
    "Twin Palms", "Harbour", "Titiwangsa", "Klang Valley", "Golden Durian", "Southern Star",
)  # fmt: skip
ENGLISH_TRADES = (
    "Engineering", "Supplies", "Logistics", "Foods", "Medical", "Builders", "Technologies",
    "Hotel Management", "Marine Services", "Printing",
)  # fmt: skip
CITIES = (
    ("Shah Alam", "Selangor", "40150"), ("Petaling Jaya", "Selangor", "46200"),
    ("Kuala Lumpur", "Wilayah Persekutuan", "50480"), ("George Town", "Pulau Pinang", "10200"),
    ("Johor Bahru", "Johor", "80300"), ("Ipoh", "Perak", "30250"),
    ("Kuching", "Sarawak", "93100"), ("Kota Kinabalu", "Sabah", "88000"),
    ("Melaka", "Melaka", "75200"), ("Kuantan", "Pahang", "25200"),
)  # fmt: skip
STREETS = (
    "Jalan Tun Razak", "Jalan Ampang", "Jalan SS 2/24", "Jalan Klang Lama", "Lebuh Pantai",
    "Jalan Wong Ah Fook", "Persiaran Kayangan", "Jalan Sultan Idris Shah", "Jalan Gaya",
)  # fmt: skip
INDUSTRIES = ("Retail", "Construction", "Food and Beverage", "Education", "Healthcare", "Hotels")


class Goods(NamedTuple):
    """A kind of goods: name, category, unit, cost in cents (least and most), tax code."""

    name: str
    category: str
    unit: str
    cost_from: int
    cost_to: int
    tax_code: str


GOODS = (
    Goods("LED Panel Light", "Electrical", "pcs", 1800, 9500, "SST-10"),
    Goods("Extension Socket", "Electrical", "pcs", 900, 3200, "SST-10"),
    Goods("Wall Fan", "Electrical", "unit", 6500, 14500, "SST-10"),
    Goods("Circuit Breaker", "Electrical", "pcs", 1200, 7800, "SST-10"),
    Goods("Copy Paper A4 80gsm", "Stationery", "ream", 850, 1250, "SST-5"),
    Goods("Ledger Book", "Stationery", "pcs", 450, 1800, "SST-5"),
    Goods("Thermal Receipt Roll", "Stationery", "box", 2200, 4800, "SST-5"),
    Goods("Marker Pen", "Stationery", "box", 900, 2600, "SST-5"),
    Goods("Cordless Drill", "Hardware", "unit", 12500, 38000, "SST-10"),
    Goods("Stainless Bolt Set", "Hardware", "box", 600, 2900, "SST-10"),
    Goods("PVC Pipe 2m", "Hardware", "pcs", 700, 2100, "SST-10"),
    Goods("Emulsion Paint 5L", "Hardware", "tin", 3800, 9200, "SST-10"),
    Goods("Safety Helmet", "Safety", "pcs", 1500, 4200, "SST-10"),
    Goods("Nitrile Gloves", "Safety", "box", 1100, 2400, "EXEMPT"),
    Goods("Hand Sanitiser 5L", "Safety", "btl", 1900, 4100, "EXEMPT"),
    Goods("Rice Cooker", "Household", "unit", 5200, 16500, "SST-10"),
    Goods("Batik Table Cloth", "Household", "pcs", 1600, 6200, "SST-5"),
    Goods("Teh Tarik Mix 1kg", "Pantry", "pkt", 900, 1900, "EXEMPT"),
)
VARIANTS = ("Basic", "Standard", "Pro", "Plus", "Heavy Duty", "Compact", "Deluxe", "Eco", "XL")
SERVICES = ("Installation", "Site Survey", "Maintenance Visit", "Training Session", "Calibration")
SUPPLIERS = (
    ("supp_001", "Perindustrian Cahaya Sdn Bhd"),
    ("supp_002", "Hup Seng Wholesale 合成批发"),
    ("supp_003", "Shenzhen Yongli Export 永利出口"),
    ("supp_004", "Chettiar & Sons Traders"),
)


def business_name(rng: random.Random) -> str:
    """Make up the name of a business in one of the country's scripts."""
    kind = rng.random()
    if kind < 0.3:
        owner = rng.choice(MALAY)
        return (
            rng.choice(("Perniagaan", "Syarikat", "Kedai Runcit", "Warisan"))
            + f" {owner}"
            + (" Sdn Bhd" if rng.random() < 0.6 else " Enterprise")
        )
    if kind < 0.6:
        (surname, sign), (trade, shop) = rng.choice(CHINESE), rng.choice(CHINESE_TRADES)
        return f"{surname} {trade} Sdn Bhd {sign}氏{shop}"
    if kind < 0.75:
        (owner, written), (trade, shop) = rng.choice(TAMIL), rng.choice(TAMIL_TRADES)
        return f"{owner} {trade} ({written} {shop})"
    return f"{rng.choice(ENGLISH)} {rng.choice(ENGLISH_TRADES)} Sdn Bhd"


def person_name(rng: random.Random) -> str:
    """Make up a person's name."""
    kind = rng.random()
    if kind < 0.45:
        link = rng.choice(("bin", "binti"))
        return f"{rng.choice(MALAY)} {link} {rng.choice(FATHERS)}"
    if kind < 0.8:
        (surname, sign), (given, signs) = rng.choice(CHINESE), rng.choice(CHINESE_GIVEN)
        return f"{surname} {given} {sign}{signs}"
    (given, written), (father, _) = rng.choice(TAMIL), rng.choice(TAMIL)
    return f"{given} a/l {father} ({written})"


def address(rng: random.Random) -> dict[str, str]:
    """Make up an address."""
    city, state, postal_code = rng.choice(CITIES)
    return {
        "street": f"No. {rng.randint(1, 180)}, {rng.choice(STREETS)}",
        "city": city,
        "state": state,
        "postalCode": postal_code,
        "country": "MY",
    }
