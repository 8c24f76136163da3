"""The shipped bundles are no worse than when they were shipped: ``kwspot bench compare`` with what was measured then.

A baseline is made by ``kwspot bench accuracy NAME --data speech_commands --part validation --words A,B
--engine litert --json benchmarks/baselines/NAME.json`` with the words below.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kwspot.runtime import cli

BASELINES = Path(__file__).parents[2] / "benchmarks/baselines"
WORDS = {"commands": "yes,no,stop,go", "tutorial": "bed,cat,happy"}


@pytest.mark.parametrize("name", list(WORDS))
def test_no_worse_than_shipped(name: str, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, now = str(recordings / "speech_commands"), str(tmp_path / "now.json")
    command = ["bench", "accuracy", name, "--data", data, "--part", "validation", "--words", WORDS[name]]
    assert cli.main([*command, "--engine", "litert", "--json", now]) == 0
    capsys.readouterr()
    conditions = [f"{stage}.accuracy < -0.3" for stage in ("float-tflite", "int8-weights", "int8-litert", "stream")]
    options = [part for condition in (*conditions, "events.accuracy < -1") for part in ("--fail-if", condition)]
    status = cli.main(["bench", "compare", str(BASELINES / f"{name}.json"), now, *options])
    assert status == 0, capsys.readouterr().err


def test_every_shipped_bundle_has_a_baseline() -> None:
    from kwspot.runtime.model.bundle import shipped_bundles

    assert set(shipped_bundles()) == set(WORDS) == {path.stem for path in BASELINES.glob("*.json")}
