"""Re-export the models in `salesengine.accounts`: Django and the migrations import them from here."""

from salesengine.accounts.models import APIKey, ClientKeyManager, check_client_name

__all__ = ["APIKey", "ClientKeyManager", "check_client_name"]
