"""Clips that changed between stages, to hear and to see in the page itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.sound_file import fit_length, read_sound
from kwspot.runtime.audio.wav import write_wav
from kwspot.runtime.features.mfcc import mfcc
from kwspot.runtime.model.manifest import Manifest

MOST_CLIPS = 16
"""A second is 43 kB in the page."""


@dataclass(frozen=True)
class ChangedClip:
    """A changed clip: what happened, and its sound (WAV) and features (PNG) as ``data:`` addresses."""

    step: str
    change: Mapping[str, Any]
    sound: str
    picture: str


def embed_changed_clips(accuracy: Mapping[str, Any], manifest: Manifest, root: Path) -> list[ChangedClip]:
    """Return at most :data:`MOST_CLIPS` of the clips that changed, each once.

    The steps take turns, so that one that changes much does not hide another.
    """
    turns = [[(f"{step['from']} → {step['to']}", change) for change in step["changed"]] for step in accuracy["steps"]]
    in_turn = [turn[i] for i in range(max(map(len, turns), default=0)) for turn in turns if i < len(turn)]
    chosen: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for step, change in in_turn:
        chosen.setdefault(change["clip"], (step, change))
    found = []
    for step, change in list(chosen.values())[:MOST_CLIPS]:
        sound = fit_length(read_sound(root / change["clip"], manifest.features.sample_rate_hz), manifest.window_samples)
        found.append(ChangedClip(step, change, *embed(sound, manifest)))
    return found


def embed(sound: NDArray[np.int16], manifest: Manifest) -> tuple[str, str]:
    """Return sound, int16 (n,), as a WAV file and its features as a PNG, both in ``data:`` addresses.

    In the picture time goes to the right and coefficients upwards.
    """
    from matplotlib.image import imsave

    wav, png = io.BytesIO(), io.BytesIO()
    write_wav(wav, sound, manifest.features.sample_rate_hz)
    frames = manifest.normalisation.apply(mfcc(sound, manifest.features))  # (T, C)
    imsave(png, frames.T, origin="lower", cmap="viridis", vmin=-2.5, vmax=2.5, format="png")
    kinds = (("audio/wav", wav), ("image/png", png))
    sound_address, picture_address = (
        f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode()}" for kind, file in kinds
    )
    return sound_address, picture_address
