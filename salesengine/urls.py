"""The URLs of the project."""

from django.contrib import admin
from django.urls import include, path

from salesengine.http import docs_pages as docs
from salesengine.operations import health
from salesengine.operations.metrics_view import MetricsView

handler400 = "salesengine.http.error_pages.bad_request"
handler403 = "salesengine.http.error_pages.permission_denied"
handler404 = "salesengine.http.error_pages.page_not_found"
handler500 = "salesengine.http.error_pages.server_error"

admin.site.index_title = "Home"

urlpatterns = [
    path("", docs.index, name="index"),
    path("", include("sales.urls")),
    path("", include("analytics.urls")),
    path("docs", docs.SwaggerView.as_view(), name="docs"),
    path("docs/problems", docs.ProblemsView.as_view(), name="problems"),
    path("redoc", docs.RedocView.as_view(), name="redoc"),
    path("favicon.ico", docs.favicon, name="favicon"),
    path("openapi.json", docs.OpenAPIView.as_view(), name="openapi"),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", MetricsView.as_view(), name="metrics"),
]
