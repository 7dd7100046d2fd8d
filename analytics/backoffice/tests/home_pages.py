"""The back office's home page, and helpers that read it."""

import re
from datetime import date

from salesengine.tests.clients import plain

HOME = "/admin/"
UNTIL = date(2021, 6, 30)


def page_of(client, until=UNTIL, **options):
    response = client.get(HOME, {"until": until} if until else {}, **options)
    assert response.status_code == 200
    return response.content.decode()


def cards(page):
    """Return {title: [(figure, change) of revenue, sales and average]}."""
    found = {}
    for block in page.split('aria-labelledby="home-card-')[1:]:
        pairs = re.findall(r'<dd>(.*?)</dd><dd class="home-change[^>]*>(.*?)</dd>', block, re.DOTALL)
        found[plain(block[block.index("<h2") : block.index("</h2>")])] = [(plain(a), plain(b)) for a, b in pairs[:3]]
    return found


def block_of(page, title):
    """Return the part of the page under this heading."""
    return re.search(rf"<h2[^>]*>{title}</h2>(.*?)</section>", page, re.DOTALL)[1]


def content(page):
    return page[page.index('<div id="content-main"') :].partition('id="modal')[0]


def chart_data(client, until=UNTIL):
    """Return the data of the page's chart."""
    return client.get(HOME, {"until": until}).context["chart"].data
