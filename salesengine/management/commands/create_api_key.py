from argparse import ArgumentParser, RawDescriptionHelpFormatter
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import Error
from django.utils import timezone

from salesengine.accounts.api_keys import create_key
from salesengine.accounts.models import APIKey, Scope, TooManyKeysError
from salesengine.operations.durations import parse_duration

EXAMPLES = """\
examples:
  manage.py create_api_key "web shop" --scope ingest
  manage.py create_api_key "web shop" --scope ingest --scope read --expires 90d
  manage.py create_api_key dashboard --scope read --scope reports > dashboard.key

Only the key goes to standard output, and it is shown only this once; everything else goes to standard error. A client
may have two valid keys. To replace its key, make a second one of the same name, let the client change over, then
revoke the first one in the admin.

exit codes: 0 done, 1 failed (such as a third valid key), 2 wrong call (a name that cannot be, too)
"""


class Command(BaseCommand):
    help = "Make an API key for a client. It sends the key with each request: Authorization: Api-Key KEY"
    requires_system_checks = ()  # a bad report file must not keep a client out

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
            help="what the client may do with it; give --scope again for more: "
            "ingest (send sales), read (ask for feedback and sales), reports (run reports)",
        )
        parser.add_argument(
            "--expires",
            metavar="DURATION",
            type=parse_duration,
            help="how long the key is valid, such as 90d, 12h, 30m or 2w (default: for ever)",
        )

    def handle(self, *, name: str, scopes: list[str], expires: timedelta | None, **options: Any) -> None:
        try:
            key = create_key(name, scopes, timezone.now() + expires if expires else None)
        except TooManyKeysError as error:
            raise CommandError(error.messages[0]) from None
        except ValidationError as error:
            raise CommandError(" ".join(error.messages), returncode=2) from None
        except Error as error:
            raise CommandError(f"The database cannot be used: {error}") from None
        self._show(key)

    def _show(self, key: str) -> None:
        made = APIKey.objects.get(prefix=key.partition(".")[0])
        try:
            self.stdout.write(key)
            self.stdout.flush()
        except OSError as error:
            message = f"The key {made.prefix} could not be written ({error.strerror}); revoke it in the admin."
            raise CommandError(message) from None
        until = f"until {made.expiry_date:%Y-%m-%d %H:%M:%S} UTC" if made.expiry_date else "until it is revoked"
        self.stderr.write(
            f"Made a key for {made.name} ({', '.join(made.scopes)}), valid {until}. It is shown only this once.", str
        )
