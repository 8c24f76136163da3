"""The experiment `startup`: every command and every engine has its row; how fast they are is not asked here."""

from __future__ import annotations

import re

import pytest

from kwspot.benchmarks.experiments.startup import main
from kwspot.runtime.cli import COMMANDS
from kwspot.runtime.errors import BundleError


def test_help_of_every_command_and_every_engine_is_measured(tiny_bundle, capsys):
    assert main([str(tiny_bundle.path), "--starts", "1"]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    titles = [row[:2] + re.split(r"\s{2,}", row[2:])[0] for row in rows]
    helps = ["kwspot --help", *(f"kwspot {name} --help" for name in COMMANDS)]
    listens = []
    for name in ("litert", "onnx"):
        listens += [f"kwspot listen tiny --stdin --engine {name}", "  of the CPU", "  MB at the most"]
    assert titles == [*helps, *listens]
    for row in rows:
        median, least, most = map(float, row.rsplit(None, 5)[1:4])
        assert 0 < least == median == most


def test_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError):
        main([str(tmp_path / "none.kws")])
