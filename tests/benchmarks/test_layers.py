"""A model that is broken on purpose: the waterfall and the layers point at the break."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from kwspot.benchmarks.accuracy.layers import layer_errors, worst_layer
from kwspot.benchmarks.accuracy.scores import LabelledClips, load_clips
from kwspot.benchmarks.accuracy.stages import all_stages
from kwspot.benchmarks.accuracy.tflite_graph import constant, exchange_weights, operators, read_graph, write_graph
from kwspot.benchmarks.accuracy.waterfall import accuracy_result
from kwspot.export.clips import clip_features
from kwspot.export.convert import convert
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.errors import BundleError
from kwspot.runtime.model.bundle import Bundle, load_bundle, sha256_of
from kwspot.runtime.model.manifest import MODEL_FILES
from kwspot.runtime.model.tflite_engine import tensor_info
from kwspot.runtime.progress import Progress
from kwspot.runtime.run_folder import read_run


@pytest.fixture(scope="session")
def tiny_bundle(exported_bundle: Bundle) -> Bundle:
    """The bundle of `tiny_run`: the stages before and after the export are of one network."""
    return exported_bundle


@pytest.fixture
def rebundled(tmp_path: Path) -> Callable[[Bundle, dict[str, bytes]], Bundle]:
    """A copy of a bundle with other models in it."""

    def make(bundle: Bundle, models: dict[str, bytes]) -> Bundle:
        target = tmp_path / "broken.kws"
        shutil.copytree(bundle.path, target)
        manifest = json.loads((target / "bundle.json").read_text())
        for form, model in models.items():
            (target / MODEL_FILES[form]).write_bytes(model)
            interpreter = Interpreter(model_content=model)
            every = (*interpreter.get_input_details(), *interpreter.get_output_details())
            found = {details["name"]: dataclasses.asdict(tensor_info(details)) for details in every}
            entry = manifest["models"][form]
            entry["sha256"] = sha256_of(model)
            for key in ("inputs", "outputs"):
                entry[key] = [found[tensor["name"]] for tensor in entry[key]]
        (target / "bundle.json").write_text(json.dumps(manifest))
        return load_bundle(target)

    return make


def doubled(model: bytes, number: int) -> tuple[bytes, str]:
    """The model with the scale of the weights of its n-th operator that has some doubled, and the operator's name."""
    graph = read_graph(model)
    weighted = [
        (operator, index)
        for operator in operators(graph)
        for index in operator.inputs[1:2]
        if constant(graph, index) is not None
    ]
    operator, index = weighted[number]
    quantisation = graph.subgraphs[0].tensors[index].quantization
    quantisation.scale = 2 * np.asarray(quantisation.scale)
    return write_graph(graph), operator.name


def waterfall_of(bundle: Bundle, clips: LabelledClips, root: Path) -> dict[str, Any]:
    stages = all_stages(bundle, ["litert"], None, None, clips, Progress())
    return {step["to"]: step for step in accuracy_result(stages, clips, bundle.manifest.labels, root, "all")["steps"]}


@pytest.mark.parametrize("which", ["tiny_bundle", "stream_bundle"])
def test_a_sound_model_has_no_layer_that_stands_out(
    which: str, tone_folder: Path, request: pytest.FixtureRequest
) -> None:
    bundle = request.getfixturevalue(which)
    clips = load_clips(DataFolder(tone_folder), "test", None, bundle.manifest)
    layers = layer_errors(bundle, clips.frames)
    assert layers[0]["name"] == "input"
    assert layers[-1]["kind"] == "SOFTMAX"
    # int8 has about 256 steps in a tensor's range: some 30 dB, and far above that of a broken layer.
    assert all(layer["own_sqnr_db"] is None or layer["own_sqnr_db"] > 15 for layer in layers)
    assert all(layer["outside"] < 0.02 * layer["values"] for layer in layers)


