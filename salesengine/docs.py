"""The documentation pages, Swagger UI and ReDoc, which come from our own files."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.templatetags.static import static
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerView

# ReDoc would fetch its maker's logo from another host.
OWN_FILES_ONLY = "default-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src blob:"


class OwnFilesOnly:
    """Tells browsers to fetch nothing from other hosts."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]  # a view's
        response["Content-Security-Policy"] = OWN_FILES_ONLY
        return response


class SwaggerView(OwnFilesOnly, SpectacularSwaggerView):
    url_name = "openapi"
    http_method_names = ["get", "head"]


class RedocView(OwnFilesOnly, SpectacularRedocView):
    url_name = "openapi"
    http_method_names = ["get", "head"]
    template_name = "redoc.html"


def favicon(request: HttpRequest) -> HttpResponse:
    """The icon of pages that name none."""
    return redirect(static("salesengine/icon.svg"))
