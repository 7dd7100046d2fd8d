"""Charts in a real browser: Chart.js draws them, and their tooltips, legends, links and colors work."""

from collections.abc import Iterator
from shutil import copy

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from salesengine.tests.browser import CHROMIUM, FLAGS, MARKS, log_in
from salesengine.tests.servers import PASSWORD, ROOT, manage, new_folder, serve

REPORT = "/admin/analytics/report/daily/?run=1"
DAILY = """/*
title = "Daily"
description = "Revenue by day and category."
[columns.revenue]
format = "money"
sales = {start = "day", end = "day", category = "category"}
[chart]
type = "stacked"
x = "day"
y = ["revenue"]
series = "category"
*/
SELECT date_payment::date AS day, category, SUM(revenue) AS revenue
FROM sales
WHERE date_payment >= '2021-06-01' AND date_payment < '2021-06-08' AND category IN ('bags', 'shoes')
GROUP BY 1, 2
ORDER BY 1, 2
"""
CHART = "Chart.getChart(document.querySelector('canvas'))"
# The middle of a bar of a series, in pixels from the top left of the canvas.
BAR = f"([series, index]) => {{ const bar = {CHART}.getDatasetMeta(series).data[index]; return bar.getCenterPoint(); }}"
LEGEND = f"index => {{ const box = {CHART}.legend.legendHitBoxes[index]; return {{x: box.left + 5, y: box.top + 5}}; }}"
# The color in the middle of a bar, as #rrggbb.
PIXEL = """({x, y}) => {
    const canvas = document.querySelector("canvas"), scale = canvas.width / canvas.clientWidth;
    const data = canvas.getContext("2d").getImageData(Math.round(x * scale), Math.round(y * scale), 1, 1).data;
    return "#" + [...data].slice(0, 3).map(part => part.toString(16).padStart(2, "0")).join("");
}"""

pytestmark = MARKS


