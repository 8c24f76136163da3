"""The main job from nothing: words are synthesised, a network is trained, quantised, measured, and listens.

python examples/demo.py FOLDER      everything it makes goes there
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from stream import stream_of_clips

from kwspot.runtime.child import kwspot_command

WORDS = ["computer", "kettle", "lamp", "music", "window"]


def show_command(command: str) -> None:
    """Print a command as it is typed, bold on a terminal."""
    line = f"$ {command}"
    print(f"\n\033[1m{line}\033[0m" if sys.stdout.isatty() else f"\n{line}", flush=True)


def kwspot(*arguments: object) -> str:
    """Run one command of the kit as a person would type it; returns its standard output."""
    show_command(f"kwspot {' '.join(map(str, arguments))}")
    return subprocess.run(kwspot_command(*map(str, arguments)), check=True, stdout=subprocess.PIPE, text=True).stdout


def main(folder: Path) -> None:
    """Data, run, bundle, numbers, detections."""
    began = time.monotonic()
    data, run, bundle, stream = (folder / name for name in ("words", "run", "demo.kws", "stream.raw"))
    kwspot("data", "synth", *WORDS, "--to", data, "--per-word", 120, "--overwrite")
    kwspot("train", "--data", data, "--preset", "ds-cnn", "--epochs", 12, "--run", run, "--overwrite")
    kwspot("export", run, "--bundle", bundle, "--overwrite")
    options = ("--data", data, "--part", "test", "--run", run, "--json", folder / "accuracy.json")
    print(kwspot("bench", "accuracy", bundle, *options), end="")
    print(kwspot("bench", "latency", bundle, "--json", folder / "latency.json"), end="")

    sound, words = stream_of_clips(data, 15)
    stream.write_bytes(sound.astype("<i2").tobytes())
    show_command(f"kwspot listen {bundle} --stdin < {stream}")
    with stream.open("rb") as file:
        output = subprocess.run(
            kwspot_command("listen", str(bundle), "--stdin"),
            stdin=file,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
    print(output, end="")
    heard = [event for event in map(json.loads, output.splitlines()) if event["event"] == "detection"]
    right = sum(any(e["label"] == word and end - 1 < e["at_s"] < end + 0.5 for e in heard) for end, word in words)
    print(
        f"\n{right} of {len(words)} words of voices that training never heard were detected, with {len(heard)} events, "
        f"by an int8 network.\nEverything is in {folder}; it took {time.monotonic() - began:.0f} s."
    )
    if right < len(words) / 2:
        raise SystemExit("most words were missed: this is a defect, not a matter of luck")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
