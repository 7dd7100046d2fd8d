"""Who may use the API."""

from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework_api_key.permissions import HasAPIKey

if TYPE_CHECKING:  # at run time rest_framework.views imports this module
    from rest_framework.views import APIView


class MayUseAPI(BasePermission):
    """Holders of an API key (`Authorization: Api-Key ...`) and staff; anybody where API_KEY_REQUIRED is off."""

    message = "An API key is needed: send the header Authorization: Api-Key <key>. Staff make keys in the admin."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not settings.API_KEY_REQUIRED or request.user.is_staff:
            return True
        return HasAPIKey().has_permission(request, view)
