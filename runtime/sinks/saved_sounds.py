"""What ``--save-events`` has kept, to hear and to mark as right or wrong.

A mark is the key ``mark`` in the file beside the sound, ``LABEL/NAME.json``
beside ``LABEL/NAME.wav``: ``"right"`` or ``"wrong"``.
"""

from __future__ import annotations

import contextlib
import heapq
import json
from pathlib import Path
from typing import Any

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.files import whole_file

MARKS = ("right", "wrong")
SHOWN = 50
MOST_BYTES = 4 * 1024 * 1024
LONGEST_NAME = 255


class SavedSounds:
    """The sounds in a folder, ``LABEL/NAME.wav``; it may come into being later."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def newest(self) -> list[dict[str, object]]:
        """Name, time and mark of the newest sounds, the newest first."""
        times_s: dict[Path, float] = {}
        for path in self._folder.glob("*/*.wav"):
            with contextlib.suppress(FileNotFoundError):  # it has just left for a newer one
                times_s[path] = path.stat().st_mtime
        return [
            {
                "name": path.relative_to(self._folder).as_posix(),
                "saved_unix_s": round(times_s[path], 1),
                "mark": _told(path).get("mark"),
            }
            for path in heapq.nlargest(SHOWN, times_s, key=times_s.__getitem__)
        ]

    def sound(self, name: str) -> bytes | None:
        """Return a sound file's content; None if there is none of that name."""
        path = self._path(name)
        return None if path is None or path.stat().st_size > MOST_BYTES else path.read_bytes()

    def mark(self, name: object, mark: object) -> None:
        """Keep a mark beside a sound; None takes it away again.

        Raises
        ------
        ConfigError
            If there is no such sound, or the mark is another.
        """
        path = self._path(name)
        if path is None:
            raise ConfigError(f"no saved sound {str(name)[:80]!r}; expected one of the list")
        if mark is not None and mark not in MARKS:
            raise ConfigError(f"mark {str(mark)[:40]!r}; expected {' or '.join(MARKS)}")
        told = _told(path)
        told.pop("mark", None)
        with whole_file(path.with_suffix(".json")) as beside:
            beside.write_text(
                json.dumps(told if mark is None else {**told, "mark": mark}, indent=1, allow_nan=False) + "\n"
            )

    def _path(self, name: object) -> Path | None:
        # What a browser sends must not lead out of the folder.
        parts = name.split("/") if isinstance(name, str) else []
        if (
            len(parts) != 2
            or len(str(name)) > LONGEST_NAME
            or not parts[1].endswith(".wav")
            or any(part[:1] in ("", ".") for part in parts)
        ):
            return None
        path = self._folder / parts[0] / parts[1]
        if "\0" in str(path) or not path.is_file() or not path.resolve().is_relative_to(self._folder.resolve()):
            return None
        return path


def _told(sound: Path) -> dict[str, Any]:
    """Return what is known of a sound."""
    try:
        told = json.loads(sound.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
