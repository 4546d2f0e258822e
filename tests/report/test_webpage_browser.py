"""The web page in a real browser, opened from a file: sorted, filtered and unfolded by keyboard, in silence."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from adu_bench.leaderboard.board import with_forgetting
from adu_bench.leaderboard.rows import rows_dir
from adu_bench.report.figures import tradeoff
from adu_bench.report.figures.words import tradeoff_words
from adu_bench.report.section import Section
from adu_bench.report.sections import Report
from adu_bench.report.tables.drawing import draw
from adu_bench.report.tables.main import main_table
from adu_bench.report.web.page import web_page
from adu_bench.report.write import write_report
from tests.leaderboard.audited import everything, measured

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install adu-bench[test]")

CHROMIUM = os.environ.get("ADU_BENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or ""
SILENT = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine (ADU_BENCH_CHROMIUM names one)"),
]


@pytest.fixture(scope="module")
def address(boards, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(web_page(boards, {"adu": {"title": "A title", "paper": "arXiv:2510.08132"}}), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def audited_address(boards, tmp_path_factory) -> str:
    depths = {"adu": 0.2, "baseline": 0.7}
    found = measured(boards[0].runs, lambda run: everything(1 - depths.get(run.label, 0.0)))
    path = tmp_path_factory.mktemp("audited") / "index.html"
    path.write_text(web_page([with_forgetting(boards[0], found)], {}), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        # Without a path of its own, every start has a fresh profile.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SILENT)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address):
    """Open the page with settings of a context; at the end it must have asked for nothing and said nothing."""
    contexts, noise = [], []

    def opened(fragment="", address=address, **settings):
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | settings))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: noise.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: noise.append(f"error: {error}"))
        page.on("request", lambda request: noise.append(f"request: {request.url}"))
        page.goto(address + fragment)
        # The page itself, and its empty icon, which is in it.
        own = {f"request: {address}", f"request: {address}{fragment}", "request: data:,"}
        noise[:] = [each for each in noise if each not in own]
        return page

    yield opened
    for context in contexts:
        context.close()
    assert noise == []


def methods(table) -> list[str]:
    return table.locator("tr.method:visible").evaluate_all("rows => rows.map((row) => row.dataset.method)")


def first_table(page):
    return page.locator("table.board").first


def test_sorting_by_keyboard_keeps_the_groups_apart(visit, boards):
    page = visit()
    table = first_table(page)
    head = table.get_by_role("columnheader", name="Mem", exact=True)
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert table.locator("th[aria-sort]").count() == 1
    rows = boards[0].rows
    ranked = sorted((row for row in rows if row.rank), key=lambda row: -row["mem"])
    rest = [row.method for row in rows if not row.rank]
    assert methods(table) == [row.method for row in ranked] + rest
    page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "ascending"
    assert methods(table) == [row.method for row in reversed(ranked)] + rest
    page.keyboard.press("Shift+Tab")
    assert "cannot be told apart" in page.evaluate("document.activeElement.textContent")
    follows = "rows => rows.every((row) => row.nextElementSibling.classList.contains('detail'))"
    assert table.locator("tr.method").evaluate_all(follows)


def test_what_audits_say_is_sorted_filtered_and_unfolded(visit, audited_address, boards):
    page = visit(address=audited_address)
    table = page.locator("table.board").nth(1)
    assert methods(table) == [row.method for row in boards[0].rows if not row.reason]
    table.get_by_role("columnheader", name="depth", exact=True).get_by_role("button").click()
    assert methods(table) == ["baseline", "adu", "adu-less", "zero-shot"]
    button = table.get_by_role("button", name="adu", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    detail = page.locator(f'[id="{button.get_attribute("aria-controls")}"]')
    assert detail.get_by_role("row", name="prototypes").locator("td").inner_text() == "80.0"
    assert not detail.locator(".numbers").is_visible()
    page.get_by_role("checkbox", name="reference").focus()
    page.keyboard.press("Space")
    assert methods(table) == ["baseline", "adu", "adu-less"]


def test_a_narrow_screen_shows_depth_and_the_rest_in_the_details(visit, audited_address):
    page = visit(address=audited_address, viewport={"width": 390, "height": 800})
    table = page.locator("table.board").nth(1)
    heads = table.locator("thead th:visible").all_inner_texts()
    assert [head.strip() for head in heads] == ["rank", "method", "retained", "forgot", "depth"]
    table.get_by_role("button", name="adu", exact=True).click()
    assert "class-probe" in table.locator(".numbers:visible").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_filters_by_keyboard_say_how_many_rows_are_left(visit):
    page = visit()
    status = page.get_by_role("status")
    assert status.inner_text() == "7 of 7 rows shown"
    page.get_by_role("radio", name="all tasks").focus()
    page.keyboard.press("ArrowRight")
    assert status.inner_text() == "7 of 7 rows shown"
    page.keyboard.press("ArrowRight")
    assert status.inner_text() == "5 of 5 rows shown"
    assert page.locator("section.panel:visible h2").all_inner_texts() == ["toy 2 forgotten"]
    page.get_by_role("checkbox", name="paper").focus()
    page.keyboard.press("Space")
    assert status.inner_text() == "3 of 5 rows shown"
    assert "adu" not in methods(page.locator("table.board:visible"))
    page.get_by_role("radio", name="second").check(force=True)
    assert status.inner_text() == "0 of 0 rows shown"
    assert page.get_by_text("No table matches").is_visible()
    page.get_by_role("radio", name="all", exact=True).check(force=True)
    page.get_by_role("searchbox", name="Method").fill("ZERO")
    assert status.inner_text() == "1 of 5 rows shown"


def test_a_row_unfolds_by_keyboard_and_shows_the_boards_numbers(visit, boards):
    page = visit()
    table = first_table(page)
    button = table.get_by_role("button", name="adu", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    detail = page.locator(f'[id="{button.get_attribute("aria-controls")}"]')
    heat = detail.locator("table.heat")
    assert heat.is_visible()
    frame = boards[0].frame.query("method == 'adu' and task == 'a+b' and metric == 'accuracy:c'")
    row = heat.get_by_role("row", name="a+b")
    assert row.locator("td").nth(2).inner_text().splitlines()[0] == f"{100 * frame['value'].mean():.0f}"
    assert row.locator("td.gone").count() == 2
    detail.get_by_text("5 runs").click()
    assert detail.locator(".runs code").all_inner_texts() == [
        run.key
        for run in sorted(boards[0].runs, key=lambda run: (boards[0].tasks.index(run.spec.task.name), run.spec.seed))
        if run.label == "adu"
    ]
    page.keyboard.press("Enter")
    button.focus()
    page.keyboard.press("Enter")
    assert not heat.is_visible()


def test_a_link_to_a_row_unfolds_it(visit):
    page = visit(fragment="#toy/adu")
    assert page.locator("table.heat:visible").count() == 1
    page.get_by_role("link", name="Link to this row").click()
    assert page.locator("table.heat:visible").count() == 1


def violations(page) -> list[tuple[str, list[str]]]:
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run().then((report) => report.violations)")
    return [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found]


LOOKS = [(1280, "light"), (1280, "dark"), (768, "dark"), (390, "light")]


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_axe_finds_nothing(visit, width, scheme):
    page = visit("#compare=adu&compare=baseline", color_scheme=scheme, viewport={"width": width, "height": 900})
    page.get_by_text("How to read").click()
    first_table(page).get_by_role("button", name="adu", exact=True).click()
    first_table(page).get_by_role("button", name="late", exact=True).click()
    page.get_by_text("choose", exact=True).click()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(251, 251, 249)" if scheme == "light" else "rgb(20, 24, 29)"
    )


def test_the_address_of_a_view_shows_the_same_view(visit):
    page = visit()
    page.get_by_role("radio", name="toy").check(force=True)
    page.get_by_role("radio", name="1", exact=True).check(force=True)
    page.get_by_role("checkbox", name="ablation").uncheck(force=True)
    page.get_by_role("columnheader", name="Mem", exact=True).first.evaluate(
        "head => head.querySelector('button').click()"
    )
    page.get_by_text("choose", exact=True).click()
    page.get_by_role("checkbox", name="runs").uncheck(force=True)
    page.get_by_role("searchbox", name="Method").fill("a")
    page.get_by_label("Compare: one method").select_option("adu")
    page.get_by_label("Compare: other method").select_option("baseline")
    again = visit(page.evaluate("location.hash"))

    def state(page):
        return (
            page.locator("section.panel:visible h2").all_inner_texts(),
            methods(page.locator("section.panel:visible table.board")),
            page.locator("section.panel:visible table.board > thead th:visible").all_inner_texts(),
            page.locator("section.panel:visible th[aria-sort]").all_inner_texts(),
            page.locator("section.compare").inner_text(),
            page.get_by_role("status").inner_text(),
        )

    assert state(again) == state(page)
    panels, shown, columns, (order,), _, count = state(again)
    assert panels == ["toy 1 forgotten"]
    assert order.strip() == "Mem"
    assert len(shown) == int(count.split()[0]) < 5
    assert "adu-less" not in shown
    assert "runs" not in {column.strip() for column in columns}
    # The page as it opens has nothing in its address.
    assert visit().evaluate("location.hash") == ""


def test_a_link_to_a_row_shows_its_table(visit):
    page = visit("#toy/2%20forgotten/adu")
    assert page.locator("section.panel:visible h2").all_inner_texts() == ["toy 2 forgotten"]
    assert page.locator("table.heat:visible").count() == 1


def test_a_damaged_address_is_the_page_as_it_opens(visit):
    page = visit("#families=%5B%22pap&columns=3&sort=-nothing&compare=nobody&suite=none&size=99")
    assert page.get_by_role("status").inner_text() == "7 of 7 rows shown"
    assert not page.locator("section.compare").is_visible()


def test_two_methods_stand_side_by_side(visit, boards):
    page = visit("#suite=second&compare=adu&compare=baseline")
    table = page.locator("section.compare table.pair")
    by_name = {row.method: row for row in boards[1].rows}
    one, other = (round(100 * by_name[name]["mem"], 1) for name in ("adu", "baseline"))
    cells = table.get_by_role("row", name="Mem").locator("td").all_inner_texts()
    assert cells == [f"{one:.1f}", f"{other:.1f}", f"{other - one:+.1f}".replace("-", "\N{MINUS SIGN}")]
    assert page.locator("section.compare table.heat").count() == 2
    page.get_by_label("Compare: other method").select_option("adu")
    assert not page.locator("section.compare").is_visible()


def test_the_chart_tells_numbers_under_pointer_finger_and_key(visit, boards):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    chart = page.locator(".chart:visible").first
    tip = chart.locator(".tip")
    (row,) = (row for row in boards[0].rows if row.method == "adu")
    told = f"Mem {100 * row['mem']:.1f}, For {100 * row['for']:.1f}"
    assert not tip.is_visible()
    chart.get_by_role("link", name="adu", exact=True).focus()
    assert told in tip.inner_text()
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    chart.locator('.spot[data-method="adu"]').dispatch_event("click")
    assert told in tip.inner_text()
    box = tip.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    chart.locator('.spot[data-method="adu"]').dispatch_event("pointerleave")
    chart.locator('.spot[data-method="baseline"]').dispatch_event("pointerenter")
    assert "baseline" in tip.inner_text()
    page.get_by_role("checkbox", name="reference").uncheck(force=True)
    assert (
        chart.locator(".spot:visible").evaluate_all("all => all.map((one) => one.dataset.family)").count("reference")
        == 0
    )


def test_headings_stay_in_view(visit):
    page = visit("#suite=toy", viewport={"width": 1280, "height": 400})
    head = first_table(page).get_by_role("columnheader", name="Mem", exact=True)
    first_table(page).locator("tr.method").nth(3).evaluate(
        "row => scrollTo(0, row.getBoundingClientRect().top + scrollY - 90)"
    )
    assert 0 <= head.bounding_box()["y"] <= 2


@pytest.mark.parametrize("width", [390, 768])
def test_whatever_is_pressed_has_room_for_a_finger(visit, width):
    page = visit("#compare=adu&compare=baseline", viewport={"width": width, "height": 844}, has_touch=True)
    first_table(page).get_by_role("button", name="adu", exact=True).click()
    page.get_by_text("choose", exact=True).click()
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, summary, select, input, a")]
            .map((one) => [one, one.getBoundingClientRect()])
            .filter(([one, box]) => box.width && one.checkVisibility() && !one.matches(".skip, dd a"))
            .filter(([one, box]) => box.height < 44 || (box.width < 44 && !one.closest("thead")))
            .map(([one, box]) => `${one.outerHTML.slice(0, 90)} ${box.width} x ${box.height}`)"""
    )
    assert small == []


