"""What the documentation shows, runs: every line of the README and of the tutorial, in order, in a copy of the kit.

Each line goes to a real shell as it stands, but for this table:

======================  ===============================================================================================
``kwspot train …``      with ``--epochs 1``: whether it works is tested, not how good the model is
``kwspot data synth …`` with ``--per-word 20``
``make TARGET``         with ``--dry-run``: continuous integration runs the targets themselves
``arecord``, ``aplay``  programs of this test: one records speech.wav of this test, one wants a sound file
``scp … pi@…:``         copies into a folder that is the home folder of what follows, as on the Pi
``sh …/install.sh``     says with status 1 that this machine is no Pi; then its wheel is installed as it would have
                        done (test_deploy runs all of it, test_pi on an emulated board)
``… listen …lamp.kws``  says with status 2 that there is no microphone (or hears one, for a while); then with ``--wav``
======================  ===============================================================================================
"""

from __future__ import annotations

import ctypes.util
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import wave
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kwspot.runtime import cli

ROOT = Path(__file__).parents[2]
README, TUTORIAL = ROOT / "README.md", ROOT / "docs/tutorial.md"
KIT = [
    "runtime",
    "train",
    "export",
    "benchmarks",
    "examples",
    "README.md",
    "LICENSE",
    "Makefile",
    "pyproject.toml",
    "constraints.txt",
]
"""What a line may need of the repository."""

SPOKEN = ["yes", "stop", "go", "left", "bed", "cat", "happy", "lamp", "kettle"]
ON_THE_PI = "~/kwspot/bin/kwspot listen ~/kwspot/current/lamp.kws"
INSTALL = "sh kwspot-pi/install.sh"
INSTALLED = """python3 -m venv kwspot
kwspot/bin/pip install --quiet "$(ls kwspot-pi/kwspot-*.whl)[litert,mic]"
ln -s ../kwspot-pi kwspot/current"""
NO_MICROPHONE = (
    "no microphone was found" if ctypes.util.find_library("portaudio") else "PortAudio cannot be loaded"
)  # without its system library

FAKES = {
    "aplay": 'test "$1" = -q && shift\n'
    "exec python -c 'import sys, wave; assert wave.open(sys.argv[1]).getnframes()' \"$1\"",
    "arecord": """case "$*" in
  "-q -f S16_LE -r 16000 -c 1 -t raw") exec tail -c +45 "$SPEECH" ;;
  "-q -f S16_LE -r 16000 -c 1 -d "*.wav) exec cp "$SPEECH" "${@: -1}" ;;
esac
echo "expected 16 kHz mono 16 bit, got $*" >&2
exit 1""",
    "scp": 'mkdir -p pi\ntest "$1" = -r && shift\nexec cp -r "${@:1:$#-1}" pi',
}


def code_blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def shell_lines(page: Path) -> list[str]:
    """Of all sh blocks, without comments."""
    lines = "".join(code_blocks(page, "sh")).splitlines()
    return [line for text in lines if (line := re.sub(r"(^|\s+)#.*", "", text).strip())]


def as_run(line: str) -> str:
    """The line with the table above applied."""
    if line.startswith(("kwspot train ", "python -m kwspot.train.experiments.tutorial_protocol ")):
        return re.sub(r" --epochs \d+", "", line) + " --epochs 1"
    if line.startswith("kwspot data synth "):
        return re.sub(r" --per-word \d+", "", line) + " --per-word 20"
    return re.sub(r"^make ", "make --dry-run ", line)


