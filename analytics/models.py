"""What the admin needs to know of reports; they themselves are files (`analytics.reports`)."""

from django.db import models


class NoRows(models.Manager["Report"]):
    """Finds nothing, without asking for a table that is not there."""

    def get_queryset(self) -> models.QuerySet["Report"]:
        return super().get_queryset().none()


class Report(models.Model):
    """Stands for all reports in the admin's index and among the permissions. It has no table and no rows."""

    objects = NoRows()

    class Meta:
        managed = False
        base_manager_name = "objects"
        default_permissions = ("view",)
