"""What the admin needs to know of reports; they themselves are files (`analytics.reports`)."""

from django.db import models


class Report(models.Model):
    """Stands for all reports in the admin's index and among the permissions. It has no table and no rows."""

    class Meta:
        managed = False
        default_permissions = ("view",)
