"""Keep festival running, a process for each voice: starting it for each text would take half a second more."""

from __future__ import annotations

import subprocess
import threading
import weakref
from pathlib import Path

from kwspot.runtime.errors import ConfigError

_DONE = "kwspot-done"


class FestivalVoice:
    """One voice of festival; its program is started with the first text and ends with this object."""

    def __init__(self, voice: str) -> None:
        self._voice = voice
        self._process: subprocess.Popen[str] | None = None
        self._one_at_a_time = threading.Lock()

    def write(self, text: str, wav: Path, stretch: float) -> None:
        """Speak a text into a WAV file, `stretch` times as long as usual.

        Raises
        ------
        ConfigError
            If the program ends; if it only cannot speak the text, no file is there.
        """
        quoted, target = _quoted(text), _quoted(str(wav))
        with self._one_at_a_time:
            process = self._process or self._started()
            self._ask(process, f"(Parameter.set 'Duration_Stretch {stretch:.3f})")
            self._ask(process, f"(utt.save.wave (utt.synth (Utterance Text {quoted})) {target} 'riff)")

    def _started(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            ["festival", "--pipe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            bufsize=1,
        )
        weakref.finalize(self, _end, process)
        self._process = process
        self._ask(process, f"(voice_{self._voice})")
        return process

    def _ask(self, process: subprocess.Popen[str], expression: str) -> None:
        """Evaluate an expression, and wait for a mark that comes after it, be it an error or not."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f'{expression}\n(format t "\\n{_DONE}\\n")\n(fflush nil)\n')
            process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        for line in process.stdout:
            if line.strip() == _DONE:
                return
        raise self._ended()

    def _ended(self) -> ConfigError:
        return ConfigError(
            f"festival ended while it spoke with its voice {self._voice}; hold that voice out with "
            f'held_out_voices = ["festival-{self._voice}"] in [word]'
        )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
