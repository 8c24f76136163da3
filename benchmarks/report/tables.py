"""A table once, in three forms: HTML for the page, Markdown and CSV to copy into a paper."""

from __future__ import annotations

import csv
import html
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
        """As Markdown."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)

    def csv(self) -> str:
        """As CSV."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *self.rows])
        return text.getvalue()

    def html(self) -> str:
        """As HTML, with both others behind buttons that copy."""
        head = "".join(f"<th>{html.escape(column)}</th>" for column in self.columns)
        numbers = [all(_is_number(row[i]) for row in self.rows) for i in range(len(self.columns))]
        body = "".join(
            "<tr>" + "".join(_cell(*pair) for pair in zip(row, numbers, strict=True)) + "</tr>" for row in self.rows
        )
        copies = "".join(
            f'<button type="button" class="copy" data-text="{html.escape(text, quote=True)}">Copy {name}</button>'
            for name, text in (("Markdown", self.markdown()), ("CSV", self.csv()))
        )
        return (
            f'<figure class="table"><figcaption>{html.escape(self.title)}<span class="copies">{copies}</span>'
            f'</figcaption><div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
            "</div></figure>"
        )


def _is_number(text: str) -> bool:
    return text == "–" or text.lstrip("-+<> ")[:1].isdigit()


def _cell(text: str, number: bool) -> str:
    return f"<td{' class=number' if number else ''}>{html.escape(text)}</td>"


def confusion_html(labels: Sequence[str], counts: Sequence[Sequence[int]], nothing: str) -> str:
    """Clips by what was said (row) and heard (column), the more the darker; empty columns are left out."""
    columns = [*labels, nothing]
    kept = [i for i in range(len(columns)) if i < len(labels) or any(row[i] for row in counts)]
    head = "".join(f"<th><span>{html.escape(columns[i])}</span></th>" for i in kept)
    rows = []
    for label, row in zip(labels, counts, strict=True):
        total = sum(row)
        cells = []
        for i in kept:
            share = row[i] / total if total else 0.0
            kind = "right" if columns[i] == label else "wrong"
            shade = f' style="--share:{share:.3f}"' if row[i] else ""
            cells.append(f'<td class="{kind}"{shade}>{row[i] or ""}</td>')
        rows.append(f"<tr><th>{html.escape(label)}</th>{''.join(cells)}</tr>")
    return (
        '<div class="scroll"><table class="confusion"><thead><tr><th>said ↓ heard →</th>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
