"""The page in a real browser: it is whole, asks nothing of the network, and works by mouse, keys and screen reader."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from browser.chromium import CHROMIUM, browser
from report_tree import MODELS, report_tree

from genlib.report.page import Provenance, render_page
from genlib.runs import read_results

TAGS = {"genlib.commit": "c" * 40, "genlib.dirty": "false", "genlib.params_digest": "a" * 64}

SHADES = """all => all.map(canvas => {
    const copy = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, -canvas.width / 2, -canvas.height / 2);
    return copy.getImageData(0, 0, 1, 1).data[0];
})"""

pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason="needs a browser: install the Debian packages chromium and chromium-driver"
)


@dataclass
class Opened:
    """A page, what it asked for, and what it complained of."""

    tab: Any
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def shades(self, selector: str) -> list[int]:
        """The grey in the middle of each of these canvases."""
        found: list[int] = self.tab.locator(selector).evaluate_all(SHADES)
        return found


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = report_tree(tmp_path_factory.mktemp("project"))
    path = root / "index.html"
    path.write_text(
        render_page(read_results(root, MODELS, ["gan"]), Provenance(TAGS, {"data": {}}, "kid")), encoding="utf-8"
    )
    return path.as_uri()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(params=["light", "dark"])
def opened(request: pytest.FixtureRequest, chromium: Any, address: str) -> Iterator[Opened]:
    """The page at a phone's width."""
    tab = chromium.new_page()
    tab.emulate_media(color_scheme=request.param)
    tab.set_viewport_size({"width": 390, "height": 844})
    found = Opened(tab)
    tab.on("request", lambda sent: found.asked.append(sent.url))
    tab.on("console", lambda message: found.complaints.append(message.text))
    tab.on("pageerror", lambda error: found.complaints.append(str(error)))
    tab.goto(address, wait_until="load")
    tab.wait_for_selector(".near canvas")
    yield found
    tab.close()


def test_page_is_whole_by_itself(opened: Opened, address: str) -> None:
    js = "Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))"
    widths = opened.tab.evaluate(js)
    assert len(widths) > 10
    assert all(width > 0 for width in widths)
    assert [url for url in opened.asked if not url.startswith("data:")] == [address]
    assert opened.complaints == []


def test_page_does_not_scroll_sideways_on_a_phone(opened: Opened) -> None:
    opened.tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert opened.tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert opened.tab.evaluate("document.body.scrollWidth <= window.innerWidth")


def test_all_answers_are_seen_on_a_phone(opened: Opened) -> None:
    """Of the longest name of a default model, and the longest answers."""
    opened.tab.locator("table.verdicts td span").evaluate_all(
        "all => all.forEach(one => one.textContent = 'cannot tell')"
    )
    opened.tab.locator("table.verdicts th a").evaluate_all("all => all.forEach(one => one.textContent = 'autoencoder')")
    sides = opened.tab.locator("#verdicts .scroll").evaluate("frame => [frame.scrollWidth, frame.clientWidth]")
    assert sides[0] <= sides[1]


def test_axe_finds_no_fault(opened: Opened) -> None:
    """Contrast, words for pictures, names of controls, order of headings: all of axe-core's rules."""
    from axe_playwright_python.sync_playwright import Axe

    opened.tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    found = Axe().run(opened.tab).response["violations"]
    assert [(fault["id"], [node["target"] for node in fault["nodes"]][:3]) for fault in found] == []


def test_a_sample_is_chosen_with_the_mouse_or_by_keys(opened: Opened) -> None:
    """Every image of the sheet is of one grey, 10 times its row plus its column."""
    buttons = opened.tab.locator(".samples button")
    assert buttons.count() == 20
    assert opened.shades(".near canvas") == [0, 1, 2, 3]
    buttons.nth(7).click()
    assert opened.shades(".near canvas") == [70, 71, 72, 73]
    assert buttons.nth(7).get_attribute("aria-pressed") == "true"
    assert opened.tab.locator(".samples [aria-pressed=true]").count() == 1
    assert "Sample 8" in opened.tab.locator(".near + p").inner_text()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "Enter"):
        opened.tab.keyboard.press(key)
    assert opened.shades(".near canvas") == [80, 81, 82, 83]
    opened.tab.keyboard.press("ArrowUp")
    opened.tab.keyboard.press("ArrowDown")
    opened.tab.keyboard.press("Space")
    assert opened.shades(".near canvas") == [80, 81, 82, 83]
    opened.tab.keyboard.press("End")
    opened.tab.keyboard.press("ArrowRight")
    opened.tab.keyboard.press("Enter")
    assert opened.shades(".near canvas") == [190, 191, 192, 193]
    assert opened.tab.locator(".samples button[tabindex='0']").count() == 1
    assert opened.complaints == []


def test_a_slider_walks_through_the_codes(opened: Opened) -> None:
    figure = "figure.axes"
    slider, told = opened.tab.locator(f"{figure} input"), opened.tab.locator(f"{figure} output")
    assert opened.shades(f"{figure} .frames canvas") == [2, 12]
    assert told.inner_text() == "0.00 spreads"
    slider.focus()
    opened.tab.keyboard.press("ArrowRight")
    assert opened.shades(f"{figure} .frames canvas") == [3, 13]
    assert told.inner_text() == slider.get_attribute("aria-valuetext") == "1.25 spreads"
    slider.fill("0")
    assert opened.shades(f"{figure} .frames canvas") == [0, 10]
    assert told.inner_text() == "\u22122.50 spreads"
    assert opened.shades("figure.between .frames canvas") == [2, 12]
    assert opened.complaints == []


def test_every_control_is_reached_by_tab_and_shows_that_it_is(opened: Opened) -> None:
    """A group of samples is one stop; everything that has the focus has an outline."""
    opened.tab.evaluate("document.activeElement.blur()")
    wanted = opened.tab.evaluate(
        '[...document.querySelectorAll(\'a[href], summary, input, button:not([tabindex="-1"]), [tabindex="0"]\')]'
        ".filter(e => e.checkVisibility() && !e.matches('[hidden] *, [hidden]')).length"
    )
    js = "[document.activeElement.outerHTML.slice(0, 80), getComputedStyle(document.activeElement).outlineStyle]"
    seen = []
    for _ in range(wanted):
        opened.tab.keyboard.press("Tab")
        seen.append(opened.tab.evaluate(js))
    assert wanted > 20
    assert not [what for what, outline in seen if what.startswith("<body") or outline == "none"]
    assert any(what.startswith("<button") for what, _ in seen)
    assert sum(what.startswith("<input") for what, _ in seen) == 2


def test_without_its_script_the_page_shows_the_sheets(chromium: Any, address: str) -> None:
    html = Path(address.removeprefix("file://")).read_text(encoding="utf-8")
    tab = chromium.new_page()
    tab.set_content(html.replace("<script>", "<script type='text/plain'>"))
    assert tab.locator(".sheet img").count() == 3
    assert all(tab.locator(".sheet img").nth(i).is_visible() for i in range(3))
    tab.close()
