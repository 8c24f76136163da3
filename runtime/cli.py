"""The one program. It knows its subcommands by module name and loads a room only when its command is typed."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Callable, Sequence

from kwspot.runtime.errors import expected_one_of
from kwspot.runtime.standard_streams import escape_unprintable, repair, say

COMMANDS = {
    "data": ("kwspot.train.data.cli", "download, check or synthesise recordings"),
    "train": ("kwspot.train.cli", "train a model on a folder of recordings"),
    "compare": ("kwspot.train.fit.compare", "show several training runs side by side"),
    "export": ("kwspot.export.cli", "quantise a run to int8 TFLite and ONNX and write a bundle"),
    "verifier": ("kwspot.train.word.verifier_cli", "add a second stage to a bundle that checks every candidate"),
    "word": ("kwspot.train.word.cli", "make a bundle that detects phrases you type"),
    "calibrate": ("kwspot.export.calibrate.cli", "choose a bundle's thresholds by false accepts per hour"),
    "bench": ("kwspot.benchmarks.cli", "measure accuracy and latency of a bundle"),
    "listen": ("kwspot.runtime.listen.cli", "detect words in files, on standard input or from a microphone"),
    "record": ("kwspot.runtime.record.cli", "record utterances of a word from the microphone"),
    "devices": ("kwspot.runtime.board.lists:list_devices", "list the machine's microphones"),
    "doctor": ("kwspot.runtime.board.doctor", "look for what is wrong with this machine"),
    "bundles": ("kwspot.runtime.board.lists:list_bundles", "list the bundles that ship with the kit"),
    "selftest": (
        "kwspot.runtime.board.selftest_cli",
        "check that this machine computes what the bundle says, and how fast",
    ),
    "deploy": ("kwspot.export.deploy.cli", "write an archive with everything a Raspberry Pi needs"),
    "service": ("kwspot.runtime.board.service", "start listening when the machine boots, with systemd"),
}
"""Subcommand → (module with ``main(argv) -> int``, or ``module:function``; one line of help)."""

# The extra that brings a module which is not installed.
EXTRA_OF = {
    "tensorflow": "train",
    "keras": "train",
    "librosa": "train",
    "tomli_w": "train",
    "matplotlib": "train",
    "soundfile": "files",
    "soxr": "files",
    "espeakng_loader": "synth",
    "tf2onnx": "export",
    "onnx": "export",
    "sounddevice": "mic",
    "jinja2": "bench",
    "paho": "mqtt",
    "wyoming": "wyoming",
}

BIG_ROOMS = ("kwspot.train", "kwspot.export", "kwspot.benchmarks")
"""Rooms that 'kwspot deploy' leaves behind."""

EXIT_DONE, EXIT_MISTAKE, EXIT_INTERRUPTED = 0, 2, 130
_LONGEST_MESSAGE = 1_000


def _usage() -> str:
    lines = ["usage: kwspot COMMAND [OPTION ...]", "", "Keyword spotting from recordings to a small board.", ""]
    lines += [f"  {name:11} {text}" for name, (_, text) in COMMANDS.items()]
    lines += ["", "kwspot COMMAND --help shows the options; kwspot --version shows the version."]
    return "\n".join(lines)


def _say(message: str) -> int:
    if len(message) > _LONGEST_MESSAGE:  # a value of a file can be of any length
        message = f"{message[: _LONGEST_MESSAGE // 2]} … {message[-_LONGEST_MESSAGE // 2 :]}"
    say(escape_unprintable(message))
    return EXIT_MISTAKE


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 done, 2 the user's mistake, 130 Ctrl-C)."""
    repair()
    args = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _run(args))


def _run(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(_usage(), flush=True)
        return EXIT_DONE if args else EXIT_MISTAKE
    if args[0] == "--version":
        from importlib.metadata import version

        print(f"kwspot {version('kwspot')}", flush=True)
        return EXIT_DONE
    if args[0] not in COMMANDS:
        return _say(f"no command {args[0]!r}; {expected_one_of(args[0], COMMANDS)}")
    module, _, function = COMMANDS[args[0]][0].partition(":")
    return int(getattr(importlib.import_module(module), function or "main")(args[1:]))


def guarded(command: Callable[[], int]) -> int:
    """Run a command; what a user can mend is one line on standard error and an exit status, a bug a traceback."""
    from kwspot.runtime.errors import KwspotError

    try:
        return command()
    except KwspotError as error:
        return _say(str(error))
    except KeyboardInterrupt:
        say("interrupted")
        return EXIT_INTERRUPTED
    except ModuleNotFoundError as error:
        if error.name in BIG_ROOMS:
            return _say(
                "this is the runtime alone, as a board has it; run this command where the whole kit is installed"
            )
        from kwspot.runtime.model.engines import ENGINES  # not above: help does not load numpy

        extras = EXTRA_OF | {entry.package: name for name, entry in ENGINES.items()}
        extra = extras.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        return _say(f"{error.name} is not installed and this command needs it: pip install 'kwspot[{extra}]'")
    except BrokenPipeError:
        # Whoever read our output has left. Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except OSError as error:
        if error.errno is None:
            raise
        where = f"{error.filename}: " if error.filename else ""
        remedy = {
            errno.ENOSPC: "free some space and run the command again",
            errno.EDQUOT: "free some space and run the command again",
            errno.EACCES: "check its permissions",
            errno.EROFS: "choose a folder that can be written",
            errno.ENOENT: "check the path",
        }.get(error.errno, "check the path and its disk")
        return _say(f"{where}{os.strerror(error.errno)}; nothing half-written was kept: {remedy}")


if __name__ == "__main__":
    sys.exit(main())
