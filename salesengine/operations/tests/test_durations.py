"""Durations such as 90d, as people type them."""

from argparse import ArgumentParser
from datetime import timedelta

import pytest
from django.utils import timezone

from salesengine.operations.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90d", timedelta(days=90)),
        ("12h", timedelta(hours=12)),
        ("30m", timedelta(minutes=30)),
        ("2w", timedelta(weeks=2)),
        (" 007D ", timedelta(days=7)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text, duration):
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["", "d", "90", "0d", "-1d", "1.5h", "1d2h", "90 d", "٣d", "100000w", "1y", "1d\n2"])
def test_anything_else_is_an_error_with_an_example(text):
    with pytest.raises(ValueError, match="such as 90d"):
        parse_duration(text)


def test_the_longest_duration_can_be_added_to_today_and_subtracted_from_it():
    longest = parse_duration("99999w")

    assert timezone.now() - longest < timezone.now() < timezone.now() + longest


def test_argparse_prints_the_error(capsys):
    parser = ArgumentParser()
    parser.add_argument("--expires", type=parse_duration)

    with pytest.raises(SystemExit):
        parser.parse_args(["--expires", "soon"])

    assert "“soon” is not a duration" in capsys.readouterr().err
