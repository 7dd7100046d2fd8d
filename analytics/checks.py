"""`manage.py check` names the report files that cannot be used."""

from typing import Any

from django.core.checks import CheckMessage, Error

from analytics.reports import invalid_reports


def check_report_files(**_: Any) -> list[CheckMessage]:
    """analytics.E001 for each bad file, with the line to look at."""
    return [Error(bad.reason, obj=f"{bad.path}:{bad.line}", id="analytics.E001") for bad in invalid_reports()]
