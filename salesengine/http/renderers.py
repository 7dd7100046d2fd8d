"""Render JSON responses, with decimals as exact JSON numbers."""

from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import BaseRenderer

from salesengine.exact_json import encode_json


class ExactJSONRenderer(BaseRenderer):
    """Render Decimal as an exact number (57.27456) and datetime as ISO 8601, and nothing as binary floating point."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return b"" if data is None else encode_json(data) + b"\n"  # so that a terminal's prompt starts on a new line
