"""Which engines are measured: those that were named, or all that can run here."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kwspot.runtime.errors import EngineError
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.model.engines import ENGINES, installed_engines, open_engine


def note(message: str) -> None:
    """Tell the user, on stderr, what the result does not show."""
    print(f"note: {message}", file=sys.stderr)


def engines_to_measure(bundle: Bundle, named: Sequence[str] | None) -> list[str]:
    """Return engines that run the bundle's int8 model, in the order in which the runtime chooses them.

    An engine that was named has to run. Without names two things are left out,
    each with a note: ONNX where the bundle has no ONNX model, and a
    tflite-runtime that is installed but cannot run beside this numpy.
    """
    if named:
        chosen = list(dict.fromkeys(named))
        for name in chosen:
            open_engine(bundle, name)
        return chosen
    chosen = []
    for name in installed_engines():
        form = f"int8-{ENGINES[name].file_format}"
        if form not in bundle.manifest.models:
            note(f"{name} is left out: {bundle.path} holds no {form} model")
            continue
        try:
            open_engine(bundle, name)
        except EngineError as error:
            if name != "tflite":
                raise
            note(f"tflite is left out: {error}")
        else:
            chosen.append(name)
    if not chosen:
        raise EngineError("no inference engine is installed: pip install 'kwspot[litert]'")
    return chosen
