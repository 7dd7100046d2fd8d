from django.apps import AppConfig


class SalesEngineConfig(AppConfig):
    name = "salesengine"
    verbose_name = "API access"
