"""Pages write all numbers in one format. Exports and the API have every digit."""

import re
from itertools import cycle, islice

import pytest
from django.db import connection
from rest_framework.test import APIClient

from analytics.backoffice.tests.pages import LIST
from analytics.definitions.reports import get_report, load_reports
from analytics.running.runner import run
from countries.models import Country
from sales.ingest.writer import record_sales
from sales.models import Sale
from sales.tests.helpers import sale_event
from salesengine.tests.clients import rows_of, text_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

NOT_TEXT = re.compile(r'<(script|style|datalist).*?</\1>|<details class="report-sql">.*?</details>', re.DOTALL)
DECIMAL = re.compile(r"(?<![0-9:])-?[0-9][0-9,]*\.[0-9]+(?: ?%)?")
AS_ON_ALL_PAGES = re.compile(r"-?[0-9]{1,3}(,[0-9]{3})*\.([0-9]{2}|[0-9]%)")
# Counts that are on the pages. The ids of sales have no separators either, but are larger here.
WITHOUT_SEPARATOR = re.compile(r"(?<![0-9])(1201|1001|1051)(?![0-9])")
REPORTS = [report.name for report in load_reports()]


@pytest.fixture
def awkward_sales():
    """Store 1,201 sales of one buyer and one seller on one day. Revenues have different numbers of decimals."""
    Country.objects.create(pk="FR", country_name="France", continent="Europe")
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('sales_id_seq', nextval('sales_id_seq') + 2000)")
    ids = dict.fromkeys(("ID_ORDER", "ID_PRODUCT", "ID_BUYER", "ID_SELLER"), "x")
    revenues = islice(cycle(["12.5", "79.7", "113.50195", "1234567", "-0.001", "98765.4321"]), 1201)
    record_sales(
        [sale_event(**ids, REVENUE=revenue, ID_SELLER_COUNTRY="FR", ID_BUYER_COUNTRY="US") for revenue in revenues]
    )


def text_on(client, address, **query):
    """Return what a page shows between its frame, without tooltips."""
    response = client.get(address, query)
    assert response.status_code == 200
    page = text_of(response)
    return re.sub("<[^>]*>", " ", NOT_TEXT.sub("", page[page.index('id="content') :]))


def odd_decimals(text):
    return [number for number in DECIMAL.findall(text) if not AS_ON_ALL_PAGES.fullmatch(number)]


@pytest.mark.usefixtures("awkward_sales")
@pytest.mark.parametrize(
    ("address", "query"),
    [
        ("/admin/", {"until": "2021-01-07"}),
        ("/admin/sales/sale/", {}),
        ("/admin/sales/sale/", {"revenue_from": "-1234.5", "revenue_to": "1234567.891", "totals": "1"}),
        ("/admin/sales/buyer/x/", {}),
        ("/admin/sales/seller/x/", {}),
        ("/admin/countries/country/", {}),
        *((f"{LIST}{name}/", {"run": "whole"}) for name in REPORTS),
    ],
)
def test_every_page_writes_numbers_in_the_same_format(admin_client, address, query):
    text = text_on(admin_client, address, **query)

    assert DECIMAL.search(text) or "cohorts" in address
    assert odd_decimals(text) == []
    assert WITHOUT_SEPARATOR.findall(text) == []


@pytest.mark.usefixtures("awkward_sales")
def test_the_page_of_a_sale_writes_numbers_in_the_same_format(admin_client):
    assert odd_decimals(text_on(admin_client, f"/admin/sales/sale/{Sale.objects.latest('pk').pk}/change/")) == []


@pytest.mark.usefixtures("awkward_sales")
@pytest.mark.parametrize("name", REPORTS)
def test_every_number_of_a_report_has_a_format(name):
    report = get_report(name)
    with run(report, report.parse({})) as result:
        numbers = {column.name for column in result.columns if column.is_number} - {"id", "months_since"}

    formats = {name: column.format for name, column in report.header.columns.items()}
    assert {name for name in numbers if formats.get(name) not in {"money", "percent", "count"}} == set()


def test_exports_and_the_api_have_every_digit_of_a_number_with_a_format(admin_client, write_report):
    header = "".join(f'[columns.{name}]\nformat = "{name}"\n' for name in ("count", "money", "percent"))
    write_report("SELECT 1234567 AS count, 1234.5678 AS money, 12.3456 AS percent", header=header)

    page = text_of(admin_client.get(f"{LIST}probe/", {"run": "whole"}))
    assert rows_of(page) == [["1,234,567", "1,234.57", "12.3%"]]
    assert b"".join(admin_client.get(f"{LIST}probe.csv")) == b"count,money,percent\n1234567,1234.5678,12.3456\n"
    response = APIClient().get("/reports/probe")
    assert b"".join(response) == b'[\n{"count":1234567,"money":1234.5678,"percent":12.3456}\n]\n'
