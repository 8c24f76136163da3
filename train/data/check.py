"""What a data folder holds, and everything that is wrong in it: `kwspot data check`."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kwspot.runtime.audio.file_formats import conversion_of, is_sound, is_unread
from kwspot.runtime.audio.parts import PARTS, compose
from kwspot.runtime.audio.recordings import Clip, DataFolder, default_part
from kwspot.runtime.audio.sound_file import LOWEST_RATE_HZ, open_sound
from kwspot.runtime.errors import RecordingError
from kwspot.runtime.features.level import CLIPPED_RUN, CLIPPED_SAMPLES, ClippingCounter, decibels
from kwspot.runtime.features.spec import INT16_FULL_SCALE
from kwspot.train.config.tables import SMALLEST_CLASS

SILENT_BELOW_DBFS = -60.0

RULES = {
    "unreadable": "the system does not let it be read",
    "not sound": "not a format that libsndfile knows",
    "corrupt": "begins as sound but cannot be decoded, or has NaN or infinite samples",
    "truncated": "fewer samples than the header promises",
    "longer": "more bytes of sound than the header promises; all are used",
    "empty": "no samples",
    "silent": f"no sample reaches {SILENT_BELOW_DBFS:.0f} dBFS",
    "clipped": f"{CLIPPED_SAMPLES} samples or more at full scale in runs of {CLIPPED_RUN} or more",
    "duplicated": "the very same samples as another clip",
    "two parts": "a clip or speaker in more than one part: what is measured would have been trained on",
    "missing": "in a list, but no such file",
    "no training": "a word without recordings to train on",
    "special name": "a folder that may be meant for something else than a word",
    "left out": "not a recording by its name, in a place for recordings",
}
"""Kind of fault → what it means, in the order of the list."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong: its kind (of `RULES`), the path below the folder (or the speaker), and what was seen."""

    kind: str
    path: str
    detail: str


@dataclasses.dataclass(frozen=True, slots=True)
class Count:
    """How much there is; `hours` only of clips that can be read, `speakers` only those that file names tell."""

    clips: int
    speakers: int
    hours: float


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """All about a folder: (word, part) → count, part → count, noise files, faults, and what is no fault but to know."""

    folder: Path
    words: dict[tuple[str, str], Count]
    parts: dict[str, Count]
    noise: Count
    faults: list[Fault]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Examined:
    seconds: float
    digest: bytes  # of the samples; empty if the file cannot be read or is silent
    kind: str
    detail: str


def examine(folder: DataFolder) -> Report:
    """Read every recording of a folder and count, measure and compare them; nothing is raised over a bad file."""
    clips = folder.every_clip
    paths = [clip.path for clip in clips] + list(folder.noise_files)
    # One after the other: threads were measured to be slower, the files are so small.
    examined = {path: _examine_file(path) for path in paths}
    groups: dict[tuple[str, str], list[Clip]] = {(word, part): [] for word in folder.words for part in PARTS}
    for clip in clips:
        groups[clip.word, clip.part].append(clip)

    faults = [
        Fault(seen.kind, _shown(path.relative_to(folder.root)), seen.detail)
        for path, seen in examined.items()
        if seen.kind
    ]
    faults += _duplicates(folder.root, examined)
    faults += [Fault("two parts", _shown(name), "in both lists") for name in folder.parts.clips_in_two_lists]
    for speaker, parts in folder.parts.speakers_split_by_lists:
        faults.append(Fault("two parts", _shown(f"speaker {speaker}"), f"in the parts {' and '.join(parts)}"))
    faults += [Fault("missing", _shown(name), "named in a list") for name in folder.parts.listed_but_missing]
    counts = Counter((clip.word, clip.part) for clip in clips)
    small = [word for word in folder.words if counts[word, "train"] < SMALLEST_CLASS or not counts[word, "validation"]]
    notes = folder.notes()
    if default_part(folder) != "all":  # else it is for tests alone
        faults += [Fault("no training", _shown(w), "0 to train on") for w in small if not counts[w, "train"]]
        if few := [f"{w} {counts[w, 'train']} and {counts[w, 'validation']}" for w in small if counts[w, "train"]]:
            needs = f"a word needs {SMALLEST_CLASS} recordings to train on and 1 to validate on"
            notes += (f"{needs}; there are too few of {', '.join(few[:6])}{' and others' * (len(few) > 6)}",)
    for word, meant in folder.meant_otherwise.items():
        faults.append(Fault("special name", _shown(word), f"a word, unless it is renamed to {meant}"))
    faults += _held_out(folder)
    order = list(RULES)
    return Report(
        folder.root,
        {group: _count(members, examined) for group, members in groups.items()},
        {part: _count([clip for clip in clips if clip.part == part], examined) for part in PARTS},
        Count(len(folder.noise_files), 0, sum(examined[path].seconds for path in folder.noise_files) / 3600),
        sorted(faults, key=lambda fault: (order.index(fault.kind), fault.path)),
        notes,
    )


