"""Inference engines behind one protocol, listed once: a new one is a file with its class, and a line in `ENGINES`.

All run with one thread: with two, nets this small cost several times the CPU.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol, cast

from numpy.typing import NDArray

from kwspot.runtime.errors import ConfigError, EngineError
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.model.manifest import ModelFile, TensorInfo
from kwspot.runtime.standard_streams import say

Tensor = NDArray[Any]


class Engine(Protocol):
    """A model that is ready to run; `inputs` and `outputs` describe its tensors in order."""

    name: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def infer(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Run once; `tensors` have exactly the dtype and shape of `inputs`, the result those of `outputs`."""

    def session(self) -> StreamSession:
        """Return the model of a stream, with its tensors bound; one at a time, and no `infer` beside it."""


class StreamSession(Protocol):
    """A model of frames and states.

    `frames` (1, hop, 1, C) is written before a step and `scores` (1, L) read
    after it; both are the engine's own memory.
    """

    frames: Tensor
    scores: Tensor

    def step(self) -> None:
        """Run once; the new states become those of the next step."""

    def states(self) -> list[Tensor]:
        """Return a copy of the states that the next step will start from."""

    def set_states(self, states: Sequence[Tensor]) -> None:
        """Put them back."""


class EngineClass(Protocol):
    """The class of an engine."""

    def __call__(self, model: bytes, expected: ModelFile) -> Engine:
        """Load a model; `expected` is what the manifest says of it."""

    def load_library(self) -> ModuleType:
        """Import the engine's library; an :class:`EngineError` says why it is of no use here."""


@dataclass(frozen=True)
class EngineEntry:
    """Where an engine is, and what has to be known before it is loaded; its extra is called like the engine.

    Parameters
    ----------
    place
        ``module:class`` in this folder.
    package
        What the extra brings, as it is imported.
    file_format
        Of the models it runs: "tflite" or "onnx".
    installed_mb
        Of an environment with this engine, the kit and a bundle.
    score_steps
        By so many int8 steps its scores may differ from the golden ones; the label must be the same. tflite-runtime
        2.14 rounds otherwise than the LiteRT that a bundle is made with, and on ARM otherwise than on x86-64: seen are
        8 steps on x86-64 and 10 on ARM, on a saturated square wave.
    """

    place: str
    package: str
    file_format: str
    installed_mb: int
    score_steps: int = 1


ENGINES = {
    "litert": EngineEntry("tflite_engine:LiteRtEngine", "ai_edge_litert", "tflite", installed_mb=140),
    "tflite": EngineEntry("tflite_engine:TfliteEngine", "tflite_runtime", "tflite", installed_mb=90, score_steps=16),
    "onnx": EngineEntry("onnx_engine:OnnxEngine", "onnxruntime", "onnx", installed_mb=160),
}
"""Name → entry, in the order in which they are chosen."""


def reinstall(engine: str) -> str:
    """Return what to do about an engine that is installed and does not work; ``kwspot doctor`` says the same."""
    return f"install it again, pip install --force-reinstall 'kwspot[{engine}]', or use another"


def model_fault(engine: str, verb: str, file: str, error: Exception) -> EngineError:
    """Return the error of a model that an engine cannot load or run, in one line."""
    told = " ".join(str(error).split()) or type(error).__name__
    return EngineError(f"{engine} cannot {verb} {file}: {told[:300]}; export the bundle again")


def import_library(engine: str, module: str) -> ModuleType:
    """Import a module of an engine's library; an :class:`EngineError` says why it is of no use here."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise EngineError(f"the engine {engine} cannot be loaded ({error}): {reinstall(engine)}") from None
        raise EngineError(
            f"the engine {engine} is not installed: pip install 'kwspot[{engine}]'; "
            f"installed here: {', '.join(installed_engines()) or 'none'}"
        ) from None
    except Exception as error:  # a library that is missing, built for another numpy or another system: any kind
        told = " ".join(str(error).split()) or type(error).__name__
        raise EngineError(f"the engine {engine} cannot be loaded ({told}): {reinstall(engine)}") from None


@functools.cache
def _first_usable(installed: tuple[str, ...]) -> str:
    """Return the first of these engines whose library can be loaded, and say once why not those before it."""
    faults = []
    for name in installed:
        try:
            engine_class(name).load_library()
        except EngineError as error:
            faults.append(str(error))
        else:
            for fault in faults:
                say(f"{fault}; {name} runs instead")
            return name
    raise EngineError(faults[0] if faults else "no inference engine is installed: pip install 'kwspot[litert]'")


def installed_engines() -> list[str]:
    """Return the engines whose package is there, in the order in which they are chosen."""
    return [name for name, entry in ENGINES.items() if importlib.util.find_spec(entry.package) is not None]


def engine_class(name: str) -> EngineClass:
    """Return the class of an engine.

    Raises
    ------
    ConfigError
        If there is no engine of this name.
    """
    if name not in ENGINES:
        raise ConfigError(f"no engine {name!r}; expected one of {', '.join(ENGINES)}")
    module, _, found = ENGINES[name].place.partition(":")
    return cast("EngineClass", getattr(importlib.import_module(f"kwspot.runtime.model.{module}"), found))


def open_engine(bundle: Bundle, name: str | None = None, *, precision: str = "int8") -> Engine:
    """Return the bundle's model in an engine, ready to run.

    Parameters
    ----------
    name
        One of :data:`ENGINES`; None takes the first that is installed and can be loaded.
    precision
        ``"int8"`` or ``"float"``.

    Raises
    ------
    EngineError
        If the engine is not installed, cannot be loaded or cannot load the model.
    BundleDamagedError
        If the model's tensors are not those in the manifest.
    """
    if name is None:
        name = _first_usable(tuple(installed_engines()))
    opened = engine_class(name)
    form = f"{precision}-{ENGINES[name].file_format}"
    return opened(bundle.model_bytes(form), bundle.manifest.models[form])