@pytest.mark.parametrize("width", [390, 768])
def test_a_narrow_table_shows_intervals_and_letters(browser, boards, tmp_path, width):
    rows = tuple(
        replace(row, values={**row.values, "h_interval": (0.25, 0.5), "letters": "ab"}) for row in boards[1].rows
    )
    path = tmp_path / "index.html"
    path.write_text(web_page([replace(boards[1], rows=rows)], {}), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 844})
    page.goto(path.as_uri())
    assert first_table(page).locator("td.headline small:visible").all_inner_texts() == ["25.0\N{EN DASH}50.0 ab"] * 2
    assert first_table(page).evaluate("table => table.scrollWidth <= table.parentElement.clientWidth")
    page.close()


def test_a_phone_needs_no_sideways_scrolling_and_loses_no_number(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    button = first_table(page).get_by_role("button", name="adu", exact=True)
    button.tap()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert first_table(page).evaluate("table => table.scrollWidth <= table.parentElement.clientWidth")
    headings = first_table(page).locator(":scope > thead th")
    hidden = [head.text_content().partition(":")[0] for head in headings.all() if not head.is_visible()]
    shown = page.locator("dl.numbers:visible dt").all_inner_texts()
    assert "H of means" in hidden
    # With one seed there are neither intervals nor letters; near chance nothing can be forgotten.
    absent = {"letters", "95 % interval", "forgot"}
    assert set(hidden) - absent == set(shown) - absent


def test_the_committed_boards_fit_a_laptop(visit):
    page = visit(address=(rows_dir() / "index.html").as_uri())
    widths = page.evaluate(
        "[...document.querySelectorAll('.board')].map(one => [one.scrollWidth, one.parentElement.clientWidth])"
    )
    assert widths
    assert all(table <= room for table, room in widths if room)


def test_the_chart_can_be_read_on_a_phone(visit):
    page = visit(viewport={"width": 390, "height": 844})
    shown = page.evaluate(
        """[...document.querySelectorAll('.plane text')].map(one => {
            const drawing = one.ownerSVGElement, box = one.getBoundingClientRect();
            const scale = drawing.getBoundingClientRect().width / drawing.viewBox.baseVal.width;
            return [parseFloat(getComputedStyle(one).fontSize) * scale, box.left, box.right];
        })"""
    )
    assert shown
    for size, left, right in shown:
        assert size == 0 or size >= 9
        assert 0 <= left <= right <= 390


def test_long_names_of_domains_make_no_table_wider_on_a_phone(visit):
    page = visit(viewport={"width": 390, "height": 844})
    table = first_table(page)
    page.evaluate("document.querySelectorAll('.heat thead th').forEach((head) => head.append('withaverylongname'))")
    table.get_by_role("button", name="adu", exact=True).click()
    heat = page.get_by_role("region", name="adu: accuracy by domain")
    assert heat.evaluate("box => box.scrollWidth > box.clientWidth")
    assert heat.evaluate("box => getComputedStyle(box).overflowX") == "auto"
    assert table.evaluate("table => table.scrollWidth <= table.parentElement.clientWidth")


def test_without_scripts_every_row_is_there_and_unfolds(visit, boards):
    page = visit(java_script_enabled=False)
    assert page.locator("tr.method:visible").count() == 3 * 5 + 2
    assert not page.locator("form.controls").is_visible()
    assert page.get_by_role("button").count() == 0
    page.get_by_text("adu: domains, card and runs").first.click()
    assert page.locator("table.heat:visible").count() == 1


def test_reduced_motion_and_paper_are_respected(visit):
    page = visit(reduced_motion="reduce")
    button = first_table(page).get_by_role("button", name="adu", exact=True)
    seconds = "button => getComputedStyle(button, '::before').transitionDuration"
    assert button.evaluate(seconds) == "0s"
    page.emulate_media(media="print")
    assert not page.locator("form.controls").is_visible()
    assert first_table(page).is_visible()


def test_the_policy_stops_what_would_slip_in(browser, address):
    page = browser.new_page()
    page.goto(address)
    said = []
    page.on("console", lambda message: said.append(message.text))
    slipped = "<img src=x onerror='window.hit = 1'><p style='color: red'>"
    page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", slipped)
    page.wait_for_timeout(200)
    assert page.evaluate("window.hit") is None
    assert any("Content Security Policy" in text for text in said)
    page.close()


@pytest.fixture(scope="module")
def report_address(boards, tmp_path_factory) -> str:
    board, table = boards[0], main_table(boards[0])
    plane = partial(tradeoff.tradeoff, board)
    sections = (
        Section("main-table", "Main table", "A caption.", partial(draw, table), table),
        Section("trade-off", "Forgetting against retaining", "A caption.", plane, seen=tradeoff_words(board.rows[:4])),
    )
    return write_report(Report(board, sections, ()), tmp_path_factory.mktemp("report"))[-1].as_uri()


@pytest.mark.parametrize(("width", "scheme"), LOOKS[1:])
def test_a_report_keeps_its_contents_in_view_and_enlarges_figures(browser, report_address, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 700}, color_scheme=scheme)
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(report_address)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "has the highest mean of H" in page.locator("figure img").get_attribute("alt")
    wide = page.locator(".scroll").evaluate("box => box.scrollWidth > box.clientWidth")
    assert page.locator(".hint").is_visible() == wide
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    assert 0 <= page.locator(".contents").bounding_box()["y"] < 100
    page.locator("a.enlarge").click()
    dialog = page.get_by_role("dialog")
    assert dialog.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 1000
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()
    assert said == []
    page.close()
