"""Three inference engines behind one method: ``infer(tensors) -> tensors``.

All run with one thread: with two, nets this small cost several times the CPU.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from kwspot.runtime.errors import BundleDamagedError, ConfigError, EngineError
from kwspot.runtime.model.bundle import Bundle, ModelFile, TensorInfo
from kwspot.runtime.model.session import OnnxSession, StreamSession, Tensor, TfliteSession

__all__ = [
    "ENGINE_NAMES",
    "Engine",
    "LiteRtEngine",
    "OnnxEngine",
    "Tensor",
    "TfliteEngine",
    "installed_engines",
    "open_engine",
    "tensor_info",
]


class Engine(Protocol):
    """A model that is ready to run; `inputs` and `outputs` describe its tensors in order."""

    name: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def infer(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Run once; `tensors` have exactly the dtype and shape of `inputs`, the result those of `outputs`."""

    def session(self) -> StreamSession:
        """The model of a stream, with its tensors bound; one at a time, and no `infer` beside it."""


class _TfliteInterpreter:
    """What LiteRT and tflite-runtime share: the classic interpreter."""

    name: str
    module: str

    def __init__(self, model: bytes, expected: ModelFile) -> None:
        interpreter_module = _import(self.name, self.module)
        try:
            self._interpreter = interpreter_module.Interpreter(model_content=model, num_threads=1)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError, SystemError) as error:
            raise EngineError(f"{self.name} cannot load {expected.file}: {error}; export the bundle again") from error
        inputs, self._input_indices = self._match(self._interpreter.get_input_details(), expected.inputs, expected)
        outputs, self._output_indices = self._match(self._interpreter.get_output_details(), expected.outputs, expected)
        self.inputs, self.outputs = inputs, outputs

    @staticmethod
    def _match(
        details: list[dict[str, Any]], expected: tuple[TensorInfo, ...], model: ModelFile
    ) -> tuple[tuple[TensorInfo, ...], list[int]]:
        """The model's tensors in the manifest's order (by name: an engine's own order is arbitrary)."""
        found = {tensor["name"]: (tensor_info(tensor), int(tensor["index"])) for tensor in details}
        infos = {name: info for name, (info, _) in found.items()}
        if infos != {info.name: info for info in expected}:
            raise BundleDamagedError(
                f"{model.file} has tensors {list(infos.values())}, bundle.json says {list(expected)}; "
                "export the bundle again"
            )
        return expected, [found[info.name][1] for info in expected]

    def infer(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        for index, tensor in zip(self._input_indices, tensors, strict=True):
            self._interpreter.set_tensor(index, tensor)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._output_indices]

    def session(self) -> StreamSession:
        return TfliteSession(self._interpreter, self._input_indices, self._output_indices)


def tensor_info(details: dict[str, Any]) -> TensorInfo:
    """One entry of an interpreter's ``get_input_details()`` or ``get_output_details()``."""
    scale, zero_point = details["quantization"]
    quantised = np.dtype(details["dtype"]) == np.int8
    return TensorInfo(
        name=details["name"],
        shape=tuple(int(size) for size in details["shape"]),
        dtype=np.dtype(details["dtype"]).name,
        scale=float(scale) if quantised else None,
        zero_point=int(zero_point) if quantised else None,
    )


class LiteRtEngine(_TfliteInterpreter):
    """ai-edge-litert, today's TensorFlow Lite; the default."""

    name = "litert"
    module = "ai_edge_litert.interpreter"


class TfliteEngine(_TfliteInterpreter):
    """tflite-runtime 2.14, the last; for Python 3.11 and 32-bit boards."""

    name = "tflite"
    module = "tflite_runtime.interpreter"

    def __init__(self, model: bytes, expected: ModelFile) -> None:
        _load_library("tflite")  # says what numpy it needs
        super().__init__(model, expected)


