"""The form of a report: made from its parameters, and read by nothing else than their own parser."""

import datetime
from collections.abc import Mapping
from typing import Any

from django import forms

from analytics.definitions.parameters import (
    RESERVED,
    BoundParameters,
    InvalidParametersError,
    Parameter,
    Value,
    to_text,
)
from analytics.definitions.reports import ReportDefinition
from analytics.running.rows import RowRange
from countries.models import Country
from sales.models import Category

INPUT_TYPES = {"date": "date", "datetime": "datetime-local", "integer": "number", "decimal": "number"}
COUNTRY_LIST = "countries"  # the id of the <datalist>
MOST_PAGES = 10**9


class ReportForm(forms.Form):
    """What an address asks of a report. Of what it leaves out, the form shows what the default means today.

    `given` and `part` are there once the form is valid.
    """

    given: BoundParameters
    part: RowRange

    def __init__(self, report: ReportDefinition, query: Mapping[str, str]) -> None:
        self.report = report
        self.query = query
        shown = {name: _shown(each, query.get(name, each.default_text)) for name, each in report.parameters.items()}
        super().__init__(shown if query else None, initial=shown)
        for name, parameter in report.parameters.items():
            self.fields[name] = _field(name, parameter, shown[name])

    def clean(self) -> dict[str, Any] | None:
        """Each error goes to its field; those of what is no field, to the form."""
        errors: dict[str, str] = {}
        try:
            self.given = self.report.parse({name: self.query[name] for name in self.query if name not in RESERVED})
        except InvalidParametersError as error:
            errors |= error.errors
        try:
            self.part = read_part(self.query, self.report.header.rows)
        except InvalidParametersError as error:
            errors |= error.errors
        for name, text in errors.items():
            if name in self.fields:
                self.add_error(name, f"{text[:1].upper()}{text[1:]}.")
            else:
                self.add_error(None, f"{name} {text}.")
        return super().clean()

    @property
    def countries(self) -> list[Country]:
        """Those to choose from, when the report has to do with countries."""
        has_country = any(parameter.type == "country" for parameter in self.report.parameters.values())
        return list(Country.objects.all()) if has_country else []


def read_part(query: Mapping[str, str], rows: int) -> RowRange:
    """Which rows the address asks for: `page`, from 1, and `sort`, a column, with a minus for the largest first.

    Raises InvalidParametersError.
    """
    page, sort = query.get("page", "1"), query.get("sort", "")
    errors = {}
    if not (page.isascii() and page.isdecimal() and len(page) <= len(str(MOST_PAGES)) and 1 <= int(page) <= MOST_PAGES):
        errors["page"] = "must be a whole number from 1"
    if not sort.isprintable():  # NUL and halves of characters would be no SQL
        errors["sort"] = "must be the name of a column"
    if errors:
        raise InvalidParametersError(errors)
    name = sort.removeprefix("-")
    return RowRange(name or None, descending=sort != name, limit=rows, offset=(int(page) - 1) * rows)


def readable(name: str) -> str:
    """id_country -> Id country."""
    words = name.replace("_", " ").strip()
    return f"{words[:1].upper()}{words[1:]}" or name


def _field(name: str, parameter: Parameter, shown: str) -> forms.Field:
    """A field that takes everything: the parameter says in `clean` what is wrong."""
    widget = _widget(parameter, shown)
    if parameter.required:
        widget.attrs["required"] = True
    help_text = f"{parameter.help} UTC." if parameter.type == "datetime" else parameter.help
    return forms.Field(
        label=parameter.label or readable(name), help_text=help_text.strip(), widget=widget, required=False
    )


def _widget(parameter: Parameter, shown: str) -> forms.Widget:
    if parameter.type == "choice":
        return forms.Select(choices=_choices(parameter, [(choice, choice) for choice in parameter.choices]))
    if parameter.type == "category":
        return forms.Select(choices=_choices(parameter, Category.choices))
    if parameter.type == "boolean":
        return forms.Select(choices=_choices(parameter, [("true", "yes"), ("false", "no")]))
    attributes: dict[str, Any] = {"autocomplete": "off"}
    if parameter.type == "country":
        attributes["list"] = COUNTRY_LIST
    if parameter.type in INPUT_TYPES and _fits_input(parameter, shown):
        attributes |= {"type": INPUT_TYPES[parameter.type], "min": parameter.minimum, "max": parameter.maximum}
        if parameter.type in ("datetime", "decimal"):
            attributes["step"] = "any"
    return forms.TextInput({name: value for name, value in attributes.items() if value is not None})


def _choices(parameter: Parameter, choices: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those to choose from, with "any" for no value at all where that is allowed."""
    return choices if parameter.required and parameter.default is not None else [("", _no_value(parameter)), *choices]


def _no_value(parameter: Parameter) -> str:
    return "choose one" if parameter.required else "any"


def _shown(parameter: Parameter, text: str) -> str:
    """Text as the browser's own input for the type wants it; what is wrong stays as it is, in an input for any text."""
    value = _parse(parameter, text)
    if isinstance(value, datetime.datetime) and value.microsecond % 1000 == 0:
        return value.replace(tzinfo=None).isoformat(timespec="auto" if not value.microsecond else "milliseconds")
    return text if value is None else to_text(value)


def _fits_input(parameter: Parameter, shown: str) -> bool:
    """Whether the browser's input for the type can hold what is shown: nothing that is wrong, and no microseconds."""
    return not shown or (_parse(parameter, shown) is not None and not shown.endswith("Z"))


def _parse(parameter: Parameter, text: str) -> Value:
    """The value; None when it is wrong, or nothing."""
    try:
        return parameter.parse(text) if text else None
    except ValueError:
        return None
