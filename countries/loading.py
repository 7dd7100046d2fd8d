"""What is done: countries are stored."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction

from countries.csv_file import read_countries
from countries.models import Country
from salesengine.http.renderers import encode_json


@dataclass(frozen=True)
class LoadResult:
    """How many countries were not there before, were there with other values, and were there just so."""

    new: int
    changed: int
    unchanged: int


def load_countries(csv_file: bytes, *, dry_run: bool = False) -> LoadResult:
    """Store the countries of a CSV file (UTF-8, header ID_COUNTRY,COUNTRY_NAME,CONTINENT): all of them, or none.

    Raises InvalidCountriesError, which names every bad row.
    """
    return store_countries(read_countries(csv_file), dry_run=dry_run)


@transaction.atomic
def store_countries(countries: Sequence[Country], *, dry_run: bool = False) -> LoadResult:
    """Add the countries whose ids are new and give the others their new values; a dry run takes all of it back."""
    known = Country.objects.in_bulk([country.pk for country in countries])
    new = [country for country in countries if country.pk not in known]
    changed = [country for country in countries if country.pk in known and not _same(country, known[country.pk])]
    Country.objects.bulk_create(
        new + changed,
        update_conflicts=True,
        unique_fields=("id_country",),
        update_fields=("country_name", "continent"),
    )
    transaction.set_rollback(dry_run)
    return LoadResult(len(new), len(changed), len(countries) - len(new) - len(changed))


def fingerprint(using: str = "default") -> str:
    """SHA-256 of all countries, in hex: it changes when any of them does."""
    rows = Country.objects.using(using).order_by("pk").values_list("id_country", "country_name", "continent")
    return hashlib.sha256(encode_json(list(rows))).hexdigest()


def lock_countries() -> None:
    """Let nobody else change countries until the end of the transaction; reading goes on."""
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE country IN SHARE ROW EXCLUSIVE MODE")


def _same(one: Country, other: Country) -> bool:
    return (one.country_name, one.continent) == (other.country_name, other.continent)
