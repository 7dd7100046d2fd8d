"""Where a request comes from: what log-ins that fail, and requests without a key, are counted by."""

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """The address that the outermost of our own proxies was called from; without TRUSTED_PROXY_COUNT the connection's.

    Each proxy adds to the right of X-Forwarded-For whom it was called by. What stands further left than our own proxies
    wrote is the client's invention. None where there is no address, such as behind a Unix socket.
    """
    hops = [request.META.get("REMOTE_ADDR", "")]
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    if settings.TRUSTED_PROXY_COUNT and forwarded:
        hops = [*forwarded.split(","), *hops]
    place = settings.TRUSTED_PROXY_COUNT + 1
    # A request with fewer has not come through our proxies, and can only be counted by what called us.
    return _clean(hops[-place] if len(hops) >= place else hops[-1])


def _clean(text: str) -> str | None:
    """The address in "192.0.2.1", "192.0.2.1:80" or "[2001:db8::1]:80", and without the name of a network card."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return None
