from django.apps import AppConfig
from django.core.checks import register


class SalesEngineConfig(AppConfig):
    name = "salesengine"
    verbose_name = "API access"

    def ready(self) -> None:
        from salesengine.operations.checks import check_rate_limit

        register(check_rate_limit)
