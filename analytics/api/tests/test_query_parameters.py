"""Query parameters of GET /reports/{name} are parsed, checked and bound."""

from decimal import Decimal

import pytest

from analytics.api.tests.helpers import ALL_TYPES, ALL_VALUES, errors_of, get, rows
from analytics.models import ReportRun

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "reports"])

INVALID = {
    "day": "2021-02-30",
    "moment": "noon",
    "number": "10",
    "share": "1e3",
    "words": "a\0b",
    "size": "medium",
    "category": "sofas",
    "country": "1" * 65,
    "sure": "yes",
    "needed": "",
    "limit": "0",
    "format": "pdf",
    "sort": "day",
}


@pytest.fixture
def report(write_report):
    return write_report(ALL_VALUES, header=ALL_TYPES)


def test_each_value_is_bound(api, report):
    values = {
        "day": "2021-02-28",
        "moment": "2021-01-07T01:09:24+01:00",
        "number": "9",
        "share": "0.10000000000000000001",
        "words": "a",
        "size": "large",
        "category": "shoes",
        "country": "170",
        "sure": "false",
        "needed": "x",
    }
    assert rows(get(api, values)) == [
        values
        | {
            "moment": "2021-01-07T00:09:24Z",
            "number": 9,
            "share": Decimal("0.10000000000000000001"),
            "sure": False,
        }
    ]


def test_a_missing_parameter_has_its_default_and_an_empty_one_is_null(api, report):
    [row] = rows(get(api, {"needed": "x", "number": ""}))

    assert (row["day"], row["number"], row["sure"], row["size"]) == ("2021-01-07", None, True, None)


def test_all_invalid_parameters_are_named_at_once_and_nothing_runs(api, report):
    errors = errors_of(get(api, INVALID))

    assert errors.keys() == INVALID.keys()
    assert errors["number"] == "must be at most 9"
    assert errors["needed"] == "is required"
    assert errors["sort"].startswith("is not a parameter of this report; its parameters are day, moment,")
    assert errors["sort"].endswith(", format, limit")
    assert not ReportRun.objects.exists()


@pytest.mark.parametrize("name", INVALID)
def test_each_invalid_parameter_is_refused(api, report, name):
    assert errors_of(get(api, {"needed": "x"} | {name: INVALID[name]})).keys() == {name}


@pytest.mark.parametrize("name", ["needed", "format", "limit", "unknown"])
def test_a_repeated_parameter_is_refused(api, report, name):
    assert errors_of(get(api, {"needed": "x"} | {name: ["1", "1"]}))[name] == "must be given once"


@pytest.mark.parametrize("limit", ["-1", "0", "1000001", "1e3", "", "ten", "٣", "9" * 5_000])
def test_an_invalid_limit_is_refused(api, write_report, limit):
    write_report("SELECT 1 AS one")

    assert errors_of(get(api, {"limit": limit})) == {"limit": "must be a whole number from 1 to 1000000"}


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE sales; --",
        '"quotes" and \\ and \\\'',
        "/* comment */ -- comment",
        "100 % %s %(words)s %%",
        "$1 $$ {0}",
        "two\nlines\r\n\ttabs",
        "🙂 \u202e ﷽",
        "a" * 1_000_000,
    ],
    ids=lambda text: text[:10],
)
def test_hostile_text_is_only_a_value(api, write_report, text):
    write_report("SELECT %(words)s AS words, '%%s' AS percent", header='[parameters.words]\ntype = "text"\n')

    assert rows(get(api, {"words": text})) == [{"words": text, "percent": "%%s"}]
