"""Highlight SQL. The colors are in sql.css."""

from django.utils.safestring import SafeString, mark_safe
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import inherit
from pygments.lexers.sql import PostgresLexer
from pygments.token import Name


class ReportLexer(PostgresLexer):  # type: ignore[misc]  # Pygments has no stubs
    """PostgreSQL's SQL with report parameters, such as %(name)s."""

    tokens = {"root": [(r"%\([^()]*\)s", Name.Variable), inherit]}


def highlighted_sql(sql: str) -> SafeString:
    """Return SQL as escaped HTML for a <pre>."""
    html: str = highlight(sql, ReportLexer(), HtmlFormatter(nowrap=True))
    return mark_safe(html)  # noqa: S308  # the formatter escapes
