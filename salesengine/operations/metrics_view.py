"""GET /metrics, for Prometheus."""

from collections.abc import Iterator

from django.contrib.auth.models import AnonymousUser
from django.db import Error
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from psycopg_pool import PoolTimeout
from rest_framework.request import Request
from rest_framework.views import APIView

from salesengine.accounts.api_keys import APIKeyAuthentication, StaffSession
from salesengine.accounts.models import APIKey, KeyState, Scope
from salesengine.http.openapi import problem_responses
from salesengine.http.renderers import ExactJSONRenderer
from salesengine.operations import metrics, scrape
from salesengine.postgresql.outage import outage

TEXT, OPENMETRICS = "text/plain", "application/openmetrics-text"

accepted_keys: dict[str, APIKey] = {}  # of this process, by the prefix of their text


class ScrapeKeyAuthentication(APIKeyAuthentication):
    """Accept a key that this process has accepted before, while the database that could confirm it is away."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, APIKey] | None:
        known = self.known_key(request)
        if known and outage.is_on:
            return AnonymousUser(), known
        try:
            found = super().authenticate(request)
        except (Error, PoolTimeout):
            if known:
                return AnonymousUser(), known
            raise
        if found and Scope.METRICS in found[1].scopes:
            accepted_keys[found[1].prefix] = found[1]
        return found

    def known_key(self, request: Request) -> APIKey | None:
        text = request.headers.get("Authorization", "").partition(" ")[2].strip()
        key = accepted_keys.get(text.partition(".")[0])
        if key is None or key.state is not KeyState.VALID:
            return None
        return key if APIKey.objects.key_generator.verify(text, key.hashed_key) else None


class TextRenderer(ExactJSONRenderer):
    """Accept requests for text. Only problems are rendered, and they are JSON."""

    media_type = TEXT


class OpenMetricsRenderer(ExactJSONRenderer):
    """Accept requests for OpenMetrics. Only problems are rendered, and they are JSON."""

    media_type = OPENMETRICS


class AllSeries(Collector):
    """The series of all workers, and those that are measured now."""

    def collect(self) -> Iterator[Metric]:
        metrics.sample_process()
        yield from metrics.collect()
        yield from scrape.collect()


class MetricsView(APIView):
    """Return all series, in the text format of Prometheus or in OpenMetrics."""

    scope = Scope.METRICS
    authentication_classes = [ScrapeKeyAuthentication, StaffSession]
    throttle_classes = []
    renderer_classes = [TextRenderer, OpenMetricsRenderer]

    @extend_schema(
        summary="Metrics",
        description=(
            "What the service counts and measures, for Prometheus: in its text format, or in OpenMetrics if the header "
            "`Accept` prefers that. docs/metrics.md explains each series. While the database is away, the response is "
            "200 with `salesengine_database_up 0`. An API key needs the scope `metrics`."
        ),
        tags=["metrics"],
        operation_id="metrics",
        auth=[{"ApiKey": [str(Scope.METRICS)]}, {"StaffSession": []}],  # type: ignore[list-item]  # its type is wrong
        responses={(200, TEXT): str, (200, OPENMETRICS): str, **problem_responses()},
    )
    def get(self, request: Request) -> HttpResponse:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return HttpResponse(encode(AllSeries()), content_type=content_type)
