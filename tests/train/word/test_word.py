"""``kwspot word``: what it makes of phrases, recordings and negatives, and how it goes on after ``kill -9``."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from tones import RATE_HZ, tone_clip

from kwspot.runtime import cli
from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.audio.wav import write_wav
from kwspot.runtime.errors import ConfigError, DataFolderError
from kwspot.runtime.model.bundle import Bundle, load_bundle
from kwspot.train.experiments import words_folder
from kwspot.train.speech.espeak import Synthesiser, espeak_voices
from kwspot.train.speech.phonemes import NEAREST, confusables, distance, parts, phonemes_of
from kwspot.train.speech.phrases import LONGEST_CLIP_MS, check_length, check_writing, clip_ms, tidy_phrase
from kwspot.train.speech.programs import Voice, program_voices
from kwspot.train.speech.voices import VoiceSet, voice_set
from kwspot.train.word.mining import mine
from kwspot.train.word.noise import draw_room_noise
from kwspot.train.word.plan import Plan, WordSettings
from kwspot.train.word.script import speak_all, utterances
from kwspot.train.word.sources import is_for_calibration, negative_sounds, negative_speaker, recorded_utterances
from kwspot.train.word.state import open_work
from kwspot.train.word.steps import Step, Steps, work_through

SMALL = """
[word]
utterances = 24
programs_share = 0.0
confusables = 8
utterances_of_confusable = 3
utterances_of_word = 0
sentences = 10
foreign_sentences = 7
verifier_passes = 1
start = "scratch"

[features]
mel_bands = 20
coefficients = 20

[model]
name = "tc-cnn"
front = 4
bands = 4
pictures = 1
channels = 16
blocks = 1

[data]
unknown_share = 2.0

