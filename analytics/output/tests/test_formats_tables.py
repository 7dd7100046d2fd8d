"""The formats table and markdown, for people."""

from decimal import Decimal

import pytest
from markdown_it import MarkdownIt

from analytics.output.tests.results import encoded


def table_of(*rows, **types):
    return encoded("table", *rows, **types).decode().splitlines()


def markdown_of(*rows, safe_cells=False, **types):
    return encoded("markdown", *rows, options={"safe_cells": safe_cells}, **types).decode()


# Tables


def test_a_table_is_aligned_with_numbers_on_the_right():
    rows = [("France", Decimal("1500.25")), ("UK", Decimal("2.5"))]
    assert table_of(*rows, country="text", revenue="numeric") == [
        " country   revenue",
        "───────────────────",
        " France    1500.25",
        " UK            2.5",
    ]


def test_a_table_without_rows_is_its_header():
    assert table_of(country="text", n="int8") == [" country   n", "─────────────"]


def test_a_table_has_no_maximum_width():
    line = table_of(("x" * 500, "y" * 500), a="text", b="text")[2]
    assert line == f" {'x' * 500}   {'y' * 500}"


def test_wide_characters_take_two_cells():
    lines = table_of(("日本", 1), ("Perú", 22), country="text", n="int8")
    assert lines[2:] == [" 日本       1", " Perú      22"]


def test_wider_text_further_down_is_not_cut():
    rows = [("x", 1)] * 1_000 + [("x" * 30, 2), ("x", 3)]
    assert table_of(*rows, a="text", n="int8")[-2:] == [f" {'x' * 30}   2", " x   3"]


def test_null_is_visible_in_a_table():
    assert table_of((None,))[2] == " -"


def test_markup_in_a_table_is_plain_text():
    assert table_of(("[bold]x[/bold] :smile:",))[2] == " [bold]x[/bold] :smile:"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\nnext", r"\x1b[31mred\nnext"),
        ("\u202eltr", r"\u202eltr"),
        ("two\u2028lines", r"two\u2028lines"),
        ("no-break\xa0space", "no-break\xa0space"),
    ],
)
def test_control_characters_are_escaped(text, shown):
    assert table_of((text,))[2] == f" {shown}"


def test_control_characters_in_a_column_name_are_escaped():
    assert table_of(("x",), **{"a\x1b[31m": "text"})[0] == r" a\x1b[31m"


# Markdown


def test_markdown_is_a_table_with_numbers_on_the_right():
    assert markdown_of(("France", Decimal("1500.25")), (None, None), country="text", revenue="numeric") == (
        "| country | revenue |\n| --- | ---: |\n| France | 1500.25 |\n|  |  |\n"
    )


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("a\\", "a\\\\"),
        ("a\\|b", r"a\\\|b"),
        ("two\r\nlines\nand\rmore", "two<br>lines<br>and<br>more"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("*_`~[$]", r"\*\_\`\~\[\$\]"),
        ("\x1b[31m", r"\\x1b\[31m"),
        ("design & decoration", "design &amp; decoration"),
    ],
)
def test_a_markdown_cell_is_escaped(text, escaped):
    assert markdown_of((text,), ("plain",)) == f"| value |\n| --- |\n| {escaped} |\n| plain |\n"


@pytest.mark.parametrize("text", ["a|b", "a\\|b", "<script>x</script>", "*a* _b_ `c` [d](e)", "&lt;", "\\", "a\\\\|"])
def test_a_markdown_cell_shows_its_text_unchanged(text):
    """Read the table with a Markdown parser that allows HTML."""
    tokens = (
        MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown_of((text, "next"), a="text", b="text"))
    )
    cells = [token.children for token in tokens if token.type == "inline"][2:]
    assert [{child.type for child in cell} <= {"text", "text_special"} for cell in cells] == [True, True]
    assert ["".join(child.content for child in cell) for cell in cells] == [text, "next"]


def test_safe_markdown_has_no_formulas_and_keeps_numbers():
    rows = [("=1", -1)]
    text = markdown_of(*rows, safe_cells=True, **{"@a": "text", "n": "int8"})
    assert text.splitlines() == ["| '@a | n |", "| --- | ---: |", "| '=1 | -1 |"]
