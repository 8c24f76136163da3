"""With KWSPOT_NO_SKIPS=1 a skipped test fails, wherever the skip is; without, it is skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = {
    "test_in_fixture.py": "import pytest\n@pytest.fixture\ndef board(): pytest.skip('no board')\ndef test(board): pass",
    "test_of_recordings.py": "import pytest\n@pytest.fixture\ndef all(): pytest.skip('KWSPOT_RECORDINGS names none')\n"
    "def test(all): pass",
    "test_in_test.py": "import pytest\ndef test(): pytest.skip('no microphone')",
    "test_in_module.py": "import pytest\npytest.importorskip('no_such_module')\ndef test(): pass",
}


@pytest.mark.parametrize(
    ("setting", "outcome"),
    [("1", "1 failed, 3 errors"), ("but-recordings", "1 failed, 1 skipped, 2 errors"), ("", "4 skipped")],
)
def test_skips(tmp_path: Path, setting: str, outcome: str) -> None:
    shutil.copy(Path(__file__).parents[1] / "no_skips.py", tmp_path / "conftest.py")
    for name, text in TESTS.items():
        (tmp_path / name).write_text(text)
    environment = {key: value for key, value in os.environ.items() if key != "KWSPOT_RECORDINGS"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--continue-on-collection-errors", "-c", os.devnull, "--rootdir", "."],
        cwd=tmp_path,
        env={**environment, "KWSPOT_NO_SKIPS": setting},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome in run.stdout.splitlines()[-1]
    assert run.returncode == (1 if setting else 0)
