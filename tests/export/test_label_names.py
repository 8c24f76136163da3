"""A label that no bundle could hold is refused where a training or an export begins, not where it ends."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kwspot.runtime.audio.recordings import DataFolder
from kwspot.runtime.errors import BundleError, ConfigError
from kwspot.runtime.model.edit import check_target
from kwspot.train.config.config import Config
from kwspot.train.data.clips import labels_of


@pytest.mark.parametrize(
    ("word", "fault"), [("-v", "it begins with '-'"), ("what?", r"it holds '\?'"), ("a\nb", r"it holds '\\n'")]
)
def test_a_folder_that_is_no_label(word: str, fault: str, tone_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tone_folder / "low", tmp_path / word)
    shutil.copytree(tone_folder / "high", tmp_path / "what's up")
    config = Config.from_dict({"model": {"name": "conv1"}, "data": {"words": [word, "what's up"]}})
    with pytest.raises(ConfigError, match=f"cannot be a label: {fault}; rename its folder"):
        labels_of(DataFolder(tmp_path), config)


@pytest.mark.parametrize("name", ["-rf.kws", ".hidden.kws", "two\nlines.kws", ".kws"])
def test_a_bundle_of_no_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be the name of a bundle") as caught:
        check_target(tmp_path / name, overwrite=True)
    assert len(str(caught.value).splitlines()) == 1
