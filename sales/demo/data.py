"""Tables that describe the demo marketplace: its countries, categories, brands and seasons."""

from datetime import date
from typing import NamedTuple

from sales.models import Category

FIRST_DAY = date(2020, 7, 1)
LAST_DAY = date(2021, 6, 30)

# Relative sales volume by time. Weekdays start on Monday, hours at midnight (UTC).
GROWTH = (0.8, 1.2)  # on the first and the last day
MONTHS = {7: 0.8, 8: 0.7, 9: 1.0, 10: 1.05, 11: 1.25, 12: 1.6, 1: 1.5, 2: 0.9, 3: 0.95, 4: 0.95, 5: 1.0, 6: 0.95}
WEEKDAYS = (0.9, 0.88, 0.9, 0.92, 0.98, 1.2, 1.35)
HOURS = (8, 4, 2, 1, 1, 2, 5, 11, 18, 23, 27, 30, 34, 32, 28, 27, 28, 32, 38, 45, 52, 50, 36, 19)

# Shares of the sales.
ANOTHER_LINE_SHARE = 0.18  # a further line of the previous order
REFUND_SHARE = 0.01

# Shares of the products.
NO_BRAND_SHARE = 0.04
NO_CATEGORY_SHARE = 0.03
CONVERTED_PRICE_SHARE = 0.04  # converted from another currency, so with five decimals


class DemoCountry(NamedTuple):
    """A country and its weights: about how many of 1,000 sellers and of 1,000 buyers live there.

    A country without a name stands for an unknown country id: it is not loaded into the country table.
    """

    id: str
    name: str | None
    continent: str | None
    sellers: int
    buyers: int


COUNTRIES = (
    DemoCountry("170", "France", "Europe", 260, 210),
    DemoCountry("205", "Italy", "Europe", 170, 85),
    DemoCountry("111", "United Kingdom", "Europe", 95, 120),
    DemoCountry("187", "Germany", "Europe", 80, 125),
    DemoCountry("203", "Spain", "Europe", 75, 60),
    DemoCountry("306", "United States", "North America", 55, 110),
    DemoCountry("164", "Belgium", "Europe", 35, 32),
    DemoCountry("232", "Netherlands", "Europe", 28, 36),
    DemoCountry("240", "Poland", "Europe", 18, 16),
    DemoCountry("213", "Switzerland", "Europe", 15, 24),
    DemoCountry("157", "Austria", "Europe", 12, 18),
    DemoCountry("241", "Portugal", "Europe", 12, 10),
    DemoCountry("212", "Sweden", "Europe", 11, 17),
    DemoCountry("179", "Denmark", "Europe", 10, 14),
    DemoCountry("191", "Greece", "Europe", 10, 9),
    DemoCountry("199", "Ireland", "Europe", 8, 12),
    DemoCountry("244", "Romania", "Europe", 8, 7),
    DemoCountry("410", "Australia", "Oceania", 7, 15),
    DemoCountry("312", "Canada", "North America", 6, 12),
    DemoCountry("185", "Finland", "Europe", 6, 9),
    DemoCountry("508", "Hong Kong", "Asia", 6, 11),
    DemoCountry("234", "Norway", "Europe", 5, 9),
    DemoCountry("178", "Czechia", "Europe", 5, 6),
    DemoCountry("166", "Bulgaria", "Europe", 5, 4),
    DemoCountry("512", "Japan", "Asia", 5, 8),
    DemoCountry("195", "Hungary", "Europe", 4, 5),
    DemoCountry("176", "Croatia", "Europe", 4, 4),
    DemoCountry("525", "Singapore", "Asia", 4, 7),
    DemoCountry("540", "United Arab Emirates", "Asia", 3, 8),
    DemoCountry("228", "Luxembourg", "Europe", 3, 5),
    DemoCountry("225", "Lithuania", "Europe", 3, 3),
    DemoCountry("248", "Slovakia", "Europe", 3, 3),
    DemoCountry("249", "Slovenia", "Europe", 3, 3),
    DemoCountry("515", "South Korea", "Asia", 3, 5),
    DemoCountry("183", "Estonia", "Europe", 2, 2),
    DemoCountry("222", "Latvia", "Europe", 2, 2),
    DemoCountry("175", "Cyprus", "Asia", 2, 2),
    DemoCountry("230", "Malta", "Europe", 2, 2),
    DemoCountry("229", "Monaco", "Europe", 2, 3),
    DemoCountry("246", "Serbia", "Europe", 2, 1),
    DemoCountry("535", "Turkey", "Asia", 2, 2),
    DemoCountry("509", "Israel", "Asia", 2, 3),
    DemoCountry("503", "China", "Asia", 2, 3),
    DemoCountry("415", "New Zealand", "Oceania", 2, 3),
    DemoCountry("607", "Morocco", "Africa", 2, 2),
    DemoCountry("612", "South Africa", "Africa", 1, 2),
    DemoCountry("615", "Tunisia", "Africa", 1, 1),
    DemoCountry("710", "Brazil", "South America", 1, 2),
    DemoCountry("702", "Argentina", "South America", 1, 1),
    DemoCountry("712", "Chile", "South America", 1, 1),
    DemoCountry("714", "Colombia", "South America", 1, 1),
    DemoCountry("318", "Mexico", "North America", 1, 2),
    DemoCountry("198", "Iceland", "Europe", 1, 1),
    DemoCountry("510", "India", "Asia", 1, 1),
    DemoCountry("517", "Lebanon", "Asia", 1, 1),
    DemoCountry("519", "Malaysia", "Asia", 1, 1),
    DemoCountry("522", "Qatar", "Asia", 1, 2),
    DemoCountry("523", "Saudi Arabia", "Asia", 1, 2),
    DemoCountry("533", "Thailand", "Asia", 1, 1),
    DemoCountry("536", "Taiwan", "Asia", 1, 2),
    DemoCountry("905", None, None, 15, 15),
    DemoCountry("999", None, None, 4, 4),
)

# Category: (its share of the products in percent, its median price).
CATEGORIES = {
    Category.CLOTHING: (34, 65),
    Category.SHOES: (17, 90),
    Category.BAGS: (13, 190),
    Category.ACCESSORIES: (11, 55),
    Category.JEWELLERY: (6, 130),
    Category.GIRLS: (5, 28),
    Category.BOYS: (4, 26),
    Category.DESIGN_AND_DECORATION: (3, 110),
    Category.HIGH_TECH: (3, 220),
    Category.SPORT_AND_LEISURE: (2, 60),
    Category.ART_AND_CULTURE: (1, 150),
    Category.PET_ACCESSORIES: (1, 24),
}
PRICE_SPREAD = 0.75  # standard deviation of the price's logarithm

BRAND_PREFIXES = (
    "Atelier",
    "Maison",
    "Casa",
    "Studio",
    "House of",
    "Officina",
    "Petit",
    "Nord",
    "Rue",
    "Villa",
    "Club",
    "La",
)
BRAND_NAMES = (
    *("Alba", "Brume", "Corso", "Delmar", "Ember", "Fable", "Gable", "Haven", "Isola", "Juniper", "Kestrel", "Lark"),
    *("Marlow", "Noor", "Orso", "Pavia", "Quill", "Rowan", "Sable", "Tamsin", "Umbra", "Velo", "Wren"),
    *("Yarrow", "Zephyr"),
)
# 12 and 25 have no common factor, so each of the 300 pairs occurs once.
BRANDS = ("Dsquared2", *(f"{BRAND_PREFIXES[i % 12]} {BRAND_NAMES[i % 25]}" for i in range(300)))
