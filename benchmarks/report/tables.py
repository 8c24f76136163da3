"""A table once: for a page, and as Markdown and CSV to copy into a paper."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Columns and rows of text; numbers are set to the right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
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


def _is_number(text: str) -> bool:
    return text == "–" or text.lstrip("-+<> ")[:1].isdigit()
