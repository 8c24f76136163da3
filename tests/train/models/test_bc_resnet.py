"""BC-ResNet: the paper's size, its normalisation, and its way into int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kwspot.runtime.errors import ConfigError
from kwspot.train.backend import keras
from kwspot.train.config.config import load_preset
from kwspot.train.experiments.qat import FakeQuantised, quantised_form
from kwspot.train.fit.macs import count_cost
from kwspot.train.models.batch_norm_folding import fold_batch_norms
from kwspot.train.models.registry import export_form, training_form
from kwspot.train.models.sub_spectral_norm import SubSpectralNorm

FRAMES, BANDS, LABELS = 14, 40, 3
PAPER = ((8, 2), (12, 2), (16, 4), (20, 4))  # channels and blocks of each stage, at a width of 1
SMALL = ((8, 1), (12, 2), (16, 1))  # quick to convert, and has all there is: 20, 10 and 5 rows, blocks of both kinds


@pytest.fixture(scope="module")
def frames() -> NDArray[np.float32]:
    rng = np.random.default_rng(1)
    tilt, noise = rng.normal(0, 2, (48, 1, BANDS)), rng.normal(size=(48, FRAMES, BANDS))
    return (tilt + noise * rng.uniform(0.3, 2, (48, 1, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def small(frames: NDArray[np.float32]) -> Any:
    """As if trained: parameters of normalisation away from 0 and 1, and statistics of what it has seen."""
    keras.utils.set_random_seed(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kwspot.train.models.bc_resnet._STAGES", SMALL)
        model = training_form("bc-resnet", FRAMES, BANDS, LABELS, width=1)
    norms = [layer for layer in model.layers if isinstance(layer, SubSpectralNorm | keras.layers.BatchNormalization)]
    rng = np.random.default_rng(0)
    for norm in norms:
        gamma, beta, mean, variance = norm.get_weights()
        gamma = rng.uniform(0.5, 1.5, gamma.shape) * rng.choice([-1, 1], gamma.shape)
        norm.set_weights([gamma, rng.normal(0, 0.3, beta.shape), mean, variance])
    with pytest.MonkeyPatch.context() as patch:  # the statistics of one batch, at once
        patch.setattr("kwspot.train.models.sub_spectral_norm.MOMENTUM", 0.0)
        for norm in norms:
            if isinstance(norm, keras.layers.BatchNormalization):
                patch.setattr(norm, "momentum", 0.0)
        model(frames, training=True)
    scores = model.get_layer("scores")
    kernel, bias = scores.get_weights()
    scores.set_weights([3 * kernel, bias])
    return model


@pytest.fixture(scope="module")
def kept(small: Any) -> Any:
    return export_form(small, "bc-resnet", FRAMES, LABELS, width=1)


def by_hand(width: int, labels: int) -> int:
    """Parameters of table 1: convolutions without bias, two for each channel of a normalisation, five times two where
    it has sub-bands."""
    total = 5 * 5 * 16 * width + 2 * 16 * width
    before = 16 * width
    for channels, blocks in PAPER:
        c = channels * width
        for _ in range(blocks):
            total += before * c + 2 * c if before != c else 0
            total += 3 * c + 5 * 2 * c + 3 * c + 2 * c + c * c
            before = c
    return total + 5 * 5 * before + before * 32 * width + 2 * 32 * width + 32 * width * labels + labels


@pytest.mark.parametrize(("width", "paper"), [(1, 9_200), (2, 27_300), (3, 54_200)])
def test_parameters_are_the_papers_within_half_a_percent(width: int, paper: int) -> None:
    config = load_preset(f"bc-resnet-{width}")
    assert (config.frames, config.features.coefficients, config.model.options) == (98, 40, {"width": width})
    model = training_form("bc-resnet", 14, 40, 12, width=width)  # 12 labels, as in the paper; T changes no weight
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert trained == by_hand(width, 12)
    assert trained == pytest.approx(paper, rel=0.005)


def test_shapes() -> None:
    model = training_form("bc-resnet", FRAMES, BANDS, LABELS, width=1)
    shape_of = {layer.name: tuple(layer.output.shape[1:]) for layer in model.layers}
    assert shape_of["conv_relu"] == (FRAMES, 20, 16)
    assert shape_of["stage1_2_relu"] == (FRAMES, 20, 8)
    assert shape_of["stage2_2_relu"] == (FRAMES, 10, 12)
    assert shape_of["stage3_4_mean"] == (FRAMES, 1, 16)
    assert shape_of["stage4_4_relu"] == (FRAMES, 5, 20)
    assert shape_of["head_relu"] == (FRAMES, 1, 32)
    assert [model.get_layer(f"stage{k}_1_time").dilation_rate for k in (1, 2, 3, 4)] == [(1, 1), (2, 1), (4, 1), (8, 1)]
    adds = [name for name in shape_of if name.endswith("_add")]
    assert len(adds) == 8  # of 12 blocks, all but the first of a stage have the residual


def test_bands_that_cannot_be_cut_in_five_are_the_users_mistake() -> None:
    with pytest.raises(ConfigError, match=r"cannot be built on 20 frames of 32 coefficients .*5 equal sub-bands"):
        training_form("bc-resnet", 20, 32, 3)


def test_sub_spectral_norm_is_batch_norm_of_each_sub_band() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(1, 2, (6, 7, 10, 3)).astype(np.float32)
    norm = SubSpectralNorm(5)
    norm.build(x.shape)
    norm.set_weights([rng.normal(size=w.shape) if w.trainable else w.numpy() for w in norm.weights])
    judges = []
    for band in range(5):
        judge = keras.layers.BatchNormalization(momentum=0.9)
        judge.build((None, 7, 2, 3))
        judge.set_weights([np.asarray(w)[band, 0] for w in norm.get_weights()])
        judges.append(judge)
    for training in (True, True, False):
        expected = [judge(x[:, :, 2 * b : 2 * b + 2], training=training) for b, judge in enumerate(judges)]
        np.testing.assert_allclose(norm(x, training=training), np.concatenate(expected, axis=2), atol=2e-5)
    for k, weight in enumerate(norm.get_weights()):
        np.testing.assert_allclose(weight[:, 0], [judge.get_weights()[k] for judge in judges], atol=1e-5)
    scale, offset = norm.affine(10)
    np.testing.assert_allclose(x * scale + offset, norm(x), atol=1e-5)


def test_what_is_kept_says_the_same_and_is_kerass_own(small: Any, kept: Any, frames: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(kept(frames), small(frames), atol=1e-5)
    assert np.ptp(np.asarray(kept(frames)), axis=0).max() > 0.05  # or the comparison would say nothing
    assert {type(layer).__module__.partition(".")[0] for layer in kept.layers} == {"keras"}
    assert not [layer for layer in kept.layers if isinstance(layer, keras.layers.BatchNormalization)]


def test_macs_are_those_of_the_convolutions_and_of_what_folding_adds(kept: Any) -> None:
    rows_of = (20, 10, 5)  # of each stage
    sizes = [(rows * channels, blocks) for rows, (channels, blocks) in zip(rows_of, SMALL, strict=True)]
    affine = sum(FRAMES * size * blocks for size, blocks in sizes)
    means = sum(FRAMES * size * blocks for size, blocks in sizes[:2])  # those of an even number
    total = FRAMES * 20 * 16 * 25 + affine + means
    before, rows = 16, 20
    for (channels, blocks), halved in zip(SMALL, rows_of, strict=True):
        for _ in range(blocks):
            total += FRAMES * rows * before * channels if before != channels else 0
            total += FRAMES * rows * channels * 3  # all rows, of which every other is kept where F is halved
            total += FRAMES * channels * (3 + channels)
            before, rows = channels, halved
    total += FRAMES * (16 * 25 + 16 * 32) + 32 * LABELS
    assert count_cost(kept).macs == total


def test_folding_refuses_a_normalisation_that_it_cannot_fold() -> None:
    layers = keras.layers
    behind_relu = keras.Sequential(
        [keras.Input((5, 4)), layers.Conv1D(3, 1, activation="relu"), layers.BatchNormalization(name="norm")]
    )
    with pytest.raises(TypeError, match="norm does not come alone behind a linear layer"):
        fold_batch_norms(behind_relu)


def test_its_int8_form_rounds_and_says_about_the_same(kept: Any, frames: NDArray[np.float32]) -> None:
    form = quantised_form(kept, frames)
    difference = np.abs(np.asarray(form(frames)) - np.asarray(kept(frames)))
    assert 0.001 < difference.max() < 0.3  # this net, of random weights, answers a small change with a large one
    rounded = [layer.name for layer in form.layers if isinstance(layer, FakeQuantised)]
    assert "stage1_1_time_gate_output_int8" in rounded
    assert form.get_layer("stage1_1_time_gate_output_int8").scale == 1 / 256
    # A rectifier is one with the sum before it, and a mean that is a convolution has a range of its own.
    assert not [name for name in rounded if name.startswith("stage2_2_broadcast")]
    assert {"stage2_2_add_output_int8", "stage2_2_relu_output_int8", "stage2_2_mean_output_int8"} <= set(rounded)


def test_int8_tflite_and_onnx_agree(kept: Any, frames: NDArray[np.float32], tmp_path: Path) -> None:
    from kwspot.export.convert import convert
    from kwspot.export.parity import check_parity
    from kwspot.export.tensors import describe

    kept.save(tmp_path / "model.keras")
    converted = convert(tmp_path / "model.keras", frames, frames)
    truth = converted.keras_scores.argmax(axis=1)
    parity = check_parity(converted, describe(converted.models), frames, truth)
    assert parity.onnx_steps == 0
    assert parity.same_label >= 0.9 * len(frames)
