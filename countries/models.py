"""Countries: reference data that sales refer to by id."""

from django.db import models

MAX_ID_LENGTH = 64  # characters, also of the other ids in sale events


class Country(models.Model):
    """A country under the operator's own id ("170" is France). Load countries with `manage.py load_countries`."""

    id_country = models.TextField("id", primary_key=True, db_collation="C")
    country_name = models.TextField("name")
    continent = models.TextField(null=True, blank=True)

    class Meta:
        db_table = "country"
        verbose_name_plural = "countries"
        ordering = ("country_name", "id_country")

    def __str__(self) -> str:
        return self.country_name
