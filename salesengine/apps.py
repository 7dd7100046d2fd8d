from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.core.checks import register


class SalesEngineConfig(AppConfig):
    name = "salesengine"
    verbose_name = "API access"

    def ready(self) -> None:
        from salesengine.checks import check_rate_limit

        register(check_rate_limit)


class BackOfficeConfig(AdminConfig):
    default_site = "salesengine.site.BackOffice"