class Shell:
    """A copy of the kit, and a shell in it that finds the fakes and this environment's programs first."""

    def __init__(self, folder: Path, speech: Path) -> None:
        self.folder = self._where = folder / "kit"
        fakes = folder / "fakes"
        for name, text in FAKES.items():
            fakes.mkdir(parents=True, exist_ok=True)
            (fakes / name).write_text(f"#!/bin/bash\n{text}\n")
            (fakes / name).chmod(0o755)
        for name in KIT:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
            self.folder.mkdir(exist_ok=True)
            copy(ROOT / name, self.folder / name)
        self._environment = {
            **os.environ,
            "PATH": os.pathsep.join((str(fakes), str(Path(sys.executable).parent), os.environ["PATH"])),
            "SPEECH": str(speech),
            "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
        }

    def __call__(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self._where,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def follow(self, page: Path) -> None:
        """Run every line of a page; what one writes is there for the next."""
        for line in shell_lines(page):
            command = as_run(line)
            if line.startswith("tar "):
                self._where = self.folder / "pi"
                self._environment["HOME"] = str(self._where)
                self._environment.pop("PYTHONPATH", None)  # nothing of this machine's kit is there
            if line == INSTALL:
                done = self(line)
                assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
                assert "this archive is for Raspberry Pi OS" in done.stderr
                command = INSTALLED
            if line == ON_THE_PI:
                done = self(f"timeout --preserve-status 20 {line}")
                heard = done.returncode == 0 and '"start"' in done.stdout
                assert heard or (done.returncode == 2 and NO_MICROPHONE in done.stderr), done.stderr
                command = f'{line} --wav "$SPEECH"'
            done = self(command)
            assert done.returncode == 0, f"{page.name}: {line}\nrun as: {command}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory, save_wav) -> Path:
    """Words by several voices of the synthesiser, a second and a half each."""
    from kwspot.train.speech.espeak import SYNTH_RATE_HZ, Synthesiser, espeak_voices

    synthesiser, blocks = Synthesiser(), []
    for voice in espeak_voices(3, 3):
        for word in SPOKEN:
            sound = synthesiser.speak(word, voice)
            blocks += [np.zeros(SYNTH_RATE_HZ // 2, np.int16), sound, np.zeros(SYNTH_RATE_HZ, np.int16)]
    return save_wav(tmp_path_factory.mktemp("speech") / "speech.wav", np.concatenate(blocks), SYNTH_RATE_HZ)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory, speech: Path) -> Iterator[dict[Path, Future[Shell]]]:
    """Both pages, followed side by side, each in a shell of its own."""

    def follow(page: Path, folder: Path) -> Shell:
        shell = Shell(folder, speech)
        if page == README:  # the tutorial makes its own
            shutil.copyfile(speech, shell.folder / "speech.wav")
        shell.follow(page)
        return shell

    with ThreadPoolExecutor() as pool:
        yield {page: pool.submit(follow, page, tmp_path_factory.mktemp(page.stem)) for page in (README, TUTORIAL)}


@pytest.fixture
def pi(followed: dict[Path, Future[Shell]]) -> Shell:
    """The shell in which the whole README was followed; it has moved to the Pi."""
    return followed[README].result()


def detections(output: str) -> list[str]:
    return [event["label"] for event in map(json.loads, output.splitlines()) if event["event"] == "detection"]


def test_every_line_of_the_tutorial_runs(followed):
    shell = followed[TUTORIAL].result()
    shown = re.findall(r"`([\w/-]+\.png)`", TUTORIAL.read_text(encoding="utf-8"))
    assert {"gallery.png", "runs/curves.png"} <= set(shown)
    for name in shown:
        assert list(shell.folder.glob(name if "/" in name else f"runs/*/{name}")), f"no line makes {name}"


def test_every_line_of_the_readme_runs(pi):
    assert "usage: kwspot COMMAND" in pi("kwspot/bin/kwspot --help").stdout


def test_what_a_board_installs_is_light(pi):
    code = "import importlib.metadata as m, json; print(json.dumps([d.name.lower() for d in m.distributions()]))"
    installed = set(json.loads(pi(f'kwspot/bin/python -c "{code}"').stdout))
    assert {"kwspot", "numpy", "ai-edge-litert", "sounddevice"} <= installed
    heavy = {"tensorflow", "tensorflow-cpu", "keras", "librosa", "scipy", "soundfile", "matplotlib", "onnx", "tf2onnx"}
    assert not installed & heavy


def test_what_is_missing_on_the_board_is_named(pi):
    done = pi("kwspot/bin/kwspot train --data ../recordings --preset conv1 --run run")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the runtime alone, as a board has it" in done.stderr


def test_the_wheel_of_the_whole_kit_listens(pi):
    for line in (
        "python -m build --wheel --no-isolation --outdir dist ..",
        "python3 -m venv whole",
        # The engine and numpy are those of the board's environment.
        "whole/bin/pip install --quiet --no-deps dist/kwspot-*.whl",
        'echo "$PWD"/kwspot/lib/python*/site-packages > "$(ls -d whole/lib/python*/site-packages)/board.pth"',
        'cd / && ! "$OLDPWD/whole/bin/python" -c "import soundfile"',
    ):
        done = pi(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    # The bundle that ships, from the wheel and without this environment.
    done = pi('whole/bin/kwspot listen --wav "$SPEECH"')
    assert done.returncode == 0, done.stderr
    assert detections(done.stdout)
    done = pi("whole/bin/kwspot train --data ../recordings --preset conv1 --run run")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "pip install 'kwspot[" in done.stderr


def test_the_four_lines_of_python(speech, monkeypatch, capsys):
    import kwspot.runtime
    from kwspot.runtime import wav_blocks

    def from_file(rate_hz: int) -> Iterator[np.ndarray]:
        return wav_blocks(speech, rate_hz=rate_hz)

    monkeypatch.setattr(kwspot.runtime, "microphone_blocks", from_file)
    (block,) = code_blocks(README, "python")
    exec(compile(block, "README.md", "exec"), {})
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    with wave.open(str(speech)) as sound:
        seconds = sound.getnframes() / sound.getframerate()
    assert printed
    assert all(0 < float(score) <= 1 and 0 < float(at_s) <= seconds for _, score, at_s in printed)


def test_the_example_listens_to_a_file(speech, tiny_bundle):
    command = [sys.executable, str(ROOT / "examples/listen.py"), str(tiny_bundle.path), str(speech)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_example_says_in_one_line_that_a_file_is_no_sound(tiny_bundle):
    command = [sys.executable, str(ROOT / "examples/listen.py"), str(tiny_bundle.path), str(README)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "README.md cannot be read as sound" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_every_command_is_in_the_documentation():
    lines = [line for page in (README, *(ROOT / "docs").glob("*.md")) for line in shell_lines(page)]
    for name in cli.COMMANDS:
        assert any(re.search(rf"\bkwspot {name}\b", line) for line in lines), f"kwspot {name} is shown nowhere"


def test_commands_within_the_text_are_commands(capsys):
    for page in (README, TUTORIAL):
        for text in re.findall(r"`kwspot (?!COMMAND)([^`\n]+)`", page.read_text(encoding="utf-8")):
            words = [word for word in text.split() if re.fullmatch(r"[a-z]+", word)]
            words = words[: 1 + (words[0] in ("data", "bench"))]
            with pytest.raises(SystemExit) as end:
                cli.main([*words, "--help"])
            assert not end.value.code, text
            assert set(re.findall(r"--[a-z-]+", text)) <= set(re.findall(r"--[a-z-]+", capsys.readouterr().out)), text


@pytest.mark.parametrize(
    "page",
    [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")],
    ids=lambda page: page.name,
)
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        file = page.parent / target if target else page
        assert file.exists(), f"{page.name} links to {target}"
        headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        assert not anchor or anchor in [re.sub(r"\W+", "-", title.lower()) for title in headings]


def test_the_configuration_shown_is_the_file():
    (block,) = code_blocks(TUTORIAL, "toml")
    config = tomllib.loads((ROOT / "examples/three-words.toml").read_text(encoding="utf-8"))
    for table, values in tomllib.loads(block).items():
        assert config[table] == values


def test_the_settings_of_word_that_are_shown_are_the_defaults():
    from kwspot.train.word.plan import WordSettings

    (block,) = code_blocks(ROOT / "docs/own-words.md", "toml")
    shown = tomllib.loads(block)["word"]
    shown["held_out_voices"] = tuple(shown["held_out_voices"])
    assert shown == dataclasses.asdict(WordSettings())
