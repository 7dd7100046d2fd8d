"""The back office in a real browser: each page at two widths and in two themes, and what staff do there.

Debian's Chromium, driven by Playwright. The service is a process of its own with demo data; what the pages look like is
kept in .github/screenshots, which the README shows (SCREENSHOTS=1 writes them anew).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from conftest import ROOT, manage, new_folder, serve

CHROMIUM = Path("/usr/bin/chromium")
SCREENSHOTS = ROOT / ".github" / "screenshots"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]
PASSWORD = "a-long-enough-secret"
WIDTHS = {"desktop": (1280, 900), "phone": (360, 780)}
THEMES = ("light", "dark")
SEVERE = {"serious", "critical"}

# The main pages, by the names that their pictures have.
PAGES = {
    "home": "/admin/?until=2021-06-30",
    "sales": "/admin/sales/sale/",
    "filtered-sales": "/admin/sales/sale/?category__exact=bags&date_payment_from=2021-06-01",
    "sale": "/admin/sales/sale/49990/change/",
    "buyer": "/admin/sales/buyer/9000042/",
    "seller": "/admin/sales/seller/6000042/",
    "rejected-events": "/admin/sales/rejectedevent/",
    "countries": "/admin/countries/country/",
    "country": "/admin/countries/country/170/change/",
    "import-countries": "/admin/countries/country/import/",
    "reports": "/admin/analytics/report/",
    "report": "/admin/analytics/report/country_contribution/?run=whole",
    "lines-report": "/admin/analytics/report/daily_category_revenue/?run=whole",
    "plan": "/admin/analytics/report/country_contribution/explain/",
    "runs": "/admin/analytics/reportrun/",
    "users": "/admin/auth/user/",
    "new-user": "/admin/auth/user/add/",
    "groups": "/admin/auth/group/",
    "api-keys": "/admin/salesengine/apikey/",
    "new-api-key": "/admin/salesengine/apikey/add/",
    "password": "/admin/password_change/",
}
IN_THE_README = ("home", "sales", "report", "buyer")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"the browser tests need Debian's Chromium, {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The service with demo data, a rejected event and the administrator admin; its address."""
    with new_folder() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
        manage(folder, "prepare", "--demo")
        rejected = folder / "rejected.ndjson"
        rejected.write_text('{"ID_ORDER": "1", "REVENUE": "much"}\n')
        with pytest.raises(Exception, match="returned non-zero exit status 3"):
            manage(folder, "import_sales", str(rejected), "--on-error", "skip")
        with serve(folder) as address:
            yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def session(browser: Browser, site: str) -> dict:
    """What the browser keeps of somebody who has logged in."""
    with browser.new_context(base_url=site) as context:
        page = context.new_page()
        page.goto("/admin/")
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Home")).to_be_visible()
        return context.storage_state()


class Watched:
    """A page, and what went wrong on it: errors in the console, answers that failed, requests to other hosts."""

    def __init__(self, context: BrowserContext, site: str) -> None:
        self.page = context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", lambda message: message.type == "error" and self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("response", lambda each: each.status >= 400 and self.wrong.append(f"{each.status} {each.url}"))
        self.page.on(
            "request", lambda each: each.url.startswith((site, "data:", "blob:")) or self.wrong.append(each.url)
        )


@contextmanager
def opened(browser: Browser, site: str, session: dict, width: str = "desktop", theme: str = "light") -> Iterator[Page]:
    """A page of somebody who has logged in; nothing may go wrong on it."""
    size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
    with browser.new_context(base_url=site, storage_state=session, viewport=size, color_scheme=theme) as context:
        watched = Watched(context, site)
        yield watched.page
        assert watched.wrong == []


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in SEVERE
    ]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_can_be_read_by_anybody(browser, site, session, name, width, theme):
    with opened(browser, site, session, width, theme) as page:
        page.goto(PAGES[name])
        page.wait_for_load_state("networkidle")
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it is wider than the screen"
        if os.environ.get("SCREENSHOTS") and name in IN_THE_README:
            SCREENSHOTS.mkdir(exist_ok=True)
            page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{theme}.png")
