"""The WSGI application that gunicorn serves."""

import os
from collections.abc import Mapping
from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.core.wsgi import get_wsgi_application
from django.utils.http import parse_header_parameters

from salesengine.database import limit_requests

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "salesengine.settings")


class UTF8Request(WSGIRequest):
    """Decode every request as UTF-8. Django would try any charset that the client names, and some codecs fail."""

    def _set_content_type_params(self, meta: Mapping[str, Any]) -> None:
        self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))


limit_requests()
application = get_wsgi_application()
application.request_class = UTF8Request
