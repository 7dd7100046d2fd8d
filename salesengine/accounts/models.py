"""API keys as they are stored: a hash of the key, never the key itself."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.utils import timezone
from rest_framework_api_key.models import AbstractAPIKey, APIKeyManager

MAX_VALID_KEYS = 2  # for each client, so that it can switch to a new key without a pause
RESERVED_NAMES = {"anonymous", "files"}  # senders that are not clients
CLIENT_LOCK = 0x4B455953  # class id of this project's advisory locks on clients in PostgreSQL


class Scope(models.TextChoices):
    """What a key allows."""

    INGEST = "ingest", "ingest: send sales"
    READ = "read", "read: get feedback and sales"
    CORRECT = "correct", "correct: void and replace sales"
    REPORTS = "reports", "reports: run reports"
    METRICS = "metrics", "metrics: monitor the service"

    @property
    def permission(self) -> str:
        """The permission that staff need in place of this scope."""
        return {
            "ingest": "sales.ingest_sale",
            "read": "sales.view_sale",
            "correct": "sales.correct_sale",
            "reports": "analytics.view_report",
            "metrics": "analytics.view_reportrun",  # who sees the log of runs may see figures too
        }[self]


class TooManyKeysError(ValidationError):
    """The client has MAX_VALID_KEYS valid keys already. The message says what to do."""


class KeyState(models.TextChoices):
    """Whether a key can be used. A key that is both revoked and expired counts as revoked."""

    VALID = "valid", "valid"
    EXPIRED = "expired", "expired"
    REVOKED = "revoked", "revoked"


def check_client_name(name: str) -> None:
    """Raise ValidationError unless `name` is a valid client name, distinct from all senders that are not clients."""
    if name != name.strip() or not name.isprintable():
        raise ValidationError("A name must be one line of plain text, without spaces around it.")
    if ":" in name:
        raise ValidationError("A name must not contain a colon (:).")
    if name.lower() in RESERVED_NAMES:
        raise ValidationError(f"The name “{name}” is reserved; choose another.")


def in_state(state: KeyState) -> models.Q:
    """Return the condition for the keys that are in this state now."""
    expired = models.Q(expiry_date__lt=timezone.now())
    return {
        KeyState.VALID: models.Q(~expired, revoked=False),
        KeyState.EXPIRED: models.Q(expired, revoked=False),
        KeyState.REVOKED: models.Q(revoked=True),
    }[state]


class ClientKeyManager(APIKeyManager):
    """The library's manager. To create a key, call `salesengine.accounts.api_keys.create_key`."""

    def assign_key(self, obj: AbstractAPIKey) -> str:
        key: str = super().assign_key(obj)
        obj.id = obj.prefix  # the library puts the hash into the id, and the admin would show it in URLs
        return key


class APIKey(AbstractAPIKey):
    """An API key. All keys with the same name belong to one client, which may have MAX_VALID_KEYS valid keys."""

    name = models.CharField(
        "client",
        max_length=50,
        validators=[check_client_name],
        error_messages={"blank": "Enter the client's name."},
        help_text="Who uses the key, such as “web shop”. All keys with this name belong to one client. "
        "You cannot change it later.",
    )
    scopes = ArrayField(models.CharField(max_length=16, choices=Scope), help_text="What the client may do.")
    last_used = models.DateTimeField(null=True, editable=False, help_text="Accurate to 10 minutes.")

    objects: ClassVar[ClientKeyManager] = ClientKeyManager()

    class Meta(AbstractAPIKey.Meta):
        db_table = "api_key"
        constraints = [models.CheckConstraint(condition=~models.Q(scopes=[]), name="api_key_has_a_scope")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    @property
    def state(self) -> KeyState:
        if self.revoked:
            return KeyState.REVOKED
        return KeyState.EXPIRED if self.has_expired else KeyState.VALID

    def clean(self) -> None:
        """Raise TooManyKeysError if the client would have more than MAX_VALID_KEYS valid keys.

        Call it in the transaction that saves the key: it locks the client until the transaction ends.
        """
        super().clean()
        if self._state.adding and self.has_expired:
            raise ValidationError({"expiry_date": "Choose a time in the future."})
        if self.state is not KeyState.VALID:
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [CLIENT_LOCK, self.name])
        valid_keys = APIKey.objects.filter(in_state(KeyState.VALID), name=self.name).exclude(pk=self.pk)
        if valid_keys.count() >= MAX_VALID_KEYS:
            prefixes = " and ".join(valid_keys.order_by("created").values_list("prefix", flat=True))
            raise TooManyKeysError(
                f"“{self.name}” already has {MAX_VALID_KEYS} valid keys ({prefixes}), which is the limit for a client. "
                "Revoke the one that it no longer uses, or wait until it expires."
            )
