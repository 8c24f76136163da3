"""What every result carries: schema, date, machine, versions and the bundle it was measured on."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kwspot.runtime.files import whole_file
from kwspot.runtime.model.bundle import Bundle
from kwspot.runtime.model.engines import ENGINES

STDOUT = "-"
"""As the file of ``--json``: standard output, and nothing else there."""

_PACKAGES = (
    "kwspot",
    "numpy",
    *(entry.package.replace("_", "-") for entry in ENGINES.values()),
    "tensorflow",
    "tensorflow-cpu",
    "keras",
)


def _cpu_model() -> str:
    # A board names itself here; its cores only give numbers in /proc/cpuinfo.
    with contextlib.suppress(OSError):
        return Path("/proc/device-tree/model").read_text().strip("\0 \n")
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.machine()


def machine() -> dict[str, Any]:
    """Describe the machine that measures; `cores` are those this process may use."""
    return {
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Return package → version, of those that can change a result and are installed."""
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def result(schema: str, bundle: Bundle, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result as it is written: where it comes from, then `content`."""
    return {
        "schema": schema,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "bundle": {"name": bundle.name, "hash": bundle.hash},
        **content,
    }


def write_result(values: Mapping[str, Any], table: str, target: str | None) -> None:
    """Write a result to the file `target`, and the table for people to standard output.

    With :data:`STDOUT` as `target` the JSON has standard output for itself and the table goes to stderr; with None
    there is the table alone.
    """
    if target is not None:
        text = json.dumps(values, indent=1, allow_nan=False) + "\n"
        if target == STDOUT:
            sys.stdout.write(text)
        else:
            with whole_file(target) as path:
                path.write_text(text)
    print(table, file=sys.stderr if target == STDOUT else sys.stdout)
