from django.urls import include, path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.drf import DRFView
from sales.schemas import parse_events, stored_sale
from sales.views import read_json_body


class NothingView(APIView):
    """What every answer costs at least: the server, Django, the rights, and an empty list as JSON."""

    def get(self, request: Request) -> Response:
        return Response([])


class ParseView(APIView):
    """What /ingest does but for the key and the database: reads, validates, and answers as if it had stored."""

    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request) -> Response:
        events, many = parse_events(read_json_body(request))
        return Response({"accepted": len(events)} if many else stored_sale(1, events[0]), status=201)


urlpatterns = [
    path("nothing", NothingView.as_view()),
    path("parse", ParseView.as_view()),
    path("drf", DRFView.as_view()),
    path("", include("salesengine.urls")),
]
