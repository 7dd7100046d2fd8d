"""SQL in colours, which are in sql.css."""

from django.utils.safestring import SafeString, mark_safe
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import inherit
from pygments.lexers.sql import PostgresLexer
from pygments.token import Name


class ReportLexer(PostgresLexer):  # type: ignore[misc]  # without stubs it is Any
    """PostgreSQL's SQL with the parameters of reports, %(name)s."""

    tokens = {"root": [(r"%\([^()]*\)s", Name.Variable), inherit]}


def highlighted_sql(sql: str) -> SafeString:
    """SQL as HTML, for a <pre>; all that it holds is escaped."""
    html: str = highlight(sql, ReportLexer(), HtmlFormatter(nowrap=True))
    return mark_safe(html)  # noqa: S308  # the formatter escapes
