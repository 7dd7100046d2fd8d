from django.http import HttpResponse
from django.urls import include, path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.drf import DRFView
from sales.api.parameters import parameters_of, parse_ingest_options
from sales.ingest.bodies import read_batch
from sales.ingest.schema import stored_sale
from salesengine.accounts.models import Scope
from salesengine.exact_json import encode_json


class NothingView(APIView):
    """Return an empty list: the minimum that any response costs."""

    scope = Scope.READ  # as GET /feedback

    def get(self, request: Request) -> Response:
        return Response([])


class ParseView(APIView):
    """Do what /ingest does, except for the API key and the database: parse, validate and respond."""

    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request) -> HttpResponse:
        parse_ingest_options(parameters_of(request))
        with read_batch(request) as (batch, _):
            checked = batch.validate(count_only=True)
        if checked.errors:
            raise batch.validation_error(checked)
        counts = {"accepted": len(checked.events), "duplicate": 0, "rejected": 0}
        response = counts if batch.is_list else stored_sale(1, checked.events[0])
        return HttpResponse(encode_json(response) + b"\n", status=201, content_type="application/json")


urlpatterns = [
    path("nothing", NothingView.as_view()),
    path("parse", ParseView.as_view()),
    path("drf", DRFView.as_view()),
    path("", include("salesengine.urls")),
]
