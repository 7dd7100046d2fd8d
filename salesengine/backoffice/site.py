"""The admin site: unfold's, with the second factor page, our own search, and a page for users without permissions."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from django.apps import apps
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordChangeView
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst
from unfold.sites import UnfoldAdminSite

from salesengine.accounts.audit_log import record_change
from salesengine.accounts.login import LacksSecondFactor, OwnPasswordChangeForm
from salesengine.backoffice import navigation

MAX_RESULTS = 100


class BackOfficeSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold has no types
    def extra_urls(self) -> list[URLPattern]:
        from salesengine.backoffice.second_factor_page import second_factor_page  # it imports the site

        return [path("second-factor/", self.admin_view(second_factor_page), name="second_factor")]

    def admin_view(self, view: Callable[..., HttpResponse], cacheable: bool = False) -> Callable[..., HttpResponse]:
        """Forbid browsers to store any page. Django lets them store those on which users change their password."""
        protected: Callable[..., HttpResponse] = super().admin_view(view)
        return protected

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "GET" and isinstance(request.user, LacksSecondFactor):
            return HttpResponseRedirect(reverse("admin:second_factor"))
        response: HttpResponse = super().login(request, extra_context)
        return response

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Log out on POST. Redirect GET to the home page, because a link must not log a user out."""
        if request.method in ("GET", "HEAD"):
            return HttpResponseRedirect(reverse("admin:index"))
        response: HttpResponse = super().logout(request, extra_context)
        return response

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not request.user.get_all_permissions():
            context = self.each_context(request) | {"title": "Welcome"}
            return TemplateResponse(request, "admin/no_rights.html", context)
        response: HttpResponse = super().index(request, extra_context)
        return response

    def app_index(
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        title = {"title": capfirst(apps.get_app_config(app_label).verbose_name)}
        response: HttpResponse = super().app_index(request, app_label, title | (extra_context or {}))
        return response

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Find the pages that the user may open now. unfold's own search caches permissions for 5 minutes."""
        started = time.perf_counter()
        typed = request.GET.get("s", "").strip()
        term = typed.lower()
        if not term:
            return HttpResponse()
        is_extended = "extended" in request.GET
        results = navigation.pages(request, term)
        search_callback = self._get_config("COMMAND", request).get("search_callback") if is_extended else None
        if search_callback:
            results += self._get_value(search_callback, request, term)
        pages = Paginator(results[:MAX_RESULTS], MAX_RESULTS)
        context = {"page_obj": pages, "results": pages.page(1), "page_counter": 0, "term": typed}
        context["execution_time"] = time.perf_counter() - started
        template = "admin/command_results.html" if is_extended else "unfold/helpers/search_results.html"
        return TemplateResponse(request, template, context, headers={"HX-Trigger": "search"})

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        view = PasswordChangeView.as_view(
            form_class=partial(OwnPasswordChangeForm, request),
            success_url=reverse("admin:password_change_done"),
            extra_context=self.each_context(request) | {"title": "Change password"} | (extra_context or {}),
        )
        response = view(request)
        if response.status_code == 302 and isinstance(request.user, User):
            record_change(request.user, request.user, "Changed their own password.")
        return response

    def password_change_done(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = {"title": "Password changed"}
        response: HttpResponse = super().password_change_done(request, title | (extra_context or {}))
        return response
