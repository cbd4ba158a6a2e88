"""Take the pictures of docs/screens: of reports/index.html, and of `make ui` while it runs; all, or those named."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

HERE, REPORT = Path(__file__).parent, Path("reports/index.html").resolve().as_uri()
MLFLOW = "http://127.0.0.1:5000"
SHOTS = {  # name: page, what stands at its top, width, height, colour scheme
    "report_light": (REPORT, "header", 1100, 1000, "light"),
    "report_dark": (REPORT, "#model-gan", 1100, 1250, "dark"),
    "report_phone": (REPORT, "#model-cvae", 390, 1250, "light"),
    "mlflow": (MLFLOW + "/#/experiments/1/runs", ".ag-row", 1280, 700, "light"),
}


def main(names: list[str]) -> None:
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        for name in names or SHOTS:
            address, top, width, height, scheme = SHOTS[name]
            tab = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            tab.goto(address, wait_until="networkidle")
            tab.locator(top).first.evaluate("part => part.scrollIntoView({behavior: 'instant'})")
            sweeps = tab.locator(".ag-row button:not([data-testid])")  # those that open a run, not its data set
            for place in reversed(range(sweeps.count())):
                sweeps.nth(place).click()
            tab.wait_for_timeout(1000)
            shot = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
            shot.quantize(64).save(HERE / f"{name}.png", optimize=True)
        chromium.close()


if __name__ == "__main__":
    main(sys.argv[1:])
