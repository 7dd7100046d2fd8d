"""Tell django-import-export how to read the CSV file, compare it with the stored countries, and export them."""

from typing import Any

import tablib
from django.core import signing
from django.utils.html import escape, format_html
from import_export import resources
from import_export.fields import Field
from import_export.formats.base_formats import CSV
from import_export.instance_loaders import CachedInstanceLoader
from import_export.results import Result
from import_export.tmp_storages import BaseStorage

from countries.csv_file import COLUMNS, InvalidCountriesError, RowError, read_countries
from countries.loading import fingerprint_of_countries
from countries.models import Country
from salesengine.accounts.audit_log import describe_change
from salesengine.spreadsheets import guard_formulas

MAX_LINES = 20_000
CONFIRM_WITHIN = 60 * 60  # seconds


class CountryCSV(CSV):  # type: ignore[misc]  # the library has no types
    """CSV, read by the rules of `countries.csv_file`."""

    def create_dataset(self, in_stream: bytes, **options: Any) -> tablib.Dataset:
        """Return the checked rows of a file. Raises InvalidCountriesError, which lists every invalid row."""
        lines = max(in_stream.count(b"\n"), in_stream.count(b"\r"))
        if lines > MAX_LINES:  # limits the list of errors: each line could have one
            raise InvalidCountriesError([RowError(1, f"the limit is {MAX_LINES:,} lines, and the file has {lines:,}")])
        countries = read_countries(in_stream)
        if not countries:
            raise InvalidCountriesError([RowError(1, "the file has a header, but no rows")])
        rows = [(country.pk, country.country_name, country.continent) for country in countries]
        return tablib.Dataset(*rows, headers=COLUMNS)


class CountryDiff(resources.Diff):  # type: ignore[misc]
    """The values of a country; changed ones are shown as deleted and inserted."""

    def as_html(self) -> list[str]:
        """Return one HTML text for each of COLUMNS."""
        before = self.right if self.new else self.left
        return [
            format_html("<del>{}</del> <ins>{}</ins>", old or "none", new or "none") if old != new else escape(new)
            for old, new in zip(before, self.right, strict=True)
        ]


class CountryResource(resources.ModelResource):  # type: ignore[misc]
    """Import all rows or none, and skip rows that change nothing."""

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
    def get_diff_class(cls) -> type[CountryDiff]:
        return CountryDiff

    def handle_import_error(self, result: Result, error: Exception, raise_errors: bool = False) -> None:
        """Raise every error: the file has been checked, so this is a bug or a database that is unavailable."""
        raise error

    def after_import(self, dataset: tablib.Dataset, result: Result, **options: Any) -> None:
        super().after_import(dataset, result, **options)
        for _, errors in result.row_errors():
            raise errors[0].error

    def export_field(self, field: Field, instance: Country, **options: Any) -> str:
        return guard_formulas(super().export_field(field, instance, **options) or "")


class SignedFile(BaseStorage):  # type: ignore[misc]
    """Keep an uploaded file in the preview page itself, signed, until the import is confirmed.

    So any process on any machine can confirm it, and no file is left over. The signature includes the fingerprint of
    the countries, so it is invalid once they differ from those in the preview.
    """

    def save(self, data: bytes) -> None:
        self.name = _signer().sign_object(data, serializer=Bytes, compress=True)

    def read(self) -> bytes:
        """Return the file. Raises signing.BadSignature after CONFIRM_WITHIN, or when a country has changed."""
        data: bytes = _signer().unsign_object(self.name, serializer=Bytes, max_age=CONFIRM_WITHIN)
        return data

    def remove(self) -> None:
        """Do nothing: nothing is stored on the server."""


class Bytes:
    """The serializer that signers need; the data is bytes already."""

    dumps = loads = staticmethod(bytes)


def _signer() -> signing.TimestampSigner:
    return signing.TimestampSigner(salt=f"countries.import {fingerprint_of_countries()}")


def describe_country_changes(old: Country | None, new: Country) -> str:
    """Return a text such as 'name: “Gaul” → “France”; continent: nothing → “Europe”'. `old` is None if new is added."""
    fields = Country._meta.concrete_fields
    values = ((field.verbose_name, old and getattr(old, field.name), getattr(new, field.name)) for field in fields)
    return "; ".join(f"{name}: {describe_change(before, after)}" for name, before, after in values if before != after)
