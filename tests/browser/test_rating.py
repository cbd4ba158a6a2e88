"""The rating page in a real browser, from the first answer to the last, by the keyboard alone."""

import threading

import pytest
import torch

from browser.chromium import CHROMIUM, browser
from genlib.evaluation.parts.answers import read_answers
from genlib.report.rating import Survey, app, items

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs a browser: install the Debian package chromium")


@pytest.fixture
def served(tmp_path):
    from werkzeug.serving import make_server

    pixels = torch.randint(256, (2, 4, 1, 8, 8), dtype=torch.uint8)
    survey = Survey(items(*pixels, 0, "mark"), tmp_path / "gan.csv", 0)
    server = make_server("127.0.0.1", 0, app(survey, "Real or fake? gan"), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}", survey
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_from_the_first_answer_to_the_last(served, tmp_path, scheme):
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
        tab.keyboard.press("Tab")
        tab.keyboard.type("a rater")
        tab.keyboard.press("Enter")
        total = len(survey.items)
        for at in range(total):
            tab.get_by_text(f"{at} of {total}", exact=True).wait_for()
            tab.wait_for_function("document.getElementById('image').naturalWidth > 0")
            tab.keyboard.press("r" if at % 2 else "F")
        tab.wait_for_selector("#end", state="visible")
        assert tab.get_by_role("status").filter(has_text="Thank you").is_visible()
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    found = read_answers(survey.path)
    assert [answer.item for answer in found] == [item.name for item in survey.order("a rater")]
    assert [answer.answer for answer in found] == ["real" if at % 2 else "fake" for at in range(total)]
    assert all(url.startswith((address, "data:")) for url in asked)
    assert complaints == []
