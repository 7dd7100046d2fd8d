"""The WSGI application that gunicorn serves."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.core.cache import close_caches
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, reset_queries
from django.http.request import MediaType
from django.template import TemplateSyntaxError, engines
from django.template.backends.django import DjangoTemplates
from django.template.utils import get_app_template_dirs
from django.urls import get_resolver
from django.utils.functional import cached_property
from django.utils.http import parse_header_parameters

from salesengine.database import limit_sessions
from salesengine.postgresql.base import DatabaseWrapper

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "salesengine.settings")

HEALTH_CHECKS = {"/healthz", "/readyz"}


class UTF8Request(WSGIRequest):
    """Decode every request as UTF-8. Django would try any charset that the client names, and some codecs fail.

    Django raises ValueError for a parameter of a header in a charset that it does not know, such as a*=unknown''b. Such
    a header is ignored.
    """

    def _set_content_type_params(self, meta: Mapping[str, Any]) -> None:
        self.content_type, self.content_params = "", {}
        with suppress(ValueError):
            self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))

    @cached_property
    def accepted_types(self) -> list[MediaType]:
        try:
            return super().accepted_types
        except ValueError:
            return [MediaType("*/*")]

    def get_host(self) -> str:
        """Return the host. Raises DisallowedHost, but not for health checks, because probes name any IP address."""
        return "localhost" if self.path_info in HEALTH_CHECKS else super().get_host()


def load_everything() -> None:
    """Load the views and compile the templates now, and not at the first request.

    The workers of gunicorn are forks of the process that loads the application. After files have changed, workers
    would otherwise load parts of the new release that do not fit the rest.
    """
    _ = get_resolver().url_patterns
    [engine] = engines.all()
    assert isinstance(engine, DjangoTemplates)
    for folder in map(Path, map(str, (*engine.dirs, *get_app_template_dirs("templates")))):
        for path in folder.rglob("*.html"):
            with suppress(TemplateSyntaxError):  # templates of parts that are not installed
                engine.get_template(str(path.relative_to(folder)))


limit_sessions()
# Django would do this for each request without need: each one gives back its connections at its end, queries are only
# recorded with DEBUG, and no cache that CACHE_URL allows has anything to close.
request_started.disconnect(close_old_connections)
request_started.disconnect(reset_queries)
request_finished.disconnect(close_caches)
DatabaseWrapper.logs_slow_statements = True
application = get_wsgi_application()
application.request_class = UTF8Request
load_everything()
