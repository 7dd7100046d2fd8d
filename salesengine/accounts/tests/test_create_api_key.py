"""manage.py create_api_key writes nothing but the key to standard output."""

import os
import subprocess
import sys
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone

from salesengine.accounts.api_keys import create_key, get_valid_key
from salesengine.accounts.models import APIKey

pytestmark = pytest.mark.django_db


def create_api_key(*arguments):
    """Return standard output and standard error."""
    out, err = StringIO(), StringIO()
    call_command("create_api_key", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_only_the_key_goes_to_standard_output():
    out, err = create_api_key("web shop", "--scope", "ingest", "--scope", "read")

    assert out.count("\n") == 1
    key = get_valid_key(out.strip())
    assert (key.name, key.scopes, key.expiry_date) == ("web shop", ["ingest", "read"], None)
    assert err == ("Created a key for web shop (ingest, read), valid until it is revoked. It is shown only once.\n")


def test_a_key_expires_after_the_given_duration():
    _, err = create_api_key("shop", "--scope", "read", "--expires", "90d")

    end = APIKey.objects.get().expiry_date
    assert abs(end - timezone.now() - timedelta(days=90)) < timedelta(minutes=1)
    assert f"valid until {end:%Y-%m-%d}" in err


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["a:b", "--scope", "read"], "A name must not contain a colon", 2),
        ([" ", "--scope", "read"], "Enter the client's name", 2),
        (["full", "--scope", "read"], "already has 2 valid keys", 1),
    ],
)
def test_an_invalid_key_is_refused_with_a_message(arguments, message, code):
    for _ in range(2):
        create_key("full", ["read"])

    with pytest.raises(CommandError, match=message) as failure:
        create_api_key(*arguments)

    assert failure.value.returncode == code
    assert APIKey.objects.count() == 2


def test_an_unavailable_database_gives_a_message(monkeypatch):
    def fail(*arguments):
        raise OperationalError("gone")

    monkeypatch.setattr("salesengine.management.commands.create_api_key.create_key", fail)

    with pytest.raises(
        CommandError, match="Cannot use the database, so a key that was shown may not work: gone"
    ) as failure:
        create_api_key("shop", "--scope", "read")
    assert failure.value.returncode == 1


def test_a_key_that_cannot_be_written_is_not_created():
    class Full(StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    with pytest.raises(CommandError, match="Cannot write the key"):
        call_command("create_api_key", "shop", "--scope", "read", stdout=Full())

    assert not APIKey.objects.exists()


def test_no_key_is_created_while_standard_output_is_closed(monkeypatch):
    monkeypatch.setattr("salesengine.management.streams._is_output_closed", True)

    with pytest.raises(CommandError, match="Standard output is closed"):
        call_command("create_api_key", "shop", "--scope", "read")

    assert not APIKey.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shop"], "the following arguments are required: --scope"),
        (["shop", "--scope", "all"], "invalid choice: 'all'"),
        (["shop", "--scope", "read", "--expires", "soon"], "“soon” is not a duration"),
        (["--scope", "read"], "the following arguments are required: NAME"),
    ],
)
def test_wrong_usage_gives_a_message(arguments, message):
    with pytest.raises(CommandError, match=message):
        call_command("create_api_key", *arguments)


def test_wrong_usage_exits_with_2():
    finished = subprocess.run(
        [sys.executable, "manage.py", "create_api_key", "shop"],
        env=os.environ | {"ENV_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (finished.returncode, finished.stdout) == (2, "")
    assert "the following arguments are required: --scope" in finished.stderr
