from django.contrib import admin
from django.urls import path, register_converter
from django.urls.converters import PathConverter

from sales.api import views
from sales.backoffice import trader_pages


class AnyText(PathConverter):
    """Match the rest of the path: an order's id may contain slashes and line breaks."""

    regex = "(?s:.+)"


register_converter(AnyText, "any_text")

urlpatterns = [
    path("ingest", views.IngestView.as_view(), name="ingest"),
    path("corrections", views.CorrectionsView.as_view(), name="corrections"),
    path("feedback", views.FeedbackView.as_view(), name="feedback"),
    path("changes", views.ChangesView.as_view(), name="changes"),
    path("sales", views.SalesView.as_view(), name="sales"),
    path("sales/<any_text:id_order>", views.OrderView.as_view(), name="order"),
    # Pages of the back office that belong to no model.
    path("admin/sales/buyer/<any_text:trader_id>/", admin.site.admin_view(trader_pages.buyer_page), name="sales_buyer"),
    path(
        "admin/sales/seller/<any_text:trader_id>/", admin.site.admin_view(trader_pages.seller_page), name="sales_seller"
    ),
]
