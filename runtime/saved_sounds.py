"""What ``--save-events`` has kept, to hear and to mark as right or wrong.

A mark is a file beside the sound, ``NAME.mark.json`` beside ``NAME.wav``:
``{"mark": "right"}`` or ``{"mark": "wrong"}``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from kwspot.runtime.atomic import whole_file
from kwspot.runtime.errors import ConfigError

MARKS = ("right", "wrong")
SHOWN = 50
MOST_BYTES = 4 * 1024 * 1024
_NAME = re.compile(r"[\w.=+-]+\.wav")


class SavedSounds:
    """The sounds in a folder; it may come into being later."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def newest(self) -> list[dict[str, object]]:
        """Name, time and mark of the newest sounds, the newest first."""
        found = []
        for path in self._folder.glob("*.wav"):
            try:
                found.append((path.stat().st_mtime, path.name))
            except FileNotFoundError:
                continue  # a bound of --save-events has just removed it
        return [
            {"name": name, "saved_unix_s": round(time_s, 1), "mark": self._marked(name)}
            for time_s, name in sorted(found, reverse=True)[:SHOWN]
        ]

    def sound(self, name: str) -> bytes | None:
        """A sound file's content; None if there is none of that name."""
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
        if mark is None:
            self._mark_file(path).unlink(missing_ok=True)
        elif mark in MARKS:
            with whole_file(self._mark_file(path)) as beside:
                beside.write_text(json.dumps({"mark": mark}) + "\n")
        else:
            raise ConfigError(f"mark {str(mark)[:40]!r}; expected {' or '.join(MARKS)}")

    def _path(self, name: object) -> Path | None:
        # Only a plain name: what a browser sends must not lead out of the folder.
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            return None
        path = self._folder / name
        return path if path.is_file() and not path.is_symlink() else None

    def _mark_file(self, sound: Path) -> Path:
        return sound.with_suffix(".mark.json")

    def _marked(self, name: str) -> object:
        try:
            return json.loads(self._mark_file(self._folder / name).read_text())["mark"]
        except (FileNotFoundError, ValueError, KeyError):
            return None
