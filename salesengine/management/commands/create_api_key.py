from argparse import ArgumentParser, RawDescriptionHelpFormatter
from datetime import timedelta
from typing import Any

from django.contrib.admin.models import ADDITION
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, transaction
from django.utils import timezone

from salesengine.accounts.api_keys import create_key
from salesengine.accounts.audit_log import record_command
from salesengine.accounts.models import APIKey, Scope, TooManyKeysError
from salesengine.management.streams import is_output_closed
from salesengine.operations.durations import parse_duration

EXAMPLES = """\
examples:
  manage.py create_api_key "web shop" --scope ingest
  manage.py create_api_key "web shop" --scope ingest --scope read --expires 90d
  manage.py create_api_key dashboard --scope read --scope reports > dashboard.key

The key is written to standard output, and shown only once. Everything else goes to standard error. A client may have
two valid keys. To replace a key, create a second one with the same name, switch the client to it, then revoke the
first one in the admin.

exit codes: 0 success, 1 failed (such as a third valid key), 2 invalid arguments (such as an invalid name)
"""


class Command(BaseCommand):
    help = "Create an API key for a client. The client sends it in each request: Authorization: Api-Key KEY"
    requires_system_checks = ()  # an invalid report file must not prevent this

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("name", metavar="NAME", help="the client that will use the key")
        parser.add_argument(
            "--scope",
            dest="scopes",
            action="append",
            required=True,
            choices=Scope.values,
            help="what the client may do: ingest (send sales), read (get feedback and sales), correct (void and "
            "replace sales), reports (run reports) or metrics (monitor the service); repeat --scope for more than one",
        )
        parser.add_argument(
            "--expires",
            metavar="DURATION",
            type=parse_duration,
            help="how long the key is valid, such as 90d, 12h, 30m or 2w (default: until it is revoked)",
        )

    def handle(self, *, name: str, scopes: list[str], expires: timedelta | None, **options: Any) -> None:
        if is_output_closed():
            raise CommandError("Standard output is closed, so nobody would see the key.")
        try:
            with transaction.atomic():  # a key that nobody sees is not created
                text = create_key(name, scopes, timezone.now() + expires if expires else None)
                key = APIKey.objects.get(prefix=text.partition(".")[0])
                record_command(key, f"Added. Scopes: {', '.join(key.scopes)}.", ADDITION)
                self._show(text)
        except TooManyKeysError as error:
            raise CommandError(error.messages[0]) from None
        except ValidationError as error:
            raise CommandError(" ".join(error.messages), returncode=2) from None
        except Error as error:
            raise CommandError(f"Cannot use the database, so a key that was shown may not work: {error}") from None
        until = f"until {key.expiry_date:%Y-%m-%d %H:%M:%S} UTC" if key.expiry_date else "until it is revoked"
        self.stderr.write(
            f"Created a key for {key.name} ({', '.join(key.scopes)}), valid {until}. It is shown only once.", str
        )

    def _show(self, text: str) -> None:
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except OSError as error:
            raise CommandError(f"Cannot write the key ({error.strerror}), so it was not created.") from None
