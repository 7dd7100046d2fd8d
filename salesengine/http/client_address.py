"""The client's IP address, by which failed logins and requests without an API key are counted."""

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """Return the address that called the outermost trusted proxy, or the connection's if there is no proxy.

    Each proxy appends the address of its caller to X-Forwarded-For. Entries further left than TRUSTED_PROXY_COUNT can
    be forged by the client, so they are ignored. Returns None if there is no address, such as on a Unix socket.
    """
    hops = [request.META.get("REMOTE_ADDR", "")]
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    if settings.TRUSTED_PROXY_COUNT and forwarded:
        hops = [*forwarded.split(","), *hops]
    position = settings.TRUSTED_PROXY_COUNT + 1
    # A request with fewer hops bypassed the proxies, so only the address of its connection is reliable.
    return _parse(hops[-position] if len(hops) >= position else hops[-1])


def _parse(text: str) -> str | None:
    """Return the IP address in "192.0.2.1", "192.0.2.1:80" or "[2001:db8::1]:80", without an IPv6 zone."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return None
