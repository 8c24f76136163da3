"""Charts for a page without a network: matplotlib draws SVG, the page's style sheet colours it.

Colours are drawn as marks and then exchanged for CSS variables, so that one
chart serves a light and a dark page. No script is needed to see it.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

INK, FAINT, ALARM, PAPER = "#010203", "#010204", "#010205", "#010206"
SERIES = ("#010211", "#010212", "#010213", "#010214", "#010215", "#010216")
"""Colours of what is compared, in order."""

_VARIABLES = {INK: "--ink", FAINT: "--faint", ALARM: "--alarm", PAPER: "--card"} | {
    colour: f"--series{number}" for number, colour in enumerate(SERIES, 1)
}

WIDTH_IN = 4.2
"""So narrow that its text can be read where a telephone shows the whole chart."""

_STYLE = {
    "svg.fonttype": "none",
    "font.size": 8.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


class Chart:
    """One chart: :attr:`axes` to draw on, then :meth:`svg`."""

    def __init__(self, title: str, axes: Any) -> None:
        self.title, self.axes, self.svg = title, axes, ""


@contextmanager
def chart(identity: str, title: str, height_in: float, *, panels: int = 1) -> Iterator[Chart]:
    """Open a chart whose ``svg`` is ready when the block ends.

    Parameters
    ----------
    identity
        Letters and digits, different for every chart of a page.
    title
        What is seen, for those who do not see it.
    panels
        Drawings side by side; ``axes`` is then an array of so many.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({**_STYLE, "svg.hashsalt": identity}):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        drawn = Chart(title, figure.subplots(1, panels))
        yield drawn
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawn.svg = _for_page(text.getvalue(), identity, title)


class Interval(NamedTuple):
    """A row of a chart: a value between the ends of its interval, and what is written behind it."""

    name: str
    value: float
    low: float
    high: float
    text: str
    alarming: bool = False


def draw_intervals(axes: Any, rows: Sequence[Interval], label: str) -> None:
    """Draw each row as a dot on its interval; `label` names the horizontal axis."""
    for place, row in enumerate(rows):
        colour = ALARM if row.alarming else SERIES[0]
        axes.plot([row.low, row.high], [place, place], color=colour, linewidth=1.2)
        axes.plot([row.value], [place], "o", color=colour, markersize=5)
        where = {"xycoords": ("axes fraction", "data"), "va": "center"}
        axes.annotate(row.text, (1.02, place), color=ALARM if row.alarming else INK, **where)
    name_rows(axes, [row.name for row in rows])
    axes.set_xlabel(label)


def name_rows(axes: Any, names: Sequence[str], most: int = 30, **text: Any) -> None:
    """Name the rows of a chart, the first at the top; a name is cut after `most` letters."""
    axes.set_yticks(range(len(names)), [n if len(n) <= most else f"{n[: most - 1]}…" for n in names], **text)
    axes.set_ylim(len(names) - 0.4, -0.6)


def plain_numbers(*axes: Any) -> None:
    """Write the numbers of logarithmic axes, on which all is drawn, as 0.1 and not as a power of ten."""
    from matplotlib.ticker import LogLocator

    for axis in axes:
        low, high = axis.get_view_interval()
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(LogLocator(subs=(2, 5)))
        # Within a decade or two there are few powers of ten, or none.
        axis.set_minor_formatter("{x:g}" if low > 0 and high < 50 * low else "")


def _for_page(svg: str, identity: str, title: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    # A page has many charts, and every one of matplotlib's begins at figure_1.
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{identity}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{identity}-\1)", svg)
    svg = re.sub(r'xlink:href="#([^"]+)"', rf'xlink:href="#{identity}-\1"', svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    label = html.escape(title, quote=True)
    return re.sub(r'(<svg[^>]*?) width="[^"]*"| height="[^"]*"(?=[^>]*>)', r"\1", svg, count=2).replace(
        "<svg", f'<svg class="chart" role="img" aria-label="{label}"', 1
    )
