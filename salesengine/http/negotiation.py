"""Choose the format of a response by the header Accept (RFC 9110, 12.5.1)."""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from django.http.request import MediaType
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


def preferred_media_type(offered: Sequence[str], accept: str) -> str:
    """Return the media type that the header prefers: the first one among equals. Raises NotAcceptable.

    An empty header accepts every media type.
    """
    if accept.strip(" ,") in {"", "*/*"}:
        return offered[0]
    ranges = []
    for text in accept.split(","):
        with suppress(ValueError):  # a parameter in an unknown charset
            ranges.append(MediaType(text))
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))
    if not _quality(best, ranges):
        raise NotAcceptable(f"The header Accept allows none of the available formats: {', '.join(offered)}.")
    return best


def _quality(media_type: str, ranges: Iterable[MediaType]) -> float:
    """Return the quality of the most specific range that matches. 0 means that the media type is not acceptable."""
    matching = [media_range for media_range in ranges if media_range.match(media_type)]
    most_specific = max(matching, key=lambda media_range: (media_range.specificity, media_range.quality), default=None)
    return most_specific.quality if most_specific else 0


class ContentNegotiation(DefaultContentNegotiation):
    """Choose the renderer that Accept prefers. DRF would ignore how much, and would refuse an empty header."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        by_media_type = {str(renderer.media_type): renderer for renderer in renderers}
        media_type = preferred_media_type(list(by_media_type), request.META.get("HTTP_ACCEPT", ""))
        return by_media_type[media_type], media_type
