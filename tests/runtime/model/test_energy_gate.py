"""The gate: it rests in quiet, and the events of a stream with words are those without it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kwspot.runtime import cli
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.sound_file import read_sound
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import ConfigError
from kwspot.runtime.features.mfcc import mfcc
from kwspot.runtime.model.bundle import Bundle, load_bundle
from kwspot.runtime.model.energy_gate import EnergyGate

RATE_HZ = 16_000


def heard(spotter: KeywordSpotter, sound: np.ndarray, block_samples: int = 1280):
    """Events, and the scores of every hop with the sample that decided."""
    events, scores = [], []
    for start in range(0, len(sound), block_samples):
        events += [(d.label, d.score, d.at_sample) for d in spotter.push(sound[start : start + block_samples])]
        scores += [(at, row.tolist()) for at, row in spotter.last_scores]
    return events, scores


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle("tutorial")


@pytest.fixture(scope="module")
def bursts_and_quiet() -> np.ndarray:
    """Sound at once after digital silence, dither and a faint noise, and all of it longer than the model sees."""
    rng = np.random.default_rng(5)
    parts = []
    for i in range(6):
        quiet = [np.zeros(3 * RATE_HZ), rng.normal(0, 0.7, 2 * RATE_HZ), rng.normal(0, 8, 2 * RATE_HZ)][i % 3]
        tone = np.sin(np.cumsum(2 * np.pi * rng.uniform(100, 3000, 20).repeat(800) / RATE_HZ)) * rng.uniform(500, 9000)
        parts += [np.rint(quiet).astype(np.int16), np.rint(tone).astype(np.int16)]
    return np.concatenate(parts)


def test_after_the_first_loud_frame_the_scores_are_the_same_to_the_last_bit(bundle, bursts_and_quiet):
    """As soon as the gate opens its classifier has to be where it would be without one."""
    manifest = bundle.manifest
    plain, gated = (KeywordSpotter(bundle, engine="litert", gate_db=db) for db in (None, -50.0))
    resting = 0
    for start in range(0, len(bursts_and_quiet), manifest.inference_hop_samples):
        block = bursts_and_quiet[start : start + manifest.inference_hop_samples]
        before = gated._scoring.classifier.skipped
        plain.push(block), gated.push(block)
        if gated._scoring.classifier.skipped > before:
            resting += 1
            continue
        for (_, ours), (_, theirs) in zip(gated.last_scores, plain.last_scores, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert resting > 50


@pytest.mark.parametrize("block_samples", [1, 641, 4096])
def test_any_slicing_gives_the_same_events(bundle, bursts_and_quiet, block_samples):
    sound = bursts_and_quiet[: 8 * RATE_HZ]
    expected = heard(KeywordSpotter(bundle, gate_db=-50.0), sound)
    assert heard(KeywordSpotter(bundle, gate_db=-50.0), sound, block_samples) == expected


def test_a_gap_and_a_new_stream_open_it(bundle, bursts_and_quiet):
    spotter = KeywordSpotter(bundle, gate_db=-50.0)
    first = heard(spotter, bursts_and_quiet[: 6 * RATE_HZ])
    spotter.reset()
    assert heard(spotter, bursts_and_quiet[: 6 * RATE_HZ]) == first
    plain = KeywordSpotter(bundle)
    for one in (spotter, plain):
        one.reset()
        one.push(np.zeros(5 * RATE_HZ, np.int16))
        one.skip(777)
    assert heard(spotter, bursts_and_quiet[: 6 * RATE_HZ])[0] == heard(plain, bursts_and_quiet[: 6 * RATE_HZ])[0]


class _Counting:
    """A classifier that says how often it was asked."""

    asked = 0

    def push(self, frames):
        self.asked += 1
        return [(0, np.zeros(3, np.float32))]

    def reset(self):
        pass


def test_it_rests_only_when_all_that_the_model_sees_is_quiet(bundle):
    manifest = bundle.manifest
    hop, window = manifest.inference_hop_frames, manifest.window_frames
    counting = _Counting()
    gate = EnergyGate(counting, manifest, -50.0)
    quiet = mfcc(np.zeros(manifest.features.samples_in(hop), np.int16), manifest.features)
    hops_seen = -(-window // hop)
    for _ in range(hops_seen + 1):
        gate.push(quiet)
    assert (counting.asked, gate.skipped) == (hops_seen + 1, 0)
    gate.push(quiet)
    assert (counting.asked, gate.skipped) == (hops_seen + 1, 1)


def test_features_without_bands_are_refused(tiny_bundle):
    with pytest.raises(ConfigError, match="mfcc features; a gate needs log-mel"):
        KeywordSpotter(tiny_bundle, gate_db=-50.0)


@pytest.mark.parametrize("level_db", [-60.0, -100.0, 0.0, 3.0, float("nan")])
def test_a_level_that_never_or_always_rests_is_refused(bundle, level_db):
    with pytest.raises(ConfigError, match="more than digital silence, -60 dB"):
        KeywordSpotter(bundle, gate_db=level_db)


def test_the_events_of_real_words_are_those_without_a_gate(recordings):
    bundle = load_bundle("commands")
    rng = np.random.default_rng(8)
    clips = DataFolder(recordings / "speech_commands").clips("validation", list(bundle.manifest.words))
    parts = []
    for i in range(30):
        quiet = rng.normal(0, (0, 1, 8)[i % 3], 3 * RATE_HZ)
        parts += [np.rint(quiet).astype(np.int16), read_sound(clips[int(rng.integers(len(clips)))].path, RATE_HZ)]
    sound = np.concatenate(parts)
    without, scores = heard(KeywordSpotter(bundle), sound)
    for level_db, least_share in ((-59.9, 0.2), (-45.0, 0.4)):
        gated = KeywordSpotter(bundle, gate_db=level_db)
        assert heard(gated, sound)[0] == without != []
        assert gated._scoring.classifier.skipped > least_share * len(scores)


def test_by_option(save_wav, bursts_and_quiet, tmp_path, capsys):
    path = save_wav(tmp_path / "sound.wav", bursts_and_quiet)
    outputs = []
    for options in ([], ["--gate", "-50"], ["--gate=-59.9"]):
        assert cli.main(["listen", "tutorial", "--wav", str(path), *options]) == 0
        events = map(json.loads, capsys.readouterr().out.splitlines())
        outputs.append([{key: value for key, value in event.items() if key != "time"} for event in events])
    assert outputs[0] == outputs[1] == outputs[2]
    for value, says in (("quiet", "--gate quiet: expected a level"), ("-70", "more than digital silence")):
        assert cli.main(["listen", "tutorial", "--wav", str(path), f"--gate={value}"]) == 2
        said = capsys.readouterr().err
        assert says in said
        assert said.count("\n") == 1
