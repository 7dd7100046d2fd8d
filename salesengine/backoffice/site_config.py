"""Make BackOfficeSite the default admin site. In a module of its own: in `apps.py`, two configs would be ambiguous."""

from django.contrib.admin.apps import AdminConfig


class BackOfficeConfig(AdminConfig):
    default_site = "salesengine.backoffice.site.BackOfficeSite"
