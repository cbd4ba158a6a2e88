"""The rating page in a real browser, from the first answer to the last, by the keyboard alone."""

import threading

import pytest
import torch
from browser.chromium import CHROMIUM, browser

from genlib.human.answers import read_answers
from genlib.human.app import Survey, create_app
from genlib.human.questions import QUESTION_FORMS, same_different

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs a browser: install the Debian package chromium")


def asked(form):
    pixels = torch.randint(256, (2, 4, 1, 8, 8), dtype=torch.uint8)
    if form == "pair":
        return same_different({f"{i}-0": both for i, both in enumerate(zip(*pixels, strict=True))}, 0, "mark")
    return QUESTION_FORMS[form].build(*pixels, 0, "mark")


@pytest.fixture
def served(tmp_path, form):
    from werkzeug.serving import make_server

    survey = Survey(QUESTION_FORMS[form], asked(form), tmp_path / "gan.csv", 0)
    server = make_server("127.0.0.1", 0, create_app(survey, "gan"), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}", survey
    server.shutdown()
    thread.join()
    server.server_close()


KEYS = {"one": ("F", "r"), "timed": ("f", "R"), "two": ("ArrowLeft", "2"), "pair": ("s", "D")}
SAID = {"f": "fake", "r": "real", "arrowleft": "left", "2": "right", "s": "same", "d": "different"}
SHOWN = "[...document.querySelectorAll('#pictures img')].every(i => i.complete && i.naturalWidth > 0)"


def faults(tab):
    """What axe-core finds."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(tab).response["violations"]
    return [(fault["id"], [node["target"] for node in fault["nodes"]]) for fault in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("form", QUESTION_FORMS)
def test_from_the_first_answer_to_the_last(served, tmp_path, form, scheme):
    address, survey = served
    asked, complaints = [], []
    with browser(tmp_path / "profile") as opened:
        tab = opened.new_page()
        tab.emulate_media(color_scheme=scheme)
        tab.set_viewport_size({"width": 390, "height": 844})
        tab.on("request", lambda sent: asked.append(sent.url))
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(address, wait_until="load")
        assert faults(tab) == []
        tab.keyboard.press("Tab")
        tab.keyboard.type("a rater")
        tab.keyboard.press("Enter")
        total = len(survey.items)
        for at in range(total):
            tab.get_by_text(f"{at} of {total}", exact=True).wait_for()
            tab.wait_for_selector("#ask[aria-busy=false]")
            assert tab.evaluate(SHOWN)
            if at == 0:
                assert faults(tab) == []
                assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
            tab.keyboard.press(KEYS[form][at % 2])
        tab.wait_for_selector("#end", state="visible")
        assert tab.get_by_role("status").filter(has_text="Thank you").is_visible()
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    found = read_answers(survey.path)
    assert [answer.item for answer in found] == [trial.name for trial in survey.order_items("a rater")]
    assert [answer.answer for answer in found] == [SAID[KEYS[form][at % 2].lower()] for at in range(total)]
    assert all(url.startswith((address, "data:")) for url in asked)
    assert complaints == []


@pytest.mark.parametrize("form", ["timed"])
def test_at_a_glance_noise_follows_the_picture_and_neither_is_there_when_the_answer_is_asked_for(served, tmp_path):
    address, _ = served
    visible = """[...document.querySelectorAll('#pictures > *')]
        .filter(part => getComputedStyle(part).visibility === 'visible').map(part => part.tagName)"""
    with browser(tmp_path / "profile") as opened:
        tab = opened.new_page()
        tab.goto(address, wait_until="load")
        tab.evaluate(f"""() => {{
            window.seen = [];
            new MutationObserver(() => window.seen.push(...{visible}))
                .observe(document.getElementById('pictures'), {{subtree: true, attributeFilter: ['style']}});
        }}""")
        tab.fill("#rater", "a rater")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#ask[aria-busy=false]")
        assert tab.evaluate(visible) == []
        seen = tab.evaluate("window.seen")
        assert seen == sorted(seen, reverse=True) and set(seen) == {"IMG", "CANVAS"}
