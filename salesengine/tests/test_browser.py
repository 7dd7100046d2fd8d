"""The back office in a real browser: each page at two widths and in two themes, and the main tasks of staff.

Playwright drives Debian's Chromium, against a server process with demo data. With SCREENSHOTS=1, the tests also update
the screenshots for the README in .github/screenshots.
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
LATER_ROWS = "tbody:nth-of-type(n+5), tbody tr:nth-child(n+5)"  # unfold has a tbody for each row

# The main pages, by the names of their screenshots.
PAGES = {
    "start": "/",
    "problems": "/docs/problems",
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
    "audit-log": "/admin/admin/logentry/",
    "logins": "/admin/axes/accesslog/",
    "failed-logins": "/admin/axes/accessfailurelog/",
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
# Where the focus is: in the filters of a list, on the page as a whole, or on something else.
FOCUSED = """() => document.activeElement.closest("#changelist-filter") ? "filters"
    : document.activeElement === document.body ? "page" : document.activeElement.outerHTML"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"the browser tests need Debian's Chromium, {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Start the service with demo data, a rejected event, a slow report, and the user admin. Returns its URL."""
    with new_folder() as folder:
        reports = Path(shutil.copytree(ROOT / "sql", folder / "sql"))
        (reports / "nap.sql").write_text('/*\ntitle = "Nap"\ndescription = "Sleeps."\n*/\nSELECT pg_sleep(50) AS nap\n')
        manage(folder, "prepare")
        manage(folder, "load_demo", "--until", "2021-06-30")
        rejected = folder / "rejected.ndjson"
        rejected.write_text(REJECTED)
        with pytest.raises(CalledProcessError, match="exit status 3"):  # import_sales rejected an event
            manage(folder, "import_sales", str(rejected), "--on-error", "skip")
        with serve(folder, SQL_DIR=str(reports)) as url:
            yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def session(browser: Browser, site: str) -> dict:
    """The cookies of a user who has logged in."""
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
def no_errors(page: Page, site: str) -> Iterator[None]:
    """Fail on an error in the console, an error response, or a request to another host."""
    errors: list[str] = []
    page.on("console", lambda message: message.type == "error" and errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("response", lambda response: response.status >= 400 and errors.append(f"{response.status} {response.url}"))
    page.on("request", lambda request: request.url.startswith((site, "data:", "blob:")) or errors.append(request.url))
    yield
    assert errors == []


@pytest.fixture(scope="module")
def contexts(browser: Browser, site: str, session: dict) -> Iterator[dict[str, BrowserContext]]:
    """For each width, a browser in which a user has logged in."""
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
    """A page of the desktop browser. It must have no errors."""
    with contexts["desktop"].new_page() as page, no_errors(page, site):
        yield page


@pytest.fixture
def phone(contexts: dict[str, BrowserContext], site: str) -> Iterator[Page]:
    with contexts["phone"].new_page() as page, no_errors(page, site):
        yield page


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


def check(page: Page, url: str, name: str, width: str) -> None:
    """Check the width and the accessibility of a page in both themes. The themes differ only in their colors."""
    page.goto(url, wait_until="networkidle")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
        "the page is wider than the screen"
    )
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


def test_a_wrong_password_shows_an_error(browser, site):
    with browser.new_context(base_url=site) as context:
        page = context.new_page()
        page.goto("/admin/")
        log_in(page, "wrong")
        expect(page.get_by_text("Please enter the correct username and password")).to_be_visible()
        assert page.goto("/admin/sales/sale/").url.startswith(f"{site}/admin/login/")


def test_sales_can_be_filtered_and_the_export_has_the_same_filters(page):
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


def test_a_sale_links_to_its_buyer_and_the_buyer_to_their_sales(page):
    page.goto("/admin/sales/sale/?q=9000042")
    page.locator("#result_list tbody a").first.click()
    page.get_by_role("link", name="9000042").first.click()
    expect(page.get_by_role("heading", name="Buyer 9000042")).to_be_visible()
    page.get_by_role("link", name="All sales of this buyer").click()
    expect(page.locator("#result_list tbody tr").first).to_contain_text("9000042")


def test_the_search_box_finds_an_order(page):
    page.goto("/admin/")
    page.keyboard.press("Control+k")
    page.get_by_role("searchbox").press_sequentially("30040549")
    page.locator("#command-results-list a").first.click()
    expect(page.locator("#result_list tbody tr").first).to_contain_text("30040549")


def test_the_search_box_says_if_it_finds_nothing(page):
    page.goto("/admin/")
    page.keyboard.press("Control+k")
    page.get_by_role("searchbox").press_sequentially("nonsense")
    expect(page.get_by_text("Nothing was found for “nonsense”.")).to_be_visible()


def test_a_report_runs_with_its_parameters_and_has_a_link_to_share(page):
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


def test_a_slow_run_shows_its_progress_and_can_be_cancelled(page):
    page.goto("/admin/analytics/report/nap/?run=1")
    expect(page.get_by_text("Running for")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#report-outcome").get_by_text("Cancelled after")).to_be_visible()
    page.goto("/admin/analytics/reportrun/?report=nap")
    for _ in range(20):  # until the server has cancelled the run
        if "cancelled" in page.locator("#result_list").inner_text():
            break
        page.wait_for_timeout(250)
        page.reload()
    expect(page.locator("#result_list")).to_contain_text("cancelled")


def test_a_rejected_event_can_be_edited_and_replayed(page):
    page.goto("/admin/sales/rejectedevent/")
    page.locator("#result_list tbody a").first.click()
    text = page.get_by_label("Event")
    text.fill(text.input_value().replace('"much"', "12.50"))
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("No errors found.")).to_be_visible()
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_text("1 stored as a new sale")).to_be_visible()


