"""Each type of parameter parses its texts, and text stays a value in SQL."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import ValidationError

from analytics.definitions.parameters import InvalidParametersError, Parameter, parse_parameters, to_text
from analytics.running.runner import run

FRANCE = "170"


def parameter(kind, **rest):
    if kind == "choice":
        rest.setdefault("choices", ("revenue", "sales"))
    return Parameter(type=kind, **rest)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("date", "2021-02-28", date(2021, 2, 28)),
        ("date", "yesterday", datetime.now(UTC).date() - timedelta(days=1)),
        ("datetime", "2021-01-07T00:09:24Z", datetime(2021, 1, 7, 0, 9, 24, tzinfo=UTC)),
        ("datetime", "2021-01-07T01:09:24.5+01:00", datetime(2021, 1, 7, 0, 9, 24, 500_000, tzinfo=UTC)),
        ("datetime", "2021-01-07T00:09", datetime(2021, 1, 7, 0, 9, tzinfo=UTC)),
        ("datetime", "2021-01-07", datetime(2021, 1, 7, tzinfo=UTC)),
        ("integer", "-12", -12),
        ("integer", "9223372036854775807", 2**63 - 1),
        ("decimal", "0.10", Decimal("0.10")),
        ("decimal", "-123456789012345.12345678901234567890", Decimal("-123456789012345.12345678901234567890")),
        ("text", "  d'Artagnan; -- %s", "  d'Artagnan; -- %s"),
        ("choice", "sales", "sales"),
        ("category", "design & decoration", "design & decoration"),
        ("country", FRANCE, FRANCE),
        ("boolean", "true", True),
        ("boolean", "false", False),
    ],
)
def test_a_type_parses_its_texts_and_writes_them_again(kind, text, value):
    parsed = parameter(kind).parse(text)
    assert (parsed, type(parsed)) == (value, type(value))
    assert parameter(kind).parse(to_text(parsed)) == value


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("date", "2021-02-30", "must be a date, such as 2021-01-31"),
        ("date", "soon", "first day of last month"),
        ("date", "9999 years ago", "must be in the years 1 to 9999"),
        ("datetime", "noon", "must be an ISO 8601 date and time"),
        ("datetime", "0001-01-01T00:00+14:00", "years 1 to 9999"),
        ("integer", "1.5", "must be a whole number"),
        ("integer", "9223372036854775808", "must be a whole number"),
        ("integer", "١٢", "must be a whole number"),
        ("decimal", "1e5", "must be a number, such as 57.25"),
        ("decimal", "NaN", "must be a number"),
        ("decimal", "1" * 31, "must be a number"),
        ("text", "a\0b", "must not contain the character NUL"),
        ("text", "\ud800", "must be valid UTF-8 text"),
        ("choice", "Sales", "must be one of revenue, sales"),
        ("category", "cars", "must be one of clothing, shoes"),
        ("country", "1" * 65, "at most 64 characters"),
        ("boolean", "yes", "must be true or false"),
    ],
)
def test_an_invalid_text_is_refused_with_a_hint(kind, text, message):
    with pytest.raises(ValueError, match=message):
        parameter(kind).parse(text)


def test_a_number_must_be_between_minimum_and_maximum():
    limited = parameter("integer", minimum=1, maximum=3)
    assert [limited.parse(text) for text in "123"] == [1, 2, 3]
    with pytest.raises(ValueError, match="must be at least 1"):
        limited.parse("0")
    with pytest.raises(ValueError, match="must be at most 3"):
        limited.parse("4")


def test_a_default_is_for_a_missing_parameter_and_not_for_an_empty_one():
    parameters = {"n": parameter("integer", default=5)}
    assert parse_parameters(parameters, {}).values == {"n": 5}
    assert parse_parameters(parameters, {"n": ""}).values == {"n": None}
    assert parse_parameters(parameters, {"n": ""}).texts == {"n": ""}


def test_a_default_can_be_any_toml_value():
    defaults = {"date": date(2021, 1, 7), "integer": 5, "boolean": True, "text": "x"}
    assert {kind: parameter(kind, default=value).default_text for kind, value in defaults.items()} == {
        "date": "2021-01-07",
        "integer": "5",
        "boolean": "true",
        "text": "x",
    }


def test_all_invalid_parameters_are_named():
    with pytest.raises(InvalidParametersError) as caught:
        parse_parameters({"n": parameter("integer"), "must": parameter("text", required=True)}, {"n": "x", "other": ""})
    assert caught.value.errors == {
        "n": "must be a whole number, such as 12",
        "must": "is required",
        "other": "is not a parameter of this report; its parameters are n, must",
    }


@pytest.mark.parametrize("kind", ["date", "datetime"])
def test_the_end_must_not_be_before_the_start(kind):
    period = {"start": parameter(kind), "end": parameter(kind)}
    with pytest.raises(InvalidParametersError, match=r"^end is before the start of the period, 2021-02-01"):
        parse_parameters(period, {"start": "2021-02-01", "end": "2021-01-31"})
    for texts in ({"start": "2021-02-01", "end": "2021-02-01"}, {"end": "2021-01-31"}, {"start": "2021-02-01"}):
        assert parse_parameters(period, texts)


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ({"type": "colour"}, "Input should be 'date'"),
        ({"type": "choice"}, "the type choice needs choices"),
        ({"type": "text", "choices": ["a"]}, "other types have none"),
        ({"type": "text", "minimum": 1}, "only the types integer and decimal have minimum and maximum"),
        ({"type": "integer", "default": "many"}, "the default must be a whole number"),
        ({"type": "integer", "default": 5, "maximum": 4}, "the default must be at most 4"),
        ({"type": "date", "default": "someday"}, "the default must be a date"),
        ({"type": "date", "colour": "red"}, "Extra inputs"),
        ({"type": "integer", "minimum": 5, "maximum": 1}, "the minimum is larger than the maximum"),
        ({"type": "text", "default": ["a"]}, "the default must be one value"),
        ({"type": "choice", "choices": ["a", "b\0"]}, "a choice must not contain the character NUL"),
    ],
)
def test_an_invalid_declaration_is_refused(declaration, message):
    with pytest.raises(ValidationError, match=message):
        Parameter(**declaration)


HOSTILE = {
    "quotes": "'; DELETE FROM sales; --",
    "double quotes": '"x"',
    "comments": "/* */ -- \n",
    "percent": "100 % %s %%",
    "placeholder": "%(word)s %(other)s",
    "backslash": "\\' \\",
    "dollars": "$1 $$ $tag$",
    "a megabyte": "x'" * 500_000,
    "the end of a COPY": "\\.",
}


@pytest.mark.django_db(transaction=True, databases=["default", "reports"])
@pytest.mark.parametrize("word", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_only_a_value(write_report, word):
    report = write_report(
        "SELECT %(word)s AS word, '%(word)s' AS text, 5 % 3 AS rest -- %(word)s",
        header='[parameters.word]\ntype = "text"\n',
    )
    with run(report, report.parse({"word": word})) as result:
        assert list(result.rows) == [(word, "%(word)s", 2)]
    with run(report, report.parse({"word": word})) as result:
        written = word.replace('"', '""') if set(',"\r\n') & set(word) else None
        expected = f'"{written}"' if written is not None else word
        assert b"".join(result.copy_csv()).decode() == f"{expected},%(word)s,2\n"


@pytest.mark.django_db(transaction=True, databases=["default", "reports"])
def test_a_parameter_without_a_value_is_a_null_of_its_type(write_report):
    kinds = ("date", "datetime", "integer", "decimal", "text", "category", "country", "boolean")
    header = "".join(f'[parameters.p_{kind}]\ntype = "{kind}"\n' for kind in kinds)
    report = write_report(
        "SELECT " + ", ".join(f"pg_typeof(%(p_{kind})s)::text AS {kind}" for kind in kinds), header=header
    )
    with run(report, report.parse({})) as result:
        assert list(result.rows) == [
            ("date", "timestamp with time zone", "bigint", "numeric", "text", "text", "text", "boolean")
        ]
