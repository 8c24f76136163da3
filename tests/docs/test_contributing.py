"""CONTRIBUTING.md shows what exists: its paths, its tables of one line each, its commands."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_path_exists() -> None:
    paths = [path for path in re.findall(r"`([\w./-]+/[\w./-]*)`", TEXT) if not path.endswith(".kws")]
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    ("table", "module"), re.findall(r"A line in `([A-Z]+)` of `([\w/]+)\.py`", TEXT), ids=lambda value: value
)
def test_every_table_is_there_and_holds_three_or_more(table: str, module: str) -> None:
    found = getattr(importlib.import_module(f"kwspot.{module.replace('/', '.')}"), table)
    assert len(found) >= 3


def test_all_four_tables_are_shown() -> None:
    assert len(re.findall(r"A line in `[A-Z]+` of", TEXT)) == 4


def test_the_commands_exist() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"^make ([\w-]+)", TEXT, re.MULTILINE)) <= set(targets)
    assert (ROOT / ".ci/run").exists()
    marks = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    known = {mark.partition(":")[0] for mark in marks}
    assert {"keras", "slow", "system"} == known
    lines = re.findall(r'python -m pytest .*-m "([^"]+)"', TEXT)
    assert lines
    assert set(re.findall(r"\b(?!not\b|and\b)[a-z]+", " ".join(lines))) <= known
