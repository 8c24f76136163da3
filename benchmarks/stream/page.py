"""A stream's page: what it misses, what it hears wrongly, and the worst of both to listen to."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from kwspot.benchmarks.report.page_html import document, section
from kwspot.benchmarks.report.tables import Table
from kwspot.benchmarks.stream import charts
from kwspot.benchmarks.stream.measures import ALL_WORDS
from kwspot.benchmarks.stream.worst import Mistake

Heard = Sequence[tuple[Mistake, str, str]]
"""Mistakes with their sound and picture as ``data:`` addresses."""


def page(values: Mapping[str, Any], misses: Heard, false_accepts: Heard) -> str:
    """The whole page, from the JSON and what can be heard of it."""
    words, near = values["words"], values["near_misses"]
    total = {**values["together"], **values["missed_together"]}
    now = {ALL_WORDS: total, **words}
    scored = {word: row for word, row in words.items() if row["positives"]}
    body = [
        f"<h1>{html.escape(values['bundle']['name'])} as a stream</h1>",
        f'<p class="soft">{values["utterances"]:,} takes, {values["negatives"]["hours"]:.2f} h of other sound '
        f"({html.escape('; '.join(values['negatives']['kind']))}), int8 on {html.escape(values['engine'])}, "
        f"{html.escape(values['date'])}</p>",
        *(f'<p class="verdict">{html.escape(sentence)}</p>' for sentence in sentences(values)),
        section("Misses against false accepts", _curves(values["trade_off"], now)),
        section("At the bundle's thresholds", [_words_table(words).html()], wide=True),
        section("Word by word", [charts.rate_chart("rates", words), charts.word_chart("words", scored)]),
        section("In noise, and by speaker", _noise_and_speakers(values)),
        section("Near misses", [charts.near_miss_chart("near", near)] if near else []),
        section("Misses to listen to", [_clips(misses, "No word was missed.")], wide=True),
        section(
            "False accepts to listen to",
            [_clips(false_accepts, "Nothing came near a word.")],
            wide=True,
        ),
    ]
    return document(f"{values['bundle']['name']} as a stream", body)


def sentences(values: Mapping[str, Any]) -> list[str]:
    """What a person should take away; also printed."""
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
        said = ", ".join(f"{100 * row['miss_rate']:.1f} % at {row['snr_db']:g} dB" for row in rows[1:])
        lines.append(
            f"Of {rows[0]['utterances']} takes {100 * rows[0]['miss_rate']:.1f} % are missed clean, {said} in noise "
            f"({values['noise']['kind']})."
        )
    if near := values["near_misses"]:
        rate = near["equal_error_rate"]
        equal = "the rates never meet" if rate is None else f"equal error rate {100 * rate:.1f} %"
        lines.append(f"Of {near['clips']} near misses {near['fired']} fire; {equal}.")
    return lines


def _curves(curves: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    first, *rest = curves
    note = (
        '<p class="soft">Each point is a threshold, the ring is the bundle as it is, the band the 95 % intervals. Down '
        "and to the left is better.</p>"
    )
    title = "Misses against false accepts, with intervals"
    shown = [f"<h3>{html.escape(first)}</h3>{charts.trade_off_chart('det', title, {first: curves[first]}, now)}{note}"]
    if len(rest) > 1:
        title = "Misses against false accepts by word"
        each = charts.trade_off_chart("dets", title, {name: curves[name] for name in rest}, now)
        shown.append(f"<h3>Each word alone</h3>{each}")
    return shown


def _noise_and_speakers(values: Mapping[str, Any]) -> list[str]:
    noise = values["noise"]
    shown = [
        f"<h3>Misses by the ratio of word to noise</h3>{charts.noise_chart('noise', noise['rows'])}"
        f'<p class="soft">The same {noise["rows"][0]["utterances"]} takes; noise: {html.escape(noise["kind"])}.</p>'
    ]
    speakers = values["speakers"]
    never = sum(not row["missed"] for row in speakers)
    note = f'<p class="soft">{never} of {len(speakers)} speakers are always heard; these are missed most.</p>'
    shown.append(f"<h3>Misses by speaker</h3>{charts.speaker_chart('speakers', speakers)}{note}")
    return shown


def _words_table(words: Mapping[str, Mapping[str, Any]]) -> Table:
    columns = ["word", "threshold", "false accepts", "per hour", "< at 95 %", "utterances", "missed", "missed, %"]
    rows = []
    for word, row in words.items():
        percent, interval = "–", "–"
        if row["positives"]:
            low, high = (100 * end for end in row["miss_rate_ci95"])
            percent, interval = f"{100 * row['miss_rate']:.1f}", f"{low:.1f} to {high:.1f}"
        rows.append(
            [
                word,
                f"{row['threshold']:.3f}",
                str(row["false_accepts"]),
                f"{row['per_hour']:.2f}",
                f"{row['upper_per_hour']:.2f}",
                str(row["positives"]),
                str(row["missed"]),
                percent,
                interval,
                str(row["double_fires"]),
                str(row["wrong_words"]),
            ]
        )
    return Table(
        "One hit per take; what fires twice is counted apart",
        [*columns, "95 % interval", "fired twice", "wrong word"],
        rows,
    )


def _clips(mistakes: Heard, none: str) -> str:
    inside = "".join(
        f'<div class="clip"><img alt="features of {html.escape(m.path.name)}" src="{picture}">'
        f'<audio controls preload="none" src="{sound}"></audio><div><b>{html.escape(m.word)}</b> {m.score:.2f}'
        f"{'' if m.wrong else ' (does not fire)'}<br>"
        f'<span class="soft">{html.escape("/".join(m.path.parts[-2:]))}'
        f"{f' at {m.start_s:.1f} s' if m.start_s else ''}</span></div></div>"
        for m, sound, picture in mistakes
    )
    return f'<div class="clips">{inside}</div>' if inside else f"<p>{none}</p>"
