"""Weights to begin with: those that ship, or of a run.

``weights/commands.npz`` holds the weights of the network that the shipped
bundle ``commands`` was exported from, by layer and place, and the normalisation
they were trained behind. Data and licence are the bundle's: trained on Google
Speech Commands v1 (CC BY 4.0), LibriSpeech (CC BY 4.0), ESC-10 (CC0 and CC BY)
and public-domain wake words. ``weights/words.npz`` are those of a network of the
same form, begun with them, that tells 444 words apart (see
:mod:`kwspot.train.experiments.words_folder`), without its last layer: trained on Google
Speech Commands v1 and on what espeak-ng, flite and pico say.
``python -m kwspot.train.fit.pretrained RUN NAME`` writes them.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.errors import RunError
from kwspot.runtime.features.normalise import Normalisation
from kwspot.runtime.files import whole_file
from kwspot.runtime.run_folder import Run, is_run, read_run
from kwspot.train.data.download import sha256_of

SHIPPED = {path.stem: path for path in sorted((Path(__file__).parents[1] / "weights").glob("*.npz"))}
"""Name → file."""

_LAST_LAYER = "scores"


@dataclasses.dataclass(frozen=True)
class Start:
    """Weights by "layer/place", the normalisation before them, and the hash of the file they came in."""

    weights: Mapping[str, NDArray[Any]]
    normalisation: Normalisation
    sha256: str


def read_start(name: str) -> Start:
    """Read the weights that ``--start-from`` names: of :data:`SHIPPED`, or a run folder.

    Raises
    ------
    RunError
        If it is no run folder.
    """
    if name in SHIPPED and not is_run(Path(name)):
        with np.load(SHIPPED[name], allow_pickle=False) as arrays:
            held = {key: arrays[key] for key in arrays.files}
        mean, std = (tuple(held.pop(key).tolist()) for key in ("mean", "std"))
        return Start(held, Normalisation(mean, std), sha256_of(SHIPPED[name]))
    run = read_run(name)
    return Start(_weights_of_run(run), run.normalisation, sha256_of(run.model_path))


def load_into(model: Any, start: Start) -> list[str]:
    """Set every weight of a Keras model that `start` has in the same place and shape; returns the layers that kept
    their fresh ones.

    Raises
    ------
    RunError
        If nothing fits: it is another kind of model.
    """
    fresh, taken = [], 0
    for layer in model.layers:
        own = layer.get_weights()
        given = [start.weights.get(f"{layer.name}/{k}") for k in range(len(own))]
        if own and all(new is not None and new.shape == old.shape for new, old in zip(given, own, strict=True)):
            layer.set_weights(given)
            taken += 1
        elif own:
            fresh.append(layer.name)
    if not taken:
        raise RunError(
            f"--start-from has no layer of the model {model.name}; expected weights of the same kind of model: "
            "name another run, or leave it out"
        )
    return fresh


def write_start(run: Run, target: Path) -> None:
    """Write the weights of a run as one file, without those of the last layer, whose words are the run's own."""
    normalisation = run.normalisation
    kept = {key: value for key, value in _weights_of_run(run).items() if not key.startswith(f"{_LAST_LAYER}/")}
    with whole_file(target) as file:
        about: dict[str, Any] = {"mean": np.array(normalisation.mean), "std": np.array(normalisation.std)}
        np.savez_compressed(file, **about, **kept)


def _weights_of_run(run: Run) -> dict[str, Any]:
    from kwspot.train.backend import keras

    model = keras.saving.load_model(run.model_path, compile=False)
    return {f"{layer.name}/{k}": value for layer in model.layers for k, value in enumerate(layer.get_weights())}


if __name__ == "__main__":
    write_start(read_run(sys.argv[1]), Path(__file__).parents[1] / "weights" / f"{sys.argv[2]}.npz")
