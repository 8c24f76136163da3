"""The pictures of a run, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kwspot.runtime.features.mfcc import mfcc
from kwspot.runtime.features.spec import INT16_FULL_SCALE, FeatureSpec
from kwspot.runtime.files import whole_file
from kwspot.runtime.run_folder import History

LEARNING_CURVES_FILE = "learning_curves.png"
CONFUSION_FILE = "confusion.png"
GALLERY_FILE = "gallery.png"

_TRAINING, _VALIDATION, _INK = "#7a9cc6", "#c2410c", "#334155"
_DPI = 120
# Below this a spectrogram is black; that of 16-bit sound ends about there.
_SPECTROGRAM_FLOOR_DB = -90.0


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole."""
    FigureCanvasAgg(figure)
    with whole_file(path) as file:
        figure.savefig(file, format="png", dpi=_DPI)


def draw_learning_curves(run: Path, history: History, best_epoch: int) -> None:
    """Loss and accuracy by epoch, training against validation: where they part, the model overfits."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    for axes, key, scale, name in ((loss, "loss", 1, "loss"), (accuracy, "accuracy", 100, "accuracy in %")):
        training = [scale * row[key] for row in history]
        validation = [scale * row[f"val_{key}"] for row in history]
        axes.plot(epochs, training, color=_TRAINING, marker=".", label="training")
        axes.plot(epochs, validation, color=_VALIDATION, marker=".", label="validation")
        axes.axvline(best_epoch, color=_INK, linewidth=0.8, linestyle=":", label=f"best epoch, {best_epoch}")
        _tidy(axes, name, "epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*accuracy.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    best = history[best_epoch - 1]
    figure.suptitle(f"{run.name}: {100 * best['val_accuracy']:.2f} % on validation in epoch {best_epoch}")
    save(figure, run / LEARNING_CURVES_FILE)


def draw_confusion(run: Path, confusion: NDArray[np.int64], labels: Sequence[str]) -> None:
    """Draw clips by label and prediction; the shade is the share of the row."""
    count = len(labels)
    size = 2.6 + 0.55 * count
    figure = Figure(figsize=(size + 0.4, size), layout="constrained")
    axes = figure.subplots()
    totals = confusion.sum(axis=1, keepdims=True)
    share = confusion / np.maximum(totals, 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(count, count):
        if confusion[row, column]:
            colour = "white" if share[row, column] > 0.5 else _INK
            axes.text(column, row, str(confusion[row, column]), ha="center", va="center", color=colour, fontsize=9)
    recall = [f"{label}  {100 * share[k, k]:.1f} %" for k, label in enumerate(labels)]
    axes.set_xticks(range(count), labels, rotation=45 if count > 4 else 0, ha="right" if count > 4 else "center")
    axes.set_yticks(range(count), recall)
    axes.set_xlabel("heard")
    axes.set_ylabel("spoken, and how much of it was heard")
    axes.tick_params(length=0)
    axes.set_title(f"{run.name}: {np.trace(confusion)} of {confusion.sum()}", fontsize=11)
    save(figure, run / CONFUSION_FILE)


def draw_gallery(run: Path, clips: Mapping[str, NDArray[np.int16]], spec: FeatureSpec) -> None:
    """Waveform, spectrogram and features of a clip (int16) of each label."""
    shown = list(clips.items())[:12]
    figure = Figure(figsize=(12, 0.6 + 1.9 * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), 3, squeeze=False)
    features = {"mfcc": "MFCC", "log-mel": "log-mel bands"}[spec.kind]
    for (label, samples), (wave, spectrum, frames) in zip(shown, grid, strict=True):
        seconds = len(samples) / spec.sample_rate_hz
        wave.plot(np.arange(len(samples)) / spec.sample_rate_hz, samples / INT16_FULL_SCALE, color=_INK, linewidth=0.5)
        most = max(0.05, float(np.abs(samples / INT16_FULL_SCALE).max()) * 1.05)
        wave.set_ylim(-most, most)
        wave.set_xlim(0, seconds)
        _tidy(wave, f"“{label}”: waveform", "", "full scale = 1")
        extent = (0.0, seconds, 0.0, spec.sample_rate_hz / 2000)
        spectrum.imshow(spectrogram(samples, spec), origin="lower", aspect="auto", extent=extent, cmap="magma")
        _tidy(spectrum, f"“{label}”: spectrogram", "", "kHz")
        picture = mfcc(samples, spec).T  # (C, T)
        # The first coefficient is the loudness and many times the others: each is drawn on its own scale.
        spread = np.maximum(picture.std(axis=1, keepdims=True), 1e-3)
        frames.imshow(
            (picture - picture.mean(axis=1, keepdims=True)) / spread,
            origin="lower",
            aspect="auto",
            extent=(0.0, seconds, -0.5, spec.coefficients - 0.5),
            cmap="RdBu_r",
            vmin=-2.5,
            vmax=2.5,
        )
        _tidy(frames, f"“{label}”: {features}, each on its own scale", "", "coefficient")
    for axes in grid[-1]:
        axes.set_xlabel("seconds")
    save(figure, run / GALLERY_FILE)


def draw_comparison(path: Path, histories: Mapping[str, History]) -> None:
    """Validation (lines) and training (dashes) accuracy of several runs over each other."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    palette = colormaps["tab10" if len(histories) <= 10 else "tab20"]
    colours = [palette(k % palette.N) for k in range(len(histories))]  # past twenty they come again
    for (name, history), colour in zip(histories.items(), colours, strict=True):
        epochs = [row["epoch"] for row in history]
        axes.plot(epochs, [100 * row["val_accuracy"] for row in history], color=colour, label=name)
        axes.plot(epochs, [100 * row["accuracy"] for row in history], color=colour, linestyle="--", linewidth=0.8)
    _tidy(axes, "accuracy in %: validation (lines) and training (dashes)", "epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside right upper", frameon=False)
    save(figure, path)


def spectrogram(samples: NDArray[np.int16], spec: FeatureSpec) -> NDArray[np.float64]:
    """Power in dB of the windows that the features see, reference full scale; float64 (bins, T)."""
    windows = sliding_window_view(samples, spec.window_samples)[:: spec.hop_samples] / INT16_FULL_SCALE
    hann = np.hanning(spec.window_samples)
    spectrum = np.abs(np.fft.rfft(windows * hann)) / (hann.sum() / 2)  # (T, bins)
    return np.maximum(20 * np.log10(np.maximum(spectrum, 1e-9)), _SPECTROGRAM_FLOOR_DB).T


def _tidy(axes: Axes, title: str, x: str, y: str = "") -> None:
    axes.set_title(title, fontsize=10, loc="left", color=_INK)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
