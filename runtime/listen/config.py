"""``kwspot listen --config FILE.toml``: whatever the options can say, under their own names.

The options are the table: a key is an option without its dashes, and its value
is checked by what the option takes. The command line goes before the file.
"""

from __future__ import annotations

import argparse
import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path

from kwspot.runtime.errors import ConfigError

NOT_IN_A_FILE = ("help", "config")


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of the command line, over those of the file that ``--config`` names.

    Of options that exclude each other, one on the command line puts aside those
    in the file.

    Raises
    ------
    ConfigError
        If the file cannot be read, has an unknown key, or a value that its option
        would not take.
    """
    args = parser.parse_args(argv)
    if args.config is None:
        return args
    settings = _read(parser, Path(args.config))
    for group in parser._mutually_exclusive_groups:
        names = [action.dest for action in group._group_actions]
        both = [name for name in names if name in settings]
        if len(both) > 1:
            raise ConfigError(f"{args.config}: {' and '.join(both)} exclude each other; keep one of them")
        if any(getattr(args, name) != parser.get_default(name) for name in names):
            settings = {name: value for name, value in settings.items() if name not in names}
    parser.set_defaults(**settings)
    return parser.parse_args(argv)


def _read(parser: argparse.ArgumentParser, path: Path) -> dict[str, object]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"--config {path}: no such file; expected a TOML file with the options of kwspot listen"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"--config {path}: {error}; expected TOML, such as threshold = {{happy = 0.8}}") from None
    actions = {action.dest.replace("_", "-"): action for action in parser._actions if action.dest not in NOT_IN_A_FILE}
    settings = {}
    for key, value in content.items():
        if key not in actions:
            near = difflib.get_close_matches(key, actions, 1)
            hint = f"did you mean {near[0]}?" if near else f"expected some of {', '.join(sorted(actions))}"
            raise ConfigError(f"{path}: unknown key {key!r}; {hint}")
        settings[actions[key].dest] = _value(actions[key], value, f"{path}: {key}")
    return settings


def _value(action: argparse.Action, value: object, where: str) -> object:
    """What argparse would have made of it on the command line."""

    def texts(values: object) -> list[str]:
        if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
            raise ConfigError(f'{where} = {values!r}; expected a list of texts, as in ["one", "two"]')
        return values

    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ConfigError(f"{where} = {value!r}; expected true or false")
        return value
    if isinstance(value, dict):  # an option that may be given several times: WORD=0.8
        if not isinstance(action, argparse._AppendAction):
            raise ConfigError(f"{where} is a table; expected one value")
        return [f"{name}={item}" for name, item in value.items()]
    if isinstance(action, argparse._AppendAction) or action.nargs in ("+", "*", argparse.REMAINDER):
        return texts(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigError(f"{where} = {value!r}; expected {action.metavar or 'one value'}")
    if action.choices is not None and value not in action.choices:
        raise ConfigError(f"{where} = {value!r}; expected one of {', '.join(map(str, action.choices))}")
    if not callable(action.type):
        return str(value)
    try:
        return action.type(str(value))
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise ConfigError(f"{where} = {value!r}; expected {action.metavar or 'another value'} ({error})") from None
