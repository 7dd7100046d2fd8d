"""What unfold shows on each page (UNFOLD in the settings): the sidebar and the account menu."""

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.urls import reverse

# The title, the icon (a name from Material Symbols), and the model whose list a link leads to.
GROUPS = {
    "Sales": (
        ("Sales", "receipt_long", "sales.sale"),
        ("Rejected events", "report", "sales.rejectedevent"),
        ("Countries", "public", "countries.country"),
    ),
    "Reports": (
        ("Reports", "bar_chart", "analytics.report"),
        ("Runs", "history", "analytics.reportrun"),
    ),
    "Access": (
        ("Users", "person", "auth.user"),
        ("Groups", "group", "auth.group"),
        ("API keys", "key", "salesengine.apikey"),
        ("Audit log", "history_edu", "admin.logentry"),
        ("Logins", "login", "axes.accesslog"),
        ("Failed logins", "lock_person", "axes.accessfailurelog"),
    ),
}


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of links that the user may open, in unfold's format."""
    groups: list[dict[str, Any]] = [{"items": [{"title": "Home", "icon": "home", "link": reverse("admin:index")}]}]
    for title, models in GROUPS.items():
        links = []
        for label, icon, model in models:
            if request.user.has_perm(model.replace(".", ".view_")):
                address = reverse(f"admin:{model.replace('.', '_')}_changelist")
                links.append({"title": label, "icon": icon, "link": address})
        if links:
            groups.append({"title": title, "separator": True, "items": links})
    return groups


def account(request: HttpRequest) -> list[dict[str, str]]:
    """Return the links of the menu under the user's name."""
    links = [{"title": "Second factor", "link": reverse("admin:second_factor")}]
    if isinstance(request.user, User) and request.user.has_usable_password():
        links.insert(0, {"title": "Change password", "link": reverse("admin:password_change")})
    return links
