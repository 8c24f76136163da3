"""Stream bundles: exported, refused where they disagree, and heard as the window of the same weights hears."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from kwspot.export import tensors as model_files
from kwspot.export.clips import clip_frames, clip_stream, parity_clips
from kwspot.export.convert import Converted
from kwspot.export.stream_parity import check_stream_parity
from kwspot.export.tensors import describe
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.cli import main
from kwspot.runtime.detect.decision import Decision
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import AudioFormatError, BundleDamagedError, EngineError, ExportError
from kwspot.runtime.features.mfcc import mfcc
from kwspot.runtime.model.bundle import Bundle, load_bundle
from kwspot.runtime.model.classifier import StreamClassifier, WindowClassifier
from kwspot.runtime.model.engines import Engine, StreamSession, Tensor, open_engine
from kwspot.runtime.model.golden import check_golden
from kwspot.runtime.model.manifest import Manifest, TensorInfo
from kwspot.runtime.model.tflite_engine import LiteRtEngine
from kwspot.runtime.run_folder import read_run

RATE_HZ = 16_000
HERE = ["litert", "onnx"]


@pytest.fixture(scope="module")
def sound(tone_folder: Path) -> np.ndarray:
    """A dozen words with pauses between them."""
    clips = DataFolder(tone_folder).clips("test", ["low", "high"])[::4]
    pause = np.rint(np.random.default_rng(5).normal(0, 8, (len(clips), 9_001))).astype(np.int16)
    return np.concatenate(
        [part for clip, gap in zip(clips, pause, strict=True) for part in (read_sound(clip.path, RATE_HZ), gap)]
    )


@pytest.fixture(scope="module")
def window(stream_export: tuple[Bundle, Converted]) -> tuple[Manifest, Converted]:
    """The window form of the same weights."""
    bundle, converted = stream_export
    models = describe(converted.window_models)
    return dataclasses.replace(bundle.manifest, kind="window", states=(), models=models), converted


def events_of(spotter: KeywordSpotter, sound: np.ndarray, block_samples: int) -> list[tuple[str, float, int]]:
    spotter.reset()
    found = []
    for start in range(0, len(sound), block_samples):
        found += spotter.push(sound[start : start + block_samples])
    return [(d.label, d.score, d.at_sample) for d in found]


# What a bundle holds


def test_a_stream_bundle_says_what_its_tensors_are_for(stream_bundle: Bundle) -> None:
    manifest = stream_bundle.manifest
    values = json.loads((stream_bundle.path / "bundle.json").read_text())
    assert (values["kind"], values["format_version"], values["inference_hop_frames"]) == ("stream", 3, 2)
    assert values["states"] == [{"input": f"state{n}_in", "output": f"state{n}_out"} for n in (1, 2, 3)]
    for form, model in manifest.models.items():
        assert [tensor.name for tensor in model.inputs] == ["features", "state1_in", "state2_in", "state3_in"]
        assert [tensor.name for tensor in model.outputs] == ["scores", "state1_out", "state2_out", "state3_out"]
        assert [model.inputs[0].shape, model.outputs[0].shape] == [(1, 2, 1, 12), (1, 3)]
        for state, paired in zip(model.inputs[1:], model.outputs[1:], strict=True):
            assert (state.scale, state.zero_point) == (paired.scale, paired.zero_point)
            assert (state.scale is None) == (form == "float-tflite")
            # The new rows come after those that are remembered.
            assert paired.shape[1] > state.shape[1]
    assert manifest.window_frames == 49
    assert 0 < manifest.macs < 12_345


def test_the_proof_is_in_the_manifest(stream_bundle: Bundle) -> None:
    proof = stream_bundle.manifest.accuracy
    assert (proof["clips"], proof["part"]) == (72, "validation")
    assert proof["float_error"] <= 1e-5
    assert proof["stream_float_error"] <= 1e-5
    # A minute here, ten by default.
    assert proof["stream_steps"] == pytest.approx(1500, abs=50)
    assert proof["stream_onnx_steps"] <= 1
    assert proof["stream_onnx_identical"] >= 0.99 * proof["stream_steps"]
    assert proof["stream_window_same_label"] >= 0.97 * proof["stream_steps"]
    assert min(proof["int8_correct"], proof["window_int8_correct"], proof["float_correct"]) >= 68


def test_no_operation_is_left_to_a_kernel_of_its_own(stream_bundle: Bundle) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=stream_bundle.model_bytes("int8-tflite"), num_threads=1)
    interpreter.allocate_tensors()
    operations = [operation["op_name"] for operation in interpreter._get_ops_details()]
    # XNNPACK takes the whole graph: its delegate comes last, and names all outputs.
    assert operations.count("DELEGATE") == 1
    assert {"QUANTIZE", "DEQUANTIZE"}.isdisjoint(operations)


def test_no_sum_of_an_addition_is_near_a_half(stream_bundle: Bundle) -> None:
    """All sums that two int8 values can have, of every addition: no engine can round one of them otherwise."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=stream_bundle.model_bytes("int8-tflite"), num_threads=1)
    scale = {tensor["index"]: tensor["quantization"][0] for tensor in interpreter.get_tensor_details()}
    additions = [op for op in interpreter._get_ops_details() if op["op_name"] == "ADD"]
    assert len(additions) == 2
    steps = np.arange(-255, 256, dtype=np.float64)
    for addition in additions:
        (left, right), (out,) = addition["inputs"], addition["outputs"]
        sums = steps[:, None] * (scale[left] / scale[out]) + steps * (scale[right] / scale[out])
        assert np.abs(sums - np.floor(sums) - 0.5).min() > 4e-4


