"""The committed bundles of the tests are what the exporter writes today; else: python tests/bundles/make.py."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

COMMITTED = Path(__file__).parents[1] / "bundles"
REMAKE = "another form than the exporter's: make them anew with python tests/bundles/make.py"


def form(value: Any) -> Any:
    """Return a JSON value with every number and text replaced by its type."""
    if isinstance(value, dict):
        return {key: form(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [form(inner) for inner in value]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def arrays(content: bytes) -> dict[str, tuple[str, tuple[int, ...]]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        return {name: (found[name].dtype.str, found[name].shape) for name in found.files}


@pytest.mark.parametrize("fixture", ["exported_bundle", "stream_bundle"])
def test_the_form_is_the_exporters(fixture: str, request: pytest.FixtureRequest) -> None:
    made = request.getfixturevalue(fixture).path
    committed = COMMITTED / made.name
    assert sorted(path.name for path in committed.iterdir()) == sorted(path.name for path in made.iterdir()), REMAKE
    theirs, ours = (json.loads((folder / "bundle.json").read_text()) for folder in (committed, made))
    assert form(theirs) == form(ours), REMAKE
    golden = [(folder / "golden.npz").read_bytes() for folder in (committed, made)]
    assert arrays(golden[0]) == arrays(golden[1]), REMAKE
