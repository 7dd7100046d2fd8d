import pytest

from analytics.definitions.statements import InvalidStatementError, parse_statement

TYPES = {"day": "date", "n": "bigint"}


@pytest.mark.parametrize(
    ("sql", "bound"),
    [
        ("SELECT %(n)s", "SELECT %(n)s::bigint"),
        ("SELECT %(n)s, %(day)s, %(n)s", "SELECT %(n)s::bigint, %(day)s::date, %(n)s::bigint"),
        ("SELECT 5 % 2 LIKE '%a%'", "SELECT 5 %% 2 LIKE '%%a%%'"),
        ("SELECT '%(n)s'", "SELECT '%%(n)s'"),
        ("SELECT 'it''s %(n)s'", "SELECT 'it''s %%(n)s'"),
        (r"SELECT E'\'%(n)s'", r"SELECT E'\'%%(n)s'"),
        (r"SELECT '\', %(n)s", r"SELECT '\', %(n)s::bigint"),
        ('SELECT "%(n)s"', 'SELECT "%%(n)s"'),
        ("SELECT $$%(n)s'$$", "SELECT $$%%(n)s'$$"),
        ("SELECT $a$ $$ %(n)s $a$", "SELECT $a$ $$ %%(n)s $a$"),
        ("SELECT 1 -- it's %(n)s\n, %(n)s", "SELECT 1 -- it's %%(n)s\n, %(n)s::bigint"),
        ("SELECT 1 /* it's %(n)s */", "SELECT 1 /* it's %%(n)s */"),
        ("SELECT 1 /* a /* b */ ; it's %(n)s */, %(n)s", "SELECT 1 /* a /* b */ ; it's %%(n)s */, %(n)s::bigint"),
        ("SELECT 1 /* never closed %(n)s", "SELECT 1 /* never closed %%(n)s"),
        ("SELECT 1; /* a /* b */ c */", "SELECT 1 /* a /* b */ c */"),
        ("SELECT 1;", "SELECT 1"),
        ("SELECT 1; -- the end; really", "SELECT 1 -- the end; really"),
        ("SELECT ';'", "SELECT ';'"),
    ],
)
def test_only_parameters_outside_of_strings_and_comments_are_bound(sql, bound):
    assert parse_statement(sql).bind(TYPES) == bound


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "SELECT 1;;", "SELECT 1; 'text'", "SELECT 1; --\nDELETE"])
def test_a_second_statement_is_refused(sql):
    with pytest.raises(InvalidStatementError, match="must be one SELECT") as caught:
        parse_statement(sql)
    assert caught.value.offset == 8


@pytest.mark.parametrize(
    ("sql", "is_volatile"),
    [
        ("SELECT now()", True),
        ("SELECT CURRENT_DATE - 1", True),
        ("SELECT random()", True),
        ("SELECT known, 'known' FROM a -- now()", False),
    ],
)
def test_sql_that_depends_on_time_or_chance_is_volatile(sql, is_volatile):
    assert parse_statement(sql).is_volatile == is_volatile
