"""Numbers and their nouns agree."""

import pytest

from salesengine.plurals import counted


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 errors"),
        (1, "1 error"),
        (1.0, "1 error"),
        (0.2, "0.2 errors"),
        (60.0, "60 errors"),
        (2000, "2,000 errors"),
    ],
)
def test_a_noun_is_singular_after_one_only(number, text):
    assert counted(number, "error") == text


def test_a_noun_may_have_a_plural_of_its_own():
    assert (counted(1, "country", "countries"), counted(2, "country", "countries")) == ("1 country", "2 countries")
