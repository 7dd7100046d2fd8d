"""The back office as a whole: unfold's admin site, with our own ways of logging in, searching and saying no."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.sites import UnfoldAdminSite

from salesengine.accounts.audit_log import record_change

FOUND_AT_MOST = 100


class BackOffice(UnfoldAdminSite):  # type: ignore[misc]  # unfold has no types
    def extra_urls(self) -> list[URLPattern]:
        from salesengine.backoffice.second_factor_page import second_factor_page  # which needs the site

        return [path("second-factor/", self.admin_view(second_factor_page), name="second_factor")]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not request.user.get_all_permissions():
            context = self.each_context(request) | {"title": "Welcome"}
            return TemplateResponse(request, "admin/no_rights.html", context)
        response: HttpResponse = super().index(request, extra_context)
        return response

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The pages whose name has the words in it, by the rights of now: unfold's own remembers for five minutes."""
        term = request.GET.get("s", "").strip().lower()
        if not term:
            return HttpResponse()
        is_extended = "extended" in request.GET
        results = [each for each in self._search_apps(AdminSite.get_app_list(self, request), term) if each.link]
        search_more = self._get_config("COMMAND", request).get("search_callback") if is_extended else None
        if search_more:
            results += self._get_value(search_more, request, term)
        pages = Paginator(results[:FOUND_AT_MOST], FOUND_AT_MOST)
        context = {"page_obj": pages, "results": pages.page(1), "page_counter": 0, "execution_time": 0}
        template = "unfold/helpers/command_results.html" if is_extended else "unfold/helpers/search_results.html"
        return TemplateResponse(request, template, context, headers={"HX-Trigger": "search"})

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response: HttpResponse = super().password_change(request, extra_context)
        if response.status_code == 302 and isinstance(request.user, User):
            record_change(request.user, request.user, "Changed their own password.")
        return response