# Hearing


@pytest.mark.parametrize("block_samples", [1, 319, 320, 321, 639, 641, 4096])
def test_blocks_of_any_size_give_the_same_events(stream_bundle: Bundle, sound: np.ndarray, block_samples: int) -> None:
    stretch = sound[: 5 * RATE_HZ]
    spotter = KeywordSpotter(stream_bundle)
    assert events_of(spotter, stretch, block_samples) == events_of(spotter, stretch, 640) != []
    assert spotter.samples_seen == len(stretch)


@pytest.mark.parametrize("engine", HERE)
def test_frames_in_any_slices_give_the_same_scores(stream_bundle: Bundle, sound: np.ndarray, engine: str) -> None:
    frames = mfcc(sound[: 3 * RATE_HZ], stream_bundle.manifest.features)
    classifier = StreamClassifier(stream_bundle.manifest, open_engine(stream_bundle, engine))

    def scores(sizes: Sequence[int]) -> list[tuple[int, bytes]]:
        classifier.reset()
        found, start, turn = [], 0, 0
        while start < len(frames):
            found += classifier.push(frames[start : start + sizes[turn % len(sizes)]])
            start, turn = start + sizes[turn % len(sizes)], turn + 1
        return [(seen, said.tobytes()) for seen, said in found]

    whole = scores([len(frames)])
    assert [seen for seen, _ in whole] == list(range(2, len(frames) + 1, 2))
    assert len(set(whole)) > 20
    for sizes in ([1], [2], [3], [1, 4, 0, 7]):
        assert scores(sizes) == whole


def test_the_window_of_the_same_weights_hears_the_same_words(
    stream_bundle: Bundle, window: tuple[Manifest, Converted], sound: np.ndarray
) -> None:
    manifest, converted = window
    engine = LiteRtEngine(converted.window_models["int8-tflite"], manifest.models["int8-tflite"])
    classifier = WindowClassifier(manifest, engine)
    settings, spec = manifest.decision, manifest.features
    decision = Decision(settings, manifest.labels, score_hop_samples=640, sample_rate_hz=spec.sample_rate_hz)
    by_window = [
        (found.label, found.at_sample)
        for seen, scores in classifier.push(mfcc(sound, spec))
        for found in decision.push(scores, spec.samples_in(seen))
    ]
    by_stream = [(label, at) for label, _, at in events_of(KeywordSpotter(stream_bundle), sound, 1280)]
    assert len(by_stream) >= 10
    assert [label for label, _ in by_stream] == [label for label, _ in by_window]
    assert max(abs(a - b) for (_, a), (_, b) in zip(by_stream, by_window, strict=True)) <= 640


