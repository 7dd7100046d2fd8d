"""The site, and browsers in which a user has logged in."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CalledProcessError

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from salesengine.tests.browser import CHROMIUM, FLAGS, WIDTHS, log_in, no_errors, size_of
from salesengine.tests.servers import PASSWORD, ROOT, manage, new_folder, serve

REJECTED = """{"ID_ORDER": "900", "ID_PRODUCT": "2", "ID_BUYER": "3", "ID_SELLER": "4", "ID_SELLER_COUNTRY": "203", \
"ID_BUYER_COUNTRY": "170", "DATE_PAYMENT": "2021-01-07", "REVENUE": "much"}
"""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Start the service with demo data, a rejected event, a voided sale, a slow report, and the user admin."""
    with new_folder() as folder:
        reports = Path(shutil.copytree(ROOT / "sql", folder / "sql"))
        (reports / "nap.sql").write_text('/*\ntitle = "Nap"\ndescription = "Sleeps."\n*/\nSELECT pg_sleep(50) AS nap\n')
        manage(folder, "load_demo", "--until", "2021-06-30")
        rejected = folder / "rejected.ndjson"
        rejected.write_text(REJECTED)
        with pytest.raises(CalledProcessError, match="exit status 3"):  # import_sales rejected an event
            manage(folder, "import_sales", str(rejected), "--on-error", "skip")
        corrections = folder / "corrections.csv"
        corrections.write_text("id,action,reason\n1000,void,test order\n")
        manage(folder, "correct_sales", str(corrections))
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


@pytest.fixture(scope="module")
def contexts(browser: Browser, site: str, session: dict) -> Iterator[dict[str, BrowserContext]]:
    """For each width, a browser in which a user has logged in."""
    opened = {
        width: browser.new_context(base_url=site, storage_state=session, viewport=size_of(width)) for width in WIDTHS
    }
    yield opened
    for context in opened.values():
        context.close()


@pytest.fixture
def page(contexts: dict[str, BrowserContext], site: str) -> Iterator[Page]:
    """A page of the desktop browser. It must have no errors."""
    with contexts["desktop"].new_page() as page, no_errors(page, site):
        yield page


@pytest.fixture
def phone(contexts: dict[str, BrowserContext], site: str) -> Iterator[Page]:
    with contexts["phone"].new_page() as page, no_errors(page, site):
        yield page
