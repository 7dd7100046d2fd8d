"""The log of runs, and a model without a table that gives report files an admin entry and permissions."""

import uuid

from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.db import models
from django.db.models.functions import Now


class NoRows(models.Manager["Report"]):
    """Return no rows, without a query."""

    def get_queryset(self) -> models.QuerySet["Report"]:
        return super().get_queryset().none()


class Report(models.Model):
    """Stand for all reports in the admin's index and in permissions. This model has no table."""

    objects = NoRows()

    class Meta:
        managed = False
        base_manager_name = "objects"
        default_permissions = ("view",)
        permissions = [
            ("explain_report", "Can see the plans of reports"),
            ("export_report", "Can download reports"),
        ]


class Channel(models.TextChoices):
    """The interface that a run came through."""

    ADMIN = "admin", "admin"
    API = "api", "API"
    COMMAND = "command", "command"


class RunOutcome(models.TextChoices):
    """The outcome of a run, or that it is running."""

    RUNNING = "running", "running"
    OK = "ok", "ok"
    EMPTY = "empty", "empty"
    FAILED_ASSERTION = "failed assertion", "failed assertion"
    TIMED_OUT = "timed out", "timed out"
    CANCELLED = "cancelled", "cancelled"
    ERROR = "error", "error"
    LOST = "lost", "lost"  # its process died


FAILED_OUTCOMES = (RunOutcome.FAILED_ASSERTION, RunOutcome.TIMED_OUT, RunOutcome.ERROR, RunOutcome.LOST)


class ReportRun(models.Model):
    """One run of a report."""

    token = models.UUIDField(default=uuid.uuid4, unique=True)  # names the run's session in PostgreSQL
    report = models.TextField()
    sql_hash = models.TextField("SHA-256 of the SQL")
    parameters = models.JSONField()  # name -> text, from BoundParameters.texts
    channel = models.TextField(choices=Channel, db_column="door")
    format = models.TextField()  # "page", or a format of exports
    sender = models.TextField("who")  # the name of a user or API key, which may be deleted later
    started_at = models.DateTimeField("started at (UTC)", db_default=Now())
    seconds = models.FloatField(null=True)
    rows = models.BigIntegerField(null=True)  # rows that were returned
    bytes = models.BigIntegerField(null=True)  # size of an export
    outcome = models.TextField(choices=RunOutcome, default=RunOutcome.RUNNING)
    message = models.TextField(default="")  # the error of a failed run, or the warnings of a good one

    class Meta:
        db_table = "report_runs"
        verbose_name = "run"
        default_permissions = ("view",)
        permissions = [("cancel_reportrun", "Can cancel runs of others")]
        indexes = [
            # For the admin's list and its filters, and for the last run of each report.
            models.Index(fields=("-started_at", "-id"), name="report_runs_newest"),
            models.Index(fields=("report", "-started_at", "-id"), name="report_runs_report"),
            models.Index(fields=("id",), name="report_runs_running", condition=models.Q(outcome="running")),
        ]

    def __str__(self) -> str:
        return f"{self.report}, run {self.pk}"

    def may_be_cancelled_by(self, user: AbstractUser | AnonymousUser) -> bool:
        """Say whether the user may cancel the run: own runs from the admin, and others with the permission."""
        return self.belongs_to(user) or user.has_perm("analytics.cancel_reportrun")

    def belongs_to(self, user: AbstractUser | AnonymousUser) -> bool:
        return self.channel == Channel.ADMIN and self.sender == user.get_username()
