"""Types of columns that Django does not have."""

from django.db import models


class NumericField(models.DecimalField):  # type: ignore[type-arg]  # not subscriptable at run time
    """A decimal that PostgreSQL stores with exactly the digits sent, without a fixed scale."""

    def db_type(self, connection: object) -> str:
        return "numeric"


class MultirangeField(models.Field):  # type: ignore[type-arg]  # not subscriptable at run time
    """Ranges of integers, such as {[1,4),[7,8)}. Only SQL reads and writes them."""

    def db_type(self, connection: object) -> str:
        return "int8multirange"


class TalliesField(models.Field):  # type: ignore[type-arg]  # not subscriptable at run time
    """Figures as JSON, with every digit. Only SQL reads and writes them."""

    def db_type(self, connection: object) -> str:
        return "json"
