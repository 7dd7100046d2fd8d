"""The back office in a real browser: each page at two widths and in two themes, and what staff do there.

Debian's Chromium, driven by Playwright. The service is a process of its own with demo data; what the pages look like is
kept in .github/screenshots, which the README shows (SCREENSHOTS=1 writes them anew).
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from salesengine.tests.servers import PASSWORD, ROOT, manage, new_folder, serve

CHROMIUM = Path("/usr/bin/chromium")
SCREENSHOTS = ROOT / ".github" / "screenshots"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]
WIDTHS = {"desktop": (1280, 900), "phone": (360, 780)}
THEMES = ("light", "dark")
SEVERE = {"serious", "critical"}
OTHER_ROWS = "tbody:nth-of-type(n+5), tbody tr:nth-child(n+5)"  # than the first of a table; unfold's have a tbody each

# The main pages, by the names that their pictures have.
PAGES = {
    "home": "/admin/?until=2021-06-30",
    "sales": "/admin/sales/sale/",
    "filtered-sales": "/admin/sales/sale/?category__exact=bags&date_payment_from=2021-06-01",
    "sale": "/admin/sales/sale/49990/change/",
    "buyer": "/admin/sales/buyer/9000042/",
    "seller": "/admin/sales/seller/6000042/",
    "no-sales": "/admin/sales/sale/?q=nothing",
    "rejected-events": "/admin/sales/rejectedevent/",
    "countries": "/admin/countries/country/",
    "country": "/admin/countries/country/170/change/",
    "import-countries": "/admin/countries/country/import/",
    "reports": "/admin/analytics/report/",
    "report": "/admin/analytics/report/country_contribution/?run=whole",
    "lines-report": "/admin/analytics/report/daily_category_revenue/?run=whole&days=3",
    "plan": "/admin/analytics/report/country_contribution/explain/",
    "runs": "/admin/analytics/reportrun/",
    "sales-report": "/admin/analytics/report/sales/?run=whole&id_buyer=9000042&category=bags",
    "users": "/admin/auth/user/",
    "new-user": "/admin/auth/user/add/",
    "groups": "/admin/auth/group/",
    "api-keys": "/admin/salesengine/apikey/",
    "new-api-key": "/admin/salesengine/apikey/add/",
    "staff-log": "/admin/admin/logentry/",
    "log-ins": "/admin/axes/accesslog/",
    "failed-log-ins": "/admin/axes/accessfailurelog/",
    "second-factor": "/admin/second-factor/",
    "password": "/admin/password_change/",
}
IN_THE_README = {
    ("home", "desktop", "light"),
    ("sales", "desktop", "dark"),
    ("report", "desktop", "light"),
    ("buyer", "desktop", "light"),
}
REJECTED = """{"ID_ORDER": "900", "ID_PRODUCT": "2", "ID_BUYER": "3", "ID_SELLER": "4", "ID_SELLER_COUNTRY": "203", \
"ID_BUYER_COUNTRY": "170", "DATE_PAYMENT": "2021-01-07", "REVENUE": "much"}
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"the browser tests need Debian's Chromium, {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The service with demo data, a rejected event, a report that takes long, and the user admin; its address."""
    with new_folder() as folder:
        reports = Path(shutil.copytree(ROOT / "sql", folder / "sql"))
        (reports / "nap.sql").write_text('/*\ntitle = "Nap"\ndescription = "Sleeps."\n*/\nSELECT pg_sleep(50) AS nap\n')
        manage(folder, "prepare", "--demo")
        rejected = folder / "rejected.ndjson"
        rejected.write_text(REJECTED)
        with pytest.raises(CalledProcessError, match="exit status 3"):  # of import_sales: some were rejected
            manage(folder, "import_sales", str(rejected), "--on-error", "skip")
        with serve(folder, SQL_DIR=str(reports)) as address:
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
        log_in(page, PASSWORD)
        expect(page.get_by_role("heading", name="Home")).to_be_visible()
        return context.storage_state()


def log_in(page: Page, password: str) -> None:
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


@contextmanager
def nothing_wrong(page: Page, site: str) -> Iterator[None]:
    """No error in the console, no answer that failed, no request to another host."""
    wrong: list[str] = []
    page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", lambda each: each.status >= 400 and wrong.append(f"{each.status} {each.url}"))
    page.on("request", lambda each: each.url.startswith((site, "data:", "blob:")) or wrong.append(each.url))
    yield
    assert wrong == []


@pytest.fixture(scope="module")
def contexts(browser: Browser, site: str, session: dict) -> Iterator[dict[str, BrowserContext]]:
    """A browser of somebody who has logged in, for each width."""
    opened = {
        width: browser.new_context(base_url=site, storage_state=session, viewport=size_of(width)) for width in WIDTHS
    }
    yield opened
    for context in opened.values():
        context.close()


def size_of(width: str) -> dict[str, int]:
    return dict(zip(("width", "height"), WIDTHS[width], strict=True))


@pytest.fixture
def page(contexts: dict[str, BrowserContext], site: str) -> Iterator[Page]:
    """On the desk; nothing may go wrong on it."""
    with contexts["desktop"].new_page() as page, nothing_wrong(page, site):
        yield page


@pytest.fixture
def phone(contexts: dict[str, BrowserContext], site: str) -> Iterator[Page]:
    with contexts["phone"].new_page() as page, nothing_wrong(page, site):
        yield page


