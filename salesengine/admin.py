"""Register the admin pages in `salesengine.backoffice`: Django imports this module."""

from salesengine.backoffice import api_keys, audit_log, users

__all__ = ["api_keys", "audit_log", "users"]
