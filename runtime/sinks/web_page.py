"""The live page as one file: nothing that it needs comes from elsewhere.

Its charts are drawn by uPlot 1.6.32 (MIT, ``web/uPlot-LICENSE``), which is put into the page.
"""

from __future__ import annotations

import functools
from importlib.resources import files


def page(nonce: str) -> bytes:
    """The page; scripts and styles carry `nonce`, the only ones that its policy lets run."""
    return _template().replace("@NONCE@", nonce).encode()


@functools.cache
def _template() -> str:
    folder = files("kwspot.runtime.sinks") / "web"
    parts = {"@UPLOT-STYLE@": "uPlot.min.css", "@UPLOT-SCRIPT@": "uPlot.iife.min.js"}
    text = (folder / "page.html").read_text(encoding="utf-8")
    for place, name in parts.items():
        text = text.replace(place, (folder / name).read_text(encoding="utf-8"))
    return text
