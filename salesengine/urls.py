"""The URLs of the project."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularJSONAPIView

from salesengine.http import docs_pages as docs
from salesengine.operations import health

handler400 = "salesengine.http.errors.bad_request"
handler403 = "salesengine.http.errors.permission_denied"
handler404 = "salesengine.http.errors.page_not_found"
handler500 = "salesengine.http.errors.server_error"

admin.site.index_title = "Home"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="docs")),
    path("", include("sales.urls")),
    path("", include("analytics.urls")),
    path("docs", docs.SwaggerView.as_view(), name="docs"),
    path("docs/problems", docs.ProblemsView.as_view(), name="problems"),
    path("redoc", docs.RedocView.as_view(), name="redoc"),
    path("favicon.ico", docs.favicon),
    path("openapi.json", SpectacularJSONAPIView.as_view(), name="openapi"),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
]