def test_the_score_of_a_clip_is_that_of_the_window(
    stream_bundle: Bundle, window: tuple[Manifest, Converted], tiny_stream_run: Path, tone_folder: Path
) -> None:
    run = read_run(tiny_stream_run)
    paths, _ = parity_clips(run, DataFolder(tone_folder))
    clips = clip_frames(paths[::9], run)
    classifier = StreamClassifier(stream_bundle.manifest, open_engine(stream_bundle, "litert", precision="float"))
    # Twice: nothing of one clip may be left for the next.
    for _ in range(2):
        scores = np.stack([classifier.score_clip(clip) for clip in clips])
        np.testing.assert_allclose(scores, window[1].keras_scores[::9], atol=1e-5)


def test_the_first_scores_are_those_after_silence(stream_bundle: Bundle, sound: np.ndarray) -> None:
    manifest = stream_bundle.manifest
    frames = mfcc(sound[: 2 * RATE_HZ], manifest.features)
    silence = np.repeat(mfcc(np.zeros(480, np.int16), manifest.features), 200, axis=0)
    for engine in HERE:
        classifier = StreamClassifier(manifest, open_engine(stream_bundle, engine))
        fresh = [scores for _, scores in classifier.push(frames)]
        classifier.reset()
        after = [scores for _, scores in classifier.push(np.concatenate([silence, frames]))]
        np.testing.assert_array_equal(fresh, after[100:])


def test_reset_forgets_a_half_filled_hop(stream_bundle: Bundle, sound: np.ndarray) -> None:
    spotter = KeywordSpotter(stream_bundle)
    first = events_of(spotter, sound, 1280)
    spotter.push(sound[:12_345])
    assert events_of(spotter, sound, 1280) == first
    spotter.reset()
    spotter.skip(4_321)
    assert [(d.label, d.score, d.at_sample - 4_321) for d in spotter.push(sound)] == first


def test_engines_give_identical_events_and_golden_vectors(stream_bundle: Bundle, sound: np.ndarray) -> None:
    litert, onnx_ = (events_of(KeywordSpotter(stream_bundle, engine=name), sound, 1280) for name in HERE)
    assert litert == onnx_ != []
    for engine, steps in (("litert", 0), ("onnx", 1)):
        found = check_golden(stream_bundle, open_engine(stream_bundle, engine))
        assert found.same_labels
        assert found.feature_error < 2e-4
        assert found.score_steps <= steps


def test_two_classifiers_of_one_bundle_are_apart(stream_bundle: Bundle, sound: np.ndarray) -> None:
    frames = mfcc(sound[: 2 * RATE_HZ], stream_bundle.manifest.features)
    ours, theirs = (StreamClassifier(stream_bundle.manifest, open_engine(stream_bundle, name)) for name in HERE)
    alone = [scores for _, scores in ours.push(frames)]
    ours.reset()
    between = []
    for frame in frames:
        between += [scores for _, scores in ours.push(frame[None])]
        theirs.push(-frame[None])
    np.testing.assert_array_equal(between, alone)


# Refusals


class NotFinite:
    """A stepper that steps to nothing."""

    def __init__(self, session: StreamSession) -> None:
        self.frames, self.scores = session.frames, np.full_like(session.scores, np.nan)

    def step(self) -> None: ...

    def states(self) -> list[Tensor]:
        return []

    def set_states(self, states: Sequence[Tensor]) -> None: ...


