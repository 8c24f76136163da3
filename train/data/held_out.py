"""Hold recordings out of a training by patterns, so that a test can use what it never heard.

A pattern is matched with a recording's path below its folder, as by
:mod:`fnmatch`: ``running_tap.wav``, ``rooster/*``, ``1?-*``.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kwspot.runtime.audio.recordings import NOISE_FOLDER, DataFolder, sounds_below
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.labels import SILENCE
from kwspot.train.config.config import Config


@dataclass(frozen=True)
class Recordings:
    """Recordings below one folder, sorted."""

    root: Path
    paths: tuple[Path, ...]


def noise_recordings(folder: DataFolder, config: Config) -> tuple[list[Recordings], list[Recordings]]:
    """Return noise to train and validate with, and what ``[data] held_out_noise`` holds out, an entry for each folder.

    The first is the data folder's own; it has no paths where the folder brings none.
    """
    own = list(folder.noise_files)
    if SILENCE in folder.words:
        # Recordings of nothing said are noise too, whatever the part.
        own += [clip.path for clip in folder.clips(words=[SILENCE])]
    groups = [Recordings(folder.root / NOISE_FOLDER, tuple(own))]
    groups += _below(folder.root, config.data.noise_folders)
    return split(groups, config.data.held_out_noise, "data.held_out_noise")


def speech_recordings(folder: Path, config: Config) -> tuple[list[Recordings], list[Recordings]]:
    """Return speech for ``_unknown_``, and what ``[unknown] held_out_speech`` holds out, an entry for each folder."""
    groups = _below(folder, config.unknown.speech)
    return split(groups, config.unknown.held_out_speech, "unknown.held_out_speech")


def split(groups: Sequence[Recordings], patterns: Sequence[str], key: str) -> tuple[list[Recordings], list[Recordings]]:
    """Return recordings that no pattern fits, and those that one fits.

    Raises
    ------
    ConfigError
        If a pattern fits nothing (a test would believe it had held something
        out), or a folder would be held out altogether.
    """
    names = {path: _below_root(path, group.root) for group in groups for path in group.paths}
    for pattern in patterns:
        if not fnmatch.filter(names.values(), pattern):
            raise ConfigError(
                f"{key}: {pattern} fits no recording; expected names below their folder, such as "
                f"{', '.join(sorted(names.values())[:3]) or 'those of a folder that is named'}"
            )
    left = {path for path, name in names.items() if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)}
    kept_groups = [Recordings(g.root, tuple(path for path in g.paths if path not in left)) for g in groups]
    for group, kept in zip(groups, kept_groups, strict=True):
        if group.paths and not kept.paths:
            raise ConfigError(f"{key} leaves nothing of {group.root}; expected to keep some: take the folder out")
    return kept_groups, [Recordings(g.root, tuple(path for path in g.paths if path in left)) for g in groups]


def _below(root: Path, names: Sequence[str]) -> list[Recordings]:
    return [
        Recordings(root / name, tuple(sounds_below(root / name, "sound files in it or below it"))) for name in names
    ]


def _below_root(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
