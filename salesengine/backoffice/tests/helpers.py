"""The groups and their permissions, the lists of the back office, and the form of a user."""

from importlib import import_module

from django.contrib.auth.models import User

from salesengine.tests.clients import allow

GROUPS = {**import_module("salesengine.migrations.0002_make_groups").GROUPS}
GROUPS["Operator"] = [*GROUPS["Operator"], "sales.ingest_sale", "sales.correct_sale"]
SALES, VOIDED, REJECTED = "/admin/sales/sale/", "/admin/sales/voidedsale/", "/admin/sales/rejectedevent/"
COUNTRIES, KEYS = "/admin/countries/country/", "/admin/salesengine/apikey/"
REPORTS, RUNS = "/admin/analytics/report/", "/admin/analytics/reportrun/"
USERS, GROUP_PAGES = "/admin/auth/user/", "/admin/auth/group/"
LOG, LOGINS, FAILED = "/admin/admin/logentry/", "/admin/axes/accesslog/", "/admin/axes/accessfailurelog/"


def allow_group(group, *permissions):
    holder = User.objects.create_user("holder")
    allow(holder, *permissions)
    group.permissions.add(*holder.user_permissions.all())


def form_of(user):
    """Return the unchanged fields of a user's page."""
    joined = user.date_joined
    return {
        "username": user.username,
        "is_active": "on",
        "date_joined_0": f"{joined:%Y-%m-%d}",
        "date_joined_1": f"{joined:%H:%M:%S}",
    }
