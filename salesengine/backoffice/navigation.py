"""What unfold shows on each page (UNFOLD in the settings): the sidebar, the account menu, and our static files."""

from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse


class Item(NamedTuple):
    """A link of the sidebar, shown to users with the permission. `icon` is a name from Material Symbols."""

    title: str
    icon: str
    page: str
    permission: str


GROUPS = {
    "Sales": (
        Item("Sales", "receipt_long", "admin:sales_sale_changelist", "sales.view_sale"),
        Item("Rejected events", "report", "admin:sales_rejectedevent_changelist", "sales.view_rejectedevent"),
        Item("Countries", "public", "admin:countries_country_changelist", "countries.view_country"),
    ),
    "Reports": (
        Item("Reports", "bar_chart", "admin:analytics_report_changelist", "analytics.view_report"),
        Item("Runs", "history", "admin:analytics_reportrun_changelist", "analytics.view_reportrun"),
    ),
    "Access": (
        Item("Users", "person", "admin:auth_user_changelist", "auth.view_user"),
        Item("Groups", "group", "admin:auth_group_changelist", "auth.view_group"),
        Item("API keys", "key", "admin:salesengine_apikey_changelist", "salesengine.view_apikey"),
        Item("Audit log", "history_edu", "admin:admin_logentry_changelist", "admin.view_logentry"),
        Item("Logins", "login", "admin:axes_accesslog_changelist", "axes.view_accesslog"),
        Item("Failed logins", "lock_person", "admin:axes_accessfailurelog_changelist", "axes.view_accessfailurelog"),
    ),
}


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of links that the user may open, in unfold's format."""
    home = {"items": [{"title": "Home", "icon": "home", "link": reverse("admin:index")}]}
    return [home, *(group for title, items in GROUPS.items() if (group := _group(request, title, items))["items"])]


def _group(request: HttpRequest, title: str, items: tuple[Item, ...]) -> dict[str, Any]:
    allowed = [item for item in items if request.user.has_perm(item.permission)]
    links = [{"title": item.title, "icon": item.icon, "link": reverse(item.page)} for item in allowed]
    return {"title": title, "separator": True, "items": links}


def account(request: HttpRequest) -> list[dict[str, str]]:
    """Return the links of the menu under the user's name."""
    links = [{"title": "Second factor", "link": reverse("admin:second_factor")}]
    if isinstance(request.user, User) and request.user.has_usable_password():
        links.insert(0, {"title": "Change password", "link": reverse("admin:password_change")})
    return links


def icon(request: HttpRequest) -> str:
    return static("salesengine/icon.svg")


def stylesheet(request: HttpRequest) -> str:
    return static("salesengine/backoffice.css")


def script(request: HttpRequest) -> str:
    return static("salesengine/keyboard.js")
