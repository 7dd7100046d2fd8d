"""Who may use the API: how keys are made, how a request shows one, and what it may do with it.

What the database has of a key is remembered for 5 seconds in each worker process: revoking a key, or changing its
scopes or its expiry, takes effect everywhere within 5 seconds. That a key expires takes effect at that very moment.
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

from salesengine.accounts.models import APIKey, State

if TYPE_CHECKING:  # at run time rest_framework.views imports this module
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

NO_KEY = (
    "An API key is needed: send the header Authorization: Api-Key <key>. "
    "Staff make keys in the admin or with manage.py create_api_key."
)
NO_SUCH_KEY = "This API key is not known, has expired or was revoked."
STAFF_ONLY = "Only staff may use the API without a key."
REMEMBERED_FOR = 5  # seconds
LAST_USED_EVERY = timedelta(minutes=10)

remembered: TTLCache[str, APIKey] = TTLCache(maxsize=1_000, ttl=REMEMBERED_FOR)
remembered_lock = Lock()


def create_key(name: str, scopes: Iterable[str], expires: datetime | None = None) -> str:
    """Make a key for the client `name`. What is returned is what the client sends; it is kept nowhere.

    Raises Django's ValidationError, with what to do about it, a TooManyKeysError where the client has two valid keys.
    """
    key = APIKey(name=name.strip(), scopes=list(dict.fromkeys(scopes)), expiry_date=expires)
    text = APIKey.objects.assign_key(key)
    with transaction.atomic():
        key.clean_fields()
        key.clean()
        key.save(force_insert=True)
    return text


class APIKeyAuthentication(BaseAuthentication):
    """The header `Authorization: Api-Key ...`; `request.auth` is then the APIKey."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, APIKey] | None:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "api-key":
            return None
        key = find_valid_key(text.strip())
        if key is None:
            raise AuthenticationFailed(NO_SUCH_KEY)
        note_use(key)
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        return "Api-Key"


class StaffSession(SessionAuthentication):
    """Who is logged in to the admin, with a CSRF token unless only reading: so /docs can be tried out."""

    def enforce_csrf(self, request: Request) -> None:
        # The token is also looked for in a form; for that DRF's request would parse the body, and no parser here can.
        super().enforce_csrf(request._request)  # type: ignore[arg-type]


def find_valid_key(text: str) -> APIKey | None:
    """The key that a client sent, or None where it is unknown, expired or revoked (within 5 seconds)."""
    prefix = text.partition(".")[0]
    with remembered_lock:
        key = remembered.get(prefix)
    if key is None:
        key = APIKey.objects.filter(prefix=prefix).first()
        if key is None:
            return None
        with remembered_lock:
            remembered[prefix] = key
    # Not the library's is_valid: it may save the row, which is a remembered one here.
    if not APIKey.objects.key_generator.verify(text, key.hashed_key):
        return None
    return key if key.state is State.VALID else None


def note_use(key: APIKey) -> None:
    """Write when the key was last used, at most every 10 minutes. The request goes on whatever becomes of it."""
    now = timezone.now()
    due = now - LAST_USED_EVERY
    if key.last_used is not None and key.last_used > due:
        return
    key.last_used = now  # on the remembered row, so that the next request does not try again, even if this one fails
    try:
        with transaction.atomic():
            # Skipping a locked row, since a request should not wait for whoever changes the key.
            row = APIKey.objects.select_for_update(skip_locked=True).filter(pk=key.pk)
            unused = models.Q(last_used=None) | models.Q(last_used__lt=due)
            APIKey.objects.filter(unused, pk__in=row.values("pk")).update(last_used=now)
    except (Error, PoolTimeout) as error:
        logger.warning("When the key %s was last used could not be written: %s", key.prefix, error)


class MayUseAPI(BasePermission):
    """Keys with the view's `scope`, and staff; anybody without a key where API_KEY_REQUIRED is off."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if isinstance(request.auth, APIKey):
            _check_scope(request.auth, getattr(view, "scope", None))
        elif settings.API_KEY_REQUIRED and not request.user.is_authenticated:
            raise NotAuthenticated(NO_KEY)
        elif settings.API_KEY_REQUIRED and not request.user.is_staff:
            raise PermissionDenied(STAFF_ONLY)
        return True


def _check_scope(key: APIKey, scope: str | None) -> None:
    """Raises PermissionDenied unless the key has the scope. No scope means no keys: a view says what it wants."""
    if scope is None:
        raise PermissionDenied("No API key may do this; staff may, logged in to the admin.")
    if scope not in key.scopes:
        raise PermissionDenied(f"This needs an API key with the scope {scope}; this one has {', '.join(key.scopes)}.")


def sender_of(request: Request) -> str:
    """Who sends a request: the client's name, the same for all its keys; `user:<username>` of staff; or `anonymous`."""
    if isinstance(request.auth, APIKey):
        return request.auth.name
    return f"user:{request.user.get_username()}" if request.user.is_staff else "anonymous"