@pytest.mark.parametrize("may_copy", [True, False])
def test_a_new_api_key_can_be_copied(page, may_copy):
    if may_copy:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    else:
        page.add_init_script("delete Navigator.prototype.clipboard")  # as without TLS
    page.goto("/admin/salesengine/apikey/add/")
    page.get_by_label("Client").fill(f"copier {may_copy}")
    page.get_by_label("read: get feedback and sales").check()
    page.get_by_role("button", name="Save", exact=True).click()
    assert violations(page, rules=None) == []
    key = page.locator("#new-key").inner_text()
    page.get_by_role("button", name="Copy").click()
    if may_copy:
        expect(page.get_by_role("status")).to_have_text("Copied.")
        assert page.evaluate("navigator.clipboard.readText()") == key
    else:
        expect(page.get_by_role("status")).to_contain_text("Selected.")
        assert page.evaluate("window.getSelection().toString()") == key


def test_the_menu_and_the_theme_work_with_the_keyboard(phone):
    phone.goto("/admin/", wait_until="networkidle")
    menu = phone.get_by_role("button", name="Show or hide the menu")
    menu.focus()
    phone.keyboard.press("Enter")
    expect(phone.get_by_role("link", name="Countries", exact=True)).to_be_visible()
    phone.locator("#nav-sidebar [role=button]", has_text="admin").focus()
    phone.keyboard.press("Enter")
    dark = phone.locator("#nav-sidebar [role=button]", has_text="Dark")
    expect(dark).to_be_visible()  # a hidden element cannot have the focus
    dark.focus()
    phone.keyboard.press("Enter")
    expect(phone.locator("html")).to_have_class(re.compile(r"\bdark\b"))


def test_the_filters_keep_the_focus_until_they_are_closed(page):
    page.goto("/admin/sales/sale/", wait_until="networkidle")
    button, filters = page.get_by_role("button", name="Filters"), page.get_by_role("dialog", name="Filters")
    button.focus()
    page.keyboard.press("Enter")
    close = page.get_by_role("button", name="Close", exact=True)
    expect(close).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("From day")).to_be_focused()
    places = [page.evaluate(FOCUSED) for _ in range(40) if page.keyboard.press("Tab") is None]
    assert set(places) == {"filters", "page"}  # "page" is the step from the last field to the first one
    assert places.count("page") < 5

    page.get_by_role("combobox").first.press("Enter")
    expect(page.get_by_role("option", name="bags")).to_be_visible()
    page.keyboard.press("Escape")  # closes the list of categories only
    expect(page.get_by_role("option", name="bags")).to_be_hidden()
    expect(filters).to_be_visible()
    page.keyboard.press("Escape")
    expect(filters).to_be_hidden()
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    expect(close).to_be_focused()
    page.keyboard.press("Enter")
    expect(button).to_be_focused()


@pytest.mark.parametrize("url", ["/admin/sales/sale/", "/admin/countries/country/"])
def test_a_row_of_a_list_is_low_on_a_phone(phone, url):
    phone.goto(url)
    heights = phone.evaluate("[...document.querySelectorAll('.data-row')].map(row => row.offsetHeight)")
    assert len(heights) == 50
    assert sum(heights) / 50 < 110


def test_the_second_factor_page_shows_a_qr_code_and_refuses_a_wrong_code(page):
    page.goto("/admin/second-factor/")
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Start").click()
    expect(page.locator("svg").first).to_be_visible()
    page.get_by_role("textbox", name="Code").fill("000000")
    page.locator("#content button[type=submit]").first.click()
    expect(page.get_by_text(re.compile("wrong", re.IGNORECASE)).first).to_be_visible()


@pytest.mark.parametrize("url", ["/docs", "/redoc"])
@pytest.mark.parametrize("theme", THEMES)
def test_the_documentation_has_the_theme_of_the_system_and_loads_nothing_from_elsewhere(browser, site, url, theme):
    with browser.new_context(base_url=site, color_scheme=theme) as context:
        page = context.new_page()
        with no_errors(page, site):
            page.goto(url, wait_until="networkidle")
            expect(page.get_by_text("/feedback").first).to_be_visible()
            background = page.evaluate("getComputedStyle(document.body).backgroundColor")
            brightness = sum(int(part) for part in re.findall("[0-9]+", background)[:3]) / 3
            assert (brightness < 128) == (theme == "dark")
            page.get_by_role("link", name="Back office").click()
            expect(page.get_by_label("Username")).to_be_visible()


def test_staff_try_the_api_in_the_documentation(contexts, site):
    with contexts["desktop"].new_page() as page, no_errors(page, site):
        page.goto("/docs", wait_until="networkidle")
        page.get_by_text("/ingest").first.click()
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("button", name="Execute").click()
        expect(page.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("201")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_of_an_error_fits_the_screen_and_leads_back(contexts, width):
    with contexts[width].new_page() as page:
        page.goto("/admin/nonsense/")
        expect(page.get_by_role("heading", name="Page not found")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert violations(page, rules=None) == []
        page.get_by_role("link", name="Go to the home page").click()
        expect(page.get_by_role("heading", name="Home")).to_be_visible()
