"""Utterances of one speaker as ``DIR/<word>/<speaker>_nohash_<n>.wav``, numbered after those that are there."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kwspot.runtime.audio.wav import write_wav
from kwspot.runtime.errors import DataFolderError
from kwspot.runtime.files import whole_file


class UtteranceFolder:
    """The folder for the utterances of one word and speaker; no file in it is ever overwritten.

    Raises
    ------
    DataFolderError
        If the folder cannot be made or written in.
    """

    def __init__(self, root: str | os.PathLike[str], word: str, speaker: str) -> None:
        self._folder, self._speaker = Path(root) / word, speaker
        # Any ending: sound files of other formats belong to the speaker too.
        self._ours = re.compile(re.escape(speaker) + r"_nohash_(\d+)\..*")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._cannot_be_written(str(error.strerror)) from error
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise self._cannot_be_written(os.strerror(errno.EACCES))

    def _cannot_be_written(self, reason: str) -> DataFolderError:
        return DataFolderError(
            f"{self._folder} cannot be written in ({reason}); choose another folder for the recordings with --to"
        )

    def keep(self, samples: NDArray[np.int16], rate_hz: int) -> Path:
        """Write an utterance, int16 (n,), whole or not at all, under the next number that is free."""
        numbers = [int(ours[1]) for file in self._folder.iterdir() if (ours := self._ours.fullmatch(file.name))]
        path = self._reserve(max(numbers, default=-1) + 1)
        try:
            with whole_file(path) as beside:
                write_wav(beside, samples, rate_hz)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def _reserve(self, number: int) -> Path:
        """Make an empty file of the first free number: another recorder of this speaker cannot take it, too."""
        while True:
            path = self._folder / f"{self._speaker}_nohash_{number}.wav"
            with contextlib.suppress(FileExistsError):
                path.open("xb").close()
                return path
            number += 1
