"""Headers that tell browsers what a response may do: load and run, use of the device, be embedded, be stored."""

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

CLOSED = "base-uri 'none'; frame-ancestors 'none'; form-action"
# Our pages have no scripts or styles inside. Alpine, which unfold uses, compiles the expressions in attributes, and
# htmx and Alpine set styles.
ADMIN_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:;"
    f" object-src 'none'; {CLOSED} 'self'"
)
# Swagger UI and ReDoc insert styles, and ReDoc searches in a worker.
DOCS_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src blob:; object-src 'none';"
    f" {CLOSED} 'none'"
)
PLAIN_POLICY = f"default-src 'none'; style-src 'self'; img-src 'self'; {CLOSED} 'none'"
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class SecurityHeadersMiddleware(MiddlewareMixin):
    """Add the headers that a view has not set."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        is_admin = request.path.startswith("/admin/")
        for name, value in HEADERS.items():
            response.setdefault(name, value)
        response.setdefault("Content-Security-Policy", ADMIN_POLICY if is_admin else PLAIN_POLICY)
        return response
