"""What every page of the kit has: one self-contained file, cards and sections."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib.resources import files


def document(title: str, body: Sequence[str]) -> str:
    """The whole file. `title` is text, `body` HTML."""
    assets = files("kwspot.benchmarks.report") / "assets"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title>"
        f"<style>{(assets / 'report.css').read_text(encoding='utf-8')}</style></head>"
        f"<body><main>{''.join(body)}</main>"
        f"<script>{(assets / 'report.js').read_text(encoding='utf-8')}</script></body></html>\n"
    )


def card(content: str) -> str:
    """A framed part of a page."""
    return f'<div class="card">{content}</div>'


def section(title: str, cards: Sequence[str], *, wide: bool = False) -> str:
    """A heading and its cards, side by side where there is room unless `wide`; nothing without cards."""
    if not cards:
        return ""
    inside = "".join(map(card, cards))
    return f"<section><h2>{html.escape(title)}</h2>{inside if wide else f'<div class=grid>{inside}</div>'}</section>"
