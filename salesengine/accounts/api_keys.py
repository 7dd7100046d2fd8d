"""Who may use the API: create keys, authenticate requests, and check their scopes.

Each process caches keys for 5 seconds. So revoking a key, or changing its scopes or expiry date, takes effect
everywhere within 5 seconds. The expiry itself is exact, because every request compares the cached date.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING

from cachetools import TTLCache
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import Error, models, transaction
from django.utils import timezone
from psycopg_pool import PoolTimeout
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from salesengine.accounts.models import APIKey, KeyState, Scope

if TYPE_CHECKING:  # at run time, rest_framework.views imports this module
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

KEY_REQUIRED = (
    "An API key is required: send the header Authorization: Api-Key <key>. "
    "Staff create keys in the admin or with manage.py create_api_key."
)
INVALID_KEY = "This API key is unknown, expired or revoked."
STAFF_ONLY = "Without an API key, only staff may use the API."
CACHE_SECONDS = 5
LAST_USED_EVERY = timedelta(minutes=10)

key_cache: TTLCache[str, APIKey] = TTLCache(maxsize=1_000, ttl=CACHE_SECONDS)  # by text
key_cache_lock = Lock()


def create_key(name: str, scopes: Iterable[str], expires: datetime | None = None) -> str:
    """Create a key for the client `name`. Returns the text that the client sends; only its hash is stored.

    Raises Django's ValidationError with advice; TooManyKeysError if the client has two valid keys already.
    """
    key = APIKey(name=name.strip(), scopes=list(dict.fromkeys(scopes)), expiry_date=expires)
    text = APIKey.objects.assign_key(key)
    with transaction.atomic():
        key.clean_fields()
        key.clean()
        key.save(force_insert=True)
    return text


class APIKeyAuthentication(BaseAuthentication):
    """Authenticate by the header `Authorization: Api-Key <key>`. Sets `request.auth` to the APIKey."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, APIKey] | None:
        scheme, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "api-key":
            return None
        key = get_valid_key(text.strip())
        if key is None:
            raise AuthenticationFailed(INVALID_KEY)
        record_use(key)
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        return "Api-Key"


class StaffSession(SessionAuthentication):
    """Authenticate by the admin's session, so that staff can try the API at /docs. Writing requires a CSRF token."""

    def enforce_csrf(self, request: Request) -> None:
        # Django also looks for the token in a form. DRF's request would parse the body for that, and it has no parsers.
        super().enforce_csrf(request._request)  # type: ignore[arg-type]


def get_valid_key(text: str) -> APIKey | None:
    """Return the key with this text, or None if it is unknown, expired or revoked."""
    with key_cache_lock:
        key = key_cache.get(text)
    if key is None:
        key = APIKey.objects.filter(prefix=text.partition(".")[0]).first()
        if key is None or not APIKey.objects.key_generator.verify(text, key.hashed_key):
            return None
        with key_cache_lock:
            key_cache[text] = key
    return key if key.state is KeyState.VALID else None


def record_use(key: APIKey) -> None:
    """Store when the key was last used, at most every 10 minutes. Errors are logged; the request goes on."""
    now = timezone.now()
    due = now - LAST_USED_EVERY
    if key.last_used is not None and key.last_used > due:
        return
    key.last_used = now  # in the cache, so that the next requests do not try again if this update fails
    try:
        with transaction.atomic():
            # Skip a locked row, so that the request does not wait while somebody changes the key.
            row = APIKey.objects.select_for_update(skip_locked=True).filter(pk=key.pk)
            unused = models.Q(last_used=None) | models.Q(last_used__lt=due)
            APIKey.objects.filter(unused, pk__in=row.values("pk")).update(last_used=now)
    except (Error, PoolTimeout) as error:
        logger.warning("Cannot store when the API key %s was last used: %s", key.prefix, error)


class MayUseAPI(BasePermission):
    """Allow keys with the view's `scope`, and staff with its permission. Refuse everybody if the view has no scope.

    If API_KEY_REQUIRED is off, allow all requests without a key.
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        scope: Scope | None = getattr(view, "scope", None)
        if scope is None:
            return False
        if request.auth is None and settings.API_KEY_REQUIRED and not request.user.is_authenticated:
            raise NotAuthenticated(KEY_REQUIRED)
        require(request, scope)
        return True


def is_allowed(request: Request, scope: Scope, permission: str = "") -> bool:
    """Return whether the key has the scope, or else the user the permission, by default that of the scope."""
    if isinstance(request.auth, APIKey):
        return scope in request.auth.scopes
    return not settings.API_KEY_REQUIRED or (
        request.user.is_staff and request.user.has_perm(permission or scope.permission)
    )


def require(request: Request, scope: Scope, permission: str = "", advice: str = "") -> None:
    """Raise PermissionDenied unless `is_allowed`. `advice` says what users without the permission may do instead."""
    if is_allowed(request, scope, permission):
        return
    if isinstance(request.auth, APIKey):
        scopes = ", ".join(request.auth.scopes)
        raise PermissionDenied(f"This requires an API key with the scope {scope}; yours has {scopes}.")
    if not request.user.is_staff:
        raise PermissionDenied(STAFF_ONLY)
    needed = f"This requires the permission {permission or scope.permission}, which an administrator can give you."
    raise PermissionDenied(f"{needed} {advice}".strip())


def get_sender(request: Request) -> str:
    """Return who sends a request: the client name of its API key, `user:<username>` for staff, or `anonymous`."""
    if isinstance(request.auth, APIKey):
        return request.auth.name
    return f"user:{request.user.get_username()}" if request.user.is_staff else "anonymous"
