"""Traces in OpenTelemetry, if OTEL_EXPORTER_OTLP_ENDPOINT is set. Otherwise nothing of it is imported.

The SDK reads its other settings from the environment: https://opentelemetry.io/docs/languages/sdk-configuration/.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Span
    from opentelemetry.trace import Tracer

SERVICE_NAME = "OTEL_SERVICE_NAME"
WITH_QUERY = ("http.url", "http.target", "url.full")  # attributes whose values contain the query string
QUERY = "url.query"

_tracer: "Tracer | None" = None


def start() -> None:
    """Trace requests, statements and `span` from here on, if an endpoint is set. Call this before the WSGI handler.

    The thread that sends the traces starts again in each fork of this process.
    """
    global _tracer
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.django import DjangoInstrumentor
    from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    os.environ.setdefault(SERVICE_NAME, "salesengine")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    DjangoInstrumentor().instrument(excluded_urls="/healthz$", request_hook=remove_query)
    PsycopgInstrumentor().instrument(capture_parameters=False)
    _tracer = trace.get_tracer("salesengine")


def remove_query(span: "Span", request: object) -> None:
    """Remove the query string of a request from its span."""
    attributes = span.attributes or {}
    span.set_attributes({name: str(attributes[name]).partition("?")[0] for name in WITH_QUERY if name in attributes})
    if QUERY in attributes:
        span.set_attribute(QUERY, "")


def span(name: str, **attributes: Any) -> AbstractContextManager[object]:
    """Trace the `with` block."""
    return _tracer.start_as_current_span(name, attributes=attributes) if _tracer else nullcontext()
