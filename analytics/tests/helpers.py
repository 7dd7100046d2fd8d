"""Sales for the tests of reports, and what a report says of them."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import count

from analytics.definitions.reports import get_report
from analytics.running.runner import run
from countries.models import Country
from sales.ingest.writer import record_sales

NOON = datetime(2021, 1, 3, 12, tzinfo=UTC)
ids = map(str, count(1))


def sale(
    revenue, *, seller="170", buyer="170", buyer_id="1", seller_id="1", paid=NOON, brand=None, category=None
):  # every one of these is a field that some report groups by
    """An event with what matters to reports; `seller` and `buyer` are countries, `paid` may be text."""
    return {
        "ID_ORDER": next(ids),
        "ID_PRODUCT": "1",
        "ID_BUYER": buyer_id,
        "ID_SELLER": seller_id,
        "ID_SELLER_COUNTRY": seller,
        "ID_BUYER_COUNTRY": buyer,
        "DATE_PAYMENT": paid if isinstance(paid, datetime) else moment(paid),
        "BRAND": brand,
        "CATEGORY": category,
        "REVENUE": Decimal(revenue),
    }


def moment(text):
    """A time in UTC, as those of validated events are; it is UTC when it does not say otherwise. A day is its noon."""
    time = datetime.fromisoformat(text if "T" in text else f"{text}T12:00:00")
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def record(*events):
    record_sales(list(events))


def rows_of(name, **parameters):
    """What the report says, as a list of dictionaries; a parameter that is None is given as empty."""
    report = get_report(name)
    given = report.parse({key: "" if value is None else str(value) for key, value in parameters.items()})
    with run(report, given) as result:
        names = [column.name for column in result.columns]
        return [dict(zip(names, row, strict=True)) for row in result.rows]


def columns_of(rows, *names):
    """These columns of the rows, as tuples; of a single column, its values."""
    return [row[names[0]] if len(names) == 1 else tuple(row[name] for name in names) for row in rows]


def name_countries(**names):
    """Countries of these names; an id that is a number has _ before it."""
    Country.objects.bulk_create(
        Country(id_country=id_country.removeprefix("_"), country_name=name) for id_country, name in names.items()
    )


def rounded(number):
    """A fraction to 12 decimals as PostgreSQL rounds, half away from zero."""
    size = (2 * abs(number.numerator) * 10**12 + number.denominator) // (2 * number.denominator)
    return Decimal(size if number > 0 else -size).scaleb(-12)


def quotient(dividend, divisor):
    """Exact numbers divided, then rounded; None when there is nothing to divide by."""
    return rounded(Fraction(dividend) / Fraction(divisor)) if divisor else None


def percent(part, whole):
    """The share of the part in the whole."""
    return quotient(100 * part, whole)
