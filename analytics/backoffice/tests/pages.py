"""URLs of the report pages, and helpers that read them."""

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
    """Return the page that includes the result, as browsers without JavaScript get it."""
    return client.get(PAGE, {"run": "whole"} | query)


def link_of(page, words):
    """Return the URL of the link with this text."""
    return html.unescape(re.search(rf'<a[^>]*href="([^"]*)"[^>]*>{re.escape(words)}</a>', page)[1])


def query_of(url):
    return QueryDict(url.partition("?")[2]).dict()
