"""The rooms: who may import whom, what the runtime loads, and the hand-kept package list."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "runtime": {"runtime"},
    "train": {"train", "runtime"},
    "export": {"export", "runtime"},
    "benchmarks": {"benchmarks", "runtime"},
}
HEAVY = {
    "ai_edge_litert", "audiomentations", "espeakng_loader", "flatbuffers", "keras", "librosa", "matplotlib", "onnx",
    "onnxruntime", "paho", "PIL", "scipy", "selenium", "sounddevice", "soundfile", "soxr", "tensorflow", "tf2onnx",
    "tflite_runtime", "wyoming",
}  # fmt: skip
# What a room may import at all, and of it what the runtime may import only where it is needed.
MAY_USE = {
    "runtime": {
        "ai_edge_litert",
        "tflite_runtime",
        "onnxruntime",
        "paho",
        "sounddevice",
        "soundfile",
        "soxr",
        "wyoming",
    },
    "train": {
        "keras",
        "tensorflow",
        "librosa",
        "matplotlib",
        "scipy",
        "soundfile",
        "soxr",
        "ai_edge_litert",
        "espeakng_loader",
        "audiomentations",
    },
    "export": {"tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert"},
    "benchmarks": {
        "PIL",
        "ai_edge_litert",
        "flatbuffers",
        "keras",
        "matplotlib",
        "onnxruntime",
        "scipy",
        "selenium",
        "tensorflow",
    },
}

# Runs in the environment of the program that it measures, beside which nothing of ours is installed.
PEERS = Path("benchmarks/experiments/peer_worker.py")


def imports(path: Path) -> list[tuple[str, bool]]:
    """Dotted names that a file imports, and whether that happens when the file is loaded."""
    found = []

    def visit(node: ast.AST, at_load: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend((alias.name, at_load) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.extend((f"{node.module}.{alias.name}", at_load) for alias in node.names)
        inner = at_load and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            inner = False  # for annotations alone
        for child in ast.iter_child_nodes(node):
            visit(child, inner)

    visit(ast.parse(path.read_text()), True)
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_the_table_allows(room):
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        for name, at_load in imports(path):
            first, _, rest = name.partition(".")
            assert first not in MAY_IMPORT, f"{path}: bare room name {name}"
            if first == "kwspot":
                assert rest.partition(".")[0] in MAY_IMPORT[room], f"{path} imports {name}"
            if first in HEAVY and path != ROOT / PEERS:
                assert first in MAY_USE[room], f"{path} imports {name}"
                assert room != "runtime" or not at_load, f"{path} imports {name} when it is loaded"


def test_the_table_knows_every_heavy_package_that_is_imported():
    allowed = set(sys.stdlib_module_names) | {"kwspot", "numpy"} | HEAVY
    for room in MAY_IMPORT:
        for path in set((ROOT / room).rglob("*.py")) - {ROOT / PEERS}:
            assert {name.partition(".")[0] for name, _ in imports(path)} <= allowed, path


def test_the_runtime_in_a_fresh_interpreter_loads_nothing_heavy():
    names = [
        ".".join(("kwspot", *path.relative_to(ROOT).with_suffix("").parts))
        for path in sorted((ROOT / "runtime").rglob("*.py"))
    ]
    code = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & {name.partition(".")[0] for name in loaded}
    assert "numpy" in loaded


def test_help_does_not_even_load_numpy():
    code = "import sys\nfrom kwspot.runtime.cli import main\nmain(['--help'])\nassert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def test_the_package_list_is_the_tree():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {
        ".".join(("kwspot", *path.parent.relative_to(ROOT).parts))
        for room in MAY_IMPORT
        for path in (ROOT / room).rglob("__init__.py")
        if path.parent.name != "experiments"
    }
    assert settings["package-dir"] == {f"kwspot.{room}": room for room in MAY_IMPORT}
    assert sorted(settings["packages"]) == sorted(packages)
    for room in MAY_IMPORT:
        assert (ROOT / room / "py.typed").exists()


def test_the_public_face_is_what_it_says():
    import kwspot.runtime as runtime

    assert sorted(runtime.__all__) == sorted(runtime._HOME)
    for name in runtime.__all__:
        assert getattr(runtime, name).__doc__, name
