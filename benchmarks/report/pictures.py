"""Pictures of a report for the documentation, taken by a real browser.

::

    python -m kwspot.benchmarks.report.pictures report.html docs/pictures/report

writes ``…-light.png``, ``…-dark.png`` and ``…-phone.png``, or with ``--view``
one of them. Needs chromium and its driver, and the extra ``dev``.
"""

from __future__ import annotations

import argparse
import base64
import io
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kwspot.runtime.cli import guarded
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.files import scratch_folder, whole_file

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
VIEWS = {"light": (1240, 1500, "light"), "dark": (1240, 1500, "dark"), "phone": (390, 1600, "light")}
"""Name → width and height in CSS pixels, and colour scheme."""


@contextmanager
def browser() -> Iterator[Any]:
    """Open a headless Chromium of its own, that remembers nothing."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        raise ConfigError("chromium or chromedriver is missing; expected both: apt install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with scratch_folder("browser") as profile:
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            yield window
        finally:
            window.quit()


def open_page(window: Any, page: Path, view: str) -> None:
    """Show a page as one of :data:`VIEWS`."""
    width, height, scheme = VIEWS[view]
    window.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    window.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    window.get(page.resolve().as_uri())


def take(window: Any, target: Path) -> None:
    """Save what is seen now as a PNG of few colours: a third of the size, and nothing is lost on a chart."""
    from PIL import Image

    shot = window.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    picture = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")
    # By octree: others give the few red points of a chart the colour of its text.
    picture = picture.quantize(128, method=Image.Quantize.FASTOCTREE)
    with whole_file(target) as path:
        picture.save(path, "PNG", optimize=True)


def main(argv: Sequence[str]) -> int:
    """Take all of :data:`VIEWS`."""
    parser = argparse.ArgumentParser(prog="python -m kwspot.benchmarks.report.pictures", description=__doc__)
    parser.add_argument("page", metavar="FILE.html", type=Path)
    parser.add_argument("stem", metavar="STEM", type=Path, help="pictures are STEM-light.png and so on")
    parser.add_argument("--view", choices=list(VIEWS), help="(default: each)")
    args = parser.parse_args(argv)
    if not args.page.is_file():
        raise ConfigError(f"{args.page} is not there; expected a page that 'kwspot bench report' wrote")
    with browser() as window:
        for view in VIEWS if args.view is None else [args.view]:
            open_page(window, args.page, view)
            take(window, args.stem.with_name(f"{args.stem.name}-{view}.png"))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:])))