@pytest.fixture(autouse=True)
def closed_reports_connection() -> None:
    """Do nothing, because Django closes no connection while Playwright's event loop runs, and these tests open none."""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of a logged-in user of a server with demo data. No script on it may fail."""
    errors: list[str] = []
    with new_folder() as folder:
        manage(folder, "load_demo", "--sales", "20000", "--until", "2021-06-30")
        (folder / "daily.sql").write_text(DAILY)
        copy(ROOT / "sql" / "country_contribution.sql", folder)
        with serve(folder, SQL_DIR=str(folder)) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
            page = browser.new_page(base_url=url, viewport={"width": 1280, "height": 900})
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto("/admin/")
            log_in(page, PASSWORD)
            expect(page.get_by_role("heading", name="Home")).to_be_visible()
            yield page
            browser.close()
    assert errors == []


@pytest.fixture
def chart(page: Page) -> Page:
    """The page of a report, with its chart in view."""
    page.goto(REPORT)
    page.locator("canvas").scroll_into_view_if_needed()
    page.wait_for_function(f"{CHART} !== undefined")
    assert page.evaluate(f"{CHART}.data.datasets.map(dataset => dataset.label)") == ["bags", "shoes"]
    return page


def click(page: Page, point: dict[str, float]) -> None:
    page.locator("canvas").click(position=point)


def test_the_bars_are_drawn_in_the_colors_of_the_theme(chart):
    def wait_for_colors(*expected: str) -> None:
        for _ in range(100):
            colors = tuple(chart.evaluate(PIXEL, chart.evaluate(BAR, [series, 0])) for series in (0, 1))
            if colors == expected:
                return
            chart.wait_for_timeout(100)
        pytest.fail(f"{colors} instead of {expected}")

    wait_for_colors("#a5001e", "#c3870f")
    chart.evaluate("document.documentElement.classList.add('dark')")
    wait_for_colors("#c33c1e", "#ffe178")


def test_pointing_at_a_bar_shows_the_exact_amounts(chart):
    chart.locator("canvas").hover(position=chart.evaluate(BAR, [0, 2]))
    chart.wait_for_function(f"{CHART}.tooltip?.opacity === 1")
    title, *lines = chart.evaluate(f"[{CHART}.tooltip.title, {CHART}.tooltip.body.map(item => item.lines)].flat(3)")
    rows = chart.locator(".report-result tbody tr", has_text=title).all_inner_texts()
    amounts = {category: amount for _, category, amount in (row.split("\t") for row in rows)}
    assert lines == [f"{category}: {amounts[category]}" for category in ("bags", "shoes")]


def test_the_legend_hides_a_series_and_shows_it_again(chart):
    for is_shown in ("false", "true"):
        click(chart, chart.evaluate(LEGEND, 1))
        chart.wait_for_function(f"{CHART}.isDatasetVisible(1) === {is_shown}")
        assert chart.evaluate(f"{CHART}.isDatasetVisible(0)")


def test_a_click_on_a_bar_opens_its_sales(chart):
    link = chart.locator(".report-result tbody tr", has_text="shoes").first.get_by_role("link")
    url = link.get_attribute("href")
    click(chart, chart.evaluate(BAR, [1, 0]))
    chart.wait_for_url(f"**{url}")


def test_countries_are_horizontal_bars_that_open_their_sales(page):
    page.goto("/admin/analytics/report/country_contribution/?run=1")
    page.locator("canvas").scroll_into_view_if_needed()
    page.wait_for_function(f"{CHART} !== undefined")
    assert page.evaluate(f"[{CHART}.options.indexAxis, {CHART}.options.scales.x.title.text]") == ["y", "Revenue"]
    url = page.locator(".report-result tbody tr").nth(5).get_by_role("link").nth(2).get_attribute("href")
    click(page, page.evaluate(BAR, [0, 5]))
    page.wait_for_url(f"**{url}")


def test_the_headings_of_a_long_table_stay_in_view(page):
    page.goto("/admin/analytics/report/country_contribution/?run=1")
    heading = page.get_by_role("columnheader", name="Share of items")
    table = page.locator(".report-result")
    table.evaluate("table => { table.scrollIntoView(); table.scrollTop = table.scrollHeight; }")
    assert table.evaluate("table => table.scrollTop") > 100
    expect(heading).to_be_in_viewport()
    cell = page.locator(".report-result tbody tr").last.locator("td").last
    edges = [element.evaluate("e => e.getBoundingClientRect().right") for element in (heading, cell)]
    assert [element.evaluate("e => getComputedStyle(e).textAlign") for element in (heading, cell)] == ["right"] * 2
    assert edges[0] == edges[1]


@pytest.mark.parametrize("url", ["/admin/?until=2021-06-30", "/admin/sales/buyer/9000042/"])
def test_other_pages_have_a_chart_too(page, url):
    page.goto(url)
    page.wait_for_function(f"{CHART} !== undefined")
    assert page.evaluate(f"{CHART}.data.labels.length") > 5
    assert page.evaluate(f"{CHART}.data.datasets[0].urls[5]").startswith("/admin/sales/sale/?")


def test_the_first_tap_on_a_touch_screen_shows_the_tooltip_and_the_second_opens_the_sales(page):
    with page.context.browser.new_context(
        base_url=page.url.partition("/admin")[0],
        storage_state=page.context.storage_state(),
        viewport={"width": 390, "height": 800},
        has_touch=True,
    ) as context:
        phone = context.new_page()
        phone.goto(REPORT)
        canvas = phone.locator("canvas")
        canvas.scroll_into_view_if_needed()
        phone.wait_for_function(f"{CHART} !== undefined")
        point = phone.evaluate(BAR, [0, 3])
        canvas.tap(position=point)
        phone.wait_for_function(f"{CHART}.tooltip.opacity === 1")
        assert "/report/" in phone.url
        canvas.tap(position=point)
        phone.wait_for_url("**/admin/sales/sale/?**")
