"""What unfold shows on each page (UNFOLD in the settings): the sidebar, the account menu, and our static files."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from unfold.dataclasses import SearchResult

# The title of each link, its icon (a name from Material Symbols), and the model whose list it leads to.
GROUPS = {
    "Sales": (
        ("Sales", "receipt_long", "sales.sale"),
        ("Voided sales", "receipt_long_off", "sales.voidedsale"),
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
        for label, symbol, model in models:
            if admin.site.get_model_admin(apps.get_model(model)).has_view_permission(request):
                url = reverse(f"admin:{model.replace('.', '_')}_changelist")
                links.append({"title": label, "icon": symbol, "link": url})
        if links:
            groups.append({"title": title, "separator": True, "items": links})
    return groups


def account(request: HttpRequest) -> list[dict[str, str]]:
    """Return the links of the menu under the user's name."""
    links = [{"title": "Second factor", "link": reverse("admin:second_factor")}]
    if isinstance(request.user, User) and request.user.has_usable_password():
        links.insert(0, {"title": "Change password", "link": reverse("admin:password_change")})
    return links


def pages(request: HttpRequest, term: str) -> list[SearchResult]:
    """Return the pages whose title or group contains the term, which is in lower case."""
    groups = [*sidebar(request), {"title": "Account", "items": account(request)}]
    return [
        SearchResult(title=item["title"], description=group.get("title", ""), link=item["link"], icon=item.get("icon"))
        for group in groups
        for item in group["items"]
        if term in f"{group.get('title', '')}\n{item['title']}".lower()
    ]


def icon(request: HttpRequest) -> str:
    return static("salesengine/icon.svg")


def stylesheet(request: HttpRequest) -> str:
    return static("salesengine/backoffice.css")


def script(request: HttpRequest) -> str:
    return static("salesengine/keyboard.js")
