"""An invented marketplace, the same for everybody: its countries, and as many sales as asked for."""

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, auto
from itertools import accumulate, count, islice
from math import log
from random import Random
from typing import Generic, NamedTuple, TypeVar

from countries.models import Country
from sales.ingest.fields import SaleEvent
from sales.models import Category

FIRST_DAY = date(2020, 7, 1)
LAST_DAY = date(2021, 6, 30)

# How strong trade is, one time against another. Weekdays start on Monday, hours at midnight (UTC).
GROWTH = (0.8, 1.2)  # on the first and on the last day
MONTHS = {7: 0.8, 8: 0.7, 9: 1.0, 10: 1.05, 11: 1.25, 12: 1.6, 1: 1.5, 2: 0.9, 3: 0.95, 4: 0.95, 5: 1.0, 6: 0.95}
WEEKDAYS = (0.9, 0.88, 0.9, 0.92, 0.98, 1.2, 1.35)
HOURS = (8, 4, 2, 1, 1, 2, 5, 11, 18, 23, 27, 30, 34, 32, 28, 27, 28, 32, 38, 45, 52, 50, 36, 19)

ANOTHER_LINE_SHARE = 0.18  # of the sales are one more line of the order before
REFUND_SHARE = 0.01
NO_BRAND_SHARE = 0.04
NO_CATEGORY_SHARE = 0.03
CONVERTED_PRICE_SHARE = 0.04  # of the products have a price in another currency, converted to five decimals

REFUNDABLE_EVERY = 37  # sales: one of them may be refunded later
CHUNK = 10_000  # sales drawn at once


class DemoCountry(NamedTuple):
    """A country, and how many of 1,000 sellers and buyers or so live there.

    One without a name is in no country table: such sales are kept, and reports show the id.
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

# Category: (its share of the products in percent, the price in the middle).
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

HOUSES = ("Atelier", "Maison", "Casa", "Studio", "House of", "Officina", "Petit", "Nord", "Rue", "Villa", "Club", "La")
NAMES = (
    *("Alba", "Brume", "Corso", "Delmar", "Ember", "Fable", "Gable", "Haven", "Isola", "Juniper", "Kestrel", "Lark"),
    *("Marlow", "Noor", "Orso", "Pavia", "Quill", "Rowan", "Sable", "Tamsin", "Umbra", "Velo", "Wren"),
    *("Yarrow", "Zephyr"),
)
BRANDS = ("Dsquared2", *(f"{HOUSES[i % 12]} {NAMES[i % 25]}" for i in range(300)))  # 12 and 25: each pair comes once


def countries() -> list[Country]:
    """The marketplace's countries, not stored yet. Some sales come from others."""
    return [
        Country(id_country=country.id, country_name=country.name, continent=country.continent)
        for country in COUNTRIES
        if country.name
    ]


def generate_events(sales: int, seed: int) -> Iterator[SaleEvent]:
    """`sales` valid events in the order of payment, 2020-07-01 to 2021-06-30; the same for the same arguments.

    They are made as they are asked for. What is kept is buyers, sellers and products, of which there are at most
    750,000 however many sales there are.
    """
    chance = Random(seed)  # noqa: S311  # nothing here is secret
    order_ids = map(str, count(30_000_000))
    order: Order | None = None
    refundable: deque[SaleEvent] = deque(maxlen=1_000)
    for number, (step, moment, buyer, product) in enumerate(_draws(chance, sales)):
        if step is Step.REFUND and refundable:
            order, sold = None, refundable.popleft()
            yield {**sold, "DATE_PAYMENT": moment, "REVENUE": -sold["REVENUE"]}
            continue
        if step is not Step.ANOTHER_LINE or order is None:
            order = Order(next(order_ids), buyer, moment)
        event = _event(order, product)
        if number % REFUNDABLE_EVERY == 0:
            refundable.append(event)
        yield event


class Step(Enum):
    """What the next sale is."""

    NEW_ORDER = auto()
    ANOTHER_LINE = auto()
    REFUND = auto()


class Person(NamedTuple):
    """A seller or a buyer."""

    id: str
    id_country: str


class Product(NamedTuple):
    id: str
    seller: Person
    brand: str | None
    category: str | None
    price: Decimal


class Order(NamedTuple):
    id: str
    buyer: Person
    paid: datetime


def _event(order: Order, product: Product) -> SaleEvent:
    return {
        "ID_ORDER": order.id,
        "ID_PRODUCT": product.id,
        "ID_BUYER": order.buyer.id,
        "ID_SELLER": product.seller.id,
        "ID_SELLER_COUNTRY": product.seller.id_country,
        "ID_BUYER_COUNTRY": order.buyer.id_country,
        "DATE_PAYMENT": order.paid,
        "BRAND": product.brand,
        "CATEGORY": product.category,
        "REVENUE": product.price,
    }


