"""Build the form of a report from its parameters, which also parse and validate the input."""

import datetime
from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.text import capfirst

from analytics.definitions.parameters import (
    RESERVED,
    BoundParameters,
    InvalidParametersError,
    Parameter,
    Value,
    to_text,
)
from analytics.definitions.reports import ReportDefinition
from analytics.running.rows import RowRange, readable
from countries.models import Country

INPUT_TYPES = {"date": "date", "datetime": "datetime-local", "integer": "number", "decimal": "number"}
COUNTRY_LIST = "countries"  # the id of the <datalist> in report/form.html
MAX_PAGE = 10**9


class ReportForm(forms.Form):
    """The parameters of a report, filled in from a query string or else with their defaults as of today.

    A valid form has `bound_parameters` and `row_range`.
    """

    bound_parameters: BoundParameters
    row_range: RowRange

    def __init__(self, report: ReportDefinition, query: Mapping[str, str]) -> None:
        self.report = report
        self.query = query
        texts = {
            name: _input_text(parameter, query.get(name, parameter.default_text))
            for name, parameter in report.parameters.items()
        }
        super().__init__(texts if query else None, initial=texts)
        for name, parameter in report.parameters.items():
            self.fields[name] = _field(name, parameter, texts[name])

    def clean(self) -> dict[str, Any] | None:
        """Validate parameters, `page` and `sort`. Errors of names without a field are errors of the form."""
        errors: dict[str, str] = {}
        parameters = {name: self.query[name] for name in self.query if name not in RESERVED}
        try:
            self.bound_parameters = self.report.parse(parameters)
        except InvalidParametersError as error:
            errors |= error.errors
        try:
            self.row_range = parse_row_range(self.query, self.report.header.rows)
        except InvalidParametersError as error:
            errors |= error.errors
        for name, text in errors.items():
            if name in self.fields:
                self.add_error(name, f"{capfirst(text)}.")
            else:
                self.add_error(None, f"{name} {text}.")
        return super().clean()

    @property
    def labeled_texts(self) -> list[tuple[str, str]]:
        """Return the label and the text of each bound parameter."""
        return labeled(self.report, self.bound_parameters.texts)

    @property
    def countries(self) -> list[Country]:
        """Return the countries to choose from, if the report has a parameter for one."""
        has_country = any(parameter.type == "country" for parameter in self.report.parameters.values())
        return list(Country.objects.all()) if has_country else []


def parse_row_range(query: Mapping[str, str], page_size: int) -> RowRange:
    """Return the rows of a page: `page` counts from 1, and `sort` is a column, with a minus for descending order.

    Raises InvalidParametersError.
    """
    page, sort = query.get("page", "1"), query.get("sort", "")
    errors = {}
    if not (page.isascii() and page.isdecimal() and len(page) <= len(str(MAX_PAGE)) and 1 <= int(page) <= MAX_PAGE):
        errors["page"] = f"must be a whole number from 1 to {MAX_PAGE}"
    if not sort.isprintable():  # PostgreSQL takes no NUL and no lone surrogates
        errors["sort"] = "must be the name of a column"
    if errors:
        raise InvalidParametersError(errors)
    name = sort.removeprefix("-")
    return RowRange(name or None, descending=sort != name, limit=page_size, offset=(int(page) - 1) * page_size)


def labeled(report: ReportDefinition | None, texts: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the labels and the texts of a run's parameters, in the order of the report.

    A parameter that the report does not have, because its file has changed or is missing, has its name as label.
    """
    labels = {name: _label(name, parameter) for name, parameter in report.parameters.items()} if report else {}
    names = [*(name for name in labels if name in texts), *sorted(texts.keys() - labels.keys())]
    return [(labels.get(name, name), texts[name]) for name in names]


def _label(name: str, parameter: Parameter) -> str:
    return parameter.label or readable(name)


def _field(name: str, parameter: Parameter, text: str) -> forms.Field:
    """Return a field that accepts any text, since the parameter validates it in `clean`."""
    widget = _widget(parameter, text)
    if parameter.required:
        widget.attrs["required"] = True
    help_text = f"{parameter.help} UTC." if parameter.type == "datetime" else parameter.help
    return forms.Field(label=_label(name, parameter), help_text=help_text.strip(), widget=widget, required=False)


def _widget(parameter: Parameter, text: str) -> forms.Widget:
    choices = [(value, value) for value in parameter.allowed]
    if parameter.type == "boolean":
        choices = [("true", "yes"), ("false", "no")]
    if choices:
        if not parameter.required or parameter.default is None:
            choices.insert(0, ("", "choose one" if parameter.required else "any"))
        return forms.Select(choices=choices)
    attributes: dict[str, Any] = {"autocomplete": "off"}
    if parameter.type == "country":
        attributes["list"] = COUNTRY_LIST
    if parameter.type in INPUT_TYPES and _fits_input(parameter, text):
        attributes |= {"type": INPUT_TYPES[parameter.type], "min": parameter.minimum, "max": parameter.maximum}
        if parameter.type in ("datetime", "decimal"):
            attributes["step"] = "any"
    return forms.TextInput({name: value for name, value in attributes.items() if value is not None})


def _input_text(parameter: Parameter, text: str) -> str:
    """Return a value in the notation of the browser's input for its type. Invalid text is returned unchanged."""
    value = _parse(parameter, text)
    if isinstance(value, datetime.datetime) and value.microsecond % 1000 == 0:
        return value.replace(tzinfo=None).isoformat(timespec="auto" if not value.microsecond else "milliseconds")
    return text if value is None else to_text(value)


def _fits_input(parameter: Parameter, text: str) -> bool:
    """Return whether the browser's input can hold this text: a valid value, in whole milliseconds."""
    return not text or (_parse(parameter, text) is not None and not text.endswith("Z"))


def _parse(parameter: Parameter, text: str) -> Value:
    """Return the value, or None if the text is empty or invalid."""
    try:
        return parameter.parse(text) if text else None
    except ValueError:
        return None
