"""Draw the countries and the sales events of the demo marketplace."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum, auto
from itertools import accumulate, count, islice
from math import log
from random import Random
from typing import NamedTuple, TypeVar

from countries.models import Country
from sales.demo import data
from sales.ingest.fields import SaleEvent

REFUNDABLE_EVERY = 37  # one of this many sales may be refunded later
CHUNK = 10_000  # sales drawn at once


def countries() -> list[Country]:
    """Return the marketplace's named countries, unsaved. Some sales come from other countries."""
    return [
        Country(id_country=country.id, country_name=country.name, continent=country.continent)
        for country in data.COUNTRIES
        if country.name
    ]


def generate_events(sales: int, seed: int, until: datetime = data.UNTIL) -> Iterator[SaleEvent]:
    """Yield `sales` valid events, ordered by payment, from the 365 days before `until`, a full hour in UTC.

    The same arguments give the same events. With another `until`, only their payment times differ. Memory holds the
    buyers, sellers and products: at most 750,000 in all.
    """
    rng = Random(seed)  # noqa: S311  # nothing here is secret
    order_ids = map(str, count(30_000_000))
    order: Order | None = None
    refundable: deque[SaleEvent] = deque(maxlen=1_000)
    for number, (step, paid_at, buyer, product) in enumerate(_draws(rng, sales, until)):
        if step is Step.REFUND and refundable:
            order, sold = None, refundable.popleft()
            yield {**sold, "DATE_PAYMENT": paid_at, "REVENUE": -sold["REVENUE"]}
            continue
        if step is not Step.ANOTHER_LINE or order is None:
            order = Order(next(order_ids), buyer, paid_at)
        event = _event(order, product)
        if number % REFUNDABLE_EVERY == 0:
            refundable.append(event)
        yield event


class Step(Enum):
    """The kind of the next sale."""

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
    paid_at: datetime


def _event(order: Order, product: Product) -> SaleEvent:
    return {
        "ID_ORDER": order.id,
        "ID_PRODUCT": product.id,
        "ID_BUYER": order.buyer.id,
        "ID_SELLER": product.seller.id,
        "ID_SELLER_COUNTRY": product.seller.id_country,
        "ID_BUYER_COUNTRY": order.buyer.id_country,
        "DATE_PAYMENT": order.paid_at,
        "BRAND": product.brand,
        "CATEGORY": product.category,
        "REVENUE": product.price,
    }


Item = TypeVar("Item")


def _pool(rng: Random, items: Sequence[Item], weights: Sequence[float]) -> Callable[[int], list[Item]]:
    """Return a function that draws a number of items. Their weights are their probabilities."""
    cumulative_weights = list(accumulate(weights))
    return lambda size: rng.choices(items, cum_weights=cumulative_weights, k=size)


def _long_tail(size: int, exponent: float, offset: int = 0) -> list[float]:
    """Return weights by Zipf's law: a few large, many small. A larger `offset` makes the first ones less dominant."""
    return [(rank + offset) ** -exponent for rank in range(1, size + 1)]


def _draws(rng: Random, sales: int, until: datetime) -> Iterator[tuple[Step, datetime, Person, Product]]:
    """Yield the random choices for each sale, drawn CHUNK at a time for speed."""
    new_order_share = 1 - data.ANOTHER_LINE_SHARE - data.REFUND_SHARE
    draw_steps = _pool(rng, tuple(Step), (new_order_share, data.ANOTHER_LINE_SHARE, data.REFUND_SHARE))
    draw_buyers, draw_products = _market(rng, sales)
    payment_times = _payment_times(rng, sales, until)
    while chunk := list(islice(payment_times, CHUNK)):
        size = len(chunk)
        yield from zip(draw_steps(size), chunk, draw_buyers(size), draw_products(size), strict=True)


def _payment_times(rng: Random, sales: int, until: datetime) -> Iterator[datetime]:
    """Yield `sales` ascending timestamps, spread over the hours of the year by their volume."""
    hours = list(_hours(rng, until))
    cumulative = list(accumulate(volume for _, volume in hours))
    done = 0
    for (hour, _), volume_so_far in zip(hours, cumulative, strict=True):
        due = round(volume_so_far / cumulative[-1] * sales) - done
        for number in range(due):
            yield hour + timedelta(seconds=int((number + rng.random()) / due * 3600))
        done += due


def _hours(rng: Random, until: datetime) -> Iterator[tuple[datetime, float]]:
    """Yield every hour of the year before `until` and its relative sales volume."""
    first_growth, last_growth = data.GROWTH
    for day in range(data.DAYS):
        growth = first_growth + (last_growth - first_growth) * day / (data.DAYS - 1)
        noise = rng.uniform(0.9, 1.1)
        for number in range(24):
            hour = until - timedelta(days=data.DAYS - day, hours=-number)
            volume = growth * data.MONTHS[hour.month] * data.WEEKDAYS[hour.weekday()] * noise
            yield hour, volume * data.HOURS[hour.hour]


def _market(rng: Random, sales: int) -> tuple[Callable[[int], list[Person]], Callable[[int], list[Product]]]:
    """Return functions that draw buyers and products. Their number grows with the number of sales, up to a limit."""
    seller_shares = [country.sellers for country in data.COUNTRIES]
    buyer_shares = [country.buyers for country in data.COUNTRIES]
    sellers = _people(rng, 6_000_000, _clamp(sales // 40, 200, 50_000), seller_shares)
    buyers = _people(rng, 9_000_000, _clamp(sales // 8, 120, 500_000), buyer_shares)
    products = _products(rng, _clamp(sales // 4, 500, 200_000), sellers)
    return (
        _pool(rng, buyers, _long_tail(len(buyers), 0.8, offset=2)),
        _pool(rng, products, _long_tail(len(products), 0.6, offset=20)),
    )


def _clamp(value: int, lowest: int, highest: int) -> int:
    return max(lowest, min(value, highest))


def _ids(rng: Random, first: int, size: int) -> Iterator[str]:
    """Return ascending numbers with gaps, as text."""
    return map(str, accumulate(rng.choices(range(1, 9), k=size - 1), initial=first))


def _people(rng: Random, first_id: int, size: int, country_shares: Sequence[int]) -> list[Person]:
    country_ids = [country.id for country in data.COUNTRIES]
    return list(map(Person, _ids(rng, first_id, size), rng.choices(country_ids, country_shares, k=size)))


def _products(rng: Random, size: int, sellers: Sequence[Person]) -> list[Product]:
    attributes = zip(
        _ids(rng, 13_000_000, size),
        rng.choices(sellers, _long_tail(len(sellers), 0.7, offset=5), k=size),
        rng.choices(data.BRANDS, _long_tail(len(data.BRANDS), 1), k=size),
        rng.choices(data.CATEGORIES, [category.share for category in data.CATEGORIES], k=size),
        strict=True,
    )
    return [_product(rng, *values) for values in attributes]


def _product(rng: Random, product_id: str, seller: Person, brand: str, category: data.DemoCategory) -> Product:
    price = rng.lognormvariate(log(category.median_price), data.PRICE_SPREAD)
    decimals = 5 if rng.random() < data.CONVERTED_PRICE_SHARE else 2
    return Product(
        product_id,
        seller,
        None if rng.random() < data.NO_BRAND_SHARE else brand,
        None if rng.random() < data.NO_CATEGORY_SHARE else category.name,
        Decimal(f"{price:.{decimals}f}"),
    )
