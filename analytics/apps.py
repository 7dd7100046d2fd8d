from django.apps import AppConfig
from django.core.checks import Tags, register


class AnalyticsConfig(AppConfig):
    name = "analytics"

    def ready(self) -> None:
        from analytics.checks import check_report_files, check_report_sql

        register(check_report_files)
        register(check_report_sql, Tags.database)
