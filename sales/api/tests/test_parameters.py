"""Query parameters: their meaning, and the messages for invalid ones."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sales.api.parameters import (
    SalesCursor,
    SalesQuery,
    parse_cursor,
    parse_feedback_query,
    parse_sales_query,
    write_cursor,
)
from sales.totals.feedback import FeedbackQuery
from salesengine.http.errors import InvalidInput

UTC = datetime.UTC
DAY = datetime.datetime(2021, 1, 7, tzinfo=UTC)


def errors_of(parse, parameters):
    with pytest.raises(InvalidInput) as caught:
        parse(parameters)
    return {error["parameter"]: error["detail"] for error in caught.value.errors}


def test_without_parameters_every_sale_matches():
    assert parse_feedback_query({}) == FeedbackQuery()
    assert parse_sales_query({}) == SalesQuery(filters={}, start=None, stop=None, limit=100, after=None)


@pytest.mark.parametrize("parse", [parse_feedback_query, parse_sales_query])
class TestPeriods:
    @pytest.mark.parametrize(
        ("end_date", "stop"),
        [
            ("2021-01-07", DAY + datetime.timedelta(days=1)),
            ("2021-01-07T00:00:00", DAY + datetime.timedelta(microseconds=1)),
            ("2021-01-07T02:00:00+02:00", DAY + datetime.timedelta(microseconds=1)),
            ("9999-12-31", None),
            ("9999-12-31T23:59:59.999999", None),
        ],
    )
    def test_an_end_is_included_and_a_date_means_its_whole_day(self, parse, end_date, stop):
        query = parse({"start_date": ["2021-01-07"], "end_date": [end_date]})

        assert (query.start, query.stop) == (DAY, stop)

    def test_an_end_before_the_start_is_an_error(self, parse):
        errors = errors_of(parse, {"start_date": ["2021-01-08"], "end_date": ["2021-01-07"]})

        assert errors == {"end_date": "must not be before start_date"}

    def test_every_invalid_parameter_is_listed(self, parse):
        errors = errors_of(parse, {"category": ["toys"], "start_date": ["soon"], "end_date": ["a", "b"], "page": ["2"]})

        assert errors["category"].startswith("must be one of clothing, shoes")
        assert errors["start_date"].startswith("must be an ISO 8601 date and time")
        assert errors["end_date"] == "must be given once"
        assert errors["page"].startswith("is unknown; the parameters are ")
        assert "category, start_date, end_date" in errors["page"]


class TestSalesParameters:
    def test_the_filters_are_the_parameters_sent(self):
        query = parse_sales_query({"id_buyer": ["7"], "category": ["bags"], "limit": ["5"]})

        assert query.filters == {"id_buyer": "7", "category": "bags"}

    def test_an_empty_category_or_brand_matches_sales_without_one(self):
        assert parse_sales_query({"category": [""], "brand": [""]}).filters == {"category": None, "brand": None}

    @pytest.mark.parametrize("text", ["", "a\0b", "x" * 65])
    def test_an_id_that_no_sale_can_have_is_an_error(self, text):
        errors = errors_of(parse_sales_query, {"id_seller_country": [text]})

        assert errors == {"id_seller_country": "must be text of 1 to 64 characters, without the character NUL"}

    @pytest.mark.parametrize("text", ["a\0b", "x" * 257])
    def test_a_brand_that_no_sale_can_have_is_an_error(self, text):
        errors = errors_of(parse_sales_query, {"brand": [text]})

        assert errors == {"brand": "must be text of 1 to 256 characters, without the character NUL"}

    @pytest.mark.parametrize(("text", "limit"), [("1", 1), ("1000", 1000), ("0050", 50)])
    def test_a_limit_is_a_number_of_sales(self, text, limit):
        assert parse_sales_query({"limit": [text]}).limit == limit

    @pytest.mark.parametrize("text", ["0", "1001", "-1", "", "1.0", "ten", "1_0", "٣", "9" * 5_000])
    def test_any_other_limit_is_an_error(self, text):
        errors = errors_of(parse_sales_query, {"limit": [text]})

        assert errors == {"limit": "must be a whole number from 1 to 1000"}


class TestCursors:
    @given(st.datetimes(timezones=st.just(UTC)), st.integers(1, 2**63 - 1))
    def test_a_cursor_decodes_to_the_position_it_encodes(self, timestamp, sale_id):
        assert parse_cursor(write_cursor(SalesCursor(timestamp, sale_id))) == SalesCursor(timestamp, sale_id)

    @given(
        st.text() | st.binary(min_size=16, max_size=16).map(bytes.hex) | st.text("AQgw-_=", min_size=21, max_size=24)
    )
    def test_any_other_text_is_an_error(self, text):
        try:
            cursor = parse_cursor(text)
        except ValueError as error:
            assert str(error) == "must be the cursor of an earlier response, unchanged"  # noqa: PT017
        else:
            assert write_cursor(cursor) == text

    @pytest.mark.parametrize("change", ["{}=", "{}==", " {}", "{}A", "{}\n", "é{}", "!{}", "A{}", ""])
    def test_a_changed_cursor_is_an_error(self, change):
        text = change.format(write_cursor(SalesCursor(DAY, 7)))

        errors = errors_of(parse_sales_query, {"cursor": [text]})

        assert errors == {"cursor": "must be the cursor of an earlier response, unchanged"}

    def test_a_cursor_after_the_year_9999_is_an_error(self):
        assert "cursor" in errors_of(parse_sales_query, {"cursor": ["f_________________" + "AAAA"]})
