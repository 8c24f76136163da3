"""An emulated board: from archive to the events of this machine without a network, and what listening costs there.

Slow for a test (about a minute and a half in all on a quiet machine): a Debian userland, the wheels of the board, an
installation under qemu.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kwspot.benchmarks.pi.__main__ import agree
from kwspot.benchmarks.pi.cores import CORES, core_of
from kwspot.benchmarks.pi.guest import unpack_archive
from kwspot.benchmarks.pi.instructions import count
from kwspot.benchmarks.pi.trial import TRIALS, events_of, kwspot, run_trial
from kwspot.benchmarks.pi.userland import make_userland
from kwspot.runtime.errors import ConfigError, DeployError
from kwspot.runtime.model.bundle import load_bundle

TRIAL = TRIALS["bookworm-a53-litert"]
COMMITTED = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.03
REFRESH = "kwspot bench instructions commands --json tests/system/instructions.json"
NEEDED = {
    "qemu-aarch64": "qemu-user",
    "qemu-aarch64-static": "qemu-user-static",
    "gcc": "gcc",
    "apt-get": "apt",
    "unshare": "util-linux",
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the userland is kept, if boards can be emulated here."""
    missing = [package for program, package in NEEDED.items() if shutil.which(program) is None]
    if missing:
        pytest.skip(f"no emulated board: apt install {' '.join(missing)}")
    enter = ["unshare", "--map-root-user", "--mount", "sh", "-c", "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc"]
    if subprocess.run(enter, capture_output=True, check=False).returncode:
        pytest.skip("no emulated board: Linux 6.7 or newer with user namespaces is needed")
    return tmp_path_factory.mktemp("pi")


@pytest.fixture(scope="module")
def archive(work: Path) -> Path:
    """The shipped bundle, with the wheels, for 64-bit Raspberry Pi OS 12."""
    path = work / "kwspot-pi.tar.gz"
    kwspot("deploy", "commands", "--to", str(path), "--offline", "--target", TRIAL.target, "--engine", TRIAL.engine)
    return path


@pytest.fixture(scope="module")
def spoken(work: Path, save_wav) -> Path:
    """A few of the bundle's words by a synthetic voice."""
    from kwspot.runtime.audio.sound_file import read_sound
    from kwspot.train.speech.espeak import SYNTH_RATE_HZ, Synthesiser, espeak_voices

    synthesiser = Synthesiser()
    blocks = []
    for voice in espeak_voices(2, 3):
        for word in ("yes", "stop", "go"):
            blocks += [np.zeros(SYNTH_RATE_HZ // 2, np.int16), synthesiser.speak(word, voice)]
    fast = save_wav(work / "spoken-fast.wav", np.concatenate(blocks), SYNTH_RATE_HZ)
    return save_wav(work / "spoken.wav", read_sound(fast, 16_000))


def test_from_archive_to_the_same_events(work, archive, spoken):
    assert archive.stat().st_size < 35_000_000
    outcome = run_trial(TRIAL, archive, spoken, work)
    assert "passed: commands on litert" in outcome.installed
    assert "passed: commands on litert" in outcome.selftest
    here = events_of(kwspot("listen", "commands", "--engine", "litert", "--wav", str(spoken)))
    assert any(event["event"] == "detection" for event in here)
    assert outcome.events == here


@pytest.mark.parametrize("core", ["cortex-a53", "cortex-a76"])
def test_listening_costs_no_more_instructions_than_committed(work, archive, core):
    committed = json.loads(COMMITTED.read_text())
    bundle = load_bundle("commands")
    assert committed["bundle"]["hash"] == bundle.hash, f"figures of another bundle; renew them: {REFRESH}"
    (before,) = [run for run in committed["runs"] if run["cpu"] == core]
    site = work / "counted/kwspot-pi/site"
    if not site.exists():
        unpack_archive(archive, work / "counted")
    now = count(bundle, core=core, target=TRIAL.target, engine="litert", site=site, work=work)["millions_per_s"]
    was = before["millions_per_s"]["total"]
    assert now["total"] <= was * (1 + TOLERANCE), (
        f"{now} millions per second of sound, {was} before; if meant: {REFRESH}"
    )
    steps = now["features"] + now["inference"] + now["decision"]
    assert 0.8 * now["total"] < steps < 1.1 * now["total"]


def test_path_and_time_of_day_are_no_difference():
    values = {"event": "detection", "label": "yes", "score": 0.9, "at_s": 0.5, "at_sample": 8000}
    board = json.dumps({**values, "time": "2026-11-28T12:22:20.480Z", "source": "/a.wav"})
    here = json.dumps({**values, "time": "2026-11-28T12:22:21.541Z", "source": "b.wav"})
    assert events_of(board) == events_of(here) == [values]


def test_a_board_that_differs_is_noticed():
    here = [{"event": "detection", "label": "yes", "score": 0.9, "at_sample": 1000}, {"event": "stop"}]
    late = [{**here[0], "at_sample": 1640, "score": 0.8}, here[1]]
    other = [{**here[0], "label": "no"}, here[1]]
    assert agree(here, here, exact=True, hop_samples=640)
    assert not agree(late, here, exact=True, hop_samples=640)
    assert agree(late, here, exact=False, hop_samples=640)
    assert not agree(late, here, exact=False, hop_samples=639)
    assert not agree(other, here, exact=False, hop_samples=640)
    assert not agree(here[1:], here, exact=False, hop_samples=640)


def test_each_core_shows_its_own_board():
    parts = {core.part for core in CORES.values()}
    assert len(parts) == len(CORES)
    for core in CORES.values():
        text = core.cpuinfo()
        assert text.count(f"CPU part\t: {core.part}\n") == 4
        assert text.endswith(f"Model\t\t: {core.board}\n")
    assert "asimddp" in core_of("cortex-a76").cpuinfo()
    assert "asimddp" not in core_of("cortex-a72").cpuinfo()
    with pytest.raises(ConfigError, match="expected one of cortex-a7, "):
        core_of("cortex-m4")


def test_without_a_mirror_nothing_is_left(work, tmp_path, monkeypatch):
    (tmp_path / "apt.conf").write_text(f'Dir::Etc "{tmp_path}"; Dir::State "{tmp_path}";\n')
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    with pytest.raises(DeployError, match="apt"):
        make_userland(tmp_path / "board", release="bookworm", architecture="arm64")
    assert not (tmp_path / "board").exists()
