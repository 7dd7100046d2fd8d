"""Who may use the API."""

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework_api_key.models import AbstractAPIKey, APIKey
from rest_framework_api_key.permissions import KeyParser

if TYPE_CHECKING:  # at run time rest_framework.views imports this module
    from rest_framework.views import APIView

NO_KEY = "An API key is needed: send the header Authorization: Api-Key <key>. Staff make keys in the admin."
NO_SUCH_KEY = "This API key is not known, has expired or was revoked."


class APIKeyAuthentication(BaseAuthentication):
    """The header `Authorization: Api-Key ...`; `request.auth` is then the key. Staff make keys in the admin."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, AbstractAPIKey] | None:
        text = KeyParser().get(request)
        if text is None:
            return None
        try:
            key = APIKey.objects.get_from_key(text)
        except APIKey.DoesNotExist:
            raise AuthenticationFailed(NO_SUCH_KEY) from None
        if key.has_expired:
            raise AuthenticationFailed(NO_SUCH_KEY)
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        return "Api-Key"


class MayUseAPI(BasePermission):
    """Holders of a key and staff; anybody where API_KEY_REQUIRED is off."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not settings.API_KEY_REQUIRED or request.auth is not None:
            return True
        if not request.user.is_authenticated:
            raise NotAuthenticated(NO_KEY)
        return request.user.is_staff


def sender_of(request: Request) -> str:
    """Who sends a request: the client's name, the same for all its keys; `user:<username>` of staff; or `anonymous`."""
    if isinstance(request.auth, APIKey):
        return str(request.auth.name)
    return f"user:{request.user.get_username()}" if request.user.is_staff else "anonymous"
