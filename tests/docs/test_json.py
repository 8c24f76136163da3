"""Whatever JSON we write is JSON: a number that is not finite is refused, never written as NaN."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("runtime", "train", "export", "benchmarks", "examples")


def test_every_json_refuses_numbers_that_are_not_finite():
    calls, loose = 0, []
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("json.dumps", "json.dump", "dumps"):
                calls += 1
                if "allow_nan=False" not in map(ast.unparse, node.keywords):
                    loose.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert loose == []
    assert calls > 10
