"""Read TOML files that people write; one line says what is wrong."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from kwspot.runtime.errors import ConfigError

MOST_BYTES = 1_000_000
_INTEGERS = range(-(2**63), 2**63)  # of TOML 1.0; Python reads larger ones, but does not print all of them


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the tables of a TOML file in UTF-8, with or without a byte order mark.

    Raises
    ------
    ConfigError
        If there is no such file, it is larger than :data:`MOST_BYTES`, no TOML, or
        holds a number or a letter that nothing can use.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ConfigError(f"{path} has more than {MOST_BYTES} bytes; expected a TOML file of settings")
        tables = tomllib.loads(content.decode("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; expected a TOML file: check the path") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); expected a TOML file: check the path") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not in UTF-8; expected TOML, which is: save it again as UTF-8") from None
    except RecursionError:
        raise ConfigError(f"{path} is no TOML file: its brackets are nested too deeply; mend that place") from None
    except ValueError as error:  # also of numbers with thousands of digits
        raise ConfigError(
            f"{path} is no TOML file: {str(error).partition('; use sys.')[0][:200]}; mend that place"
        ) from None
    _check_values(tables, path)
    return tables


def _check_values(tables: dict[str, Any], path: str | os.PathLike[str]) -> None:
    waiting: list[tuple[str, object]] = list(tables.items())
    while waiting:
        key, value = waiting.pop()
        if "\0" in key or (isinstance(value, str) and "\0" in value):
            raise ConfigError(f"{path}: {key[:80]!r} holds the letter U+0000; expected text without it")
        if isinstance(value, int) and value not in _INTEGERS:
            raise ConfigError(f"{path}: {key[:80]} is a number of more than 64 bits; expected a smaller one")
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += [(key, item) for item in value]
