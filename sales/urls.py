from django.urls import path, register_converter
from django.urls.converters import PathConverter

from sales import views


class AnyText(PathConverter):
    """The rest of the path, whatever it is: an order's id may hold slashes, and line breaks too."""

    regex = "(?s:.+)"


register_converter(AnyText, "any_text")

urlpatterns = [
    path("ingest", views.IngestView.as_view(), name="ingest"),
    path("feedback", views.FeedbackView.as_view()),
    path("sales", views.SalesView.as_view()),
    path("sales/<any_text:id_order>", views.OrderView.as_view()),
]
