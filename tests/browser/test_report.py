"""The page in a real browser: every picture is there, nothing is asked of the network, a phone can read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_tree import MODELS, report_tree

from genlib.report.page import Origin, page
from genlib.report.results import read_results

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TAGS = {"genlib.commit": "c" * 40, "genlib.dirty": "false", "genlib.params_digest": "a" * 64}

pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason="needs a browser: install the Debian packages chromium and chromium-driver"
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = report_tree(tmp_path_factory.mktemp("project"))
    path = root / "index.html"
    path.write_text(page(read_results(root, MODELS, ["gan"]), Origin(TAGS, {}, "kid")), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(params=["light", "dark"])
def opened(request: pytest.FixtureRequest, address: str, tmp_path: Path) -> Iterator[tuple[Any, list[str], list[str]]]:
    """The page at a phone's width, what it asked for, and what it complained of."""
    from playwright.sync_api import sync_playwright

    asked: list[str] = []
    complaints: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=CHROMIUM,
            args=FLAGS,
            viewport={"width": 390, "height": 844},
            color_scheme=request.param,
        )
        tab = browser.pages[0]
        tab.on("request", lambda sent: asked.append(sent.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(address, wait_until="load")
        yield tab, asked, complaints
        browser.close()


def test_page_is_whole_by_itself(opened: tuple[Any, list[str], list[str]], address: str) -> None:
    tab, asked, complaints = opened
    widths = tab.evaluate("Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))")
    assert len(widths) > 10
    assert all(width > 0 for width in widths)
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert complaints == []


def test_page_does_not_scroll_sideways_on_a_phone(opened: tuple[Any, list[str], list[str]]) -> None:
    tab, _, _ = opened
    tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert tab.evaluate("document.body.scrollWidth <= window.innerWidth")
