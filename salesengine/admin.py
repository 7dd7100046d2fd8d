"""Register the admin pages in `salesengine.backoffice`: Django imports this module."""

from salesengine.backoffice.api_keys import APIKeyAdmin
from salesengine.backoffice.audit_log import AccessFailureLogAdmin, AccessLogAdmin, LogEntryAdmin
from salesengine.backoffice.users import GroupAdmin, UserAdmin

__all__ = ["APIKeyAdmin", "AccessFailureLogAdmin", "AccessLogAdmin", "GroupAdmin", "LogEntryAdmin", "UserAdmin"]
