"""Of what native libraries write on standard error, only what a user can use is passed on."""

from __future__ import annotations

import os

import pytest

from kwspot.runtime.standard_streams import without_native_chatter

CHATTER = (
    "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795866905.745246   28213 port.cc:153] oneDNN custom operations are on.",
    "E0000 00:00:1795866905.745246   28213 node_def_util.cc:680] NodeDef mentions attribute use_unbounded_threadpool",
)
FAULT = "E0000 00:00:1795866905.745246   28213 port.cc:1] out of memory"


def test_faults_are_passed_on_and_notes_are_not(capfd: pytest.CaptureFixture[str]) -> None:
    with without_native_chatter():
        os.write(2, "".join(f"{line}\n" for line in (*CHATTER, FAULT, *CHATTER)).encode())
    assert capfd.readouterr().err == f"{FAULT}\n"
