"""The errors of kwspot, one tree.

::

    KwspotError                  every mistake a user can mend; the program exits with 2
    ├── AudioFormatError         sound of the wrong type, rate or shape
    ├── RecordingError           a sound file that cannot be read, or holds no sound
    ├── DataFolderError          a data folder that cannot be trained or scored on
    ├── DownloadError            a download that breaks off, or is not what was expected
    ├── ConfigError              an unknown preset, key or value; a contradictory option
    ├── RunError                 a run folder that is missing, in the way or does not fit
    ├── BundleError              a bundle that is missing, in the way or malformed
    │   ├── BundleVersionError   a bundle of another format version
    │   └── BundleDamagedError   a file that is missing or whose hash, shape or labels disagree
    ├── EngineError              an engine that is missing or cannot run the model
    ├── ExportError              a model that cannot be converted or whose parity check fails
    ├── DeployError              a board that cannot be served, reached or installed on
    └── DeviceError              a microphone that is missing or cannot be opened as asked

Every message is one line: what happened, what was expected, what to do.
"""

from __future__ import annotations

from collections.abc import Iterable


class KwspotError(Exception):
    """A mistake that the user can mend; its message is one line."""


class AudioFormatError(KwspotError):
    """Sound of the wrong type, rate or shape."""


class RecordingError(KwspotError):
    """A sound file that cannot be read, or holds no sound.

    `fault` is what ``kwspot data check`` lists it under: "unreadable", "empty",
    "truncated", "corrupt" or "not sound".
    """

    def __init__(self, message: str, *, fault: str = "unreadable") -> None:
        super().__init__(message)
        self.fault = fault


class DataFolderError(KwspotError):
    """A data folder that cannot be trained or scored on."""


class DownloadError(KwspotError):
    """A download that breaks off, or is not what was expected."""


class ConfigError(KwspotError):
    """An unknown preset, key or value, or a contradictory option."""


class RunError(KwspotError):
    """A run folder that is missing, in the way, or does not fit."""


class BundleError(KwspotError):
    """A bundle that is missing, in the way or malformed."""


class BundleVersionError(BundleError):
    """A bundle of another format version."""


class BundleDamagedError(BundleError):
    """A bundle with a file that is missing, or whose hash, shape or labels disagree."""


class EngineError(KwspotError):
    """An inference engine that is missing or cannot run the model."""


class ExportError(KwspotError):
    """A model that cannot be converted, or whose parity check fails."""


class DeployError(KwspotError):
    """A board that cannot be served, reached or installed on."""


class DeviceError(KwspotError):
    """A microphone that is missing or cannot be opened as asked."""


def name_some(names: Iterable[str], most: int = 12) -> str:
    """Return the first names of a message, and how many more there are.

    >>> name_some(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def expected_one_of(typed: str, known: Iterable[str]) -> str:
    """Return the end of a message about a name that is not known: the one that was meant, or all there are.

    >>> expected_one_of("listn", ["listen", "train"])
    'did you mean listen?'
    >>> expected_one_of("xyz", ["listen", "train"])
    'expected one of listen, train'
    """
    import difflib

    known = list(known)
    near = difflib.get_close_matches(typed, known, 1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
