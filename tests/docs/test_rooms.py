"""The rooms and their folders: who may import whom, what the runtime loads, and what the wheel holds."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "runtime": {"runtime"},
    "train": {"train", "runtime"},
    "export": {"export", "runtime"},
    "benchmarks": {"benchmarks", "runtime"},
}
# Folder → the folders of its room that it may import, beside itself and the files on the room's top level. A name
# stands once, so the order of the lines is the order of the imports: nothing imports what comes later.
FOLDERS = {
    "runtime": {
        "features": (),
        "audio": ("features",),
        "model": ("features",),
        "detect": ("features", "audio", "model"),
        "sinks": ("features", "audio", "model", "detect"),
        "wyoming": ("features", "audio", "model", "detect", "sinks"),
        "listen": ("features", "audio", "model", "detect", "sinks", "wyoming"),
        "record": ("features", "audio", "listen"),
        "board": ("features", "audio", "model", "detect", "sinks", "wyoming", "listen"),
    },
    "train": {
        "config": (),
        "speech": (),
        "data": ("config", "speech"),
        "models": ("config",),
        "fit": ("config", "data", "models"),
        "word": ("config", "speech", "data", "fit"),
        "experiments": ("config", "speech", "data", "models", "fit", "word"),
    },
    "export": {"calibrate": (), "deploy": ()},
    "benchmarks": {
        "accuracy": (),
        "latency": ("accuracy",),
        "report": ("accuracy",),
        "stream": ("report",),
        "protocols": ("accuracy", "stream"),
        "pi": (),
        "experiments": ("accuracy", "latency", "stream"),
    },
}
NOT_INSTALLED = ("train/experiments", "benchmarks/experiments", "benchmarks/baselines")
"""What answered one question once, and what the tests compare with, stays in the repository and out of the wheel."""

MOST_FILES = 17
"""Python files in a folder."""

HEAVY = {
    "ai_edge_litert", "audiomentations", "espeakng_loader", "flatbuffers", "jinja2", "keras", "librosa", "matplotlib",
    "onnx", "onnxruntime", "paho", "PIL", "scipy", "selenium", "sounddevice", "soundfile", "soxr", "tensorflow",
    "tf2onnx", "tflite_runtime", "tomli_w", "wyoming",
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
        "tomli_w",
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
        "jinja2",
        "keras",
        "matplotlib",
        "onnxruntime",
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


def folder_of(name: str, room: str) -> str | None:
    """Return the folder of `room` in which a dotted name lies, "" for its top level, None outside of the room."""
    _, first, *rest = [*name.split("."), ""]
    if first != room:
        return None
    return rest[0] if rest and (ROOT / room / rest[0]).is_dir() else ""


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


@pytest.mark.parametrize("room", FOLDERS)
def test_a_folder_imports_only_what_comes_before_it(room):
    folders = FOLDERS[room]
    there = {path.parent.name for path in (ROOT / room).glob("*/*.py")}
    assert set(folders) == there
    assert all(list(folders).index(other) < place for place, row in enumerate(folders.values()) for other in row)
    for folder, allowed in folders.items():
        for path in (ROOT / room / folder).glob("*.py"):
            found = {folder_of(name, room) for name, _ in imports(path)}
            assert found <= {None, "", folder, *allowed}, f"{path} imports {found - {folder, *allowed}}"


@pytest.mark.parametrize("folder", ["train/experiments", "benchmarks/experiments"])
def test_nothing_installed_imports_an_experiment(folder):
    name = f"kwspot.{folder.replace('/', '.')}"
    for room in MAY_IMPORT:
        for path in (ROOT / room).rglob("*.py"):
            if path.parent.name != "experiments":
                assert not [found for found, _ in imports(path) if found.startswith(name)], f"{path} imports {name}"


def test_no_folder_is_a_drawer():
    folders = {path.parent for top in (*MAY_IMPORT, "tests", "examples") for path in (ROOT / top).rglob("*.py")}
    assert {str(folder): count for folder in folders if (count := len(list(folder.glob("*.py")))) > MOST_FILES} == {}


def test_the_table_knows_every_heavy_package_that_is_imported():
    allowed = set(sys.stdlib_module_names) | {"kwspot", "numpy"} | HEAVY
    for room in MAY_IMPORT:
        for path in set((ROOT / room).rglob("*.py")) - {ROOT / PEERS}:
            assert {name.partition(".")[0] for name, _ in imports(path)} <= allowed, path


def test_the_runtime_in_a_fresh_interpreter_loads_nothing_heavy():
    files = [path.relative_to(ROOT).with_suffix("") for path in sorted((ROOT / "runtime").rglob("*.py"))]
    names = [".".join(("kwspot", *path.parts)).removesuffix(".__init__") for path in files]
    assert "kwspot.runtime.sinks.mqtt" in names
    code = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & {name.partition(".")[0] for name in loaded}
    assert "numpy" in loaded


def test_help_does_not_even_load_numpy():
    code = "import sys\nfrom kwspot.runtime.cli import main\nmain(['--help'])\nassert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What the wheel of a copy of the tree holds; built without the network, and without a line of complaint."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in (*MAY_IMPORT, "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    for cache in folder.rglob("__pycache__"):
        shutil.rmtree(cache)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist")]
    done = subprocess.run(build, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stdout + done.stderr, done.stdout + done.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        return set(content.namelist())


def test_the_wheel_is_the_tree(wheel_names):
    files = [path for room in MAY_IMPORT for path in (ROOT / room).rglob("*") if path.is_file()]
    names = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    outside = tuple(f"{folder}/" for folder in NOT_INSTALLED)
    installed = {f"kwspot/{name}" for name in names if not name.startswith(outside)}
    assert {name for name in wheel_names if ".dist-info/" not in name} == installed


def test_the_public_face_is_what_it_says():
    import kwspot.runtime as runtime

    assert sorted(runtime.__all__) == sorted(runtime._HOME)
    for name in runtime.__all__:
        assert getattr(runtime, name).__doc__, name
