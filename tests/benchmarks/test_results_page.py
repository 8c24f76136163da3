"""The results page: driven through commands, resumable, and nothing on it that the files do not say."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kwspot.benchmarks.experiments import results_page, steps
from kwspot.benchmarks.experiments.results_text import page
from kwspot.runtime.errors import RunError
from kwspot.runtime.model.bundle import Bundle

STAGES = {"float-keras": 190, "float-tflite": 190, "int8-litert": 188, "int8-onnx": 187}
METRICS = {"tutorial": 170, "tutorial-speakers": 150, "kwspot": 189}


def _metrics(correct: int) -> dict[str, Any]:
    return {"validation": {"correct": correct, "total": 200, "accuracy": correct / 200}}


def _accuracy() -> dict[str, Any]:
    rows = [
        {
            "name": name,
            "correct": correct,
            "accuracy": correct / 200,
            "ci95": [0.9, 0.97],
            "loss_points": (190 - correct) / 2,
            "per_label": {"bed": [correct - 100, 100], "cat": [100, 100]},
        }
        for name, correct in STAGES.items()
    ]
    machine = {"platform": "Linux", "cpu": "A CPU", "cores": 2, "python": "3.11.7"}
    return {
        "date": "2026-01-02T03:04:05+00:00",
        "machine": machine,
        "versions": {"numpy": "2.0"},
        "data": "words",
        "part": "validation",
        "clips": 200,
        "stages": rows,
        "agreement": {},
    }


def _latency() -> dict[str, Any]:
    us = {"inference": {"p50": 41.6, "p95": 50.0, "p99": 60.0, "max": 70.0}}
    run = {"engine": "litert", "precision": "int8", "hops": 2000, "us": us}
    return {"machine": _accuracy()["machine"], "runs": [run]}


def _cells(text: str, name: str, table: int) -> list[str]:
    rows = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in rows[table].strip("|").split("|")]


def test_the_page_says_what_the_files_say() -> None:
    preset = {
        "name": "conv1",
        "accuracy": _accuracy(),
        "latency": _latency(),
        "parameters": 12_345,
        "macs": 6_789_000,
        "bytes": 23_456,
    }
    tutorial = {"conv1": {name: _metrics(METRICS[name]) for name in ("tutorial", "tutorial-speakers")}}
    text = page([preset], {}, tutorial, steps.command_line("results_page", ["--data", "my words"]))
    row = _cells(text, "conv1", 0)
    assert row[:3] == ["conv1", "12,345", "6,789,000"]
    assert row[3].startswith("95.00 % (")
    assert row[4:] == ["94.00 %", "93.50 %", "+1.00", "23.5", "42"]
    assert [cell.split()[0] for cell in _cells(text, "conv1", 1)[1:]] == ["85.00", "75.00", "95.00"]
    assert "python -m kwspot.benchmarks.experiments.results_page --data 'my words'" in text
    assert "200 clips (bed 100, cat 100)" in text
    alone = page([preset], {}, {}, "python")
    assert "tutorial" not in alone


def test_seeds_stand_with_their_mean_and_spread() -> None:
    def run(seed: int, correct: int) -> dict[str, Any]:
        accuracy = _accuracy()
        for stage in accuracy["stages"]:
            stage["accuracy"] = correct / 200
        about = {"parameters": 80_000, "macs": 4_000_000, "bytes": 100_000, "minutes": 40.0 + seed}
        return {"seed": seed, "accuracy": accuracy, "latency": _latency(), **about}

    preset = {"name": "conv1", "accuracy": _accuracy(), "latency": _latency(), "parameters": 1, "macs": 2, "bytes": 3}
    text = page([preset], {"commands": [run(1, 190), run(2, 194), run(3, 192)]}, {}, "python")
    row = _cells(text, "commands", 0)
    assert row[:5] == ["commands", "1, 2, 3", "80,000", "4,000,000", "200"]
    assert row[5] == row[6] == "96.00 (95.00 to 97.00)"
    assert row[9:] == ["100.0", "42", "42 (41 to 43)"]


def _seed_run(path: Path, seed: int, **training: float) -> Path:
    import tomli_w

    path.mkdir(parents=True)
    data = {"folder": "words", "words": ["bed", "cat"], "unknown_share": 1.0}
    (path / "config.toml").write_text(
        tomli_w.dumps({"data": data, "training": {"epochs": 3, "seed": seed, **training}})
    )
    (path / "model.keras").touch()
    (path / "metrics.json").write_text(json.dumps({"minutes": 1.5}))
    return path


def test_runs_of_several_seeds_are_measured_once(
    make: Callable[..., int], commands: list[tuple[str, ...]], tmp_path: Path
) -> None:
    runs = [_seed_run(tmp_path / f"s{seed}", seed) for seed in (1, 2)]
    option = ["--seeds", "commands", *map(str, runs)]
    assert make(*option) == 0
    here = [c for c in commands if any("work/seeds/" in part for part in c)]
    assert _names(here) == ["export", "bench accuracy", "bench latency"] * 2
    assert here[1][4:7] == ("words", "--part", "validation")
    assert "| commands | 1, 2 |" in (tmp_path / "results.md").read_text()
    commands.clear()
    assert make(*option) == 0
    assert commands == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda run: (run / "checkpoint").mkdir(), "is not finished"),
        (
            lambda run: (shutil.rmtree(run), _seed_run(run, 2, learning_rate=0.1)),
            "in more than their seed",
        ),
    ],
)
def test_other_runs_than_seeds_of_one_configuration_are_refused(
    make: Callable[..., int], tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    runs = [_seed_run(tmp_path / f"s{seed}", seed) for seed in (1, 2)]
    spoil(runs[1])
    with pytest.raises(RunError, match=message):
        make("--seeds", "commands", *map(str, runs))


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tiny_bundle: Bundle) -> list[tuple[str, ...]]:
    """The commands that would have run; each leaves the files that it would have left."""
    asked: list[tuple[str, ...]] = []

    def run(*options: str, module: str = "") -> None:
        command = ("train", *options) if module else options
        asked.append(command)
        option = dict(itertools.pairwise(command))
        if command[0] == "train":
            Path(option["--run"]).mkdir(parents=True, exist_ok=True)
            protocol = "tutorial-speakers" if "--by-speaker" in command else "tutorial"
            correct = METRICS[protocol if module else "kwspot"]
            (Path(option["--run"]) / "metrics.json").write_text(json.dumps(_metrics(correct)))
        elif command[0] == "export":
            shutil.copytree(tiny_bundle.path, option["--bundle"])
        else:
            values = _accuracy() if command[1] == "accuracy" else _latency()
            Path(option["--json"]).write_text(json.dumps(values))

    monkeypatch.setattr(steps, "kwspot", run)
    return asked


def _names(commands: list[tuple[str, ...]]) -> list[str]:
    return [" ".join(command[: 2 if command[0] == "bench" else 1]) for command in commands]


@pytest.fixture
def make(tmp_path: Path, commands: list[tuple[str, ...]]) -> Callable[..., int]:
    """Makes the page of one preset into ``tmp_path``."""

    def run(*options: str) -> int:
        where = ["--data", "words", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "results.md")]
        return results_page.main([*where, "--presets", "conv1", "--tutorial-presets", "conv1", *options])

    return run


def test_what_is_done_is_not_done_again(
    make: Callable[..., int], commands: list[tuple[str, ...]], tmp_path: Path
) -> None:
    everything = ["train", "export", "bench accuracy", "bench latency", "train", "train"]
    assert make("--epochs", "1") == 0
    assert _names(commands) == everything
    assert all("--epochs 1" in " ".join(command) for command in commands if command[0] == "train")
    first = (tmp_path / "results.md").read_text()

    commands.clear()
    assert make("--epochs", "1") == 0
    assert commands == []
    assert (tmp_path / "results.md").read_text() == first

    (tmp_path / "work/conv1/latency.json").unlink()
    assert make("--epochs", "1") == 0
    assert _names(commands) == ["bench latency"]


def test_a_training_that_was_cut_short_goes_on(
    make: Callable[..., int], commands: list[tuple[str, ...]], tmp_path: Path
) -> None:
    (tmp_path / "work/conv1/run/checkpoint").mkdir(parents=True)
    (tmp_path / "work/conv1/run/metrics.json").write_text(json.dumps(_metrics(100)))
    (tmp_path / "work/conv1/tutorial").mkdir(parents=True)
    assert make() == 0
    trained = {Path(command[command.index("--run") + 1]).name: command for command in commands if command[0] == "train"}
    assert "--resume" in trained["run"]
    assert "--overwrite" in trained["tutorial"]
    assert not {"--resume", "--overwrite"} & set(trained["tutorial-speakers"])


def test_results_of_other_settings_are_not_mixed(make: Callable[..., int]) -> None:
    make("--epochs", "1")
    with pytest.raises(RunError, match="name another --work"):
        make("--epochs", "2")


def test_a_command_that_fails_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"'kwspot export .* ended with status 2"):
        steps.kwspot("export", str(tmp_path / "gone"), "--bundle", str(tmp_path / "never.kws"))
