"""POST /ingest: what is stored, what is rejected, and the messages."""

import json
import re
from decimal import Decimal

import pytest

from sales.categories import Category
from sales.models import Sale
from sales.totals.tests.helpers import unfolded
from salesengine.tests.clients import post, problem_of

pytestmark = pytest.mark.django_db


def errors_of(response):
    problem = problem_of(response, 400, "invalid-event")
    assert problem["error_count"] == len(problem["errors"])
    return {error["pointer"]: error["detail"] for error in problem["errors"]}


def test_a_single_event_returns_the_stored_sale(api, event):
    response = post(api, event)

    assert response.status_code == 201
    sale = Sale.objects.get()
    assert response.json() == event | {
        "ID": sale.pk,
        "DATE_PAYMENT": "2021-01-07T00:09:24Z",
        "REVENUE": 57.27456,
        "EVENT_ID": None,
    }
    assert (sale.id_order, sale.seller_country_id, sale.buyer_country_id) == ("34033734", "203", "170")
    assert (sale.brand, sale.category, sale.revenue) == ("Dsquared2", "clothing", Decimal("57.27456"))
    assert sale.date_payment.isoformat() == "2021-01-07T00:09:24+00:00"


def test_a_list_of_events_returns_counts(api, event):
    response = post(api, [event, event, event])

    assert (response.status_code, response.json()) == (201, {"accepted": 3, "duplicate": 0, "rejected": 0})
    assert Sale.objects.count() == 3


@pytest.mark.parametrize(("number", "status"), [(0, 200), (1, 201)])
def test_a_short_list_returns_counts_too(api, event, number, status):
    response = post(api, [event] * number)

    assert response.status_code == status
    assert response.json() == {"accepted": number, "duplicate": 0, "rejected": 0}
    assert Sale.objects.count() == number


def test_brand_and_category_may_be_null_or_missing(api, event):
    without = {name: value for name, value in event.items() if name not in {"BRAND", "CATEGORY"}}

    responses = [post(api, without), post(api, event | {"BRAND": None, "CATEGORY": None})]

    sales = [response.json() for response in responses]
    assert [response.status_code for response in responses] == [201, 201]
    assert [(sale["BRAND"], sale["CATEGORY"]) for sale in sales] == [(None, None)] * 2


@pytest.mark.parametrize(
    "text",
    [
        "57.27456",
        "-12.50",
        "0",
        "999999999999999.00000000000000000001",
        "0.1",
        "1e3",
        "0e99",
        "-0.00000000000000000001",
    ],
)
@pytest.mark.parametrize("notation", ["{}", '"{}"'])
def test_revenue_keeps_every_digit(api, event, text, notation):
    body = json.dumps(event | {"REVENUE": "?"}).replace('"?"', notation.format(text))

    response = post(api, body)

    assert response.status_code == 201, response.content
    assert Sale.objects.get().revenue == Decimal(text)
    returned = json.loads(response.content, parse_float=Decimal, parse_int=Decimal)["REVENUE"]
    assert returned == Decimal(text)


@pytest.mark.parametrize("text", ["-0", "-0.00", '"-0"', '"-0.0"', "-0e5"])
def test_a_negative_zero_is_zero(api, event, text):
    responses = [post(api, json.dumps(event | {"REVENUE": "?"}).replace('"?"', text)), api.get("/sales")]

    assert responses[0].status_code == 201
    assert not any(re.search(r'"REVENUE": ?-', response.content.decode()) for response in responses)


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2021-01-07 0:09:24", "2021-01-07T00:09:24+00:00"),
        ("2021-01-07T00:09:24Z", "2021-01-07T00:09:24+00:00"),
        ("2021-01-07T01:09:24+01:00", "2021-01-07T00:09:24+00:00"),
        ("2021-01-06T19:09:24-0500", "2021-01-07T00:09:24+00:00"),
        ("2021-01-07T00:09:24.123456", "2021-01-07T00:09:24.123456+00:00"),
        ("2021-01-07T00:09:24.123456789Z", "2021-01-07T00:09:24.123456+00:00"),
        ("2021-01-07T00:09", "2021-01-07T00:09:00+00:00"),
        ("2021-01-07", "2021-01-07T00:00:00+00:00"),
        ("1999-12-31T23:00:00-01:00", "2000-01-01T00:00:00+00:00"),
    ],
)
def test_a_date_is_stored_in_utc(api, event, sent, stored):
    assert post(api, event | {"DATE_PAYMENT": sent}).status_code == 201

    assert Sale.objects.get().date_payment.isoformat() == stored


