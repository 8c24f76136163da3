"""Write the page of a stream: misses, false accepts, and the worst of both to listen to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kwspot.benchmarks.report.templates import render
from kwspot.benchmarks.stream import charts
from kwspot.benchmarks.stream.measures import ALL_WORDS
from kwspot.benchmarks.stream.worst import Mistake
from kwspot.benchmarks.tables import Columns, Table

Heard = Sequence[tuple[Mistake, str, str]]
"""Mistakes with their sound and picture as ``data:`` addresses."""


def page(values: Mapping[str, Any], misses: Heard, false_accepts: Heard) -> str:
    """Return the whole page, from the JSON and what can be heard of it."""
    words, curves = values["words"], values["trade_off"]
    return render(
        "stream.html",
        **values,
        title=f"{values['bundle']['name']} as a stream",
        sentences=sentences(values),
        charts=charts,
        now={ALL_WORDS: {**values["together"], **values["missed_together"]}, **words},
        by_word={name: curves[name] for name in list(curves)[1:]},
        scored={word: row for word, row in words.items() if row["positives"]},
        words_table=_words_table(words),
        misses=misses,
        false_accepts=false_accepts,
    )


def sentences(values: Mapping[str, Any]) -> list[str]:
    """Say what a person should take away; also printed."""
    missed, together = values["missed_together"], values["together"]
    low, high = (100 * end for end in missed["miss_rate_ci95"])
    least, most = together["per_hour_ci95"]
    lines = [
        f"{missed['missed']} of {values['utterances']} words are missed: {100 * missed['miss_rate']:.1f} % "
        f"[{low:.1f}, {high:.1f}]. {together['false_accepts']} false accepts in {values['negatives']['hours']:.2f} h, "
        f"all words together: {together['per_hour']:.2f} per hour [{least:.2f}, {most:.2f}]."
    ]
    rows = values["noise"]["rows"]
    if len(rows) > 1:
        misses = ", ".join(f"{100 * row['miss_rate']:.1f} % at {row['snr_db']:g} dB" for row in rows[1:])
        lines.append(
            f"Of {rows[0]['utterances']} utterances {100 * rows[0]['miss_rate']:.1f} % are missed clean, {misses} in "
            f"noise ({values['noise']['kind']})."
        )
    if near := values["near_misses"]:
        rate = near["equal_error_rate"]
        equal = "the rates never meet" if rate is None else f"equal error rate {100 * rate:.1f} %"
        lines.append(f"Of {near['clips']} near misses {near['fired']} fire; {equal}.")
    return lines


def _words_table(words: Mapping[str, Mapping[str, Any]]) -> Table:
    def percent(row: Mapping[str, Any]) -> str:
        return f"{100 * row['miss_rate']:.1f}" if row["positives"] else "–"

    def interval(row: Mapping[str, Any]) -> str:
        return "{:.1f} to {:.1f}".format(*(100 * end for end in row["miss_rate_ci95"])) if row["positives"] else "–"

    columns: Columns = {
        "word": "{word}",
        "threshold": "{threshold:.3f}",
        "false accepts": "{false_accepts}",
        "per hour": "{per_hour:.2f}",
        "< at 95 %": "{upper_per_hour:.2f}",
        "utterances": "{positives}",
        "missed": "{missed}",
        "missed, %": percent,
        "95 % interval": interval,
        "fired twice": "{double_fires}",
        "wrong word": "{wrong_words}",
    }
    rows = [{"word": word, **row} for word, row in words.items()]
    return Table.of("One hit per utterance; what fires twice is counted apart", rows, columns)
