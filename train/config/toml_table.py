"""A table of TOML as a dataclass, and back."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from kwspot.runtime.errors import ConfigError


def differences(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "") -> list[str]:
    """List what differs between two nested mappings, a text for each key, such as ``training.epochs (30, now 50)``."""
    found = []
    for key in sorted({*there, *here}):
        old, new = there.get(key), here.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key} ({_short(old)}, now {_short(new)})")
    return found


def _short(value: object) -> str:
    text = "not there" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def plain(table: Any) -> dict[str, Any]:
    """Return a dataclass as plain values, tuples as lists."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in dataclasses.asdict(table).items()}


def check_known(name: str, known: Iterable[str], what: str, of: str = "") -> None:
    """Refuse an unknown name, with the nearest known one; `what` stands before it in the message, `of` behind it."""
    known = list(known)
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    expected = f"expected one of {', '.join(known)}" if known else "it has none"
    raise ConfigError(f"unknown {what} {name}{of}; {hint}{expected}")


def read_table(kind: Any, table: str, values: Mapping[str, Any]) -> Any:
    """Read a table of TOML as a dataclass; an unknown key or a value of the wrong type is a ConfigError."""
    hints = typing.get_type_hints(kind)
    known = [field.name for field in dataclasses.fields(kind)]
    for key in values:
        check_known(key, known, f"key in [{table}]:")
    return kind(**{key: _typed(hints[key], f"{table}.{key}", value) for key, value in values.items()})


def _typed(hint: Any, key: str, value: Any) -> Any:
    """`value` as the type of a field: int, float, str, or a tuple of one of those."""
    if isinstance(hint, types.GenericAlias):
        item, *rest = typing.get_args(hint)
        fixed = None if rest == [...] else 1 + len(rest)
        if not isinstance(value, list | tuple) or (fixed is not None and len(value) != fixed):
            raise ConfigError(f"{key} = {value!r}; expected a list of {fixed or 'any number of'} {_NAMES[item]}")
        return tuple(_typed(item, key, entry) for entry in value)
    fits = isinstance(value, int | float if hint is float else hint) and not isinstance(value, bool)
    if not fits:
        raise ConfigError(f"{key} = {value!r}; expected {_NAMES[hint]}")
    return float(value) if hint is float else value


_NAMES = {int: "whole numbers", float: "numbers", str: "text in quotes"}
