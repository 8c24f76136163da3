"""``kwspot listen --config FILE.toml``: whatever the options can say, under their own names.

The options are the table: a key is an option without its dashes, and its value
is checked by what the option takes. The command line goes before the file.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from kwspot.runtime.errors import ConfigError, expected_one_of
from kwspot.runtime.toml_file import read_toml

NOT_IN_A_FILE = ("help", "config")
PATHS = ("bundle", "wav", "save_events")
"""Options in which a leading ``~`` is the home folder, as the shell has it on the command line."""


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Return the arguments of the command line, over those of the file that ``--config`` names.

    Of options that exclude each other, one on the command line puts aside those
    in the file.

    Raises
    ------
    ConfigError
        If the file cannot be read, has an unknown key, or a value that its option
        would not take; or ``--exec`` has swallowed options that stand behind it.
    """
    argv, program = _split_program(argv)
    args = parser.parse_args(argv)
    if args.exec is not None:
        _check_program(parser, args.exec)
    elif program is not None:
        args.exec = program
    if args.config is None:
        return args
    program = args.exec
    settings = _read(parser, args.config)
    for group in parser._mutually_exclusive_groups:
        names = [action.dest for action in group._group_actions]
        both = [name for name in names if name in settings]
        if len(both) > 1:
            raise ConfigError(f"{args.config}: {' and '.join(both)} exclude each other; keep one of them")
        if any(getattr(args, name) != parser.get_default(name) for name in names):
            settings = {name: value for name, value in settings.items() if name not in names}
    parser.set_defaults(**settings)
    args = parser.parse_args(argv)
    if program is not None:
        args.exec = program
    return args


def _split_program(argv: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Cut off ``--exec -- PROGRAM …``, whose options may be named as ours are."""
    for i in range(len(argv) - 1):
        if argv[i] == "--exec" and argv[i + 1] == "--":
            return list(argv[:i]), list(argv[i + 2 :])
    return list(argv), None


def _check_program(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    own = {option for action in parser._actions for option in action.option_strings if option.startswith("--")}
    for word in words[1:]:
        option = word.partition("=")[0]
        if option in own:
            raise ConfigError(
                f"--exec takes all that stands behind it, so that {words[0]} would get {option}; expected it as "
                f"the last option (if {words[0]} is to get {option}: --exec -- {words[0]} …)"
            )


def _read(parser: argparse.ArgumentParser, path: str) -> dict[str, object]:
    try:
        content = read_toml(path)
    except ConfigError as error:
        raise ConfigError(f"--config {error}") from None
    actions = {action.dest.replace("_", "-"): action for action in parser._actions if action.dest not in NOT_IN_A_FILE}
    settings = {}
    for key, value in content.items():
        if key not in actions:
            raise ConfigError(f"{path}: unknown key {key[:80]!r}; {expected_one_of(key, sorted(actions))}")
        dest = actions[key].dest
        settings[dest] = _value(actions[key], value, f"{path}: {key}")
        if dest in PATHS:
            settings[dest] = _expand_home(settings[dest])
    return settings


def _value(action: argparse.Action, value: object, where: str) -> object:
    """Return what argparse would have made of it on the command line."""
    shown = f"{where} = {repr(value)[:80]}"

    def texts(values: object) -> list[str]:
        if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
            raise ConfigError(f'{shown}; expected a list of texts, as in ["one", "two"]')
        return values

    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ConfigError(f"{shown}; expected true or false")
        return value
    if isinstance(value, dict):  # an option that may be given several times: WORD=0.8
        if not isinstance(action, argparse._AppendAction):
            raise ConfigError(f"{where} is a table; expected one value")
        return [f"{name}={item}" for name, item in value.items()]
    if isinstance(action, argparse._AppendAction) and not isinstance(value, list):
        key = action.dest.replace("_", "-")
        raise ConfigError(f"{shown}; expected a number for each word, as in {key} = {{happy = 0.8}}")
    if isinstance(action, argparse._AppendAction) or action.nargs in ("+", "*", argparse.REMAINDER):
        return texts(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigError(f"{shown}; expected {action.metavar or 'one value'}")
    if action.choices is not None and value not in action.choices:
        raise ConfigError(f"{shown}; expected one of {', '.join(map(str, action.choices))}")
    if not callable(action.type):
        return str(value)
    try:
        return action.type(str(value))
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise ConfigError(f"{shown}; expected {action.metavar or 'another value'} ({error})") from None


def _expand_home(value: object) -> object:
    if isinstance(value, list):
        return [os.path.expanduser(path) for path in value]  # noqa: PTH111 - of a text, which may be a bundle's name
    return os.path.expanduser(str(value))  # noqa: PTH111