def violations(page: Page, rules: list[str] | None) -> list[str]:
    """What axe-core finds that is serious, by these of its rules, or all. Of a table the first rows stand for all."""
    page.evaluate("rows => document.querySelectorAll(rows).forEach(row => row.remove())", OTHER_ROWS)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "rule", "values": rules}
    return [
        f"{each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes'][:3]]}"
        for each in Axe().run(page, options=options).response["violations"]
        if each["impact"] in SEVERE
    ]


def check(page: Page, address: str, name: str, width: str) -> None:
    """In both themes, of which the second can differ in its colours alone."""
    page.goto(address, wait_until="networkidle")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it is wider than the screen"
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
def test_a_page_is_whole_and_can_be_read_by_anybody(contexts, site, name, width):
    with contexts[width].new_page() as page, nothing_wrong(page, site):
        check(page, PAGES[name], name, width)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_log_in_can_be_read_by_anybody(browser, site, width):
    with browser.new_context(base_url=site, viewport=size_of(width)) as context:
        page = context.new_page()
        with nothing_wrong(page, site):
            check(page, "/admin/login/", "log-in", width)


def test_a_wrong_password_is_told_and_lets_nobody_in(browser, site):
    with browser.new_context(base_url=site) as context:
        page = context.new_page()
        page.goto("/admin/")
        log_in(page, "wrong")
        expect(page.get_by_text("Please enter the correct username and password")).to_be_visible()
        assert page.goto("/admin/sales/sale/").url.startswith(f"{site}/admin/login/")


def test_sales_are_filtered_by_what_is_chosen_and_exported_as_they_are_listed(page):
    page.goto("/admin/sales/sale/")
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("From day").fill("2021-06-01")
    page.get_by_label("Revenue from").fill("100")
    page.get_by_role("combobox").first.click()
    page.get_by_role("option", name="bags").click()
    page.get_by_role("button", name="Apply Filters").click()
    page.wait_for_url(re.compile("category__exact=bags"))
    cells = page.locator("#result_list td[data-label=Category]").all_inner_texts()
    assert len(cells) == 50
    assert set(cells) == {"bags"}

    page.get_by_role("link", name="Count and add up").click()
    number = int(re.match(r"([0-9,]+)", page.locator(".list-figures strong").first.inner_text())[1].replace(",", ""))
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert len(lines) == number + 1
    assert all(",bags," in line for line in lines[1:])


def test_a_sale_leads_to_its_buyer_and_the_buyer_to_their_sales(page):
    page.goto("/admin/sales/sale/?q=9000042")
    page.locator("#result_list tbody a").first.click()
    page.get_by_role("link", name="9000042").first.click()
    expect(page.get_by_role("heading", name="Buyer 9000042")).to_be_visible()
    page.get_by_role("link", name="All sales of this buyer").click()
    expect(page.locator("#result_list tbody tr").first).to_contain_text("9000042")


def test_the_search_box_finds_an_order_from_anywhere(page):
    page.goto("/admin/")
    page.keyboard.press("Control+k")
    page.get_by_role("searchbox").press_sequentially("30040549")
    page.locator("#command-results-list a").first.click()
    expect(page.locator("#result_list tbody tr").first).to_contain_text("30040549")


def test_a_report_runs_with_its_parameters_and_can_be_sent_to_somebody(page):
    page.goto("/admin/analytics/report/top_country_relationships/")
    page.get_by_label("From", exact=True).fill("2021-01-01")
    page.get_by_label("Pairs").fill("3")
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".report-result tbody tr")).to_have_count(3)
    assert "start=2021-01-01" in page.url
    assert "pairs=3" in page.url
    expect(page.locator("figure.chart-figure")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="csv").click()
    assert len(download.value.path().read_text().splitlines()) == 4


def test_a_run_that_takes_long_says_so_and_is_cancelled(page):
    page.goto("/admin/analytics/report/nap/?run=1")
    expect(page.get_by_text("Running for")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#report-outcome").get_by_text("Cancelled after")).to_be_visible()
    page.goto("/admin/analytics/reportrun/?report=nap")
    for _ in range(20):  # until the server has noticed
        if "cancelled" in page.locator("#result_list").inner_text():
            break
        page.wait_for_timeout(250)
        page.reload()
    expect(page.locator("#result_list")).to_contain_text("cancelled")


def test_a_rejected_event_is_mended_and_replayed(page):
    page.goto("/admin/sales/rejectedevent/")
    page.locator("#result_list tbody a").first.click()
    text = page.get_by_label("Event")
    text.fill(text.input_value().replace('"much"', "12.50"))
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("No mistakes found.")).to_be_visible()
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_text("1 stored as new sales")).to_be_visible()


def test_the_menu_and_the_theme_can_be_had_by_keyboard_alone(phone):
    phone.goto("/admin/", wait_until="networkidle")
    menu = phone.get_by_role("button", name="Show or hide the menu")
    menu.focus()
    phone.keyboard.press("Enter")
    expect(phone.get_by_role("link", name="Countries", exact=True)).to_be_visible()
    phone.locator("#nav-sidebar [role=button]", has_text="admin").focus()
    phone.keyboard.press("Enter")
    dark = phone.locator("#nav-sidebar [role=button]", has_text="Dark")
    expect(dark).to_be_visible()  # what is still hidden takes no focus
    dark.focus()
    phone.keyboard.press("Enter")
    expect(phone.locator("html")).to_have_class(re.compile(r"\bdark\b"))


def test_a_second_factor_shows_what_a_phone_reads(page):
    page.goto("/admin/second-factor/")
    expect(page.locator("svg").first).to_be_visible()
    page.get_by_role("textbox", name="Code").fill("000000")
    page.locator("#content button[type=submit]").first.click()
    expect(page.get_by_text(re.compile("wrong", re.IGNORECASE)).first).to_be_visible()
