"""Bundles that were changed at random, with a seed: one line or the same bundle, and never a crash of this process.

Bounded to about 40 seconds; ``KWSPOT_FUZZ`` multiplies the rounds.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kwspot.runtime.detect.spotter import KeywordSpotter
from kwspot.runtime.errors import BundleError, KwspotError
from kwspot.runtime.model.bundle import Bundle, load_bundle, sha256_of
from kwspot.runtime.model.golden import GoldenVectors

TIMES = int(os.environ.get("KWSPOT_FUZZ", "1"))

STRANGE: list[Any] = [
    None, True, False, 0, -1, 1, 3, 10**9, 10**30, 0.5, -0.0, 1e-300, 1e300, float("nan"), float("inf"), "", "x",
    "2", "../x", "/dev/zero", "a\nb", "a\0b", "\ud800", "\u202e", "yes", "_silence_", "x" * 5000, [], {}, [[]], [None],
    {"": {}}, [1.0] * 40, ["yes"] * 10, {"yes": 0.5}, "0" * 64,
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(load_bundle("tutorial").path, tmp_path / "mine.kws"))


def check_line(error: KwspotError) -> None:
    line = str(error)
    assert len(line.splitlines()) == 1, line
    assert len(line) < 1500, line
    line.encode()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a JSON tree, as the keys that lead there."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def mutate(values: dict[str, Any], rng: random.Random) -> None:
    # Lists of numbers are most of the places, so a place is chosen by its keys first.
    by_keys: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for place in places(values)[1:]:
        by_keys.setdefault(tuple("*" if isinstance(key, int) else key for key in place), []).append(place)
    *keys, last = rng.choice(rng.choice(list(by_keys.values())))
    holder: Any = values
    for key in keys:
        holder = holder[key]
    old, kind = holder[last], rng.randrange(5)
    if kind == 0 and isinstance(holder, dict):
        del holder[last]
    elif kind == 1 and isinstance(holder, dict):
        holder[rng.choice(["x", "", "../y", str(last) + "s", "\ud800"])] = old
    elif kind == 2 and isinstance(old, int | float):
        holder[last] = rng.choice([-old, old * 2, old * 1e9, old / 3, old + 1, str(old)])
    else:
        holder[last] = rng.choice(STRANGE)


def test_manifests(folder: Path) -> None:
    rng, refused = random.Random(1), 0
    text = (folder / "bundle.json").read_text()
    sound = np.zeros(20_000, np.int16)
    for _ in range(700 * TIMES):
        values = json.loads(text)
        for _ in range(rng.choice([1, 1, 1, 2, 5])):
            mutate(values, rng)
        (folder / "bundle.json").write_text(json.dumps(values))
        try:
            bundle = load_bundle(folder)
        except BundleError as error:
            check_line(error)
            refused += 1
            continue
        # What is accepted can be used: its text, its golden vectors, and to listen with.
        manifest = bundle.manifest
        assert json.loads(manifest.to_json(), parse_constant=pytest.fail)["labels"] == list(manifest.labels)
        for use in (GoldenVectors.of, lambda bundle: KeywordSpotter(bundle).push(sound)):
            try:
                use(bundle)
            except KwspotError as error:
                check_line(error)
    assert refused > 400 * TIMES


def test_texts(folder: Path) -> None:
    rng = random.Random(2)
    original = (folder / "bundle.json").read_bytes()
    for _ in range(400 * TIMES):
        content = bytearray(original)
        for _ in range(rng.choice([1, 2, 8])):
            at = rng.randrange(len(content))
            content[at : at + rng.choice([0, 1, 1, 30])] = rng.choice(
                [b"", b"\0", b"\xff", b"'", b"[" * 300, b"{", b"}", b"9" * 9, b"1e999", b"NaN", b"\\ud800", b"\\u0000"]
            )  # fmt: skip
        (folder / "bundle.json").write_bytes(content)
        try:
            load_bundle(folder)
        except BundleError as error:
            check_line(error)


def test_arrays(folder: Path) -> None:
    rng = random.Random(3)
    original = (folder / "golden.npz").read_bytes()
    bundle = load_bundle(folder)
    with zipfile.ZipFile(io.BytesIO(original)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for number in range(250 * TIMES):
        if number % 2:  # the zip file itself
            changed = bytearray(original)
            for _ in range(rng.choice([1, 3, 20])):
                # Most faults are in the directory at its end and in the local headers.
                end = len(changed)
                near = rng.choice([end - rng.randrange(1, 700), rng.randrange(end), rng.randrange(90)])
                changed[near] = rng.randrange(256)
            content = bytes(changed)
        else:  # its members
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                for name, member in members.items():
                    data = bytearray(member)
                    if rng.random() < 0.5:
                        at = rng.randrange(min(128, len(data)))
                        data[at : at + rng.choice([0, 1])] = rng.choice([b"", b"\0", b"9", b"(", b"O", b"'", b"\xff"])
                    if rng.random() < 0.1:
                        data = data[: rng.randrange(len(data))]
                    archive.writestr(name if rng.random() < 0.9 else f"../{name}", data)
            content = buffer.getvalue()
        (folder / "golden.npz").write_bytes(content)
        manifest = dataclasses.replace(bundle.manifest, golden_sha256=sha256_of(content))
        try:
            GoldenVectors.of(Bundle(folder, manifest, bundle.hash))
        except BundleError as error:
            check_line(error)


CHILD = """
import sys
import numpy as np
from kwspot.runtime.detect.scoring import Scoring
from kwspot.runtime.errors import KwspotError
from kwspot.runtime.model.bundle import load_bundle
from kwspot.runtime.model.engines import open_engine
for folder in sys.argv[1:]:
    print(folder, flush=True)
    try:
        bundle = load_bundle(folder)
        Scoring(bundle, open_engine(bundle, "litert")).push(np.zeros(16_000, np.int16))
    except KwspotError as error:
        assert len(str(error).splitlines()) == 1, error