@pytest.mark.parametrize(("which", "number"), [("tiny_bundle", 0), ("tiny_bundle", 1), ("stream_bundle", 2)])
def test_a_doubled_scale_is_found_in_its_layer(
    which: str, number: int, tone_folder: Path, rebundled: Callable[..., Bundle], request: pytest.FixtureRequest
) -> None:
    bundle = request.getfixturevalue(which)
    model, name = doubled(bundle.model_bytes("int8-tflite"), number)
    broken = rebundled(bundle, {"int8-tflite": model})
    clips = load_clips(DataFolder(tone_folder), "test", None, bundle.manifest)
    layers = layer_errors(broken, clips.frames)
    worst = worst_layer(layers)
    assert worst is not None
    assert worst["name"] == name
    # Twice the signal leaves an error as large as the signal; no other layer is to blame.
    assert worst["own_sqnr_db"] < 8
    others = [layer for layer in layers if layer["own_sqnr_db"] is not None and layer["name"] != name]
    assert all(layer["own_sqnr_db"] > 15 for layer in others)


def test_calibrated_on_silence(
    tiny_bundle: Bundle, tiny_run: Path, tone_folder: Path, rebundled: Callable[..., Bundle]
) -> None:
    run = read_run(tiny_run)
    folder = DataFolder(tone_folder)
    silent = clip_features([clip.path for clip in folder.clips("train", ["_silence_"])][:20], run)
    converted = convert(run.model_path, silent, silent)
    broken = rebundled(tiny_bundle, {"int8-tflite": converted.models["int8-tflite"]})
    clips = load_clips(folder, "all", None, broken.manifest)
    steps = waterfall_of(broken, clips, folder.root)
    # The weights are as good as before; what is lost is lost where the activations are rounded.
    assert steps["int8-weights"]["explained_by_chance"]
    assert steps["int8-litert"]["loss_points"] > 10
    assert not steps["int8-litert"]["explained_by_chance"]
    assert steps["int8-litert"]["mcnemar_p"] < 1e-6
    assert {change["label"] for change in steps["int8-litert"]["changed"]} & {"low", "high"}
    layers = layer_errors(broken, clips.frames)
    # The first tensor already cannot hold a word.
    assert layers[0]["outside"] > 0.05 * layers[0]["values"]
    assert layers[0]["seen"][1] > 1.5 * layers[0]["calibrated"][1]


def test_a_doubled_scale_shows_in_the_step_of_the_weights(recordings: Path, rebundled: Callable[..., Bundle]) -> None:
    # On real words: the tones are told apart even by a layer that is twice too loud.
    bundle = load_bundle("commands")
    model, name = doubled(bundle.model_bytes("int8-tflite"), 1)
    broken = rebundled(bundle, {"int8-tflite": model})
    folder = DataFolder(recordings / "speech_commands")
    every = load_clips(folder, "validation", None, bundle.manifest)
    clips = LabelledClips(every.clips[::3], every.truth[::3], every.frames[::3])
    steps = waterfall_of(broken, clips, folder.root)
    # With the float weights all is well, with the rounded ones it is not, and int8 itself adds little to that.
    assert steps["int8-weights"]["other_label"] >= 10
    sound = waterfall_of(bundle, clips, folder.root)
    assert steps["int8-weights"]["other_label"] > 2 * sound["int8-weights"]["other_label"]
    assert steps["int8-weights"]["loss_points"] > 0
    worst = worst_layer(layer_errors(broken, clips.frames[::4]))
    assert worst is not None
    assert worst["name"] == name


def test_the_weights_are_those_of_the_int8_model(tiny_bundle: Bundle) -> None:
    float_model, int8_model = (tiny_bundle.model_bytes(form) for form in ("float-tflite", "int8-tflite"))
    mixed, real, rounded = (
        read_graph(model) for model in (exchange_weights(float_model, int8_model), float_model, int8_model)
    )
    changed = 0
    for ours, was, theirs in zip(*map(operators, (mixed, real, rounded)), strict=True):
        for place, index in enumerate(ours.inputs):
            now, before = constant(mixed, index), constant(real, was.inputs[place])
            int8 = constant(rounded, theirs.inputs[place]) if place < len(theirs.inputs) else None
            if now is None or before is None or int8 is None:
                continue
            assert np.array_equal(now, int8)
            assert np.abs(now - before).max() <= np.abs(before).max() / 127
            changed += not np.array_equal(now, before)
    assert changed == 3  # two convolutions and a dense layer


def test_models_of_two_graphs_are_refused(tiny_bundle: Bundle, stream_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"expected two forms of one graph: export the bundle again"):
        exchange_weights(tiny_bundle.model_bytes("float-tflite"), stream_bundle.model_bytes("int8-tflite"))
    with pytest.raises(BundleError, match="no TFLite model of one graph"):
        read_graph(b"nothing at all")
