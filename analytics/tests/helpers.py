"""Store sales, run reports on them, and compute expected results independently."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from io import StringIO
from itertools import count

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from analytics.definitions.reports import get_report
from analytics.running.runner import run
from countries.models import Country
from sales.ingest.writer import record_sales

NOON = datetime(2021, 1, 3, 12, tzinfo=UTC)
ids = map(str, count(1))
# Revenue -> time of payment. Only the second and the third are in PERIOD, because days are in UTC.
EDGES = {
    "1": "2021-02-01T23:59:59.999999",
    "2": "2021-02-02T00:00:00",
    "4": "2021-02-04T00:30:00+01:00",
    "8": "2021-02-04T00:00:00",
}
PERIOD = {"start": "2021-02-02", "end": "2021-02-03"}


def sale(
    revenue, *, seller="170", buyer="170", buyer_id="1", seller_id="1", paid=NOON, brand=None, category=None
):  # some report groups by each of these fields
    """Return an event. `seller` and `buyer` are countries; `paid` can be text."""
    return {
        "ID_ORDER": next(ids),
        "ID_PRODUCT": "1",
        "ID_BUYER": buyer_id,
        "ID_SELLER": seller_id,
        "ID_SELLER_COUNTRY": seller,
        "ID_BUYER_COUNTRY": buyer,
        "DATE_PAYMENT": paid if isinstance(paid, datetime) else parse_time(paid),
        "BRAND": brand,
        "CATEGORY": category,
        "REVENUE": Decimal(revenue),
    }


def parse_time(text):
    """Return a time in UTC, like that of a validated event. A day means its noon, and UTC is the default zone."""
    time = datetime.fromisoformat(text if "T" in text else f"{text}T12:00:00")
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def sales_at_the_edges(**fields):
    """Return one sale for each of EDGES."""
    return [sale(revenue, paid=paid, **fields) for revenue, paid in EDGES.items()]


def record(*events):
    record_sales(list(events))


def rows_of(name, **parameters):
    """Run a report, and return its rows as dictionaries. None is an empty parameter."""
    report = get_report(name)
    bound = report.parse({key: "" if value is None else str(value) for key, value in parameters.items()})
    with run(report, bound) as result:
        names = [column.name for column in result.columns]
        return [dict(zip(names, row, strict=True)) for row in result.rows]


def columns_of(rows, *names):
    """Return these columns of the rows as tuples, or the values of a single column."""
    return [row[names[0]] if len(names) == 1 else tuple(row[name] for name in names) for row in rows]


def name_countries(**names):
    """Create countries, such as _170="France"; the underscore is not part of the id."""
    Country.objects.bulk_create(
        Country(id_country=id_country.removeprefix("_"), country_name=name) for id_country, name in names.items()
    )


def rounded(number):
    """Round a fraction to 12 decimals as PostgreSQL does, half away from zero."""
    size = (2 * abs(number.numerator) * 10**12 + number.denominator) // (2 * number.denominator)
    return Decimal(size if number > 0 else -size).scaleb(-12)


def quotient(dividend, divisor):
    """Divide exact numbers, then round. None for a divisor of zero."""
    return rounded(Fraction(dividend) / Fraction(divisor)) if divisor else None


def percent(part, whole):
    """Return the share of a part in percent."""
    return quotient(100 * part, whole)


def failure_of(*arguments):
    """Run the command, which must fail. Return its message and its exit code."""
    with pytest.raises(CommandError) as caught:
        call_command("run_report", *arguments, stdout=StringIO(), stderr=StringIO())
    return str(caught.value), caught.value.returncode


def run_report(*arguments):
    """Run the command, and return its standard output. Standard error must stay empty."""
    out, err = StringIO(), StringIO()
    call_command("run_report", *arguments, stdout=out, stderr=err)
    assert err.getvalue() == ""
    return out.getvalue()


def documentation():
    """Return the text of README.md and docs/."""
    folder = settings.BASE_DIR
    return "".join(path.read_text() for path in [folder / "README.md", *sorted(folder.glob("docs/*.md"))])