Item = TypeVar("Item")


class Pool(Generic[Item]):
    """Things of which some are drawn more often than others."""

    def __init__(self, items: Sequence[Item], weights: Sequence[float]) -> None:
        self.items = items
        self.cumulative_weights = list(accumulate(weights))

    def draw(self, chance: Random, number: int) -> list[Item]:
        return chance.choices(self.items, cum_weights=self.cumulative_weights, k=number)


def _long_tail(size: int, steepness: float, head: int = 0) -> list[float]:
    """Weights by Zipf's law: a few large ones, then many small ones. A `head` keeps the first from being everything."""
    return [(rank + head) ** -steepness for rank in range(1, size + 1)]


STEPS = Pool(tuple(Step), (1 - ANOTHER_LINE_SHARE - REFUND_SHARE, ANOTHER_LINE_SHARE, REFUND_SHARE))


def _draws(chance: Random, sales: int) -> Iterator[tuple[Step, datetime, Person, Product]]:
    """What chance has in store for each sale, drawn in bulk."""
    buyers, products = _open_market(chance, sales)
    moments = _moments(chance, sales)
    while chunk := list(islice(moments, CHUNK)):
        size = len(chunk)
        yield from zip(
            STEPS.draw(chance, size), chunk, buyers.draw(chance, size), products.draw(chance, size), strict=True
        )


def _moments(chance: Random, sales: int) -> Iterator[datetime]:
    """`sales` moments in their order, each hour of the year with its share of them."""
    hours = list(_hours(chance))
    shares = list(accumulate(strength for _, strength in hours))
    done = 0
    for (hour, _), share in zip(hours, shares, strict=True):
        due = round(share / shares[-1] * sales) - done
        for number in range(due):
            yield hour + timedelta(seconds=int((number + chance.random()) / due * 3600))
        done += due


def _hours(chance: Random) -> Iterator[tuple[datetime, float]]:
    """Every hour of the year, and how strong trade is then."""
    days = (LAST_DAY - FIRST_DAY).days
    for number in range(days + 1):
        day = FIRST_DAY + timedelta(days=number)
        growth = GROWTH[0] + (GROWTH[1] - GROWTH[0]) * number / days
        strength = growth * MONTHS[day.month] * WEEKDAYS[day.weekday()] * chance.uniform(0.9, 1.1)
        for hour, share in enumerate(HOURS):
            yield datetime.combine(day, time(hour), UTC), strength * share


def _open_market(chance: Random, sales: int) -> tuple[Pool[Person], Pool[Product]]:
    """The buyers and the products, more of them for more sales."""
    ids = [country.id for country in COUNTRIES]
    seller_homes = Pool(ids, [country.sellers for country in COUNTRIES])
    buyer_homes = Pool(ids, [country.buyers for country in COUNTRIES])
    sellers = _people(chance, 6_000_000, _between(200, sales // 40, 50_000), seller_homes)
    buyers = _people(chance, 9_000_000, _between(120, sales // 8, 500_000), buyer_homes)
    products = _products(chance, _between(500, sales // 4, 200_000), sellers)
    return Pool(buyers, _long_tail(len(buyers), 0.8, head=2)), Pool(products, _long_tail(len(products), 0.6, head=20))


def _between(least: int, number: int, most: int) -> int:
    return max(least, min(number, most))


def _ids(chance: Random, first: int, size: int) -> Iterator[str]:
    """Ascending numbers with gaps."""
    return map(str, accumulate(chance.choices(range(1, 9), k=size - 1), initial=first))


def _people(chance: Random, first_id: int, size: int, homes: Pool[str]) -> list[Person]:
    return list(map(Person, _ids(chance, first_id, size), homes.draw(chance, size)))


def _products(chance: Random, size: int, sellers: Sequence[Person]) -> list[Product]:
    drawn = zip(
        _ids(chance, 13_000_000, size),
        Pool(sellers, _long_tail(len(sellers), 0.7, head=5)).draw(chance, size),
        Pool(BRANDS, _long_tail(len(BRANDS), 1)).draw(chance, size),
        Pool(tuple(CATEGORIES), [share for share, _ in CATEGORIES.values()]).draw(chance, size),
        strict=True,
    )
    return [_product(chance, *each) for each in drawn]


def _product(chance: Random, product_id: str, seller: Person, brand: str, category: Category) -> Product:
    _, middle = CATEGORIES[category]
    price = chance.lognormvariate(log(middle), PRICE_SPREAD)
    decimals = 5 if chance.random() < CONVERTED_PRICE_SHARE else 2
    return Product(
        product_id,
        seller,
        None if chance.random() < NO_BRAND_SHARE else brand,
        None if chance.random() < NO_CATEGORY_SHARE else category.value,
        Decimal(f"{price:.{decimals}f}"),
    )
