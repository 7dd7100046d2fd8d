"""The URL of the list of sales with given values leads to these sales."""

import datetime

import pytest

from sales.backoffice.links import sales_url
from sales.ingest.writer import record_sales
from sales.tests.helpers import sale_event

pytestmark = pytest.mark.django_db

NIGHT = datetime.datetime(2021, 1, 2, 23, 59, 59, 999999, tzinfo=datetime.UTC)
ODD = "a&b=c #+%'\"<é>"


@pytest.fixture(autouse=True)
def sales():
    record_sales(
        [
            sale_event(ID_ORDER="o1", ID_PRODUCT="p1", ID_BUYER="b1", ID_SELLER="s1", BRAND="x", CATEGORY="shoes"),
            sale_event(ID_ORDER=ODD, ID_PRODUCT="p1", ID_SELLER_COUNTRY="7", BRAND=ODD, CATEGORY="design & decoration"),
            sale_event(ID_ORDER="o1", ID_BUYER_COUNTRY="8", BRAND=None, CATEGORY=None, DATE_PAYMENT=NIGHT.isoformat()),
        ]
    )


@pytest.mark.parametrize(
    ("filters", "number"),
    [
        ({}, 3),
        ({"id_order": "o1"}, 2),
        ({"id_order": ODD}, 1),
        ({"id_order": "O1"}, 0),
        ({"id_product": "p1", "id_order": "o1"}, 1),
        ({"id_buyer": "b1"}, 1),
        ({"id_seller": "s1"}, 1),
        ({"id_seller_country": "7"}, 1),
        ({"id_buyer_country": "8"}, 1),
        ({"id_buyer_country": "9"}, 0),
        ({"brand": "x"}, 1),
        ({"brand": ODD}, 1),
        ({"brand": None}, 1),
        ({"category": "design & decoration"}, 1),
        ({"category": None}, 1),
        ({"category": None, "brand": "x"}, 0),
        ({"id_order": None, "start": None}, 3),
        ({"start": datetime.date(2021, 1, 2), "end": datetime.date(2021, 1, 2)}, 1),
        ({"start": NIGHT, "end": NIGHT}, 1),
        ({"start": NIGHT.astimezone(datetime.timezone(datetime.timedelta(hours=5)))}, 3),
        ({"end": datetime.date(2021, 1, 1)}, 0),
    ],
)
def test_the_url_lists_the_sales_with_these_values(admin_client, filters, number):
    assert len(admin_client.get(sales_url(filters)).context["cl"].result_list) == number