def test_scores_that_are_not_finite_are_refused(stream_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine(stream_bundle, "litert", precision="float")
    session = engine.session()
    monkeypatch.setattr(engine, "session", lambda: NotFinite(session))
    with pytest.raises(EngineError, match="litert gave a score that is not finite for this bundle; try another"):
        StreamClassifier(stream_bundle.manifest, engine).push(np.zeros((2, 12), np.float32))


def test_a_block_of_another_type_is_refused_and_changes_nothing(stream_bundle: Bundle, sound: np.ndarray) -> None:
    spotter = KeywordSpotter(stream_bundle)
    expected = events_of(spotter, sound, len(sound))
    spotter.reset()
    before = spotter.push(sound[:20_000])
    with pytest.raises(AudioFormatError, match="float32"):
        spotter.push(sound[20_000:].astype(np.float32))
    assert [(d.label, d.score, d.at_sample) for d in [*before, *spotter.push(sound[20_000:])]] == expected


def _twin_scale(values: dict[str, Any]) -> None:
    values["models"]["int8-tflite"]["outputs"][1]["scale"] *= 1.01


def _twin_zero_point(values: dict[str, Any]) -> None:
    values["models"]["int8-onnx"]["inputs"][2]["zero_point"] += 1


def _both_scales(values: dict[str, Any]) -> None:
    for side in ("inputs", "outputs"):
        values["models"]["int8-tflite"][side][1]["scale"] *= 1.01


def _twin_shape(values: dict[str, Any]) -> None:
    values["models"]["int8-tflite"]["outputs"][1]["shape"][1] = 3


def _swapped(values: dict[str, Any]) -> None:
    values["states"].reverse()


def _key(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda values: values.__setitem__(name, value)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_twin_scale, r"int8-tflite: the state state1_in is int8 of scale .*, but its pair state1_out is"),
        (_twin_zero_point, r"int8-onnx: the state state2_in .* but its pair state2_out"),
        (_both_scales, r"model\.int8\.tflite has tensors"),
        (_twin_shape, r"the state state1_in has shape \(1, 11, 1, 12\), its pair state1_out \(1, 3, 1, 12\)"),
        (_swapped, r"has the inputs \['state1_in', 'state2_in', 'state3_in'\] where the states are \['state3_in'"),
        (
            _key("inference_hop_frames", 3),
            r"has shapes \[\(1, 2, 1, 12\), \(1, 3\)\], but 3 labels and the features need \[\(1, 3, 1, 12\)",
        ),
        (_key("inference_hop_frames", 0), r"inference_hop_frames = 0"),
        (_key("kind", "window"), r"kind 'window' with 3 states"),
        (_key("states", []), r"kind 'stream' with 0 states"),
        (_key("kind", "recurrent"), r"kind 'recurrent' is unknown to this version, which runs 'window' and 'stream'"),
    ],
)
def test_a_bundle_that_disagrees_with_itself_is_refused(
    stream_bundle: Bundle, tmp_path: Path, damage: Callable[[dict[str, Any]], None], says: str
) -> None:
    folder = shutil.copytree(stream_bundle.path, tmp_path / "b.kws")
    manifest = folder / "bundle.json"
    values = json.loads(manifest.read_text())
    damage(values)
    manifest.write_text(json.dumps(values))
    with pytest.raises(BundleDamagedError, match=says) as caught:
        KeywordSpotter(load_bundle(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("hop_ms", ["10", "30", "50", "120", "0", "nan"])
def test_a_hop_that_does_not_fit_is_one_line(
    tiny_stream_run: Path, tmp_path: Path, hop_ms: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tiny_stream_run), "--bundle", str(tmp_path / "b.kws"), "--hop-ms", hop_ms]) == 2
    said = capsys.readouterr().err
    assert "expected a multiple of the 20 ms from one frame" in said
    assert said.count("\n") == 1


def test_a_hop_between_the_strides_is_one_line(
    tiny_stream_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tiny_stream_run), "--bundle", str(tmp_path / "b.kws"), "--hop-ms", "20"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert "a step of 1 frames brings 1 rows to the layer depthwise0, which takes every 2 of them" in said[-1]
    assert not any(tmp_path.iterdir())


# What stops an export


