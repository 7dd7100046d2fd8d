"""The models of this app, which live in `salesengine.accounts`. Django and the migrations look for them here."""

from salesengine.accounts.models import APIKey, ClientKeyManager, check_client_name

__all__ = ["APIKey", "ClientKeyManager", "check_client_name"]
