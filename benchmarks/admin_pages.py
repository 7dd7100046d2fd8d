"""Measure the response times of back-office pages with 10,000 sales and with many.

    .venv/bin/python -m benchmarks.admin_pages [SALES] [--months N] [--rounds N] [--folder LOCAL_DIR]

A logged-in staff user requests each page in turn through Django's test client, so times do not include the network.
"queries" counts all statements except BEGIN, COMMIT and savepoints. The larger data set has sales of as many
months as --months says. With --folder, it is an existing database, which is kept.
"""

import json
import os
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from statistics import median
from urllib.parse import urlencode

import django

from benchmarks.service import ROOT, Service, note, service

FEW, SALES = 10_000, 10_000_000
ROUNDS = 15
MAX_MILLISECONDS, MAX_QUERIES, MAX_RATIO = 300, 12, 3
LIST = "/admin/sales/sale/"
TRANSACTION = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")


def sales(**filters: str) -> str:
    return f"{LIST}?{urlencode(filters)}"


PAGES = {
    "home": "/admin/?until=2021-06-30",
    "countries": "/admin/countries/country/",
    "sales list, first page": LIST,
    "page 1,000": sales(p="1000"),
    "oldest first": sales(o="0"),
    "one day": sales(date_payment_from="2020-12-24", date_payment_to="2020-12-24"),
    "a quarter": sales(date_payment_from="2020-10-01", date_payment_to="2020-12-31"),
    "category, common": sales(category__exact="clothing"),
    "category, rare": sales(category__exact="pet accessories"),
    "no category": sales(category__isnull="True"),
    "brand, common": sales(brand__exact="Dsquared2"),
    "brand, rare": sales(brand__exact="Rue Zephyr"),
    "brand, none of": sales(brand__exact="nobody's"),
    "no brand": sales(brand__isnull="True"),
    "seller country, common": sales(seller_country__id_country__exact="170"),
    "seller country, rare": sales(seller_country__id_country__exact="615"),
    "buyer country, common": sales(buyer_country__id_country__exact="170"),
    "buyer country, rare": sales(buyer_country__id_country__exact="519"),
    "seller continent, common": sales(seller_continent="Europe"),
    "buyer continent, rare": sales(buyer_continent="Africa"),
    "revenue, common": sales(revenue_from="50", revenue_to="100"),
    "revenue, rare": sales(revenue_from="5000"),
    "revenue, one amount": sales(revenue_from="57.27", revenue_to="57.27"),
    "category and country": sales(category__exact="bags", buyer_country__id_country__exact="213"),
    "two rare ones": sales(category__exact="pet accessories", seller_country__id_country__exact="615"),
    "category, page 1,000": sales(category__exact="clothing", p="1000"),
    "search: nothing": sales(q="nothing"),
    "brand autocompletion": f"{LIST}brands/?term=zep",
}


def pages() -> dict[str, str]:
    """Return the URLs of the measured pages by name, with values from the loaded sales."""
    from django.db.models import Count

    from sales.models import Sale

    newest, middle = Sale.objects.latest("id"), Sale.objects.order_by("id")[Sale.objects.count() // 2]
    buyers, sellers = (
        Sale.objects.values_list(column).annotate(number=Count("pk")).order_by("-number")[0][0]
        for column in ("id_buyer", "id_seller")
    )
    return PAGES | {
        "search: order": sales(q=middle.id_order),
        "search: product": sales(q=middle.id_product),
        "search: largest seller": sales(q=sellers),
        "a sale": f"{LIST}{newest.pk}/change/",
        "a buyer": f"/admin/sales/buyer/{newest.id_buyer}/",
        "the largest buyer": f"/admin/sales/buyer/{buyers}/",
        "the largest seller": f"/admin/sales/seller/{sellers}/",
    }


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.admin_pages")
    parser.add_argument("sales", type=int, nargs="?", default=SALES, help="(default: %(default)s)")
    parser.add_argument("--months", type=int, metavar="N", help="spread the many sales over N months (default: 12)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--folder", help="an existing LOCAL_DIR with that many sales")
    parser.add_argument("--measure", action="store_true", help="measure only the current database, and print JSON")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.rounds)))
        return
    print(f"{os.cpu_count()} processors, load before: {os.getloadavg()[0]:.2f}")
    few = measure_sales(FEW, options.rounds)
    many = (
        measure_folder(options.folder, options.rounds)
        if options.folder
        else measure_sales(options.sales, options.rounds, options.months)
    )
    print(f"medians of {options.rounds} rounds\n{'':<28}{FEW:>12,}{options.sales:>14,}    ratio  queries")
    for name, (milliseconds, queries) in many.items():
        ratio = milliseconds / few[name][0]
        within_limits = milliseconds <= MAX_MILLISECONDS and queries <= MAX_QUERIES and ratio <= MAX_RATIO
        mark = "" if within_limits else "  !"
        print(f"{name:<28}{few[name][0]:>9.0f} ms{milliseconds:>11.0f} ms{ratio:>9.1f}{queries:>9}{mark}")


def measure_sales(number: int, rounds: int, months: int | None = None) -> dict[str, tuple[float, int]]:
    with service() as measured:
        note(f"Loading {number:,} sales")
        if months:
            command = [sys.executable, "-m", "benchmarks.spread_sales", str(number), str(months)]
            subprocess.run(command, cwd=ROOT, env=measured.environment, check=True)
        else:
            measured.manage("load_demo", "--sales", str(number), "--until", "2021-06-30")
        return measure_with(measured.environment, rounds)


def measure_folder(folder: str, rounds: int) -> dict[str, tuple[float, int]]:
    return measure_with(Service(folder, {}).environment, rounds)


def measure_with(environment: Mapping[str, str], rounds: int) -> dict[str, tuple[float, int]]:
    command = [sys.executable, "-m", "benchmarks.admin_pages", "--measure", "--rounds", str(rounds)]
    output = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE).stdout
    results: dict[str, tuple[float, int]] = json.loads(output)
    return results


def measure(rounds: int) -> dict[str, tuple[float, int]]:
    """Return the median time in milliseconds and the number of queries of each page."""
    django.setup()
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) sales")  # autovacuum would do this later
    get = browser()
    times: dict[str, list[float]] = {}
    queries: dict[str, int] = {}
    urls = pages()
    for number in range(rounds + 1):
        for name, url in urls.items():
            start = time.perf_counter()
            get(url)
            if number:  # the first round is a warm-up
                times.setdefault(name, []).append((time.perf_counter() - start) * 1000)
    for name, url in urls.items():
        queries[name] = count_queries(lambda url=url: get(url))
    return {name: (median(page_times), queries[name]) for name, page_times in times.items()}


def browser() -> Callable[[str], None]:
    """Return a function that requests a page as a staff user who may view everything and change nothing."""
    from django.contrib.auth.models import Permission, User
    from django.test import Client

    user, _ = User.objects.get_or_create(username="benchmark", defaults={"is_staff": True})
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)

    def get(url: str) -> None:
        response = client.get(url)
        if response.status_code != 200:
            raise RuntimeError(f"{url} returned {response.status_code}")

    return get


def count_queries(request: Callable[[], None]) -> int:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        request()
    return sum(not query["sql"].startswith(TRANSACTION) for query in captured)


if __name__ == "__main__":
    main()
