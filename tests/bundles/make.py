"""Make the bundles of the tests anew, where their format or their models change; it takes a minute and needs Keras.

::

    .venv/bin/python tests/bundles/make.py

Both know the words low and high, which are tones. The float model is none that a test of the runtime runs, but a bundle
without it would be no bundle.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

import tones  # noqa: E402

from kwspot.export.pipeline import export_run  # noqa: E402


def main() -> None:
    """Train both models, export them, and replace the bundles."""
    with tempfile.TemporaryDirectory() as scratch:
        data = tones.write_tone_folder(Path(scratch) / "tones")
        for name, train in (("tiny", tones.train_window), ("tiny-stream", tones.train_stream)):
            made, _ = export_run(train(data, Path(scratch) / name), Path(scratch) / f"{name}.kws")
            shutil.rmtree(FOLDER / made.path.name, ignore_errors=True)
            shutil.copytree(made.path, FOLDER / made.path.name)
            print(FOLDER / made.path.name)


if __name__ == "__main__":
    main()