def test_a_sale_from_an_unknown_country_is_stored(api, event):
    assert post(api, event | {"ID_SELLER_COUNTRY": "no such country"}).status_code == 201

    assert Sale.objects.get().seller_country_id == "no such country"


def test_ids_of_64_characters_of_any_script_are_stored(api, event):
    assert post(api, event | {"ID_ORDER": "\N{PILE OF POO}é" * 32}).status_code == 201

    assert Sale.objects.get().id_order == "\N{PILE OF POO}é" * 32


def test_every_invalid_field_of_every_event_is_listed(api, event):
    invalid = {name: value for name, value in event.items() if name != "ID_ORDER"} | {"CATEGORY": "toys", "a/b~c": 1}

    errors = errors_of(post(api, [event, 7, event, invalid, event | {"REVENUE": True}]))

    assert set(errors) == {"/1", "/3/ID_ORDER", "/3/CATEGORY", "/3/a~1b~0c", "/4/REVENUE"}
    assert errors["/1"] == "must be an object with the fields of a sale event"
    assert errors["/3/ID_ORDER"] == "is required"
    assert all(category in errors["/3/CATEGORY"] for category in Category.values)
    assert "not a field of a sale event" in errors["/3/a~1b~0c"]
    assert "must be a number" in errors["/4/REVENUE"]


def test_one_invalid_event_rejects_the_whole_list(api, event):
    response = post(api, [event, event | {"REVENUE": "much"}])

    assert response.json()["detail"] == "Found 1 error in 2 events. Nothing was stored."
    for body in ([7], 7):
        assert post(api, body).json()["detail"] == "Found 1 error in 1 event. Nothing was stored."
    assert not Sale.objects.exists()
    assert not unfolded().exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ID_ORDER": 34033734}, "must be text, in quotes"),
        ({"ID_ORDER": None}, "must be text, in quotes"),
        ({"ID_ORDER": ""}, "must not be empty"),
        ({"ID_ORDER": "x" * 65}, "must have at most 64 characters"),
        ({"ID_ORDER": "a\0b"}, "must not contain the character NUL"),
        ({"BRAND": ""}, "must not be empty"),
        ({"BRAND": "x" * 257}, "must have at most 256 characters"),
        ({"BRAND": "\0"}, "must not contain the character NUL"),
        ({"BRAND": ["Dsquared2"]}, "must be text, in quotes"),
        ({"CATEGORY": "Clothing"}, "must be null or one of clothing, shoes"),
        ({"CATEGORY": {}}, "must be null or one of clothing, shoes"),
        ({"DATE_PAYMENT": 1609978164}, "must be an ISO 8601 date and time, such as 2021-01-07T00:09:24Z"),
        ({"DATE_PAYMENT": "1609978164"}, "must be an ISO 8601 date and time"),
        ({"DATE_PAYMENT": "07/01/2021"}, "must be an ISO 8601 date and time"),
        ({"DATE_PAYMENT": "2021-02-29T00:00:00"}, "is not a valid date and time: day is out of range for month"),
        ({"DATE_PAYMENT": "2021-01-07T24:30:00"}, "is not a valid date and time"),
        ({"DATE_PAYMENT": "0000-01-01T00:00:00"}, "is not a valid date and time: year 0 is out of range"),
        ({"DATE_PAYMENT": "10000-01-01T00:00:00"}, "must be an ISO 8601 date and time"),
        ({"DATE_PAYMENT": "0001-01-01T00:00:00+01:00"}, "must be in the years 1 to 9999 (UTC)"),
        ({"DATE_PAYMENT": "9999-12-31T23:59:59-01:00"}, "must be in the years 1 to 9999 (UTC)"),
        ({"DATE_PAYMENT": "2021-01-07T10:00+10:99"}, "must be an ISO 8601 date and time"),
        ({"DATE_PAYMENT": "2021-01-07T10:00+24:00"}, "must be an ISO 8601 date and time"),
        ({"DATE_PAYMENT": "٢٠٢١-01-07"}, "must be an ISO 8601 date and time"),
        ({"REVENUE": None}, "must be a number, such as 57.27456"),
        ({"REVENUE": ""}, "must be a number, such as 57.27456"),
        ({"REVENUE": "NaN"}, "must be a number, such as 57.27456"),
        ({"REVENUE": "-Infinity"}, "must be a number, such as 57.27456"),
        ({"REVENUE": "1_000"}, "must be a number, such as 57.27456"),
        ({"REVENUE": "1,5"}, "must be a number, such as 57.27456"),
        ({"REVENUE": 10**15}, "must be less than 10^15"),
        ({"REVENUE": -(10**15)}, "greater than -10^15"),
        ({"REVENUE": "1e999999999"}, "must be a number, such as 57.27456"),
        ({"REVENUE": int("9" * 1000)}, "must be less than 10^15"),
        ({"REVENUE": "0.000000000000000000001"}, "must have at most 20 decimals"),
    ],
)
def test_an_invalid_value_is_rejected_with_a_plain_message(api, event, change, words):
    errors = errors_of(post(api, event | change))

    [(pointer, detail)] = errors.items()
    assert pointer == "/" + next(iter(change))
    assert words in detail
    assert not Sale.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n",
        b"{",
        b"ID_ORDER=1",
        b"nothing",
        b'{"REVENUE": NaN}',
        b'{"REVENUE": Infinity}',
        b'{"REVENUE": -Infinity}',
        b'{"REVENUE": ' + b"9" * 5_000 + b"}",
        b'{"REVENUE": 1e999999999999999999999999999999}',
        b'{"ID_ORDER": "\\ud800"}',
        b'{"ID_ORDER": "\xff"}',
        b'{"ID_ORDER": "\xed\xa0\x80"}',
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"ID_ORDER": "1", "ID_ORDER": "2"}',
        "{}".encode("utf-16"),
        b"[{}] trailing",
    ],
    ids=range(18),
)
def test_a_body_that_is_not_json_is_rejected(api, body):
    response = post(api, body)

    assert errors_of(response) == {}
    assert "body" in response.json()["detail"]
    assert not Sale.objects.exists()


