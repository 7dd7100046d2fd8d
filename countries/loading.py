"""Store countries, and detect changes of the stored ones."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from django.db import connection, transaction

from countries.models import Country
from salesengine.exact_json import encode_json


@dataclass(frozen=True)
class LoadResult:
    """How many countries were added, changed, and left unchanged."""

    new: int
    changed: int
    unchanged: int


@transaction.atomic
def store_countries(countries: Sequence[Country], *, dry_run: bool = False) -> LoadResult:
    """Add the countries with a new id, and update the others. A dry run does the same, and rolls it back."""
    stored = Country.objects.in_bulk([country.pk for country in countries])
    new = [country for country in countries if country.pk not in stored]
    values = attrgetter("country_name", "continent")
    changed = [each for each in countries if each.pk in stored and values(each) != values(stored[each.pk])]
    Country.objects.bulk_create(
        new + changed,
        update_conflicts=True,
        unique_fields=("id_country",),
        update_fields=("country_name", "continent"),
    )
    transaction.set_rollback(dry_run)
    return LoadResult(len(new), len(changed), len(countries) - len(new) - len(changed))


def fingerprint_of_countries(using: str = "default") -> str:
    """Return the SHA-256 of all countries in hexadecimal. It changes when any country changes."""
    rows = Country.objects.using(using).order_by("pk").values_list("id_country", "country_name", "continent")
    return hashlib.sha256(encode_json(list(rows))).hexdigest()


def lock_countries() -> None:
    """Keep other transactions from changing countries until this one ends. They can still read them."""
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE country IN SHARE ROW EXCLUSIVE MODE")
