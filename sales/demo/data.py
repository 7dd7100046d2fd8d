"""Figures that describe the demo marketplace: its countries, categories, brands and seasons."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

DAYS = 365  # of 24 hours
UNTIL = datetime(2021, 7, 1, tzinfo=UTC)  # the end of the sales, unless another one is given

# Relative sales volume by time. Weekdays start on Monday, hours at midnight (UTC).
GROWTH = (0.8, 1.2)  # on the first and the last day
MONTHS = {7: 0.8, 8: 0.7, 9: 1.0, 10: 1.05, 11: 1.25, 12: 1.6, 1: 1.5, 2: 0.9, 3: 0.95, 4: 0.95, 5: 1.0, 6: 0.95}
WEEKDAYS = (0.9, 0.88, 0.9, 0.92, 0.98, 1.2, 1.35)
HOURS = (8, 4, 2, 1, 1, 2, 5, 11, 18, 23, 27, 30, 34, 32, 28, 27, 28, 32, 38, 45, 52, 50, 36, 19)

# Shares of the sales.
ANOTHER_LINE_SHARE = 0.18  # a further line of the previous order
REFUND_SHARE = 0.01

# Shares and prices of the products.
NO_BRAND_SHARE = 0.04
NO_CATEGORY_SHARE = 0.03
CONVERTED_PRICE_SHARE = 0.04  # converted from another currency, so with five decimals
PRICE_SPREAD = 0.75  # standard deviation of the price's logarithm


class DemoCountry(NamedTuple):
    """A country and its weights: about how many of 1,000 sellers and of 1,000 buyers live there.

    A country without a name stands for an unknown country id: it is not loaded into the country table.
    """

    id: str
    name: str
    continent: str
    sellers: int
    buyers: int


class DemoCategory(NamedTuple):
    """A category, its share of the products in percent, and its median price."""

    name: str
    share: int
    median_price: int


def _rows(file: str) -> list[list[str]]:
    """Return the rows of a CSV file in this folder, without its header."""
    with (Path(__file__).parent / file).open(newline="", encoding="utf-8") as lines:
        return list(csv.reader(lines))[1:]


COUNTRIES = [
    DemoCountry(country_id, name, continent, int(sellers), int(buyers))
    for country_id, name, continent, sellers, buyers in _rows("countries.csv")
]
CATEGORIES = [DemoCategory(name, int(share), int(price)) for name, share, price in _rows("categories.csv")]
BRANDS = [brand for [brand] in _rows("brands.csv")]  # the best-selling first
