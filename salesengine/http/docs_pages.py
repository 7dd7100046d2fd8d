"""The start page and the documentation pages: Swagger UI, ReDoc, the OpenAPI document and the problem types.

All their files come from this service. If the API requires keys, only staff and clients with a key may read about it.
"""

from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.utils.decorators import method_decorator
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import conditional_page, require_safe
from django.views.generic import TemplateView
from drf_spectacular.settings import spectacular_settings
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from salesengine.accounts.api_keys import KEY_REQUIRED
from salesengine.accounts.models import APIKey
from salesengine.exact_json import encode_json
from salesengine.http.error_pages import HTML
from salesengine.http.problem_types import PROBLEM_TYPES
from salesengine.http.renderers import ExactJSONRenderer
from salesengine.http.security_headers import DOCS_POLICY

LINKS = (
    ("back_office", "/admin/", "Back office", "Sales, rejected events, countries, reports and users, for staff"),
    ("docs", "/docs", "API", "All endpoints, to read and to try"),
    ("redoc", "/redoc", "API on one page", "The same, to read and to print"),
    ("problems", "/docs/problems", "Problems", "Every type of error, and what to do about it"),
    ("openapi", "/openapi.json", "OpenAPI document", "The description of the API for programs"),
)


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """Link to everything: on a page for people, in JSON for programs."""
    if request.get_preferred_type(("application/json", HTML)) == HTML:
        links = [{"url": url, "title": title, "text": text} for _, url, title, text in LINKS]
        response = render(request, "index.html", {"title": "Sales Engine", "links": links})
    else:
        response = JsonResponse({"name": "Sales Engine"} | {name: url for name, url, *_ in LINKS})
    response["Vary"] = "Accept"
    return response


class DocsPage(TemplateView):
    """Allow only reading, and only by staff if the API requires keys."""

    http_method_names = ["get", "head"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if settings.API_KEY_REQUIRED and not (request.user.is_authenticated and request.user.is_staff):
            return redirect_to_login(request.get_full_path(), "admin:login")
        response = super().dispatch(request, *args, **kwargs)
        response["Content-Security-Policy"] = DOCS_POLICY
        return response


@method_decorator(ensure_csrf_cookie, name="dispatch")  # with which staff try the API
class SwaggerView(DocsPage):
    template_name = "swagger.html"
    extra_context = {"title": "API"}


class RedocView(DocsPage):
    template_name = "redoc.html"
    extra_context = {"title": "API on one page"}


class ProblemsView(TemplateView):
    """Explain each problem type and its remedy. The `type` of every problem links here."""

    http_method_names = ["get", "head"]
    template_name = "problems.html"
    extra_context = {"title": "Problems", "problems": PROBLEM_TYPES}


class OpenAPIRenderer(ExactJSONRenderer):
    media_type = "application/vnd.oai.openapi+json"


class MayReadDocs(BasePermission):
    """Allow any valid API key and staff. If API_KEY_REQUIRED is off, allow everybody."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        is_allowed = not settings.API_KEY_REQUIRED or isinstance(request.auth, APIKey) or request.user.is_staff
        if not is_allowed and not request.user.is_authenticated:
            raise NotAuthenticated(KEY_REQUIRED)
        return is_allowed


@method_decorator([gzip_page, conditional_page], name="dispatch")
class OpenAPIView(APIView):
    """Return the OpenAPI document."""

    permission_classes = [MayReadDocs]
    renderer_classes = [OpenAPIRenderer, ExactJSONRenderer]
    schema = None

    def get(self, request: Request) -> HttpResponse:
        document = spectacular_settings.DEFAULT_GENERATOR_CLASS().get_schema(public=True)
        media_type = request.accepted_renderer.media_type
        return HttpResponse(
            encode_json(document), content_type=media_type, headers={"Cache-Control": "private, no-cache"}
        )


def favicon(request: HttpRequest) -> HttpResponse:
    """Redirect to the icon, for pages that do not link to one."""
    return redirect(static("salesengine/icon.svg"))
