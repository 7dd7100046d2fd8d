"""Each page at two widths and in two themes: its size, its accessibility, and no error in the browser.

With SCREENSHOTS=1, the tests also update the screenshots for the README in .github/screenshots.
"""

import os

import pytest
from playwright.sync_api import Page, expect

from salesengine.tests.browser import MARKS, THEMES, WIDTHS, no_errors, size_of, violations
from salesengine.tests.servers import ROOT

pytestmark = MARKS

SCREENSHOTS = ROOT / ".github" / "screenshots"
# The main pages, by the names of their screenshots.
PAGES = {
    "start": "/",
    "problems": "/docs/problems",
    "home": "/admin/?until=2021-06-30",
    "sales": "/admin/sales/sale/",
    "filtered-sales": "/admin/sales/sale/?category__exact=bags&date_payment_from=2021-06-01",
    "sale": "/admin/sales/sale/49990/change/",
    "correct-sale": "/admin/sales/sale/49990/correct/",
    "voided-sales": "/admin/sales/voidedsale/",
    "voided-sale": "/admin/sales/voidedsale/1000/change/",
    "buyer": "/admin/sales/buyer/9000042/",
    "seller": "/admin/sales/seller/6000042/",
    "no-sales": "/admin/sales/sale/?q=nothing",
    "rejected-events": "/admin/sales/rejectedevent/",
    "rejected-event": "/admin/sales/rejectedevent/1/change/",
    "countries": "/admin/countries/country/",
    "country": "/admin/countries/country/170/change/",
    "import-countries": "/admin/countries/country/import/",
    "reports": "/admin/analytics/report/",
    "report": "/admin/analytics/report/country_contribution/?run=whole",
    "lines-report": "/admin/analytics/report/daily_category_revenue/?run=whole&days=3",
    "heatmap-report": "/admin/analytics/report/buyer_cohorts/?run=whole",
    "plan": "/admin/analytics/report/country_contribution/explain/",
    "runs": "/admin/analytics/reportrun/",
    "sales-report": "/admin/analytics/report/sales/?run=whole&id_buyer=9000042&category=bags",
    "users": "/admin/auth/user/",
    "user": "/admin/auth/user/1/change/",
    "new-user": "/admin/auth/user/add/",
    "groups": "/admin/auth/group/",
    "api-keys": "/admin/salesengine/apikey/",
    "new-api-key": "/admin/salesengine/apikey/add/",
    "audit-log": "/admin/admin/logentry/",
    "logins": "/admin/axes/accesslog/",
    "failed-logins": "/admin/axes/accessfailurelog/",
    "second-factor": "/admin/second-factor/",
    "password": "/admin/password_change/",
}
# The tables that are wider than the box around them, without the shadow that says so.
TABLES_WITHOUT_SHADOW = """[...document.querySelectorAll("table")]
    .filter(table => table.offsetWidth > table.parentElement.clientWidth + 1)
    .filter(table => !table.parentElement.matches(".scroll-shadow"))
    .map(table => table.outerHTML.slice(0, 200))
    """
IN_THE_README = {
    ("home", "desktop", "light"),
    ("sales", "desktop", "dark"),
    ("report", "desktop", "light"),
    ("buyer", "desktop", "light"),
}


def check(page: Page, url: str, name: str, width: str) -> None:
    """Check the width and the accessibility of a page in both themes. The themes differ only in their colors."""
    page.goto(url, wait_until="networkidle")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
        "the page is wider than the screen"
    )
    assert page.evaluate(TABLES_WITHOUT_SHADOW) == []
    for theme in THEMES:
        show(page, theme)
        if os.environ.get("SCREENSHOTS") and (name, width, theme) in IN_THE_README:
            SCREENSHOTS.mkdir(exist_ok=True)
            page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{theme}.png")
    for theme in THEMES:
        show(page, theme)
        assert violations(page, rules=["color-contrast"] if theme == "dark" else None) == []


def show(page: Page, theme: str) -> None:
    page.evaluate("theme => document.documentElement.classList.toggle('dark', theme === 'dark')", theme)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_the_screen_and_is_accessible(contexts, site, name, width):
    with contexts[width].new_page() as page, no_errors(page, site):
        check(page, PAGES[name], name, width)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_login_page_fits_the_screen_and_is_accessible(browser, site, width):
    with browser.new_context(base_url=site, viewport=size_of(width)) as context:
        page = context.new_page()
        with no_errors(page, site):
            check(page, "/admin/login/", "login", width)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_of_an_error_fits_the_screen_and_leads_back(contexts, width):
    with contexts[width].new_page() as page:
        page.goto("/admin/nonsense/")
        expect(page.get_by_role("heading", name="Page not found")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert violations(page, rules=None) == []
        page.get_by_role("link", name="Go to the home page").click()
        expect(page.get_by_role("heading", name="Home")).to_be_visible()


def test_the_first_link_skips_the_sidebar(page):
    page.goto("/admin/sales/sale/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()

    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    expect(page.get_by_role("main").locator(":focus")).to_have_count(1)


# At this width, the numbers of some countries need a third line.
@pytest.mark.parametrize(("url", "mean", "highest"), [("sales/sale/", 70, 70), ("countries/country/", 80, 90)])
def test_a_row_of_a_list_has_two_lines_on_a_phone(phone, url, mean, highest):
    phone.goto(f"/admin/{url}")
    heights = phone.evaluate("[...document.querySelectorAll('.data-row')].map(row => row.offsetHeight)")
    assert len(heights) == 50
    assert sum(heights) / 50 < mean
    assert max(heights) < highest


def test_a_long_change_fits_the_history_on_a_phone(phone):
    phone.goto("/admin/auth/user/1/change/")
    phone.get_by_label("Email").fill(f"{'x' * 150}@example.com")
    phone.get_by_role("button", name="Save", exact=True).click()

    phone.goto("/admin/auth/user/1/history/")

    expect(phone.get_by_role("cell", name="x" * 150)).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
