"""Makes the site of the back office ours. Apart from `apps.py`, of which Django would take this for the project's."""

from django.contrib.admin.apps import AdminConfig


class BackOfficeConfig(AdminConfig):
    default_site = "salesengine.backoffice.site.BackOffice"