class OnnxEngine:
    """onnxruntime on the CPU."""

    name = "onnx"

    def __init__(self, model: bytes, expected: ModelFile) -> None:
        onnxruntime = _import(self.name, "onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # On x86-64 onnxruntime would turn int8 into uint8 and leave some convolutions in float between the two. That is
        # quicker, but a sum that falls between two steps is then rounded otherwise than in LiteRT, about once in 300
        # clips of a deep net. With this, its default on ARM, all is in integers and the scores are the same.
        options.add_session_config_entry("session.qdqisint8allowed", "1")
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no base class
            raise EngineError(f"onnx cannot load {expected.file}: {error}; export the bundle again") from error
        self.inputs, self.outputs = expected.inputs, expected.outputs
        # The graph does not carry the scales of its inputs and outputs; the manifest does.
        found = [(t.name, tuple(t.shape), t.type) for t in (*self._session.get_inputs(), *self._session.get_outputs())]
        types = {"int8": "tensor(int8)", "float32": "tensor(float)"}
        wanted = [(t.name, t.shape, types[t.dtype]) for t in (*self.inputs, *self.outputs)]
        if sorted(found) != sorted(wanted):
            raise BundleDamagedError(
                f"{expected.file} has tensors {found}, bundle.json says {wanted}; export the bundle again"
            )
        self._input_names = [tensor.name for tensor in self.inputs]
        self._output_names = [tensor.name for tensor in self.outputs]

    def infer(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return list(self._session.run(self._output_names, dict(zip(self._input_names, tensors, strict=True))))

    def session(self) -> StreamSession:
        return OnnxSession(self._session, self.inputs, self.outputs)


_ENGINES: dict[str, tuple[Callable[[bytes, ModelFile], Engine], str, str]] = {
    "litert": (LiteRtEngine, "ai_edge_litert", "tflite"),
    "tflite": (TfliteEngine, "tflite_runtime", "tflite"),
    "onnx": (OnnxEngine, "onnxruntime", "onnx"),
}
_MODULES = {"litert": LiteRtEngine.module, "tflite": TfliteEngine.module, "onnx": "onnxruntime"}
ENGINE_NAMES = tuple(_ENGINES)
"""In the order in which they are chosen."""


def reinstall(engine: str) -> str:
    """Return what to do about an engine that is installed and does not work; ``kwspot doctor`` says the same."""
    return f"install it again, pip install --force-reinstall 'kwspot[{engine}]', or use another"


def _import(engine: str, module: str) -> ModuleType:
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


def _load_library(engine: str) -> None:
    """Import an engine's library; an :class:`EngineError` says why it is of no use here."""
    _import(engine, _MODULES[engine])
    # The import of tflite-runtime succeeds with numpy 2, and every Interpreter then dies with a SystemError.
    if engine == "tflite" and int(np.__version__.partition(".")[0]) >= 2:
        raise EngineError(
            f"tflite-runtime needs numpy below 2 and numpy {np.__version__} is installed: "
            "pip install 'numpy<2', or choose --engine litert"
        )


@functools.cache
def _first_usable(installed: tuple[str, ...]) -> str:
    """Return the first of these engines whose library can be loaded, and say once why not those before it."""
    faults = []
    for name in installed:
        try:
            _load_library(name)
        except EngineError as error:
            faults.append(str(error))
        else:
            for fault in faults:
                print(f"kwspot: {fault}; {name} runs instead", file=sys.stderr)
            return name
    raise EngineError(faults[0] if faults else "no inference engine is installed: pip install 'kwspot[litert]'")


def installed_engines() -> list[str]:
    """Return the engines whose package is there, in the order in which they are chosen."""
    return [name for name, (_, package, _) in _ENGINES.items() if importlib.util.find_spec(package) is not None]


def open_engine(bundle: Bundle, name: str | None = None, *, precision: str = "int8") -> Engine:
    """The bundle's model in an engine, ready to run.

    Parameters
    ----------
    name
        ``"litert"``, ``"tflite"`` or ``"onnx"``; None takes the first of these that is installed
        and can be loaded.
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
    if name not in _ENGINES:
        raise ConfigError(f"no engine {name!r}; expected one of {', '.join(ENGINE_NAMES)}")
    engine_class, _, file_format = _ENGINES[name]
    form = f"{precision}-{file_format}"
    return engine_class(bundle.model_bytes(form), bundle.manifest.models[form])
