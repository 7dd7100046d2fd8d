"""Re-export the models in `salesengine.accounts`: Django and the migrations import them from here."""

from salesengine.accounts.models import APIKey, check_client_name

__all__ = ["APIKey", "check_client_name"]
