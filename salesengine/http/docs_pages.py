"""The documentation pages: Swagger UI, ReDoc and the problem types. All their files come from this service."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.templatetags.static import static
from django.views.generic import TemplateView, View
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerView

from salesengine.http.problem_types import PROBLEM_TYPES

# Without this policy ReDoc would load its vendor's logo from another host.
SCRIPT_POLICY = "default-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src blob:"
STATIC_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; base-uri 'none'; form-action 'none'"


class DocsPage(View):
    """Allow only reading, and forbid browsers to load anything from other hosts."""

    http_method_names = ["get", "head"]
    policy = SCRIPT_POLICY

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().dispatch(request, *args, **kwargs)
        response["Content-Security-Policy"] = self.policy
        return response


class SwaggerView(DocsPage, SpectacularSwaggerView):
    url_name = "openapi"


class RedocView(DocsPage, SpectacularRedocView):
    url_name = "openapi"
    template_name = "redoc.html"


class ProblemsView(DocsPage, TemplateView):
    """Explain each problem type and its remedy. The `type` of every problem links here."""

    policy = STATIC_POLICY
    template_name = "problems.html"
    extra_context = {"problems": PROBLEM_TYPES}


def favicon(request: HttpRequest) -> HttpResponse:
    """Redirect to the icon, for pages that do not link to one."""
    return redirect(static("salesengine/icon.svg"))