print("done", flush=True)
"""


def _mutated_models(folder: Path, count: int) -> list[Path]:
    rng, made = random.Random(4), []
    original = (folder / "model.int8.tflite").read_bytes()
    # Tables and vectors lie around the weights: words that are small numbers, as offsets, counts and indices are.
    words = [at for at in range(0, len(original) - 4, 4) if 0 < struct.unpack_from("<I", original, at)[0] < 4096]
    for number in range(count):
        changed = bytearray(original)
        for _ in range(rng.choice([1, 1, 2, 4])):
            struct.pack_into("<I", changed, rng.choice(words), rng.choice([0, 1, 2, 5, 77, 4096, 2**31 - 1, 2**32 - 1]))
        target = folder.parent / f"model-{number}.kws"
        shutil.copytree(folder, target)
        (target / "model.int8.tflite").write_bytes(changed)
        values = json.loads((target / "bundle.json").read_text())
        values["models"]["int8-tflite"]["sha256"] = sha256_of(bytes(changed))
        (target / "bundle.json").write_text(json.dumps(values))
        made.append(target)
    return made


def test_models_in_a_child_process(folder: Path) -> None:
    """A crash of native code ends the child and is counted; Python never ends it with a traceback."""
    left, crashes = [str(path) for path in _mutated_models(folder, 60 * TIMES)], []
    while left:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, *left], capture_output=True, text=True, timeout=120, check=False
        )
        begun = done.stdout.splitlines()
        if begun[-1] == "done":
            break
        assert done.returncode < 0, done.stderr  # a signal, and no traceback
        crashes.append(begun[-1])
        left = left[left.index(begun[-1]) + 1 :]
    assert len(crashes) < 20 * TIMES, crashes


def test_the_child_hears_what_it_should(folder: Path) -> None:
    """The fuzzed path is the one that listens: without a mutation it ends well."""
    done = subprocess.run([sys.executable, "-c", CHILD, folder], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(folder), "done"]
