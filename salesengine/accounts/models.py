"""What is kept of API keys: never the key itself, only its hash."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.utils import timezone
from rest_framework_api_key.models import AbstractAPIKey, APIKeyManager

MAX_VALID_KEYS = 2  # of one client, so that it can change from one to the next without a pause
RESERVED_NAMES = {"anonymous", "files"}  # senders that are no client
CLIENT_LOCK = 0x4B455953  # this project's number among PostgreSQL's advisory locks on a client


class Scope(models.TextChoices):
    """What a key allows."""

    INGEST = "ingest", "ingest: send sales"
    READ = "read", "read: ask for feedback and sales"
    REPORTS = "reports", "reports: run reports"


class TooManyKeysError(ValidationError):
    """The client has as many valid keys as it may have; the message says what to do."""


class State(models.TextChoices):
    """Whether a key can be used. A revoked key is revoked, whether or not it has expired as well."""

    VALID = "valid", "valid"
    EXPIRED = "expired", "expired"
    REVOKED = "revoked", "revoked"


def check_client_name(name: str) -> None:
    """Names of clients stand beside `user:<username>` and the reserved names, as the senders of what they send."""
    if name != name.strip() or not name.isprintable():
        raise ValidationError("A name is plain text in one line, without blanks around it.")
    if ":" in name:
        raise ValidationError("A name cannot have a colon (:) in it.")
    if name.lower() in RESERVED_NAMES:
        raise ValidationError(f"The name “{name}” is taken by the service itself; choose another.")


def state_is(state: State) -> models.Q:
    """The keys whose `state` this is now."""
    expired = models.Q(expiry_date__lt=timezone.now())
    return {
        State.VALID: models.Q(~expired, revoked=False),
        State.EXPIRED: models.Q(expired, revoked=False),
        State.REVOKED: models.Q(revoked=True),
    }[state]


class ClientKeyManager(APIKeyManager):
    """The library's; `salesengine.accounts.api_keys.create_key` makes keys."""

    def assign_key(self, obj: AbstractAPIKey) -> str:
        key: str = super().assign_key(obj)
        obj.id = obj.prefix  # the library's has the hash in it, which the admin would show in its addresses
        return key


class APIKey(AbstractAPIKey):
    """A key to the API. The keys of one name are one client's, and at most two of them are valid at a time."""

    name = models.CharField(
        "client",
        max_length=50,
        validators=[check_client_name],
        error_messages={"blank": "A client needs a name."},
        help_text="Who uses the key, such as “web shop”. All keys of one name are this client's. It cannot be changed.",
    )
    scopes = ArrayField(models.CharField(max_length=16, choices=Scope), help_text="What the client may do with it.")
    last_used = models.DateTimeField(null=True, editable=False, help_text="To within 10 minutes.")

    objects: ClassVar[ClientKeyManager] = ClientKeyManager()

    class Meta(AbstractAPIKey.Meta):
        db_table = "api_key"
        constraints = [models.CheckConstraint(condition=~models.Q(scopes=[]), name="api_key_has_a_scope")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    @property
    def state(self) -> State:
        if self.revoked:
            return State.REVOKED
        return State.EXPIRED if self.has_expired else State.VALID

    def clean(self) -> None:
        """Refuses a third valid key of one client; for sure in a transaction, which then is the client's only one."""
        super().clean()
        if self._state.adding and self.has_expired:
            raise ValidationError({"expiry_date": "This moment has passed already."})
        if self.state is not State.VALID:
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [CLIENT_LOCK, self.name])
        others = APIKey.objects.filter(state_is(State.VALID), name=self.name).exclude(pk=self.pk)
        if others.count() >= MAX_VALID_KEYS:
            prefixes = " and ".join(others.order_by("created").values_list("prefix", flat=True))
            raise TooManyKeysError(
                f"“{self.name}” already has {MAX_VALID_KEYS} valid keys ({prefixes}), and a client has at most "
                f"{MAX_VALID_KEYS}. Revoke the one that it no longer uses, or let it expire; then there is room."
            )