[training]
epochs = 40
batch_size = 16
"""


def word(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "kwspot.runtime.cli", "word", *map(str, arguments)]


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a refused command says."""
    assert cli.main(["word", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err.strip().splitlines()[-1]


def sound(path: Path, seconds: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, tone_clip("low", np.random.default_rng(1), samples=int(seconds * RATE_HZ)), RATE_HZ)
    return path


def _take_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background has it ignored


def test_a_killed_word_goes_on_where_it_was(tmp_path: Path) -> None:
    config, bundle = tmp_path / "small.toml", tmp_path / "computer.kws"
    config.write_text(SMALL)
    command = word("computer", "--bundle", bundle, "--config", config, "--target-fa-per-hour", "5000")
    work = tmp_path / "computer.kws.work"
    checkpoint = work / "run" / "checkpoint" / "state.npz"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as first:
        until = time.monotonic() + 300
        while not checkpoint.is_file() and time.monotonic() < until:
            assert first.poll() is None
            time.sleep(0.05)
        busy = subprocess.run(command, capture_output=True, text=True, check=False)
        first.send_signal(signal.SIGKILL)
    assert busy.returncode == 2
    assert "is being changed by 'kwspot word, process" in busy.stderr
    assert not (work / "run" / "metrics.json").exists()
    spoken = (work / "sounds" / "data" / "synth.json").stat().st_mtime_ns
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=_take_ctrl_c) as second:
        told = ""
        while "[3/7]" not in told:  # the training has gone on to its end
            line = second.stderr.readline()
            assert line, told
            told += line
        second.send_signal(signal.SIGINT)
        rest = second.stderr.read()
    assert second.returncode == 130
    assert "[1/7] speak: done" in told
    assert "[2/7] train, going on; about" in told
    assert "epoch  1/40" not in told  # the epochs that had ended are not trained again
    assert (
        rest.strip().splitlines()[-1].startswith("kwspot: stopped; go on with the same command: kwspot word computer")
    )
    assert "--resume" not in rest
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (work / "sounds" / "data" / "synth.json").stat().st_mtime_ns == spoken
    assert "[2/7] train: done" in done.stderr
    assert "are not to be trusted" in done.stderr
    assert "round" not in done.stderr
    assert "{'" not in done.stderr
    assert "are synthesised: people will be missed more often" in done.stderr
    assert done.stdout == f"written: {bundle}; listen with: kwspot listen {bundle}\n"
    assert {path.name for path in work.rglob("*.kws")} == {"computer.kws"}
    manifest = load_bundle(bundle).manifest
    assert manifest.kind == "stream"
    assert manifest.labels == ("computer", "_unknown_", "_silence_")
    assert set(manifest.decision.thresholds) == {"computer"}
    assert manifest.verifier is not None

    folder = DataFolder(work / "sounds" / "data")
    voices = {part: {clip.speaker for clip in folder.clips(part)} for part in ("train", "validation")}
    timbres = {part: {name.split("-")[-2] for name in names} for part, names in voices.items()}
    assert timbres["validation"]
    assert not timbres["train"] & timbres["validation"]

    again = [*command, "--overwrite", "--target-fa-per-hour", "4000"]
    other = subprocess.run(again, capture_output=True, text=True, check=False)
    assert other.returncode == 0, other.stderr
    assert "[6/7] verifier again: done" in other.stderr
    assert "[7/7] calibrate, again with target_fa_per_hour (5000.0, now 4000.0)" in other.stderr


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = tmp_path / "x.kws"
    assert "espeak-ng speaks no language 'klingonese'; expected one of af, " in refused(
        capsys, "computer", "--bundle", bundle, "--language", "klingonese"
    )
    assert "'know' and 'no' sound the same" in refused(capsys, "know", "no", "--bundle", bundle)
    assert "has no letters to speak" in refused(capsys, "1 2", "--bundle", bundle)
    assert "is no folder" in refused(capsys, "computer", "--bundle", bundle, "--negatives", tmp_path / "no")
    sound(tmp_path / "mine" / "computer" / "ann_nohash_0.wav")
    assert "has 1 recordings of 'computer'; expected 5 or more" in refused(
        capsys, "computer", "--bundle", bundle, "--recordings", tmp_path / "mine"
    )
    assert "_x.kws' cannot be the name of a bundle: it begins with '_'" in refused(
        capsys, "computer", "--bundle", tmp_path / "_x.kws"
    )
    config = tmp_path / "bad.toml"
    config.write_text("[word]\nuterances = 3\n")
    assert "did you mean utterances?" in refused(capsys, "computer", "--bundle", bundle, "--config", config)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    assert "was not made by this kwspot word" in refused(
        capsys, "computer", "--bundle", bundle, "--work", tmp_path / "full"
    )
    bundle.mkdir()
    assert "exists; expected a new folder" in refused(capsys, "computer", "--bundle", bundle)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.toml", "full", "mine", "x.kws"]


SOUNDS = some.lists(some.sampled_from(["a", "iː", "t", "d", "s", "ə"]), max_size=6).map(tuple)


@given(SOUNDS, SOUNDS)
def test_distance_is_a_distance(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert distance(one, other) == pytest.approx(distance(other, one))
    assert (distance(one, other) == 0) == (one == other)


def test_like_sounds_are_nearer() -> None:
    cat = phonemes_of("kˈæt")
    assert distance(cat, phonemes_of("kˈæd")) < distance(cat, phonemes_of("kˈæs")) < distance(cat, phonemes_of("kˈæi"))


@pytest.mark.parametrize("utterance_ms", [300, 850, 851, 900, 1200, 1777, 2500, 5000])
def test_a_clip_fits_the_utterances_and_the_stride_of_the_stream(utterance_ms: float) -> None:
    from kwspot.train.config.config import load_preset

    chosen = clip_ms(np.full(30, float(utterance_ms)))
    assert 1000 <= chosen <= LONGEST_CLIP_MS
    assert chosen >= min(utterance_ms, LONGEST_CLIP_MS)
    config = load_preset("word")
    frames = dataclasses.replace(config, data=dataclasses.replace(config.data, clip_ms=chosen)).frames
    assert frames % 2 == 1  # 3 frames, then 3 in steps of two: none is left over


def test_confusable_phrases_are_near_but_not_the_phrase() -> None:
    synthesiser = Synthesiser()
    found = confusables(["hey jarvis"], ["hay", "service", "harvest", "way"], 40, synthesiser, "en-us")
    texts = [text for text, _ in found]
    assert set(parts("hey jarvis")) - {"hey"} <= set(texts)  # "hey" sounds like "hay", one of them is enough
    assert "hey" in texts or "hay" in texts
    target = phonemes_of(synthesiser.phonemes("hey jarvis", "en-us"))
    sounds = [phonemes_of(synthesiser.phonemes(text, "en-us")) for text in texts]
    assert len(set(sounds)) == len(sounds)
    assert min(distance(said, target) for said in sounds) >= NEAREST


def test_negatives_are_split_by_speaker(tmp_path: Path) -> None:
    for reader in range(20):
        for chapter in range(2):
            sound(tmp_path / "speech" / f"{reader}-{chapter}-0000.wav")
    sound(tmp_path / "words" / "hey_computer" / "ann_nohash_0.wav")
    sound(tmp_path / "words" / "_background_noise_" / "fan.wav")
    right, wrong = (sound(tmp_path / "saved" / "hey computer" / f"e{k}_nohash_0.wav") for k in range(2))
    right.with_suffix(".json").write_text('{"mark": "right"}')
    wrong.with_suffix(".json").write_text('{"mark": "wrong"}')
    sounds, noise = negative_sounds(tmp_path, ["hey computer"])
    assert wrong in sounds
    assert len(sounds) == 41  # not the phrase itself, not what was right, not the noise
    assert [path.name for path in noise] == ["fan.wav"]
    sides: dict[str, set[bool]] = {}
    for path in sounds:
        sides.setdefault(negative_speaker(path), set()).add(is_for_calibration(path))
    assert all(len(side) == 1 for side in sides.values())
    assert {True, False} <= {next(iter(side)) for side in sides.values()}
    with pytest.raises(DataFolderError, match="holds no recording without the phrase, but 1 of hey computer"):
        negative_sounds(tmp_path / "words" / "hey_computer", ["hey computer"])


def test_recordings_of_one_speaker_in_five_are_held_out(tmp_path: Path) -> None:
    for speaker in range(10):
        for utterance in range(2):
            sound(tmp_path / "computer" / f"s{speaker}_nohash_{utterance}.wav")
    utterances = recorded_utterances(tmp_path, ["computer"])
    assert {utterance.speaker for utterance in utterances if utterance.held_out} == {"s0", "s5"}
    (tmp_path / "computer" / "s3_nohash_9.wav").write_bytes(b"RIFF")
    with pytest.raises(DataFolderError, match="has a recording that cannot be used"):
        recorded_utterances(tmp_path, ["computer"])


def test_what_fires_is_mined(stream_bundle: Bundle, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    loud = np.concatenate([tone_clip("_silence_", rng), tone_clip("low", rng), tone_clip("_silence_", rng)])
    write_wav(tmp_path / "7-1-0000.wav", loud, RATE_HZ)
    write_wav(tmp_path / "8-1-0000.wav", np.zeros(3 * RATE_HZ, np.int16), RATE_HZ)
    target = tmp_path / "mined"
    target.mkdir()
    sounds = sorted(tmp_path.glob("*.wav"))
    found = mine(stream_bundle.path, sounds, target, threshold=0.5, most=5, clip_ms=1000, seed=1)
    assert found.seconds == pytest.approx(6)
    assert found.clips == 1
    assert [path.name for path in target.iterdir()] == ["mined-7_nohash_0.wav"]


def program(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!{sys.executable}\n{script}")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def only_on_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PATH", str(folder))


def test_a_program_that_speaks_is_found_and_its_failure_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_on_path(monkeypatch, tmp_path)
    assert program_voices("en") == []
    program(
        tmp_path,
        "pico2wave",
        "import sys, wave\n"
        "if 'mute' in sys.argv[-1]: sys.exit('no voice today')\n"
        "file = wave.open(sys.argv[sys.argv.index('-w') + 1], 'wb')\n"
        "file.setnchannels(1); file.setsampwidth(2); file.setframerate(16000)\n"
        "file.writeframes(bytes(3200) + b'\\0\\x20' * 1600 + bytes(3200))\n",
    )
    assert [voice.name for voice in program_voices("de")] == ["pico-de-DE"]
    assert program_voices("fi") == []
    british = program_voices("en")[1]
    assert len(british.speak("computer", np.random.default_rng(1))) == 1600  # without the silence around it
    with pytest.raises(ConfigError, match=r"pico2wave cannot speak 'mute' \(status 1: no voice today\)"):
        british.speak("mute", np.random.default_rng(1))


@pytest.mark.skipif(not shutil.which("festival") or not shutil.which("flite"), reason="needs flite and festival")
def test_festival_and_flite_speak() -> None:
    voices = {voice.name: voice for voice in program_voices("en")}
    assert {"flite-slt", "festival-kal_diphone"} <= set(voices)
    for name in ("flite-slt", "festival-kal_diphone"):
        for text in ("computer", 'say "stop") (exit)'):
            said = voices[name].speak(text, np.random.default_rng(1))
            assert 0.2 < len(said) / RATE_HZ < 4


def test_mbrola_speaks_with_those_that_are_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "mbrola", "")
    listed = " 5 en-us --/F us-mbrola-1 mb/mb-us1 (en 8)", " 9 en --/M en-german-4 mb/mb-de4-en", " 2 en --/M x gmw/en"
    program(tmp_path, "espeak-ng", f"print({chr(10).join(listed)!r})")
    only_on_path(monkeypatch, tmp_path)
    monkeypatch.setattr("kwspot.train.speech.programs._MBROLA_ROOT", tmp_path / "mbrola-voices")
    assert program_voices("en") == []
    (tmp_path / "mbrola-voices/de4").mkdir(parents=True)
    assert [voice.name for voice in program_voices("en")] == ["mbrola-de4-en"]
    (tmp_path / "mbrola-voices/us1").mkdir()
    assert [voice.name for voice in program_voices("en")] == ["mbrola-de4-en", "mbrola-us1"]


def test_rhvoice_speaks_with_those_of_the_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(
        tmp_path,
        "RHVoice-test",
        "import sys, wave\n"
        "said = sys.stdin.read()\n"
        "assert said == 'computer', said\n"
        "assert sys.argv[1:3] == ['-p', 'alan'], sys.argv\n"
        "file = wave.open(sys.argv[sys.argv.index('-o') + 1], 'wb')\n"
        "file.setnchannels(1); file.setsampwidth(2); file.setframerate(24000)\n"
        "file.writeframes(bytes(3200) + b'\\0\\x20' * 2400 + bytes(3200))\n",
    )
    only_on_path(monkeypatch, tmp_path)
    monkeypatch.setattr("kwspot.train.speech.programs._RHVOICE_ROOT", tmp_path / "voices")
    for name, language in (("alan", "English"), ("anna", "Russian"), ("slt", "English")):
        (tmp_path / "voices" / name).mkdir(parents=True)
        (tmp_path / "voices" / name / "voice.info").write_text(f"name={name.title()}\nlanguage={language}\n")
    assert [voice.name for voice in program_voices("en")] == ["rhvoice-alan", "rhvoice-slt"]
    assert [voice.name for voice in program_voices("ru")] == ["rhvoice-anna"]
    assert program_voices("de") == []
    said = program_voices("en")[0].speak("computer", np.random.default_rng(1))
    assert abs(len(said) - 1600) < 160  # at 16 kHz, without the silence around it


def test_noise_sounds_like_the_quiet_parts_of_a_recording() -> None:
    rng = np.random.default_rng(3)
    hum = 40 * np.sin(2 * np.pi * 500 * np.arange(3 * RATE_HZ) / RATE_HZ)
    said = hum.copy()
    said[RATE_HZ : 2 * RATE_HZ] += 9_000 * np.sin(2 * np.pi * 3_000 * np.arange(RATE_HZ) / RATE_HZ)
    noise = draw_room_noise(said.astype(np.int16), rng)
    power = np.abs(np.fft.rfft(noise)) ** 2
    at_hz = np.fft.rfftfreq(len(noise), 1 / RATE_HZ)
    assert power[np.abs(at_hz - 500) < 100].sum() > 0.9 * power.sum()
    assert power[np.abs(at_hz - 3_000) < 200].sum() < 0.01 * power.sum()
    # Steady: no tenth of a second is much louder than another.
    blocks = np.sqrt(np.mean(noise[: len(noise) // 1_600 * 1_600].reshape(-1, 1_600).astype(float) ** 2, axis=1))
    assert blocks.max() < 3 * blocks.min()
    assert len(draw_room_noise(np.zeros(RATE_HZ, np.int16), rng)) == 0
    assert len(draw_room_noise(np.ones(100, np.int16), rng)) == 0


def test_voices_left_out_are_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    only_on_path(monkeypatch, tmp_path)
    program(tmp_path, "pico2wave", "")
    synthesiser = Synthesiser()
    assert voice_set(synthesiser, "en", 1).program_names == ["pico-en-GB", "pico-en-US"]
    assert voice_set(synthesiser, "en", 1, ["pico-en-US"]).program_names == ["pico-en-GB"]
    german = voice_set(synthesiser, "de", 1)
    assert all(voice.name.startswith("espeak-de-") for voice in (*german.espeak, *german.held_out_espeak))


@pytest.mark.parametrize("name", ["commands", "words"])
def test_a_training_begins_with_the_shipped_weights(name: str) -> None:
    from kwspot.runtime.errors import RunError
    from kwspot.train.config.config import load_preset
    from kwspot.train.fit.pretrained import load_into, read_start
    from kwspot.train.models.registry import training_form

    config = load_preset("word")
    start = read_start(name)
    model = training_form(config.model.name, config.frames, config.features.coefficients, 3, **config.model.options)
    before = {layer.name: [weights.copy() for weights in layer.get_weights()] for layer in model.layers}
    assert load_into(model, start) == ["scores"]
    taken = model.get_layer("mix").get_weights()[0]
    np.testing.assert_array_equal(taken, start.weights["mix/0"])
    np.testing.assert_array_equal(model.get_layer("scores").get_weights()[0], before["scores"][0])
    shipped = json.loads((Path(load_bundle("commands").path) / "bundle.json").read_text())
    assert start.normalisation.to_dict() == shipped["normalisation"]
    with pytest.raises(RunError, match="has no layer of the model"):
        load_into(training_form("perceptron", 49, 40, 3), start)


def test_the_folder_of_words_is_spoken_and_recorded(
    tone_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words_folder, "read_vocabulary", lambda: ["high", "low", "sea", "see"])
    assert words_folder.main([str(tmp_path / "words"), "--recordings", str(tone_folder), "--utterances", "16"]) == 0
    folder = DataFolder(tmp_path / "words")
    assert folder.words == ("high", "low", "sea")  # "see" sounds like "sea"
    recorded = DataFolder(tone_folder)
    for part in ("train", "validation"):
        names = {clip.path.name for clip in recorded.clips(part, ["high"])}
        assert names < {clip.path.name for clip in folder.clips(part, ["high"])}
    voices_of = {part: {clip.speaker for clip in folder.clips(part)} for part in ("train", "validation")}
    assert not voices_of["train"] & voices_of["validation"]
    assert not any(name.startswith(("mbrola", "festival")) for names in voices_of.values() for name in names)
    assert len(folder.clips("validation", ["sea"])) == 2
    assert any(path.name.startswith("rooms") for path in folder.noise_files)


def test_what_was_spoken_before_a_kill_is_not_spoken_again(tmp_path: Path) -> None:
    spoken: list[str] = []
    most = [25]

    def speak(text: str, rng: np.random.Generator) -> np.ndarray:
        if len(spoken) == most[0]:
            raise KeyboardInterrupt
        spoken.append(text)
        return rng.integers(-9_000, 9_000, int(rng.integers(2_000, 9_000))).astype(np.int16)

    voices = [Voice(f"voice-{k}", str(k), speak) for k in range(3)]
    voices_of = {"": VoiceSet(espeak=voices[1:], programs=[], held_out_espeak=voices[:1], held_out_programs=[])}

    def speak_to(folder: Path, cache: Path, *texts: str) -> tuple[np.ndarray, dict[str, bytes]]:
        script = list(utterances(folder, texts, 30, each=True))
        lengths = speak_all(script, voices_of, 0.5, 1, cache)
        return lengths, {path.name: path.read_bytes() for path in folder.iterdir()}

    with pytest.raises(KeyboardInterrupt):
        speak_to(tmp_path / "cut", tmp_path / "spoken", "one", "two")
    kept = len(list((tmp_path / "spoken").glob("*.wav")))
    assert 20 <= kept <= 25
    spoken.clear()
    most[0] = 10_000  # no more kills
    lengths, files = speak_to(tmp_path / "whole", tmp_path / "spoken", "one", "two")
    assert len(spoken) == len(lengths) - kept == 70 - kept
    again_lengths, again = speak_to(tmp_path / "at once", tmp_path / "another", "one", "two")
    assert again == files
    np.testing.assert_array_equal(again_lengths, lengths)
    assert 2_000 <= lengths.min() * RATE_HZ <= lengths.max() * RATE_HZ < 9_000
    # Another text in the same place is another sound, and what is not needed any more goes.
    spoken.clear()
    speak_to(tmp_path / "changed", tmp_path / "spoken", "one", "three")
    assert set(spoken) == {"three"}
    assert len(list((tmp_path / "spoken").iterdir())) == 70


def a_plan(**changes: object) -> Plan:
    plan = Plan(("low",), "en", 1, WordSettings(verifier_passes=0), {}, None, (), 0.5)
    return dataclasses.replace(plan, **changes)


def do_steps(work: Path, did: list[str], *, cut: str = "", **inputs: int) -> None:
    """Three steps that each write a file; `cut` is one that is interrupted."""

    def step(name: str) -> Step:
        def do() -> None:
            did.append(name)
            (work / name).mkdir(exist_ok=True)
            (work / name / f"part {len(list((work / name).iterdir()))}").touch()
            if name == cut:
                raise KeyboardInterrupt

        return Step(name, 10.0, {"setting": inputs.get(name, 0)}, [work / name], do)

    with open_work(a_plan(), work) as state:
        work_through([step("speak"), step("train"), step("export")], state)


def test_a_changed_setting_does_again_what_depends_on_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work, did = tmp_path / "work", []
    do_steps(work, did)
    assert did == ["speak", "train", "export"]
    do_steps(work, did)
    assert did == ["speak", "train", "export"]
    assert "[3/3] export: done" in capsys.readouterr().err
    do_steps(work, did, train=1)
    assert did[3:] == ["train", "export"]
    assert "[2/3] train, again with setting (0, now 1); about" in capsys.readouterr().err
    assert len(list((work / "train").iterdir())) == 1  # from nothing, not into what was made otherwise
    shutil.rmtree(work / "export")
    do_steps(work, did, train=1)
    assert did[5:] == ["export"]
    assert "export again, since what it made is gone" in capsys.readouterr().err


def test_an_interrupted_step_goes_on_with_what_it_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work, did = tmp_path / "work", []
    with pytest.raises(KeyboardInterrupt):
        do_steps(work, did, cut="train")
    (work / ".half-made").mkdir()  # as kill -9 leaves it
    do_steps(work, did)
    assert did == ["speak", "train", "train", "export"]
    assert "[2/3] train, going on; about" in capsys.readouterr().err
    assert len(list((work / "train").iterdir())) == 2
    assert not (work / ".half-made").exists()
    with pytest.raises(KeyboardInterrupt):
        do_steps(work, did, cut="train", train=2)
    do_steps(work, did)  # the earlier setting again: nothing of the other one is left
    assert len(list((work / "train").iterdir())) == 1


def test_the_estimate_does_not_swing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A first step that is over at once says little of how long the others take."""
    work = tmp_path / "work"
    steps = [Step(name, 60.0, {}, [], lambda: None) for name in ("a", "b", "c", "d")]
    with open_work(a_plan(), work) as state:
        work_through(steps, state)
    told = re.findall(r"about (.*) left", capsys.readouterr().err)
    assert told == ["4 minutes", "3 minutes", "2 minutes", "a minute"]


def test_a_folder_of_other_work_is_refused(tmp_path: Path) -> None:
    with open_work(a_plan(), tmp_path / "work"):
        pass
    with (
        pytest.raises(ConfigError, match=r"holds work for another phrase: phrases .*; name another --work"),
        open_work(a_plan(phrases=("high",)), tmp_path / "work"),
    ):
        pass
    (tmp_path / "work" / "state.json").write_text("{}")
    with (
        pytest.raises(ConfigError, match="is not what this kwspot word writes"),
        open_work(a_plan(), tmp_path / "work"),
    ):
        pass


def test_what_cannot_be_calibrated_is_written_all_the_same(
    tmp_path: Path, stream_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kwspot.runtime.child import CommandFailed
    from kwspot.train.word import steps as word_steps

    def failing(*arguments: str, **options: object) -> None:
        raise CommandFailed("kwspot calibrate", 2)

    monkeypatch.setattr(word_steps, "kwspot", failing)
    bundle = tmp_path / "low.kws"
    shutil.copytree(stream_bundle.path, tmp_path / "work" / "first-stage" / "low.kws")
    steps = Steps(a_plan(), tmp_path / "work", bundle, overwrite=False)
    calibrate = next(step for step in steps.list() if step.name == "calibrate")
    with pytest.raises(CommandFailed):
        calibrate.do()
    assert load_bundle(bundle).manifest == stream_bundle.manifest
    assert f"{bundle} was written, but not calibrated" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("phrase", "language", "message"),
    [
        ("你好", "en", "Chinese.*--language cmn or yue or zh"),
        ("你好", "ja", "Chinese.*--language cmn"),
        ("привет", "en", "Cyrillic.*--language ru or uk"),
        ("γεια", "de", "Greek.*--language el"),
        ("안녕", "en-us", "Hangul.*--language ko"),
        ("hello привет", "en", "the letter 'п'"),
        ("robot 🤖", "en", "has the sign '🤖'"),
        ("what's up?", "en", r"has the sign '\?'"),
        ("¿qué tal?", "es", r"has the sign '¿', '\?'"),
        ("a/b", "en", "has the sign '/'"),
        ("at & t", "en", "has the sign '&'"),
        ("bell\a", "en", "has the sign"),
        ("x" * 300, "en", "cannot be the name"),
    ],
)
def test_a_phrase_that_would_be_spelt_out_is_refused(phrase: str, language: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_writing(tidy_phrase(phrase), language)


@pytest.mark.parametrize(
    ("phrase", "language"),
    [("你好", "cmn"), ("こんにちは", "ja"), ("привет", "ru"), ("привет", "ru-lv"), ("computer", "ru"), ("नमस्ते", "hi")],
)
def test_a_phrase_in_its_own_script_is_taken(phrase: str, language: str) -> None:
    check_writing(tidy_phrase(phrase), language)


@pytest.mark.parametrize("phrase", ["ok, google!", "what's up", "wi-fi", "schöner tag", "agent 47", "l·l"])
def test_a_phrase_with_signs_that_are_not_spoken_is_taken(phrase: str) -> None:
    check_writing(tidy_phrase(phrase), "en")


def test_a_phrase_that_is_too_long_is_told_how_many_words_fit() -> None:
    voices = voice_set(Synthesiser(), "en", 1)
    check_length("hey computer turn on the light", voices, 1)
    with pytest.raises(
        ConfigError, match=r"takes about \d\.\d s to say; expected 2.85 s .* about [67] of its 8 words fit"
    ):
        check_length("hey computer please turn on the kitchen light", voices, 1)


def test_how_a_phrase_will_be_spoken_is_told_and_can_be_heard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["word", "hey computer", "--bundle", str(tmp_path / "x.kws"), "--listen-first", str(tmp_path / "hear")]
    assert cli.main(command) == 0
    printed = capsys.readouterr()
    assert "'hey computer' will be spoken hˈeɪ kəmpjˈuːtə" in printed.err
    assert "go on without --listen-first" in printed.out
    sounds = sorted((tmp_path / "hear").iterdir())
    assert len(sounds) == 6
    assert all(path.name.startswith("hey computer ") and path.stat().st_size > 8_000 for path in sounds)
    assert [path.name for path in tmp_path.iterdir()] == ["hear"]


@pytest.mark.parametrize("folder", ["ok google", "Ok_Google", "okgoogle/ann", "x/OK, Google!/deep/er"])
def test_recordings_of_the_phrase_are_no_negatives(folder: str, tmp_path: Path) -> None:
    sound(tmp_path / "negatives" / folder / "a.wav")
    sound(tmp_path / "negatives" / "speech" / "b.wav")
    sounds, _ = negative_sounds(tmp_path / "negatives", ["ok, google!"])
    assert [path.name for path in sounds] == ["b.wav"]
    for number in range(5):
        sound(tmp_path / "mine" / folder / f"ann_nohash_{number}.wav")
    assert {found.phrase for found in recorded_utterances(tmp_path / "mine", ["ok, google!"])} == {"ok, google!"}


def test_names_are_compared_composed(tmp_path: Path) -> None:
    phrase = tidy_phrase("scho\u0308ner tag")
    sound(tmp_path / unicodedata.normalize("NFD", phrase) / "a.wav")
    sound(tmp_path / "other" / "b.wav")
    assert [path.name for path in negative_sounds(tmp_path, [phrase])[0]] == ["b.wav"]


def test_a_phrase_with_a_comma_is_one_of_the_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for speaker in range(12):
        for name in ("ok, google", "no"):
            sound(tmp_path / "data" / name / f"s{speaker}_nohash_0.wav")
    command = ["train", "--data", str(tmp_path / "data"), "--preset", "conv2", "--run", str(tmp_path / "run")]
    assert cli.main([*command, "--words", "ok, google"]) == 2
    assert "ok, google alone cannot be told from anything" in capsys.readouterr().err


def test_every_language_is_spoken_by_all_its_voices() -> None:
    """What a voice is called is not always the language it names first: "fr-fr" and "pt-pt" are nobody's name."""
    synthesiser = Synthesiser()
    languages = re.findall(r"[a-z]+", str(refusal(synthesiser)).partition("expected one of ")[2])
    assert len(languages) > 90
    silent = []
    for language in languages:
        for accent in synthesiser.accents(language):
            voice = dataclasses.replace(espeak_voices(1, 1, [accent])[0], rate_wpm=160)
            if len(synthesiser.speak("mama 1 2 3", voice)) < RATE_HZ // 10:
                silent.append(accent)
    assert not silent


def refusal(synthesiser: Synthesiser) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        synthesiser.accents("klingonese")
    return refused.value