def _examine_file(path: Path) -> _Examined:
    digest, peak, frames, rate_hz, notice = hashlib.blake2b(digest_size=16), 0.0, 0, LOWEST_RATE_HZ, ""
    try:
        with open_sound(path) as sound:
            rate_hz, clipping = sound.rate_hz, ClippingCounter(sound.channels)
            digest.update(f"{rate_hz} Hz, {sound.channels} channels".encode())
            for block in sound.blocks():
                frames += len(block)
                full = INT16_FULL_SCALE if block.dtype == np.int16 else 1.0
                # In float64, for int16 has no +32768.
                peak = max(peak, float(block.max()) / full, -float(block.min()) / full)
                digest.update(block.tobytes())
                clipping.push(block)
            notice = sound.notice
    except RecordingError as error:
        return _Examined(0.0, b"", error.fault, _shown(str(error)))
    seconds = frames / rate_hz
    if peak < 10 ** (SILENT_BELOW_DBFS / 20):
        seen = "all samples are zero" if peak == 0 else f"its peak is {decibels(peak, -200.0):.0f} dBFS"
        return _Examined(seconds, b"", "silent", seen)
    if clipping.samples >= CLIPPED_SAMPLES:
        return _Examined(seconds, digest.digest(), "clipped", f"{clipping.samples} samples at full scale")
    return _Examined(seconds, digest.digest(), "longer" if notice else "", _shown(notice))


def _duplicates(root: Path, examined: dict[Path, _Examined]) -> Iterator[Fault]:
    first: dict[bytes, Path] = {}
    for path, seen in examined.items():
        if seen.digest and (original := first.setdefault(seen.digest, path)) != path:
            yield Fault("duplicated", _shown(path.relative_to(root)), f"same as {_shown(original.relative_to(root))}")


def _held_out(folder: DataFolder) -> Iterator[Fault]:
    """Return what lies in word folders and is not taken for a recording; hidden files are nobody's business."""
    for word in folder.word_folders:
        for entry in os.scandir(folder.root / word):
            name = f"{word}/{entry.name}"
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield Fault("left out", _shown(name), "a folder inside a word's folder")
            elif is_unread(entry.name):
                yield Fault("left out", _shown(name), f"not read; convert it first: {conversion_of(entry.name)}")
            elif not is_sound(entry.name):
                yield Fault("left out", _shown(name), "not the name of a sound file")
        if compose(word) not in folder.words:
            yield Fault("left out", _shown(word), "a folder without recordings")


def _count(clips: list[Clip], examined: dict[Path, _Examined]) -> Count:
    seconds = sum(examined[clip.path].seconds for clip in clips)
    return Count(len(clips), len({clip.speaker for clip in clips if clip.tells_speaker}), seconds / 3600)


def _people(count: Count) -> str:
    return "?" if count.clips and not count.speakers else str(count.speakers)


def _shown(name: str | Path) -> str:
    """Return a name that can be printed, whatever bytes it has."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def as_text(report: Report) -> str:
    """Write the table and the one list of faults, for people."""
    words = list(dict.fromkeys(word for word, _ in report.words))
    width = max(len(word) for word in [*words, "all words"])
    lines = [
        _shown(report.folder),
        "",
        " ".join([" " * width, *(f"{part:>24}" for part in PARTS)]).rstrip(),
        " ".join(["word".ljust(width), *("   clips speakers  hours" for _ in PARTS)]),
    ]

    def row(title: str, counts: list[Count]) -> str:
        return " ".join([title.ljust(width), *(f"{c.clips:8} {_people(c):>8} {c.hours:6.3f}" for c in counts)])

    lines += [row(_shown(word), [report.words[word, part] for part in PARTS]) for word in words]
    lines += [row("all words", [report.parts[part] for part in PARTS])]
    lines += ["", f"background noise: {report.noise.clips} files, {report.noise.hours:.3f} hours", ""]
    lines += [f"To know: {_shown(note)}" for note in report.notes]
    if not report.faults:
        return "\n".join([*lines, f"Nothing {'else' if report.notes else 'wrong'} was found."])
    lines.append(f"Found {len(report.faults)}:")
    for kind, rule in RULES.items():
        found = [fault for fault in report.faults if fault.kind == kind]
        if found:
            lines.append(f"{kind} ({rule}): {len(found)}")
            lines += [f"  {fault.path}: {fault.detail}" for fault in found]
    return "\n".join(lines)


def to_dict(report: Report) -> dict[str, Any]:
    """Return the same as plain values, schema ``kwspot.data-check/1``."""

    def numbers(count: Count) -> dict[str, float]:
        return {"clips": count.clips, "speakers": count.speakers, "hours": round(count.hours, 6)}

    words: dict[str, dict[str, Any]] = {}
    for (word, part), count in report.words.items():
        words.setdefault(_shown(word), {})[part] = numbers(count)
    return {
        "schema": "kwspot.data-check/1",
        "folder": _shown(report.folder),
        "words": words,
        "parts": {part: numbers(count) for part, count in report.parts.items()},
        "noise": {"files": report.noise.clips, "hours": round(report.noise.hours, 6)},
        "notes": [_shown(note) for note in report.notes],
        "faults": [dataclasses.asdict(fault) for fault in report.faults],
    }
