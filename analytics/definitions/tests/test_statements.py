import pytest

from analytics.definitions.statements import InvalidStatementError, is_ordered, parse_statement

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


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT day FROM sales ORDER BY day", True),
        ("WITH a AS (SELECT 1) SELECT 1 UNION SELECT 2 order\n  by 1 LIMIT 3", True),
        ("WITH a AS (SELECT 1 ORDER BY 1) SELECT SUM(n) OVER (ORDER BY n) FROM a", False),
        ("SELECT ')' || x FROM (SELECT 'ORDER BY' AS x ORDER BY x) AS y -- ORDER BY x", False),
    ],
)
def test_an_order_inside_brackets_is_not_that_of_the_statement(sql, expected):
    assert is_ordered(sql) is expected
