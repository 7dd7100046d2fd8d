"""The back office in a real browser. Playwright drives Debian's Chromium, against a server process with demo data."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

expect.set_options(timeout=30_000)  # milliseconds: a busy machine may need more than the default of 5 seconds

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]
WIDTHS = {"desktop": (1280, 900), "phone": (360, 780)}
THEMES = ("light", "dark")
SEVERE = {"serious", "critical"}
LATER_ROWS = "tbody:nth-of-type(n+5), tbody tr:nth-child(n+5)"  # unfold has a tbody for each row

MARKS = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"the browser tests need Debian's Chromium, {CHROMIUM}"),
]


def log_in(page: Page, password: str) -> None:
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in", exact=True).click()


@contextmanager
def no_errors(page: Page, site: str) -> Iterator[None]:
    """Fail on an error in the console, an error response, or a request to another host."""
    errors: list[str] = []
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("response", lambda response: response.status >= 400 and errors.append(f"{response.status} {response.url}"))
    page.on("request", lambda request: request.url.startswith((site, "data:", "blob:")) or errors.append(request.url))
    yield
    assert not errors, errors  # pytest shows no values here: it rewrites only test modules and conftest.py


def size_of(width: str) -> dict[str, int]:
    return dict(zip(("width", "height"), WIDTHS[width], strict=True))


def violations(page: Page, rules: list[str] | None) -> list[str]:
    """Return the serious violations that axe-core finds by these rules, or by all. Keeps only the first table rows."""
    page.evaluate("rows => document.querySelectorAll(rows).forEach(row => row.remove())", LATER_ROWS)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "rule", "values": rules}
    return [
        f"{violation['id']}: {violation['help']}: {[node['html'][:200] for node in violation['nodes'][:3]]}"
        for violation in Axe().run(page, options=options).response["violations"]
        if violation["impact"] in SEVERE
    ]
