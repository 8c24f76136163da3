"""What docs/events.md and docs/service.md show, runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from kwspot.runtime.board import service as service_cli
from kwspot.runtime.listen import cli as listen_cli
from kwspot.runtime.listen.config import arguments

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "events.md", DOCS / "service.md"]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path, save_wav, monkeypatch) -> Path:
    """Where a reader would be: with a recording and the file of options that the page shows."""
    save_wav(tmp_path / "speech.wav", np.zeros(32_000, np.int16))
    (tmp_path / "kwspot.toml").write_text(blocks(DOCS / "service.md", "toml")[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_line_runs_as_shown(page, folder):
    lines = "".join(blocks(page, "sh")).splitlines()
    assert lines
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for line in lines:
        done = subprocess.run(
            ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert done.stdout


def test_the_file_of_options_is_one(folder):
    assert (folder / "kwspot.toml").read_text() == (DOCS.parent / "examples/kwspot.toml").read_text()
    args = arguments(listen_cli.parser_of_options(), ["--config", "kwspot.toml"])
    shown = tomllib.loads((folder / "kwspot.toml").read_text())
    assert (args.bundle, args.device, args.mqtt, args.exec) == tuple(
        shown[key] for key in ("bundle", "device", "mqtt", "exec")
    )
    assert listen_cli._thresholds(args.threshold) == shown["threshold"]


def test_options_within_the_text_are_options(capsys):
    known = ""
    for main, words in ((listen_cli.main, []), (service_cli.main, ["install"])):
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        known += capsys.readouterr().out
    for page in PAGES:
        for text in re.findall(r"`((?:kwspot|--)[^`\n]*)`", page.read_text(encoding="utf-8")):
            assert set(re.findall(r"--[a-z-]+", text)) <= set(re.findall(r"--[a-z-]+", known)), text


def test_what_was_marked_wrong_is_collected(folder):
    for name, mark in (("a", "wrong"), ("b", "right"), ("c", None)):
        sound = folder / "saved/low" / f"{name}.wav"
        sound.parent.mkdir(parents=True, exist_ok=True)
        sound.write_bytes(b"")
        sound.with_suffix(".json").write_text(json.dumps({"mark": mark} if mark else {}))
    (code,) = blocks(DOCS / "events.md", "python")
    exec(compile(code, "events.md", "exec"), {})
    assert [path.name for path in (folder / "data/_unknown_").iterdir()] == ["a.wav"]
