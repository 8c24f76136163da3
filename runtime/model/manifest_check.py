"""``bundle.json`` comes from strangers and is edited by hand: every value has its type and range before it is used."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
from collections.abc import Mapping
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints

from kwspot.runtime.errors import ConfigError
from kwspot.runtime.names import find_text_fault

MOST_BYTES = 4_000_000
"""Of ``bundle.json``; the shipped ones have 20 kB."""
_MOST_NESTING = 32
_MOST_ITEMS = 10_000
_MOST_LETTERS = 4_000

RANGES: Mapping[str, tuple[float, float]] = {
    "features.sample_rate_hz": (4_000, 96_000),
    "features.window_ms": (1, 1_000),
    "features.hop_ms": (1, 1_000),
    "features.mel_bands": (1, 512),
    "features.coefficients": (1, 512),
    "features.low_hz": (0, 48_000),
    "features.high_hz": (1, 48_000),
    "features.log_floor": (1e-12, 0.01),
    "normalisation.mean": (-1e6, 1e6),
    "normalisation.std": (1e-6, 1e6),
    "window_frames": (1, 3_000),
    "inference_hop_frames": (1, 1_000),
    "decision.smoothing_ms": (0, 10_000),
    "decision.refractory_ms": (0, 3_600_000),
    "decision.default_threshold": (0, 1),
    "decision.thresholds": (0, 1),
    "verifier.trigger_score": (1e-6, 0.999999),
    "verifier.weight": (1e-6, 1),
    "verifier.odds": (1e-6, 1e6),
    "verifier.places": (1, 100),
    "verifier.golden_scores": (0, 1),
    "models.shape": (1, 1_000_000),
    "models.scale": (1e-12, 1e6),
    "models.zero_point": (-128, 127),
    "parameters": (0, 1e12),
    "macs": (0, 1e15),
}
"""Key of ``bundle.json`` → least and greatest value, also of all in a list or mapping that the key holds."""


def parse_json(content: bytes) -> dict[str, Any]:
    """Parse ``bundle.json``, of at most :data:`MOST_BYTES`, and refuse what JSON or a terminal does not have.

    Raises
    ------
    ConfigError
        If it is no JSON object in UTF-8, says a key twice, is nested more than 32 deep, or holds a number that is not
        finite or half a letter (a lone surrogate).
    """
    if len(content) > MOST_BYTES:
        raise ConfigError(f"it has {len(content):,} bytes; expected at most {MOST_BYTES:,}")
    try:
        values = json.loads(content, parse_constant=_refuse_constant, object_pairs_hook=_once_each)
    except RecursionError:
        raise ConfigError(f"it is nested too deeply; expected at most {_MOST_NESTING} levels") from None
    except ValueError as error:
        raise ConfigError(f"it is no JSON: {str(error).partition('; use sys.')[0]}") from None
    if not isinstance(values, dict):
        raise ConfigError("it is no JSON object")
    _check_tree(values)
    return values


def _refuse_constant(text: str) -> NoReturn:
    raise ConfigError(f"it holds {text}; expected finite numbers")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ConfigError(f"it says {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return values


def _check_tree(values: object) -> None:
    level = [values]
    for _ in range(_MOST_NESTING):
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                inner += [*value, *value.values()]
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, float) and not math.isfinite(value):
                raise ConfigError("it holds a number beyond all floats; expected finite numbers")
            elif isinstance(value, str) and any("\ud800" <= sign <= "\udfff" for sign in value):
                raise ConfigError(f"it holds the text {_shown(value)} with half a letter (a lone surrogate)")
        if not inner:
            return
        level = inner
    raise ConfigError(f"it is nested too deeply; expected at most {_MOST_NESTING} levels")


def read_as(kind: Any, value: object, key: str = "") -> Any:
    """Return `value` of JSON as a dataclass, a list, a mapping, a number or a text, as the type `kind` says.

    Parameters
    ----------
    key
        Where it stands, as in ``decision.smoothing_ms``; its range is that of :data:`RANGES`.

    Raises
    ------
    ConfigError
        If a type, a range or the keys of an object do not fit, or the dataclass refuses the values.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return None if value is None else read_as(inner[0], value, key)
    if dataclasses.is_dataclass(kind):
        return _read_object(kind, value, key)
    if origin is tuple:
        items = _expect(value, list, key, "a list")
        if len(items) > _MOST_ITEMS:
            raise ConfigError(f"{key} has {len(items):,} values; expected at most {_MOST_ITEMS:,}")
        return tuple(read_as(inner[0], item, key) for item in items)
    if origin is not None:  # a mapping
        named = _expect(value, dict, key, "an object")
        for name in named:
            _check_text(name, key)
        return {name: read_as(inner[1], item, f"{key}.{name}") for name, item in named.items()}
    if kind is str:
        return _check_text(_expect(value, str, key, "a text"), key)
    return _read_number(kind, value, key)


def _read_object(kind: Any, value: object, key: str) -> Any:
    values = _expect(value, dict, key, "an object")
    hints, fields = _fields_of(kind)
    within = f"{key}." if key else ""
    for name in values:
        if name not in fields:
            raise ConfigError(f"{within}{_shown(name)[1:-1]} is an unknown key; expected {', '.join(fields)}")
    for name, field in fields.items():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and name not in values:
            raise ConfigError(f"{within}{name} is missing")
    return kind(**{name: read_as(hints[name], item, within + name) for name, item in values.items()})


@functools.cache
def _fields_of(kind: Any) -> tuple[dict[str, Any], dict[str, dataclasses.Field[Any]]]:
    """Return the types and the fields of a dataclass by their names; finding them out takes longer than reading one."""
    return get_type_hints(kind), {field.name: field for field in dataclasses.fields(kind)}


def _read_number(kind: Any, value: object, key: str) -> int | float:
    what = "a whole number" if kind is int else "a number"
    if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
        raise ConfigError(f"{key} = {_shown(value)}; expected {what}")
    parts = key.split(".")
    places = (key, ".".join(parts[:2]), f"{parts[0]}.{parts[-1]}")
    low, high = next((RANGES[place] for place in places if place in RANGES), (-1e300, 1e300))
    if not low <= value <= high:
        raise ConfigError(f"{key} = {_shown(value)}; expected {what} from {low:g} to {high:g}")
    return int(value) if kind is int else float(value)


def _check_text(text: str, key: str) -> str:
    if len(text) > _MOST_LETTERS:
        raise ConfigError(f"{key} has {len(text):,} letters; expected at most {_MOST_LETTERS:,}")
    if fault := find_text_fault(text):
        raise ConfigError(f"{key} = {_shown(text)}: {fault}; expected text of one line")
    return text


def _expect(value: object, kind: type, key: str, what: str) -> Any:
    if not isinstance(value, kind):
        raise ConfigError(f"{key or 'it'} = {_shown(value)}; expected {what}")
    return value


def _shown(value: object) -> str:
    """Return a value as a message can show it: in ASCII, and not for pages."""
    text = ascii(value) if not isinstance(value, list | dict) else type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."
