"""The report pages, as tests ask for them."""

import html
import re

from django.http import QueryDict

LIST = "/admin/analytics/report/"
PAGE = f"{LIST}probe/"
RESULT = f"{PAGE}result/"
CANCEL = f"{PAGE}cancel/"
EXPLAIN = f"{PAGE}explain/"
LOG = "/admin/analytics/reportrun/"


def run_whole(client, **query):
    """The page with the result in it, as it is without JavaScript."""
    return client.get(PAGE, {"run": "whole"} | query)


def rows_of(page):
    """The texts of the table's cells, row by row."""
    rows = re.findall(r"<tr>(.*?)</tr>", page.partition("<tbody>")[2].partition("</tbody>")[0], re.DOTALL)
    return [[plain(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)] for row in rows]


def plain(text):
    return html.unescape(re.sub(r"<[^>]*>", "", text)).strip()


def link_of(page, words):
    """The address that the words lead to."""
    return html.unescape(re.search(rf'<a[^>]*href="([^"]*)"[^>]*>{re.escape(words)}</a>', page)[1])


def query_of(address):
    return QueryDict(address.partition("?")[2]).dict()
