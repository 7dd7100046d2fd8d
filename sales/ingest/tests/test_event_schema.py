"""The OpenAPI document describes the sale event as the service takes it."""

import pytest
from jsonschema import Draft202012Validator

from sales.ingest.schema import EVENT, EXAMPLE, validate_event

SCHEMA = Draft202012Validator(EVENT.json_schema())


def test_the_example_is_valid():
    SCHEMA.validate(EXAMPLE)


@pytest.mark.parametrize("paid", ["2021-01-07", "2021-01-07T5:09", "2021-01-07 00:09:24,5+0100", "2021-01-07T00:09Z"])
def test_every_form_of_a_date_is_valid(paid):
    event = EXAMPLE | {"DATE_PAYMENT": paid}

    assert isinstance(validate_event(event), dict)
    SCHEMA.validate(event)


@pytest.mark.parametrize("paid", ["7.1.2021", "2021-1-7", "2021-01-07T", "", None])
def test_other_dates_are_invalid(paid):
    event = EXAMPLE | {"DATE_PAYMENT": paid}

    assert isinstance(validate_event(event), list)
    assert not SCHEMA.is_valid(event)


def test_what_a_schema_cannot_say_is_described():
    descriptions = {name: field.get("description", "") for name, field in SCHEMA.schema["properties"].items()}

    assert "from 2000-01-01 to 366 days after today" in descriptions["DATE_PAYMENT"]
    assert "at most 20 decimals" in descriptions["REVENUE"]
