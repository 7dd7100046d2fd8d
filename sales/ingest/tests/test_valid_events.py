"""Events that are read fast are exactly those that `schema` accepts, with the same values."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sales.ingest.batches import parse_each, read_json, read_ndjson
from sales.ingest.fields import FIELDS
from sales.ingest.schema import EXAMPLE, validate_events
from sales.ingest.valid_events import read_each_valid, read_valid_list

EVENT = json.dumps(EXAMPLE)
TEXTS = [name for name, field in FIELDS.items() if field.max_length]


def with_pair(pair):
    """Return the text of the example with one more key and value, which may repeat a key."""
    return f"{EVENT[:-1]}, {pair}}}"


def with_value(name, text):
    """Return the text of the example with this JSON text as the value of a field."""
    return json.dumps({key: value for key, value in EXAMPLE.items() if key != name})[:-1] + f', "{name}": {text}}}'


def is_read_fast(text):
    """Return whether the fast readers accept the event, after comparing what they return with what `schema` does."""
    checked = validate_events(parse_each([text.encode()]))
    results = [read_valid_list(f"[{text}]".encode()), read_each_valid([text.encode()])]
    for events in results:
        if events is not None:
            assert not checked.errors
            # As text, because 1.50 equals 1.5.
            assert [sorted(map(str, event.items())) for event in events] == [
                sorted(map(str, event.items())) for event in checked.events
            ]
    assert results[0] == results[1]
    return results[0] is not None


@pytest.mark.parametrize(
    "text",
    [
        EVENT,
        EVENT.replace(": ", ":"),
        EVENT.replace(": ", " :\t"),
        with_value("DATE_PAYMENT", '"2021-01-07T00:09:24Z"'),
        with_value("DATE_PAYMENT", '"2021-01-07 00:09:24.123456789+00:00"'),
        with_value("DATE_PAYMENT", '"2021-01-07T01:09:24+01:00"'),
        with_value("DATE_PAYMENT", '"2021-01-07"'),
        with_value("REVENUE", "57.50"),
        with_value("REVENUE", "-1"),
        with_value("REVENUE", "-0"),
        with_value("REVENUE", "-0.0"),
        with_value("REVENUE", "1E+3"),
        with_value("REVENUE", '"+1e3"'),
        with_value("REVENUE", '"-0.50"'),
        with_value("BRAND", "null"),
        with_value("CATEGORY", "null"),
        with_value("BRAND", r'"\u00e9 \"quoted\" \\\\ \ud83d\ude00"'),
        with_value("BRAND", r'"\\"'),
        with_value("BRAND", r'"\\u0000"'),
        with_pair('"EVENT_ID": "e-1"'),
        with_pair(r'"EVENT_\u0049D": null'),
    ],
)
def test_a_valid_event_is_read_fast_with_the_same_values(text):
    assert is_read_fast(text)


def test_a_single_event_is_read_fast_too():
    batch = read_json(EVENT.encode())

    assert (batch.is_valid, batch.is_list) == (True, False)
    assert batch.values == validate_events([EXAMPLE]).events


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "null",
        "[]",
        with_pair('"ID_ORDER": "repeated"'),
        with_pair('"REVENUE": 1'),
        with_pair('"BRAND" :null'),
        with_pair(r'"BR\u0041ND": null'),
        with_pair('"unknown": 1'),
        with_pair('"": [{"a": "b"}]'),
        with_value("BRAND", r'"\u0000"'),
        with_value("BRAND", r'"\\\u0000"'),
        with_value("BRAND", r'"\ud800"'),
        with_value("BRAND", '""'),
        with_value("BRAND", "7"),
        with_value("CATEGORY", '"hats"'),
        with_value("DATE_PAYMENT", "7"),
        with_value("DATE_PAYMENT", "null"),
        with_value("DATE_PAYMENT", '"2021-02-30T00:00:00Z"'),
        with_value("DATE_PAYMENT", '"1969-12-31T23:59:59Z"'),
        with_value("DATE_PAYMENT", '"9999-01-01T00:00:00Z"'),
        with_value("DATE_PAYMENT", r'"2021-01-07T00:09:24Z\n2021-01-07T00:09:24Z"'),
        with_value("REVENUE", "null"),
        with_value("REVENUE", "true"),
        with_value("REVENUE", "[1]"),
        with_value("REVENUE", "1e15"),
        with_value("REVENUE", "1e999999999999999999999"),
        with_value("REVENUE", "9" * 5_000),
        with_value("REVENUE", f'"0.{"0" * 20}1"'),
        *(
            with_value("REVENUE", f'"{text}"')
            for text in ("", " 1", r"1\n", r"1\n2", "1_000", "NaN", "Infinity", "\u0661")
        ),
    ],
)
def test_an_event_that_is_not_valid_is_never_read_fast(text):
    assert not is_read_fast(text)


@pytest.mark.parametrize("name", TEXTS)
def test_the_limits_of_a_text_are_those_of_the_schema(name):
    longest = "é" * FIELDS[name].max_length
    assert is_read_fast(with_value(name, f'"{longest}"'))
    assert not is_read_fast(with_value(name, f'"{longest}é"'))
    assert not is_read_fast(with_value(name, '""'))


@pytest.mark.parametrize("name", FIELDS)
def test_only_an_optional_field_may_be_missing_or_null(name):
    without = json.dumps({key: value for key, value in EXAMPLE.items() if key != name})
    assert is_read_fast(without) != FIELDS[name].is_required
    assert is_read_fast(with_value(name, "null")) != FIELDS[name].is_required


JSON_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
    st.sampled_from(["bags", "2021-01-07T00:09:24Z", "2021-01-07 0:09", "1.50", "-0", ' "', "\\", "\0"]),
    st.just([]),
)


@given(
    st.lists(st.tuples(st.sampled_from([*FIELDS, "x"]), JSON_VALUES), max_size=3),
    st.booleans(),
    st.sampled_from([(", ", ": "), (",", ":"), (" ,\t", " : ")]),
)
def test_random_events_are_read_as_the_schema_reads_them(pairs, ascii_only, separators):
    """The pairs are appended as text, so a key may be repeated."""
    text = json.dumps(EXAMPLE, separators=separators)
    for name, value in pairs:
        addition = json.dumps({name: value}, ensure_ascii=ascii_only, separators=separators)
        base = json.dumps({key: val for key, val in json.loads(text).items() if key != name or value == "\0"})
        text = f"{base[:-1]},{addition[1:]}"
    is_read_fast(text)


@pytest.mark.parametrize(
    "read",
    [lambda texts: read_json(f"[{','.join(texts)}]".encode()), lambda texts: read_ndjson("\n".join(texts).encode())],
)
def test_one_invalid_event_leaves_the_valid_ones_of_its_batch_unchanged(read):
    good = with_value("REVENUE", "1.50")
    whole, mixed = read([good, good]), read([good, with_pair('"ID_ORDER": "repeated"'), good])
    assert (whole.is_valid, mixed.is_valid) == (True, False)
    assert whole.validate(count_only=True).events == mixed.validate(count_only=True).events
    assert [event["REVENUE"] for event in whole.validate(count_only=True).events] == [Decimal("1.50")] * 2
    assert list(mixed.validate(count_only=True).errors) == [1]
    assert whole.texts() == [good.encode()] * 2
