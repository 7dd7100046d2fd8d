"""Staff can read every rejected event, whatever was sent."""

import pytest

from sales.backoffice.rejected_display import current_text
from sales.models import RejectedEvent


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b'{"b":1.50,"a":1E+3,"b":-0.00}', '{\n  "b": 1.50,\n  "a": 1E+3,\n  "b": -0.00\n}'),
        (b'{"a": 1,}', '{"a": 1,}'),
        (b"[" * 5_000, "[" * 5_000),
        (b'{"a":\r\n \xff\x00}', '{"a":\n \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}}'),
        (b'"' + b"x" * 200_000, ""),
    ],
)
def test_json_is_indented_and_any_other_text_is_shown_as_sent(content, shown):
    text, note = current_text(RejectedEvent(content=content))

    assert text == shown
    assert bool(note) == (not shown or "\N{REPLACEMENT CHARACTER}" in shown)