def test_twins_of_different_scale_stop_an_export(
    stream_export: tuple[Bundle, Converted], monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors_of = model_files._tflite_tensors

    def moved(content: bytes) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
        inputs, outputs = tensors_of(content)
        return inputs, tuple(
            dataclasses.replace(one, scale=one.scale and 2 * one.scale) if one.name == "state2_out" else one
            for one in outputs
        )

    _, converted = stream_export
    monkeypatch.setattr(model_files, "_tflite_tensors", moved)
    with pytest.raises(ExportError, match=r"the state state2_in has scale .*, its pair state2_out .* would drift"):
        describe(converted.models, converted.states)


def zeroed_tflite(content: bytes, dtype: type) -> bytes:
    """The model with the weights of its last layer set to zero."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (index,) = [
        tensor["index"]
        for tensor in interpreter.get_tensor_details()
        if tuple(tensor["shape"]) == (3, 16) and tensor["dtype"] == dtype
    ]
    weights = interpreter.get_tensor(index).tobytes()
    assert content.count(weights) == 1
    return content.replace(weights, bytes(len(weights)))


def zeroed_onnx(content: bytes) -> bytes:
    """The model with its largest weight tensor set to zero."""
    model = onnx.load_model_from_string(content)
    largest = max(model.graph.initializer, key=lambda tensor: np.prod(tensor.dims))
    largest.CopyFrom(onnx.numpy_helper.from_array(np.zeros_like(onnx.numpy_helper.to_array(largest)), largest.name))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("form", "broken", "says"),
    [
        ("float-tflite", lambda content: zeroed_tflite(content, np.float32), "stepping differs from the window by"),
        (
            "int8-tflite",
            lambda content: zeroed_tflite(content, np.int8),
            "int8 ONNX model differs from the int8 TFLite",
        ),
        ("int8-onnx", zeroed_onnx, "int8 ONNX model differs from the int8 TFLite"),
    ],
)
def test_a_changed_weight_stops_an_export(
    stream_export: tuple[Bundle, Converted],
    tiny_stream_run: Path,
    tone_folder: Path,
    form: str,
    broken: Callable[[bytes], bytes],
    says: str,
) -> None:
    bundle, converted = stream_export
    run = read_run(tiny_stream_run)
    paths, truth = parity_clips(run, DataFolder(tone_folder))
    clips, stream = clip_frames(paths, run), clip_stream(paths, run, minutes=0.1)
    changed = dataclasses.replace(converted, models={**converted.models, form: broken(converted.models[form])})
    with pytest.raises(ExportError, match=says):
        check_stream_parity(bundle.manifest, changed, clips, truth, stream)


def test_a_model_that_is_not_finite_stops_an_export(stream_export: tuple[Bundle, Converted]) -> None:
    bundle, converted = stream_export
    broken = dataclasses.replace(converted, keras_scores=np.full_like(converted.keras_scores, np.nan))
    frames = np.zeros((49, 12), np.float32)
    with pytest.raises(ExportError, match="not finite; train again"):
        check_stream_parity(bundle.manifest, broken, frames[None], np.zeros(1, np.intp), frames)


def test_a_step_is_an_inference_with_the_states_fed_back(stream_bundle: Bundle) -> None:
    for name in HERE:
        engine: Engine = open_engine(stream_bundle, name)
        tensors = [np.zeros(tensor.shape, tensor.dtype) for tensor in engine.inputs]
        said = [tensor.copy() for tensor in engine.infer(tensors)]
        session = engine.session()
        session.frames[...] = 0
        session.set_states(tensors[1:])
        session.step()
        np.testing.assert_array_equal(session.scores, said[0])
        for state, paired in zip(session.states(), said[1:], strict=True):
            np.testing.assert_array_equal(state, paired[:, -state.shape[1] :])


# What the page shows


def test_the_lines_of_the_page_run(
    stream_export: tuple[Bundle, Converted],
    tiny_stream_run: Path,
    sound: np.ndarray,
    save_wav: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (Path(__file__).parents[2] / "docs/streaming.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    monkeypatch.setattr("kwspot.export.pipeline.convert", lambda *_args, **_options: stream_export[1])
    monkeypatch.setattr("kwspot.export.pipeline.STREAM_MINUTES", 0.5)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/mine").symlink_to(tiny_stream_run)
    save_wav(tmp_path / "speech.wav", sound)
    said = {}
    for line in block.splitlines():
        program, *arguments = line.split()
        assert program == "kwspot"
        assert main(arguments) == 0
        said[arguments[0]] = capsys.readouterr()
    assert "float stepping from window" in said["export"].err
    assert '"event": "detection"' in said["listen"].out
    assert "litert~onnx" in said["bench"].out
    # Each key of the proof that the page explains is in the manifest.
    proof = load_bundle("mine.kws").manifest.accuracy
    for key in re.findall(r"`([a-z0-9_]+)`", page.partition("| key |")[2].partition("## The bundle")[0]):
        assert key in proof
