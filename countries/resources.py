"""Countries for django-import-export: how a file is read, compared, kept until it is confirmed, and written."""

from collections.abc import Callable
from typing import Any

import tablib
from django.core import signing
from django.utils.html import format_html
from import_export import resources
from import_export.fields import Field
from import_export.formats.base_formats import CSV
from import_export.instance_loaders import CachedInstanceLoader
from import_export.results import Result
from import_export.tmp_storages import BaseStorage

from countries.csv_file import COLUMNS, InvalidCountriesError, RowError, as_cell, read_countries
from countries.loading import fingerprint
from countries.models import Country

MAX_LINES = 20_000
CONFIRM_WITHIN = 60 * 60  # seconds


class CountryCSV(CSV):  # type: ignore[misc]  # the library has no types
    """CSV by the rules of `countries.csv_file`."""

    def create_dataset(self, in_stream: bytes, **options: Any) -> tablib.Dataset:
        """The rows of a file, checked. Raises InvalidCountriesError, which names every bad row."""
        lines = max(in_stream.count(b"\n"), in_stream.count(b"\r"))
        if lines > MAX_LINES:  # each could have a mistake of its own
            raise InvalidCountriesError(
                [RowError(1, f"at most {MAX_LINES:,} lines can be imported; there are {lines:,}")]
            )
        countries = read_countries(in_stream)
        if not countries:
            raise InvalidCountriesError([RowError(1, "there are no rows below the names of the columns")])
        rows = [(country.pk, country.country_name, country.continent) for country in countries]
        return tablib.Dataset(*rows, headers=COLUMNS)


class OldAndNew:
    """The values of a country before and after, for people."""

    def __init__(self, resource: resources.ModelResource, country: Country, is_new: bool) -> None:
        self.old = [] if is_new else values_of(country)
        self.new: list[str] = []

    def compare_with(self, resource: resources.ModelResource, country: Country) -> None:
        self.new = values_of(country)

    def as_html(self) -> list[str]:
        """A cell for each column."""
        return [_cell(old, new) for old, new in zip(self.old or self.new, self.new, strict=True)]


def values_of(country: Country) -> list[str]:
    """In the order of COLUMNS; none is empty."""
    return [country.pk, country.country_name, country.continent or ""]


def _cell(old: str, new: str) -> str:
    if old == new:
        return format_html("{}", new)
    return format_html("<del>{}</del> <ins>{}</ins>", old or "none", new or "none")


class CountryResource(resources.ModelResource):  # type: ignore[misc]
    """All rows or none; those that change nothing are only counted."""

    id_country = Field("id_country", COLUMNS[0])
    country_name = Field("country_name", COLUMNS[1])
    continent = Field("continent", COLUMNS[2])

    class Meta:
        model = Country
        fields = ("id_country", "country_name", "continent")
        import_id_fields = ("id_country",)
        instance_loader_class = CachedInstanceLoader
        use_bulk = True
        skip_unchanged = True
        report_skipped = False

    @classmethod
    def get_diff_class(cls) -> type[OldAndNew]:
        return OldAndNew

    def handle_import_error(self, result: Result, error: Exception, raise_errors: bool = False) -> None:
        """What is wrong with the file is known by now: this is a mistake of ours, or the database is away."""
        raise error

    def after_import(self, dataset: tablib.Dataset, result: Result, **options: Any) -> None:
        super().after_import(dataset, result, **options)
        for _, errors in result.row_errors():
            raise errors[0].error

    def export_field(self, field: Field, instance: Country, **options: Any) -> str:
        return as_cell(super().export_field(field, instance, **options) or "")


class SignedFile(BaseStorage):  # type: ignore[misc]
    """A file between its preview and the confirmation: on the page itself, signed, instead of on a server.

    So any worker on any machine can go on with it, and nobody has to tidy up. The signature holds as long as the
    countries are those that the preview compared with.
    """

    def save(self, data: bytes) -> None:
        self.name = signing.dumps(data, salt=_salt(), serializer=Bytes, compress=True)

    def read(self) -> bytes:
        """Raises signing.BadSignature, after an hour or a change too."""
        loads: Callable[..., bytes] = signing.loads
        return loads(self.name, salt=_salt(), serializer=Bytes, max_age=CONFIRM_WITHIN)

    def remove(self) -> None:
        """There is nothing to remove."""


class Bytes:
    """A serializer of what is bytes already."""

    dumps = loads = staticmethod(bytes)


def _salt() -> str:
    return f"countries.import {fingerprint()}"


def what_changed(old: Country | None, new: Country) -> str:
    """name “Gaul” → “France”, continent none → “Europe”."""
    names = ("name", "continent")
    after = values_of(new)[1:]
    before = values_of(old)[1:] if old else None
    if before is None:
        return ", ".join(f"{name} {_quoted(value)}" for name, value in zip(names, after, strict=True))
    changes = zip(names, before, after, strict=True)
    return ", ".join(f"{name} {_quoted(a)} → {_quoted(b)}" for name, a, b in changes if a != b)


def _quoted(value: str) -> str:
    return f"“{value}”" if value else "none"