@pytest.mark.parametrize("body", [b"7", b'"text"', b"null", b"true"])
def test_json_that_is_neither_object_nor_list_is_rejected(api, body):
    assert errors_of(post(api, body)) == {"": "must be an object with the fields of a sale event"}


def test_a_json_error_has_its_position(api):
    response = post(api, b'{"ID_ORDER": "1", }')

    assert "line 1 column 19" in response.json()["detail"]


def test_more_than_ten_megabytes_are_too_large(api, event, settings):
    response = post(api, b" " * (settings.INGEST_MAX_BYTES + 1))

    assert response.status_code == 413
    assert response["Content-Type"] == "application/problem+json"
    assert "10,000,000 bytes" in response.json()["detail"]


def test_exactly_ten_megabytes_are_accepted(api, event, settings):
    body = json.dumps(event).encode().ljust(settings.INGEST_MAX_BYTES)

    assert post(api, body).status_code == 201


def test_too_many_events_are_too_large(api, event, settings):
    settings.INGEST_MAX_EVENTS = 2

    response = post(api, [event] * 3)

    assert response.status_code == 413
    assert "at most 2 events, and this one has 3" in response.json()["detail"]
    assert not Sale.objects.exists()


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_another_content_type_is_rejected(api, event, content_type):
    response = post(api, event, content_type)

    assert response.status_code == 415
    assert "Content-Type: application/json" in response.json()["detail"]


def test_a_content_type_with_a_charset_is_accepted(api, event):
    assert post(api, event, "application/json; charset=utf-8").status_code == 201


def test_another_content_encoding_is_rejected(api, event):
    response = post(api, event, **{"Content-Encoding": "br"})

    assert response.status_code == 415
    assert "Content-Encoding" in response.json()["detail"]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_another_method_is_rejected(api, method):
    response = api.generic(method, "/ingest")

    assert (response.status_code, response["Allow"]) == (405, "POST, OPTIONS")
    assert response["Content-Type"] == "application/problem+json"


def test_an_event_with_a_great_many_fields_is_one_error(api, event):
    many = event | {f"field {number}": number for number in range(1_000)}

    assert errors_of(post(api, [event, many])) == {
        "/1": "must have only the fields of a sale event; it has 1010 fields"
    }


def test_a_long_list_of_errors_is_truncated_but_counted(api, settings):
    response = post(api, [{}] * 2_000)

    problem = response.json()
    assert response.status_code == 400
    assert problem["detail"] == "Found 16,000 errors in 2,000 events. Nothing was stored."
    assert (problem["error_count"], len(problem["errors"])) == (16_000, 1_000)
    assert [problem["errors"][index]["pointer"] for index in (0, 999)] == ["/0/ID_ORDER", "/124/REVENUE"]
