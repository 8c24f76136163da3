"""A table once: for the terminal, for a page, and as Markdown and CSV to copy into a paper."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Columns = Mapping[str, str | Callable[[Any], str]]
"""Name → format of a row's values, as ``"{miss_rate:.2%}"``, or a function of the row."""


@dataclass(frozen=True)
class Table:
    """Columns and rows of text; numbers are set to the right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @classmethod
    def of(cls, title: str, rows: Iterable[Mapping[str, Any]], columns: Columns) -> Table:
        """Make a table with a row for each mapping; see :data:`Columns`.

        >>> Table.of("", [{"word": "yes", "share": 0.5}], {"word": "{word}", "right": "{share:.0%}"}).rows
        [['yes', '50%']]
        """
        cells = [[of.format_map(row) if isinstance(of, str) else of(row) for of in columns.values()] for row in rows]
        return cls(title, list(columns), cells)

    def text(self) -> str:
        """Return columns and rows as lines for a terminal."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        return "\n".join(
            "  ".join(
                f"{cell:>{width}}" if right else f"{cell:{width}}"
                for cell, width, right in zip(line, widths, self.numeric, strict=True)
            ).rstrip()
            for line in (self.columns, *self.rows)
        )

    def markdown(self) -> str:
        """Return the table as Markdown."""
        rule = ["---:" if right else "---" for right in self.numeric]
        lines = [self.columns, rule, *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)

    def csv(self) -> str:
        """Return the table as CSV."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *self.rows])
        return text.getvalue()

    @property
    def numeric(self) -> list[bool]:
        """Return whether each column holds numbers alone."""
        return [all(_is_number(row[i]) for row in self.rows) for i in range(len(self.columns))]


def p_text(p: float) -> str:
    """Return a p-value as it is written.

    >>> p_text(0.0004), p_text(0.25)
    ('< 0.001', '0.250')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _is_number(text: str) -> bool:
    return text in ("", "–") or text.lstrip("-+<> ")[:1].isdigit()
