"""docs/architecture.md draws the tree as it is, and names files that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
ROOMS = ("runtime", "train", "export", "benchmarks")


def drawn() -> set[str]:
    """Return the folders of the rooms in the drawn tree."""
    tree = next(block for block in re.findall(r"```\n(.*?)```", TEXT, re.DOTALL) if "├── features/" in block)
    found, room = set(), ""
    for line in tree.splitlines():
        if top := re.match(r"(\w+)/", line):
            room = top[1]
        elif inner := re.match(r"[├└]── (\w+)/", line):
            found.add(f"{room}/{inner[1]}")
    return {folder for folder in found if folder.startswith(ROOMS)}


def test_the_tree_is_drawn_as_it_is() -> None:
    code = {path.parent.relative_to(ROOT).as_posix() for room in ROOMS for path in (ROOT / room).glob("*/*.py")}
    data = {folder for folder in drawn() if not (ROOT / folder / "__init__.py").exists()}
    assert drawn() - data == code
    assert all((ROOT / folder).is_dir() for folder in data)


def test_every_file_that_is_named_exists() -> None:
    names = [name for name in re.findall(r"`([\w./]+/[\w.]+)`", TEXT) if name.split("/")[0] in (*ROOMS, "tests")]
    assert len(names) > 15
    assert [name for name in names if not (ROOT / name).exists()] == []
