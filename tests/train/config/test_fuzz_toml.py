"""Settings with random mistakes in them: they are read, or one line says what is wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from kwspot.runtime.errors import KwspotError
from kwspot.runtime.listen.cli import check_config
from kwspot.train.config.config import load_config
from kwspot.train.word.plan import read_word_config

ROOT = Path(__file__).parents[3]
ROUNDS = 700
VALUES = [
    "true", "-1", "0", "1e999", "nan", "-inf", "9" * 30, "9" * 5_000, "1e-320", "''", '"\\u0000"', '"../../x"', "[]",
    "[[]]", "[1, 'a']", "{}", "{a = {b = 1}}", "1979-05-27T07:32:00Z", '"' + "x" * 9_999 + '"', '"ü💥"',
    "0x7fffffffffffffff",
]  # fmt: skip


def mutate(text: str, rng: random.Random) -> bytes:
    """Change one to four places: a value, a line, or a byte anywhere."""
    for _ in range(rng.randint(1, 4)):
        lines = text.splitlines()
        at = rng.randrange(len(lines))
        match rng.randrange(5):
            case 0 | 1 if "=" in lines[at]:
                lines[at] = f"{lines[at].partition('=')[0]}= {rng.choice(VALUES)}"
            case 2:
                lines.insert(at, rng.choice(lines))
            case 3:
                lines.insert(at, f"[{rng.choice(('data', 'augment', 'word', 'threshold', 'x'))}]")
            case _:
                lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)] + rng.choice('"[]{}=\t\0\x7fé,')
        text = "\n".join(lines)
    content = bytearray(text.encode())
    if rng.random() < 0.2:
        content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("examples/kwspot.toml", lambda path: check_config(str(path))),
        ("train/presets/commands.toml", load_config),
        ("train/presets/conv1d.toml", load_config),
        ("train/presets/word.toml", read_word_config),
    ],
)
def test_fuzzed_settings_are_read_or_told_in_one_line(
    name: str, read: Callable[[Path], object], tmp_path: Path
) -> None:
    rng, told = random.Random(name), 0
    text, path = (ROOT / name).read_text(encoding="utf-8"), tmp_path / "fuzzed.toml"
    for _ in range(ROUNDS):
        path.write_bytes(mutate(text, rng))
        try:
            read(path)
        except KwspotError:
            told += 1
    assert ROUNDS // 4 < told < ROUNDS
