"""What the admin needs to know of reports, which are files (`analytics.definitions`), and the log of their runs."""

import uuid

from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.db import models
from django.db.models.functions import Now


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
        permissions = [
            ("explain_report", "Can see the plans of reports"),
            ("export_report", "Can download reports"),
        ]


class Channel(models.TextChoices):
    """Where a run was asked for."""

    ADMIN = "admin", "admin"
    API = "api", "API"
    COMMAND = "command", "command"


class RunOutcome(models.TextChoices):
    """How a run ended, if it did."""

    RUNNING = "running", "running"
    OK = "ok", "ok"
    EMPTY = "empty", "empty"
    FAILED_ASSERTION = "failed assertion", "failed assertion"
    TIMED_OUT = "timed out", "timed out"
    CANCELLED = "cancelled", "cancelled"
    ERROR = "error", "error"
    LOST = "lost", "lost"  # its process ended without a word


FAILED_OUTCOMES = (RunOutcome.FAILED_ASSERTION, RunOutcome.TIMED_OUT, RunOutcome.ERROR, RunOutcome.LOST)


class ReportRun(models.Model):
    """One run of a report, from its beginning on."""

    token = models.UUIDField(default=uuid.uuid4, unique=True)  # tells the run among the database's sessions
    report = models.TextField()
    sql_hash = models.TextField("SHA-256 of the SQL")
    parameters = models.JSONField()  # name -> text, as `Given.texts`
    channel = models.TextField(choices=Channel, db_column="door")
    format = models.TextField()  # of the answer: page, or one of the exports
    sender = models.TextField("who")  # the name of a user or of an API key, either of which may be deleted later
    started_at = models.DateTimeField("started at (UTC)", db_default=Now())
    seconds = models.FloatField(null=True)
    rows = models.BigIntegerField(null=True)  # that were given out
    bytes = models.BigIntegerField(null=True)  # of an export
    outcome = models.TextField(choices=RunOutcome, default=RunOutcome.RUNNING)
    message = models.TextField(default="")  # why, of an outcome that is not good; warnings, of one that is

    class Meta:
        db_table = "report_runs"
        verbose_name = "run"
        default_permissions = ("view",)
        permissions = [("cancel_reportrun", "Can cancel runs of others")]
        indexes = [
            # The admin's list, its filters, and the last run of each report.
            models.Index(fields=("-started_at", "-id"), name="report_runs_newest"),
            models.Index(fields=("report", "-started_at", "-id"), name="report_runs_report"),
            models.Index(fields=("id",), name="report_runs_running", condition=models.Q(outcome="running")),
        ]

    def __str__(self) -> str:
        return f"{self.report}, run {self.pk}"

    def may_be_cancelled_by(self, user: AbstractUser | AnonymousUser) -> bool:
        """Whoever asked for it in the admin may, and who has the permission for it."""
        is_own = self.channel == Channel.ADMIN and self.sender == user.get_username()
        return is_own or user.has_perm("analytics.cancel_reportrun")
