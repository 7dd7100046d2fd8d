"""Make BackOfficeSite the default admin site. In a module of its own: in `apps.py`, two configs would be ambiguous."""

from django.apps import apps
from django.contrib.admin.apps import AdminConfig

ACCESS = "Access"  # as in the sidebar


class BackOfficeConfig(AdminConfig):
    default_site = "salesengine.backoffice.site.BackOfficeSite"
    verbose_name = ACCESS

    def ready(self) -> None:
        super().ready()
        for app in ("auth", "axes"):
            apps.get_app_config(app).verbose_name = ACCESS
