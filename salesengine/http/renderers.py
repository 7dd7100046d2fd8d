"""JSON out: decimals as JSON numbers, digit for digit."""

from collections.abc import Mapping
from typing import Any

import msgspec
from rest_framework.renderers import BaseRenderer

encode_json = msgspec.json.Encoder(decimal_format="number").encode


class ExactJSONRenderer(BaseRenderer):
    """Renders Decimal as the number it is (57.27456), datetimes as ISO 8601, nothing as binary floating point."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return b"" if data is None else encode_json(data) + b"\n"  # a terminal's prompt then starts on its own line
