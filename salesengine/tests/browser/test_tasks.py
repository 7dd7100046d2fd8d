"""The main tasks of staff in the browser."""

import re

import pytest
from playwright.sync_api import expect

from salesengine.tests.browser import MARKS, THEMES, log_in, no_errors, violations
from salesengine.tests.servers import PASSWORD

pytestmark = MARKS

# Where the focus is: in the filters of a list, on the page as a whole, or on something else.
FOCUSED = """() => document.activeElement.closest("#changelist-filter") ? "filters"
    : document.activeElement === document.body ? "page" : document.activeElement.outerHTML"""


def test_a_wrong_password_shows_an_error(browser, site):
    with browser.new_context(base_url=site) as context:
        page = context.new_page()
        page.goto("/admin/")
        log_in(page, "wrong")
        expect(page.get_by_text("Please enter the correct username and password")).to_be_visible()
        assert page.goto("/admin/sales/sale/").url.startswith(f"{site}/admin/login/")


def test_sales_can_be_filtered_and_the_export_has_the_same_filters(page):
    page.goto("/admin/sales/sale/")
    page.get_by_role("button", name="Filters", exact=True).click()
    page.get_by_label("From day").fill("2021-06-01")
    page.get_by_label("Revenue from").fill("100")
    page.get_by_role("combobox").first.click()
    page.get_by_role("option", name="bags").click()
    page.get_by_role("button", name="Apply Filters", exact=True).click()
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
    # Not merely the first link: the list may still show what the first digits found.
    page.locator("#command-results-list a", has_text="30040549").first.click()
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
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".report-result tbody tr")).to_have_count(3)
    expect(page).to_have_url(re.compile("start=2021-01-01.*pairs=3"))
    expect(page.locator("figure.chart-figure")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="csv", exact=True).click()
    assert len(download.value.path().read_text().splitlines()) == 4


def wait_for_outcome(page, outcome):
    """Load the log of runs until the run of the slow report has this outcome."""
    for _ in range(100):
        page.goto("/admin/analytics/reportrun/?report=nap")
        if outcome in page.locator("#changelist-form").inner_text():
            return
        page.wait_for_timeout(250)
    raise AssertionError(outcome)


def test_a_slow_run_shows_its_progress_and_can_be_cancelled(page):
    page.goto("/admin/analytics/report/nap/?run=1")
    expect(page.get_by_text("Running for")).to_be_visible()
    with page.context.new_page() as run_log:
        wait_for_outcome(run_log, "running")  # before, the server answers the cancellation with 404
        page.get_by_role("button", name="Cancel", exact=True).click()
        expect(page.locator("#report-outcome").get_by_text("Cancelled after")).to_be_visible()
        wait_for_outcome(run_log, "cancelled")


def test_a_rejected_event_can_be_edited_and_replayed(page):
    page.goto("/admin/sales/rejectedevent/")
    page.locator("#result_list tbody a").first.click()
    text = page.get_by_label("Event")
    text.fill(text.input_value().replace('"much"', "12.50"))
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_text("No errors found.")).to_be_visible()
    page.get_by_role("button", name="Replay", exact=True).click()
    expect(page.get_by_text("1 stored as a new sale")).to_be_visible()


def test_a_sale_can_be_replaced_after_a_summary(page):
    page.goto("/admin/sales/sale/2000/change/")
    page.get_by_role("link", name="Void or replace", exact=True).click()
    revenue = page.get_by_label("Revenue", exact=True)
    expect(revenue).to_be_hidden()
    page.get_by_label("Replace: something in this sale is wrong", exact=True).check()
    page.get_by_label("Reason").fill("wrong price")
    old = revenue.input_value()
    revenue.fill("12.50")
    page.get_by_role("button", name="Continue", exact=True).click()
    expect(page.get_by_role("row", name=f"Revenue {old} 12.50", exact=True)).to_be_visible()
    assert violations(page, rules=None) == []
    page.get_by_role("button", name="Replace the sale", exact=True).click()
    expect(page.get_by_text("This sale takes the place of the sale 2000.")).to_be_visible()
    replacement = page.url
    page.get_by_role("link", name="2000", exact=True).click()
    page.wait_for_url("**/admin/sales/voidedsale/2000/change/")
    page.goto("/admin/sales/sale/2000/change/")
    expect(page.get_by_text("The sale 2000 was voided.")).to_be_visible()
    page.get_by_role("link", name=replacement.split("/")[-3], exact=True).click()
    page.wait_for_url(replacement)


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
    page.get_by_role("button", name="Copy", exact=True).click()
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
    button = page.get_by_role("button", name="Filters", exact=True)  # not "Apply Filters"
    filters = page.get_by_role("dialog", name="Filters")
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


def test_the_second_factor_page_shows_a_qr_code_and_refuses_a_wrong_code(page):
    page.goto("/admin/second-factor/")
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Start", exact=True).click()
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
        page.get_by_role("button", name="Try it out", exact=True).click()
        page.get_by_role("button", name="Execute", exact=True).click()
        expect(page.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("201")
