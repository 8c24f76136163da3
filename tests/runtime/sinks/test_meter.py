"""The meter shows what a person needs to see of listening, on a terminal."""

from __future__ import annotations

import io
import re
import time

from hearing import blocks_of, hear, hear_sounds

from kwspot.runtime import cli
from kwspot.runtime.audio.sources import DeviceBack, DeviceLost, Gap
from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.sinks.meter import Meter


def test_the_meter_shows_level_scores_thresholds_losses(tiny_bundle, words):
    terminal = io.StringIO()
    word = tiny_bundle.manifest.words[0]
    spotter = KeywordSpotter(tiny_bundle, thresholds={word: 0.5})
    meter = Meter(terminal, spotter, cpu_s=time.process_time)
    began = time.monotonic()

    def items():
        yield from blocks_of(words)
        yield DeviceLost("no sound for 3 s")
        meter.print_above("a line\n")
        yield DeviceBack("mic", 4.0)
        yield Gap(32_000, "device lost")

    events = hear(tiny_bundle, items(), meter)
    took_s = time.monotonic() - began
    pictures = re.split(r"\x1b\[J(?!a line)", terminal.getvalue())
    assert sum("a line\n" in picture for picture in pictures) == 1
    assert any("microphone lost: no sound for 3 s; trying to open it again" in picture for picture in pictures)
    last = pictures[-2]
    assert "microphone open" in last
    assert "lost 32000 samples (2.00 s) in 1 gaps" in last
    assert f"{word} " in last
    assert "fires from 0.5" in last
    assert " dB of full scale" in last
    assert "CPU" in last
    detection = [event for event in events if event["event"] == "detection"][-1]
    assert f"{detection['at_s']:.2f} s  {detection['label']}  {detection['score']:.2f}" in last
    assert len(pictures) <= 5 * took_s + 4  # five times a second, for a line, and at the end


def test_the_meter_shows_no_score_where_the_decision_has_no_mean_yet(tiny_bundle, words):
    spotter = KeywordSpotter(tiny_bundle)
    hop = tiny_bundle.manifest.inference_hop_samples
    meter = Meter(io.StringIO(), spotter, cpu_s=lambda: 0.0, clock=lambda: 0.0)
    means = []
    for block in [*blocks_of(words, hop)[:60], None, *blocks_of(words, hop)[60:70]]:
        if block is None:
            meter.put({"event": "gap", "lost_samples": 99 * hop, "reset": True})
            spotter.skip(99 * hop)
            assert not meter._scores.any()
        else:
            meter.watch(hear_sounds(spotter, block))
            means.append((spotter.last_smoothed[-1] if spotter.last_smoothed else None, meter._scores))
    shown = [scores for mean, scores in means if mean is not None]
    assert len(shown) > 40
    assert any(scores.max() > 0.5 for scores in shown)
    assert means[60][0] is None  # the first hop after the gap
    assert all(not scores.any() for mean, scores in means if mean is None)


def test_the_meter_needs_a_terminal(tiny_bundle, save_wav, words, tmp_path, capsys):
    path = save_wav(tmp_path / "a.wav", words)
    assert cli.main(["listen", str(tiny_bundle.path), "--wav", str(path), "--meter"]) == 2
    assert "--meter draws on a terminal" in capsys.readouterr().err
